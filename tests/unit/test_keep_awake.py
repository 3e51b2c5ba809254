"""The system is asked to stay awake while a run is at work, and told off when it is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from trainer.awake import kept_awake, wanted
from trainer.contract import preset as presets
from trainer.contract.events import Event, Noted
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What wakepy's own methods are asked for: recorded, and answered as by a desktop that agrees."""
    from wakepy import Method

    said: list[str] = []
    monkeypatch.setenv("WAKEPY_FAKE_SUCCESS", "1")
    fake = next(kind for kind in _below(Method) if kind.__name__ == "WakepyFakeSuccess")
    for name in ("enter_mode", "exit_mode"):
        monkeypatch.setattr(fake, name, lambda self, name=name: said.append(name))
    return said


def _below(kind: type) -> list[type]:
    return [below for child in kind.__subclasses__() for below in (child, *_below(child))]


def test_it_is_held_to_the_end_and_let_go_whatever_happens(asked: list[str]) -> None:
    told: list[Event] = []
    with kept_awake(True, told.append):
        assert asked == ["enter_mode"]
    assert asked == ["enter_mode", "exit_mode"] and told == []
    with pytest.raises(KeyboardInterrupt), kept_awake(True, told.append):
        raise KeyboardInterrupt
    assert asked == ["enter_mode", "exit_mode"] * 2 and told == []


def test_a_run_that_may_sleep_asks_nothing(asked: list[str]) -> None:
    with kept_awake(False, lambda event: pytest.fail(str(event))):
        pass
    assert asked == []


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there the system itself is asked")
def test_without_a_desktop_the_run_goes_on_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WAKEPY_FAKE_SUCCESS", raising=False)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path / 'nobody'}")
    told: list[Event] = []
    with kept_awake(True, told.append):
        pass
    (note,) = told
    assert isinstance(note, Noted) and note.setting == "hardware.keep_awake" and "cannot be asked" in note.text


def test_the_preset_decides(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "mine")
    assert not wanted(run)  # no preset: the trainer itself says what is wrong
    for on in (True, False):
        run.preset.write_text(presets.dumps(presets.with_values(Preset(), {"hardware.keep_awake": on})))
        assert wanted(run) is on
