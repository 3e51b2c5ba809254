"""The run folder: whole files, requests, and runs whose process is gone."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trainer.contract import rundir
from trainer.contract.rundir import RunDir, find_runs, process_start, slug, write_whole


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_whole(path, "first")
    write_whole(path, b"second", sync=True)
    assert path.read_text(encoding="utf-8") == "second"

    def fails(source: object, target: object) -> None:
        raise PermissionError("held open")

    monkeypatch.setattr(rundir.os, "replace", fails)
    with pytest.raises(PermissionError):
        rundir.replace_file(path, path, patience_s=0.1)
    assert path.read_text(encoding="utf-8") == "second"


def test_a_file_held_open_for_a_moment_is_replaced_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, refused = os.replace, []

    def busy_at_first(source: Path, target: Path) -> None:
        if len(refused) < 2:
            refused.append(1)
            raise PermissionError("held open")
        real(source, target)

    monkeypatch.setattr(rundir.os, "replace", busy_at_first)
    write_whole(tmp_path / "a.txt", "done")
    assert len(refused) == 2 and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_killed_writer_leaves_only_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    code = (
        "import sys; from pathlib import Path; from trainer.contract.rundir import write_whole\n"
        "print('up', flush=True)\n"
        "for i in range(10**9): write_whole(Path(sys.argv[1]), bytes([65 + i % 26]) * 300_000)"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        until = time.monotonic() + 10
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)
        process.kill()
    data = path.read_bytes()
    assert len(data) == 300_000 and len(set(data)) == 1


def test_a_new_run_never_shares_a_folder(tmp_path: Path) -> None:
    runs = [RunDir.create(tmp_path, "my cat/..") for _ in range(3)]
    assert len({run.path for run in runs}) == 3
    assert all(run.path.parent == tmp_path and run.read_state().state == "starting" for run in runs)
    (tmp_path / "not a run").mkdir()
    found = find_runs(tmp_path)
    assert {run.path for run in found} == {run.path for run in runs}
    assert found[0].read_state().created >= found[-1].read_state().created
    assert find_runs(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("my cat", "my-cat"), ("../../x", "x"), ("", "run"), ("CON", "_CON"), ("кот", "кот"), ("a" * 200, "a" * 80)],
)
def test_names_of_folders(name: str, wanted: str) -> None:
    assert slug(name) == wanted


def test_requests_are_taken_once(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "a")
    assert run.take("stop") is None
    run.request("stop", "at once")
    assert (run.take("stop"), run.take("stop")) == ("at once", None)


def test_a_run_whose_process_is_gone_is_interrupted(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "a")
    assert run.current_state().state == "starting"
    run.update_state(created=time.time() - 500)
    assert run.current_state().state == "interrupted"
    run.update_state(state="running", pid=os.getpid(), process_started=process_start(os.getpid()))
    assert run.current_state().state == "running" and run.process_runs()
    run.update_state(process_started=12345.0)
    assert run.current_state().state == "interrupted" and run.current_state().cause
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        started = process_start(process.pid)
        process.wait()
    run.update_state(pid=process.pid, process_started=started)
    assert run.current_state().state == "interrupted"
    run.update_state(state="done", exit_code=0)
    assert run.current_state().state == "done"


def test_values_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "a")
    text = run.state_file.read_text(encoding="utf-8").replace("{", '{"colour": "red",', 1)
    write_whole(run.state_file, text)
    assert run.read_state().name == "a"


def test_threads_that_write_one_file_do_not_meet(tmp_path: Path) -> None:
    path, texts = tmp_path / "a.txt", [letter * 20_000 for letter in "abcdefgh"]
    with ThreadPoolExecutor(max_workers=len(texts)) as pool:
        list(pool.map(lambda text: [write_whole(path, text) for _ in range(20)], texts))
    assert path.read_text(encoding="utf-8") in texts and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rundir.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a.txt", "text", sync=True)
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_is_just_being_replaced_is_read_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real, refused = RunDir.create(tmp_path, "a"), Path.read_text, []

    def busy_at_first(path: Path, **options: str) -> str:
        if len(refused) < 2:
            refused.append(path)
            raise PermissionError("held open")
        return real(path, **options)

    monkeypatch.setattr(Path, "read_text", busy_at_first)
    assert run.read_state().state == "starting" and len(refused) == 2


def test_a_request_that_cannot_be_removed_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir.create(tmp_path, "a")
    run.request("sample")

    def held_open(path: Path, *_: object) -> None:
        raise PermissionError("another program has it open")

    with monkeypatch.context() as patch:
        patch.setattr(rundir.os, "unlink", held_open)
        assert (run.take("sample"), run.take("sample"), run.peek("sample")) == ("", None, None)
    run.request("sample", "again")
    assert (run.take("sample"), run.take("sample")) == ("again", None)
