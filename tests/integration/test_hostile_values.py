"""The holes that Kohya's GUI had (CVE-2024-32022 to 32027): text of the user's, or of a shared preset, reached a shell.

Here it goes into every text setting at once, and a real trainer is launched with it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil
import pytest

from gui import jobs
from trainer.contract import preset as presets
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir, write_whole
from trainer.contract.settings import ITEMS, Preset

ATTACKS = [
    '"; touch PWNED; "',
    "'; touch PWNED; '",
    "$(touch PWNED)",
    "`touch PWNED`",
    "x\ntouch PWNED\n",
    "x & touch PWNED & rem",
    "x | touch PWNED",
    "--output=PWNED",
    "-c open('PWNED','w')",
    "%PWNED% $PWNED ~/PWNED",
    "__import__('pathlib').Path('PWNED').touch()",
    "pathlib:Path.touch",
]


def text_settings() -> list[str]:
    return [item.path for item in ITEMS if item.type is str]


def hostile_preset(attack: str) -> tuple[Preset, list[str]]:
    """A preset with the attack in every text setting that takes it, in lists and in dataset rows; and their names."""
    values: dict[str, object] = {
        "sampling.prompts": [attack],
        "dataset.folders": [{"path": attack, "class_name": attack}],
        "optimizer.args": {"x": attack},
    }
    taken = []
    for path in text_settings():
        try:
            presets.with_values(Preset(), {path: attack})
        except Problems:
            continue
        values[path] = attack
        taken.append(path)
    rows = ({"path": attack, "class_name": attack}, {"path": attack})
    for row in rows:
        try:
            return presets.with_values(Preset(), values | {"dataset.folders": [row]}), taken
        except Problems:
            continue
    raise AssertionError("no dataset row takes a path")


@pytest.mark.parametrize("attack", ATTACKS)
def test_values_go_through_the_file_alone(tmp_path: Path, attack: str) -> None:
    preset, taken = hostile_preset(attack)
    assert {"captions.trigger", "saving.name", "saving.comment", "model.path", "sampling.negative"} <= set(taken)
    text = presets.dumps(preset)
    assert presets.loads(text) == preset, "the file holds it as it is"
    run = RunDir.create(tmp_path, preset.saving.name if isinstance(preset.saving.name, str) else "x")
    assert run.path.parent == tmp_path
    chosen = jobs.devices("cpu")
    argv, environ = jobs.command(run, chosen, 1), jobs.environment(preset, chosen, {})
    assert not any(attack in word for word in [*argv, *environ, *environ.values()])
    assert argv[-3:] == ["-m", "trainer", str(run.path)]


def command_lines(run: RunDir) -> list[list[str]]:
    """What the launcher and all below it were started with."""
    lines = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(run.path) in words:
            lines.append(words)
    return lines


def test_a_real_trainer_runs_nothing_of_it(tmp_path: Path) -> None:
    """All attacks together. The model is not there, so the run ends with problems: said as text, as data."""
    attack = " ".join(ATTACKS)
    preset, _ = hostile_preset(attack)
    run = RunDir.create(tmp_path, attack)
    write_whole(run.preset, presets.dumps(preset))
    chosen = jobs.devices("cpu")
    jobs.launch(run, jobs.command(run, chosen, 1), jobs.environment(preset, chosen))
    seen: list[list[str]] = []
    until = time.monotonic() + 90
    while time.monotonic() < until and (jobs.alive(run) or not seen):
        seen += command_lines(run)
        time.sleep(0.05)
    assert seen, "the trainer was never seen"
    for words in seen:
        assert words[0] == sys.executable and words[-1] == str(run.path)
        assert "PWNED" not in " ".join(words).replace(str(run.path), "")
    state = json.loads(run.state_file.read_text(encoding="utf-8"))
    assert state["state"] == "failed" and state["exit_code"] in (2, 3)
    for folder in (tmp_path, jobs.ROOT, Path.home(), Path.cwd()):
        assert not list(folder.glob("*PWNED")), f"something ran in {folder}"
    assert not list(run.path.rglob("PWNED*"))
