"""The argument list of another trainer: whole, absolute, without a value of the preset; what a checkout is known by."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gui import launching
from gui.engine import checkout, exporting, starting
from trainer.contract.families import default_family
from trainer.contract.machine import ENVIRONMENT, Machine, load_machine, save_machine
from trainer.contract.preset import resolve, with_values
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset

HOSTILE = ("--evil; rm -rf ~", "$(touch x)", "`touch x`", 'a"b', "-x", "a\nb", "%PATH% & del x")


def made(folder: Path) -> Path:
    """A folder that looks like sd-scripts, with a virtual environment."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train_network.py", "other_train_network.py", "train_db.py"):
        (folder / name).touch()
    (folder / "README.md").write_text("- **Version 0.10.1 (2026-02-13):**\n- **Version 0.9:**", encoding="utf-8")
    program = folder / ("venv/Scripts/python.exe" if os.name == "nt" else "venv/bin/python")
    program.parent.mkdir(parents=True, exist_ok=True)
    program.touch()
    return folder


def machine(folder: Path | None, python: Path | None = None) -> Machine:
    return Machine(Path("runs"), Path("cache"), sd_scripts=folder, sd_scripts_python=python)


@pytest.mark.parametrize("name", [*HOSTILE, "plain"])
def test_a_hostile_folder_stays_one_argument_and_never_becomes_an_option(tmp_path: Path, name: str) -> None:
    try:
        place = made(tmp_path / name / "sd-scripts")
    except OSError:
        pytest.skip("this system has no such file name")
    found = checkout.found(machine(place))
    config = tmp_path / name / "run" / "engine" / "config.toml"
    words = launching.launcher(found.python, launching.devices("cpu"), 2)
    argv = starting.command(found, "train_network.py", config, words)
    assert argv[-3:] == [str(place / "train_network.py"), "--config_file", str(config)]
    assert argv[:4] == [str(found.python), "-m", launching.LAUNCHER, "--quiet"]
    allowed = {"-m", "--quiet", "--cpu", "--config_file", "--num_processes", "--num_machines", "--mixed_precision"}
    allowed |= {"--num_cpu_threads_per_process", "--dynamo_backend"}
    assert {word for word in argv if word.startswith("-")} == allowed
    assert sum(name in word for word in argv) == 3


def test_the_runner_gets_folders_then_the_argument_list(tmp_path: Path) -> None:
    words = starting.runner(RunDir(tmp_path / "-x"), tmp_path)
    assert words == [sys.executable, "-m", starting.RUNNER, str(tmp_path / "-x"), str(tmp_path), "--"]


def test_a_checkout_is_known_by_its_scripts_readme_and_git_files(tmp_path: Path) -> None:
    place = made(tmp_path / "kohya_ss" / "sd-scripts")
    git = tmp_path / "kohya_ss" / ".git" / "modules" / "sd-scripts"
    (git / "refs" / "heads").mkdir(parents=True)
    (place / ".git").write_text("gitdir: ../.git/modules/sd-scripts\n", encoding="utf-8")
    (git / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    (git / "packed-refs").write_text(f"# pack-refs\n{'ab' * 20} refs/heads/main\n", encoding="utf-8")
    found = checkout.found(machine(tmp_path / "kohya_ss"))
    assert (found.folder, found.version, found.commit) == (place, "v0.10.1", "abababab")
    assert found.scripts == ("other_train_network.py", "train_network.py")
    (git / "HEAD").write_text("cd" * 20, encoding="utf-8")
    assert checkout.commit(place) == "cdcdcdcd"
    (git / "HEAD").write_text("ref: ../../../secret", encoding="utf-8")
    assert checkout.commit(place) == ""


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(Problems, match="name no sd-scripts"):
        checkout.found(machine(None))
    with pytest.raises(Problems, match="there is no sd-scripts in"):
        checkout.found(machine(tmp_path))
    place = made(tmp_path / "sd-scripts")
    (checkout.own_python(place) or place).unlink()
    with pytest.raises(Problems, match="no virtual environment"):
        checkout.found(machine(place))
    assert checkout.found(machine(place, Path(sys.executable))).python == Path(sys.executable)
    with pytest.raises(Problems, match="is no file"):
        checkout.found(machine(place, tmp_path / "nowhere"))


def test_the_machine_file_keeps_a_link_to_a_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "machine.toml"))
    assert load_machine(tmp_path).sd_scripts is None
    place, link = made(tmp_path / "sd-scripts"), tmp_path / "python"
    link.symlink_to(sys.executable)
    save_machine(tmp_path, machine(place, link))
    assert (load_machine(tmp_path).sd_scripts, load_machine(tmp_path).sd_scripts_python) == (place, link)


def test_a_strangers_preset_chooses_neither_script_nor_module_nor_folder(tmp_path: Path) -> None:
    """What was carried along from another program's file goes back into its files, but nothing that acts."""
    carried = {
        "script": "../../evil",
        "network_module": "evil.module",
        "optimizer_type": "evil.Optimizer",
        "lr_scheduler_type": "evil.Schedule",
        "dataset_class": "evil.Dataset",
        "output_dir": "/evil",
        "log_prefix": "../../evil",
        "huggingface_token": "evil",
        "resume": "/evil",
    }
    preset = resolve(with_values(Preset(), {"about.carried": carried}), default_family())
    place = machine(made(tmp_path / "sd-scripts"), Path(sys.executable))
    with pytest.raises(Problems):
        starting.check(preset, place, leave_out=True)
    with pytest.raises(Problems, match="no script of sd-scripts"):
        exporting.for_download(preset)
    run = RunDir.create(tmp_path / "runs", "x")
    with pytest.raises(Problems, match="no script of sd-scripts"):
        exporting.for_run(preset, run)
    preset = with_values(preset, {"about.carried": carried | {"script": "train_network"}})
    config = exporting.for_run(preset, run)
    said = config.read_text(encoding="utf-8")
    assert "evil" not in "\n".join(line for line in said.splitlines() if not line.startswith("#"))
    assert f'output_dir = "{run.path.as_posix()}"' in said and "cache_latents_to_disk = true" not in said
