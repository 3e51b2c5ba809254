"""Starting runs: argument list, environment, which run a person means, the machine file, the clock of orders."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gui import follow, jobs, processes
from trainer.contract import preset as presets
from trainer.contract.machine import Machine, load_machine, save_machine
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset, parse_interval
from trainer.control import Control, Orders, Turn
from trainer.parallel import Ranks


def made(runs: Path, name: str = "mine") -> RunDir:
    return RunDir.create(runs, name)


def test_the_argument_list_holds_no_value_of_the_preset(tmp_path: Path) -> None:
    run = made(tmp_path, "--evil; rm -rf")
    argv = jobs.command(run, jobs.devices("auto"), 3)
    assert argv[0] == sys.executable and argv[-3:] == ["-m", "trainer", str(run.path)]
    assert run.path.is_absolute() and not argv[-1].startswith("-")
    assert argv[argv.index("--num_cpu_threads_per_process") + 1] == "3"
    assert "--cpu" not in argv and "--multi_gpu" not in argv


@pytest.mark.parametrize(
    ("gpus", "processes", "words", "visible"),
    [
        ("cpu", 1, ["--cpu"], None),
        ("cpu,cpu", 2, ["--multi_gpu"], None),
        ("1", 1, [], "1"),
        ("0, 2", 2, ["--multi_gpu"], "0,2"),
    ],
)
def test_devices_become_processes(
    tmp_path: Path, gpus: str, processes: int, words: list[str], visible: str | None
) -> None:
    chosen = jobs.devices(gpus)
    argv = jobs.command(made(tmp_path), chosen, 1)
    environ = jobs.environment(Preset(), chosen, {"PATH": "/bin"})
    assert argv[argv.index("--num_processes") + 1] == str(processes)
    assert [word for word in ("--cpu", "--multi_gpu") if word in argv] == words
    assert environ.get("CUDA_VISIBLE_DEVICES") == visible
    assert environ.get("ACCELERATE_USE_CPU") == ("true" if "cpu" in gpus else None)
    assert environ["PATH"] == "/bin"


@pytest.mark.parametrize("gpus", ["auto", "1", "0,1", "cpu", "cpu,cpu"])
def test_a_configuration_made_for_another_program_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: str
) -> None:
    from accelerate.commands import launch
    from accelerate.commands.config import config_args

    foreign = tmp_path / "default_config.yaml"
    foreign.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nmixed_precision: bf16\nnum_processes: 2\n"
        "gpu_ids: '3'\nmain_process_port: 12345\n",
        encoding="utf-8",
    )
    for module in (launch, config_args):
        monkeypatch.setattr(module, "default_config_file", str(foreign))
    chosen = jobs.devices(gpus)
    words = jobs.command(made(tmp_path), chosen, 1)[3:]
    args, _, _ = launch._validate_launch_command(launch.launch_command_parser().parse_args(words))
    assert (args.num_processes, args.multi_gpu, args.gpu_ids) == (chosen.processes, chosen.processes > 1, "all")
    assert not args.use_deepspeed and args.mixed_precision == "no" and args.main_process_port != 12345


def test_gpus_that_cannot_be_read_are_a_problem() -> None:
    with pytest.raises(Problems) as caught:
        jobs.devices("first")
    assert caught.value.problems[0].path == "hardware.gpus" and caught.value.exit_code == 2


def test_threads_are_the_setting_then_the_users_then_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = jobs.devices("cpu"), jobs.devices("cpu,cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert jobs.threads(presets.build({"hardware": {"threads": 2}}), one) == 2
    assert jobs.threads(Preset(), one) == 5
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert jobs.threads(Preset(), one) == jobs.cores()
    assert jobs.threads(Preset(), two) == max(1, jobs.cores() // 2)


def test_a_runs_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    with pytest.raises(Problems) as caught:
        jobs.start(Preset(), runs=file / "runs")
    assert "cannot be written" in str(caught.value)


def test_the_run_that_a_person_means(tmp_path: Path) -> None:
    first, second = made(tmp_path, "cat"), made(tmp_path, "dog")
    second.update_state(created=time.time() + 5)
    assert jobs.find("cat", tmp_path).path == first.path  # type: ignore[union-attr]
    assert jobs.find(str(first.path), tmp_path).path == first.path  # type: ignore[union-attr]
    assert jobs.find("latest", tmp_path).path == second.path  # type: ignore[union-attr]
    ladder = made(tmp_path, "cat-preflight")
    ladder.update_state(created=time.time() + 9, kind="preflight")
    assert jobs.find("cat", tmp_path, "training").path == first.path  # type: ignore[union-attr]
    assert jobs.find("cat", tmp_path).path == ladder.path  # type: ignore[union-attr]
    assert jobs.find("horse", tmp_path) is None and jobs.find("", tmp_path) is None


def test_killing_ends_the_whole_family(tmp_path: Path) -> None:
    run = made(tmp_path)
    child = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).wait()"
    )
    jobs.launch(run, [sys.executable, "-c", child], os.environ)
    import psutil

    below: list[psutil.Process] = []
    while not below:
        below = psutil.Process(processes._launchers[run.path].pid).children(recursive=True)
        time.sleep(0.02)
    assert jobs.alive(run)
    jobs.kill(run)
    assert not jobs.alive(run)
    assert all(not child.is_running() or child.status() == psutil.STATUS_ZOMBIE for child in below)


@pytest.mark.skipif(os.name == "nt", reason="process groups as POSIX knows them")
def test_a_run_has_a_session_of_its_own(tmp_path: Path) -> None:
    run = made(tmp_path)
    jobs.launch(run, [sys.executable, "-c", "import os; print(os.getsid(0), os.getpid())"], os.environ)
    processes._launchers[run.path].wait(20)
    session, pid = run.console.read_text(encoding="utf-8").split()
    assert session == pid != str(os.getsid(0))


def test_the_machine_file_goes_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LORATORY_MACHINE", raising=False)
    usual = load_machine(tmp_path)
    assert usual.runs == tmp_path / "runs" and usual.cache_limit_gb == 20
    mine = Machine(
        tmp_path / "r ü",
        tmp_path / "c",
        3.5,
        (tmp_path / "pictures",),
        tmp_path / "uploads",
        (tmp_path / "models", tmp_path / "ComfyUI"),
        (tmp_path / "taggers",),
    )
    save_machine(tmp_path, mine)
    assert load_machine(tmp_path) == mine
    file = tmp_path / "presets" / "user" / "machine.toml"
    file.write_text(file.read_text(encoding="utf-8") + "# my own words\n", encoding="utf-8")
    save_machine(tmp_path, mine)
    assert "# my own words" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [("runs = 3", "in quotes"), ("cachee = 'x'", "no such setting"), ("cache_limit_gb = 0", "above 0"), ("x", "TOML")],
)
def test_a_bad_machine_file_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    file = tmp_path / "m.toml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("LORATORY_MACHINE", str(file))
    with pytest.raises(Problems, match=words):
        load_machine(tmp_path)


def test_a_turn_comes_at_its_steps_or_by_the_clock() -> None:
    now = [0.0]
    steps = Turn((0, 2, 5), parse_interval("2 steps"), lambda: now[0])
    assert [step for step in range(1, 7) if steps.due(step)] == [2, 5]
    minutes = Turn((), parse_interval("2 minutes"), lambda: now[0])
    due = []
    for step in range(1, 10):
        now[0] += 50.0
        if minutes.due(step):
            due.append(step)
    assert due == [3, 6, 9]


def test_what_takes_longer_than_its_interval_does_not_starve_the_training() -> None:
    now, done = [0.0], []
    turn = Turn((), parse_interval("10 minutes"), lambda: now[0])
    for step in range(1, 50):
        now[0] += 60.0
        if turn.due(step):
            done.append(step)
            now[0] += 900.0  # a state on a slow disk
    assert done == [10, 21, 32, 43]


def test_requests_are_taken_once(tmp_path: Path) -> None:
    run = made(tmp_path)
    control = Control(run, Ranks(), {"save": Turn((3,), parse_interval("3 steps"))})
    assert control.after(1) == Orders()
    run.request("sample")
    assert control.after(2) == Orders(sample=True)
    run.request("stop")
    assert control.after(3) == Orders(save=True, stop=True)
    assert control.after(4) == Orders()
    run.request("save")
    assert control.after(5) == Orders(save=True, state=True)


def test_a_pause_may_wait_for_a_step(tmp_path: Path) -> None:
    run = made(tmp_path)
    control = Control(run, Ranks(), {})
    run.request("pause", "4")
    assert control.before(1) == control.after(1) == control.after(3) == Orders()
    assert control.after(4) == Orders(save=True, pause=True)
    assert control.after(5) == Orders()
    run.request("pause")
    assert control.before(6) == Orders(pause=True)


@pytest.mark.parametrize("state", ["done", "stopped", "paused", "failed", "interrupted"])
def test_a_run_that_is_not_at_work_takes_no_request(tmp_path: Path, state: str) -> None:
    run = made(tmp_path)
    run.update_state(state=state, exit_code=0, cause="a cause")
    with pytest.raises(Problems, match=rf"not at work: it is {state} \(a cause\)"):
        jobs.ask(run, "sample")
    assert run.peek("sample") is None
    run.update_state(state="starting", created=time.time())
    jobs.ask(run, "sample", "a cat")
    assert run.take("sample") == "a cat" and run.take("sample") is None


def test_a_run_that_is_killed_before_its_trainer_speaks_is_interrupted_at_once(tmp_path: Path) -> None:
    run = made(tmp_path)
    processes.launch(run, [sys.executable, "-c", "import time; time.sleep(60)"], os.environ)
    assert run.current_state().state == "starting" and processes.alive(run)
    processes.kill(run)
    assert run.current_state().state == "interrupted" and not processes.alive(run)


def test_importing_jobs_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None\nimport gui.jobs, gui.headless, gui.console"
    done = subprocess.run([sys.executable, "-c", code], cwd=jobs.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX knows them")
def test_two_signals_to_who_follows_a_run_end_it_at_once(tmp_path: Path) -> None:
    run = made(tmp_path)
    jobs.launch(run, [sys.executable, "-c", "import time; time.sleep(600)"], os.environ)
    said: list[str] = []
    asker = follow.Asker(run, SimpleNamespace(say=said.append))  # type: ignore[arg-type]
    asker.interrupts.listen()
    try:
        assert asker.act() and not said
        os.kill(os.getpid(), signal.SIGTERM)
        assert run.peek("stop") == "" and asker.act() and asker.act() and not asker.killed
        os.kill(os.getpid(), signal.SIGTERM)
        assert asker.act() and asker.killed and not jobs.alive(run)
        assert [text[:8] for text in said] == ["Stopping", "Ending a"]
        os.kill(os.getpid(), signal.SIGHUP)
        assert not asker.act()
    finally:
        asker.interrupts.leave()
        jobs.kill(run)
