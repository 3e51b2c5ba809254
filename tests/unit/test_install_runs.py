"""Real runs of the installer's `ensure`, against a pip that only writes down what it was asked."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from trainer import install, setup_stamp, setup_venv
from trainer.setup_machine import Machine

# A stand-in for the environment's Python: it writes down what it was asked, and "installs" by leaving package metadata.
FAKE_PYTHON = """\
import json, os, sys
from pathlib import Path
here = Path(__file__).parents[1]
with (here.parent / "asked.jsonl").open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
site = here / "lib/python3.12/site-packages"
if "install" in sys.argv:
    if (here.parent / "broken").exists():
        print("ERROR: [Errno 28] No space left on device"); sys.exit(1)
    names = dict(torch="2.13.0+cpu") if sys.argv[-1].startswith("torch==") else {"lorem_ipsum": "1.0"}
    for name, version in names.items():
        info = site / f"{name}-{version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    (site / "torch").mkdir(parents=True, exist_ok=True)
    (site / "torch/version.py").write_text("cuda: Optional[str] = None\\nhip: Optional[str] = None\\n")
if "config" in sys.argv:
    print("global.find-links='/srv/wheels'")
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with an environment whose Python is the stand-in, on a machine without a GPU."""
    if sys.platform == "win32":
        pytest.skip("the stand-in for Python is a shell script")
    root = tmp_path / "a folder with blanks; & $signs"
    (root / "trainer").mkdir(parents=True)
    (root / "trainer" / "constraints.txt").write_text("torch==2.13.0\nlorem-ipsum==1.0\n", encoding="utf-8")
    project = '[project]\nname = "x"\ndependencies = [\n    "torch",\n    "lorem-ipsum",\n]\n'
    project += '[project.optional-dependencies]\ntests = ["lorem-ipsum"]\n'
    (root / "pyproject.toml").write_text(project, encoding="utf-8")
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    (python.parent / "stand_in.py").write_text(FAKE_PYTHON, encoding="utf-8")
    start = f'exec {shlex.quote(sys.executable)} -S "$(dirname "$0")/stand_in.py" "$@"'
    python.write_text(f"#!/bin/sh\n{start}\n", encoding="utf-8")
    python.chmod(0o755)
    (root / ".venv" / "pyvenv.cfg").write_text("version = 3.12.1\n", encoding="utf-8")
    monkeypatch.setattr(install, "probe", lambda root: Machine(root=str(root)))
    return root


def asked(root, *words):
    """The stand-in's calls that hold all the words, forgotten after."""
    path = root / "asked.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [argv for argv in map(json.loads, lines) if set(words) <= set(argv)]


def test_installs_once_then_only_looks(checkout, capsys):
    python = install.ensure(checkout)
    calls = asked(checkout, "install")
    assert [argv[-1] for argv in calls] == ["torch==2.13.0+cpu", "lorem-ipsum"]  # pip's own source is asked, not ours
    said = capsys.readouterr().out
    assert "0.4 GB to download" in said
    assert "PyTorch 2.13.0 (cpu): done" in said
    assert install.ensure(checkout) == python == checkout / ".venv" / "bin" / "python"
    assert asked(checkout) == []
    assert install.ensure(checkout, torch="cpu") == python  # what is there already
    assert asked(checkout) == []


def test_failed_installation_is_told_and_repaired_by_starting_again(checkout):
    (checkout / "broken").touch()
    with pytest.raises(install.InstallFailed) as failed:
        install.ensure(checkout)
    assert "The disk is full" in str(failed.value)
    assert "install.log" in str(failed.value)
    assert "No space left" in (checkout / ".venv" / "install.log").read_text(encoding="utf-8")
    assert install.ready(checkout) is None
    (checkout / "broken").unlink()
    asked(checkout)
    install.ensure(checkout)
    assert len(asked(checkout, "install")) == 2
    assert install.ready(checkout)


def test_missing_stamp_runs_pip_again(checkout):
    install.ensure(checkout)
    asked(checkout)
    (checkout / ".venv" / setup_stamp.STAMP_NAME).unlink()
    install.ensure(checkout)
    assert len(asked(checkout, "install")) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": 1}', '{"surprise": 1}'])
def test_damaged_stamp_is_no_stamp(checkout, damage):
    install.ensure(checkout)
    (checkout / ".venv" / setup_stamp.STAMP_NAME).write_text(damage, encoding="utf-8")
    assert install.ready(checkout) is None


def test_changed_pins_update_install_again_and_keep_extras(checkout):
    install.ensure(checkout, {"tests"})
    asked(checkout)
    install.ensure(checkout)  # fewer extras than there are: nothing to do
    assert asked(checkout) == []
    pins = checkout / "trainer" / "constraints.txt"
    pins.write_text(pins.read_text(encoding="utf-8") + "# newer\n", encoding="utf-8")
    install.ensure(checkout)
    assert len(asked(checkout, "install")) == 2
    assert setup_stamp.read(checkout / ".venv").extras == ["tests"]


def test_update_leaves_presets_and_runs(checkout, capsys):
    install.ensure(checkout)
    for name in ("presets/user/mine.toml", "runs/a/run.json"):
        (checkout / name).parent.mkdir(parents=True)
        (checkout / name).write_text("mine", encoding="utf-8")
    asked(checkout)
    install.ensure(checkout, update=True)
    assert all(argv[-1] == "--upgrade" for argv in asked(checkout, "install"))
    assert "no git checkout" in capsys.readouterr().out
    assert (checkout / "presets/user/mine.toml").read_text(encoding="utf-8") == "mine"
    assert (checkout / "runs/a/run.json").read_text(encoding="utf-8") == "mine"


def test_xformers_that_is_absent_says_so():
    works, reason = install.xformers_works(Path(sys.executable))
    if setup_stamp.installed_version("xformers", sys.path) is None:
        assert (works, reason) == (False, "xformers is not installed")
    else:
        assert reason


def test_probes_are_remembered_and_asked_again_when_xformers_appears(checkout, monkeypatch):
    install.ensure(checkout)
    monkeypatch.setattr(sys, "prefix", str(checkout / ".venv"))
    assert install.probes(checkout) == {"xformers": {"works": False, "reason": "xformers is not installed"}}
    asked(checkout)
    info = checkout / ".venv/lib/python3.12/site-packages/xformers-0.0.35.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: xformers\nVersion: 0.0.35\n", encoding="utf-8")
    assert install.probes(checkout)["xformers"]["works"]  # the stand-in's "import" succeeds
    assert len(asked(checkout)) == 1
    install.probes(checkout)
    assert asked(checkout) == []


def test_lock_waits_for_the_other_installation(checkout):
    with setup_venv.lock(checkout):
        number = os.open(checkout / ".install.lock", os.O_RDWR)
        assert not setup_venv.try_lock(number)
        os.close(number)
    with setup_venv.lock(checkout):
        pass
