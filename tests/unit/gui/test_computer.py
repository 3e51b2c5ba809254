"""The machine file as a form: what is checked, what is saved, what is never deleted."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gui import computer, computer_facts, security
from gui.context import Context
from gui.tabs import computer as tab
from trainer.contract.machine import ENVIRONMENT, load_machine
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir, process_start


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "user" / "machine.toml"))
    monkeypatch.setattr(computer.models, "usual_parents", lambda: [tmp_path / "home"])
    for name in ("pictures/sub", "checkpoints", "captioner/model"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "pictures" / "a.png").write_bytes(b"x")
    (tmp_path / "checkpoints" / "m.safetensors").write_bytes(b"x")
    (tmp_path / "captioner" / "model" / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "file.txt").write_text("x", encoding="utf-8")
    machine = load_machine(tmp_path)
    return Context(tmp_path, machine.runs, machine, local=True)


@pytest.mark.parametrize(
    ("name", "text", "ok", "says"),
    [
        ("models", "checkpoints", True, "plain folder: 1 checkpoints found"),
        ("models", '"checkpoints"', True, "1 checkpoints"),
        ("models", "checkpoint", False, "did you mean checkpoints?"),
        ("models", "no/where", False, "there is no such folder"),
        ("models", "file.txt", False, "this is a file"),
        ("models", "", False, "type a path"),
        ("models", "a\0b", False, "cannot hold"),
        ("folders", "pictures", True, "1 pictures and 1 folders"),
        ("captioners", "captioner", True, "1 models found"),
        ("runs", "new/runs", True, "made when it is needed"),
        ("runs", "file.txt/runs", False, "there is no such folder"),
        ("cache", "checkpoints", False, "this one holds m.safetensors"),
        ("cache", "empty", True, "made when it is needed"),
        ("cache_limit_gb", "20", True, ""),
        ("cache_limit_gb", "2,5", True, ""),
        ("cache_limit_gb", "0", False, "above 0"),
        ("cache_limit_gb", "nan", False, "above 0"),
        ("cache_limit_gb", "much", False, "a number"),
    ],
)
def test_each_value_is_checked(context: Context, name: str, text: str, ok: bool, says: str) -> None:
    said = computer.check(name, text, context)
    assert (said.ok, says in said.text) == (ok, True), said


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="this user may read everything")
def test_folders_without_rights_are_told(context: Context) -> None:
    folder = context.root / "closed"
    folder.mkdir(mode=0o000)
    assert "may not be read" in computer.check("models", str(folder), context).text
    folder.chmod(0o500)
    assert "may not be written" in computer.check("runs", str(folder), context).text


def test_what_is_saved_counts_at_once_and_nothing_else_changes(context: Context) -> None:
    folder = context.root / "checkpoints"
    file = context.root / "user" / "machine.toml"
    file.parent.mkdir()
    file.write_text("# mine\ncache_limit_gb = 5\n", encoding="utf-8")
    computer.save("models", ["checkpoints", str(folder), " "], context)
    assert context.machine.models == (folder,) and load_machine(context.root) == context.machine
    assert context.machine.cache_limit_gb == 5 and "# mine" in file.read_text(encoding="utf-8")
    with pytest.raises(Problems, match="no such folder"):
        computer.save("models", [str(folder), "nowhere"], context)
    assert context.machine.models == (folder,)
    os.rename(folder, context.root / "unplugged")
    computer.save("models", [str(folder), "pictures"], context)
    assert context.machine.models == (folder, context.root / "pictures"), "a drive may only be unplugged"
    computer.save("cache_limit_gb", ["7,5"], context)
    assert load_machine(context.root).cache_limit_gb == 7.5
    with pytest.raises(Problems, match="cannot be empty"):
        computer.save("runs", [""], context)
    file.write_text("runz = 1", encoding="utf-8")
    with pytest.raises(Problems, match="runz"):
        computer.save("models", [], context)
    assert file.read_text(encoding="utf-8") == "runz = 1", "a file that is wrong is not written over"


def test_only_the_user_of_this_computer_changes_paths(context: Context) -> None:
    context.local = False
    with pytest.raises(Problems, match="other computers"):
        computer.save("folders", ["/"], context)
    with pytest.raises(Problems, match="other computers"):
        computer.empty_cache(context)
    assert not (context.root / "user").exists() and computer.state(context)["suggestions"] == []


def test_only_what_runs_can_make_again_is_deleted(context: Context) -> None:
    cache = context.machine.cache
    name = f"{'0f' * 16}.safetensors"
    kept = [
        "model.safetensors",
        "latents/ab/my model.safetensors",
        "held-out/x.json",
        "prints/x.json",
        f"other/ab/{name}",
    ]
    gone = [f"latents/0f/{name}", f"text/0f/{name}"]
    for path in (*kept, *gone):
        (cache / path).parent.mkdir(parents=True, exist_ok=True)
        (cache / path).write_bytes(b"x" * 1000)
    assert computer.cache_line(context) == "2.0 kB in 2 files"
    run = RunDir.create(context.runs, "busy")
    run.update_state(state="running", pid=os.getpid(), process_started=process_start(os.getpid()))
    with pytest.raises(Problems, match="is at work"):
        computer.empty_cache(context)
    run.update_state(state="done")
    assert computer.empty_cache(context) == "2.0 kB freed" and computer.cache_line(context) == "empty"
    assert all((cache / path).exists() for path in kept) and not any((cache / path).exists() for path in gone)


def test_an_open_page_shows_the_folders_that_are_named_now(tmp_path: Path) -> None:
    runs, one, two = tmp_path / "runs", tmp_path / "one", tmp_path / "two"
    allowed = [str(runs), str(one)]
    guard = security.Guard(None, security.Access("127.0.0.1"), runs, allowed)  # type: ignore[arg-type]
    security.allow(allowed, [one], [two, runs])
    assert allowed == [str(runs), str(two)] and guard.folders == (runs, two)
    security.allow(allowed, [two, runs], [])
    assert allowed == [str(runs)], "the runs folder stays"


def test_facts_are_told_as_text(context: Context) -> None:
    told = computer_facts.facts(context)
    assert dict(told["Software"])["Python"].startswith(sys.version.split()[0])
    assert "build" in dict(told["Software"])["torch"] and "free of" in told["Space"][0][1]
    assert "python launch.py --update" in tab.facts_table(context)
