"""Buttons beside fields: what they change, what is reset, what can be taken back; what is said of changed fields."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gui.context import Context
from gui.form.fixes import fix_of, sentence
from gui.form.live import live
from gui.form.session import Draft, recall, remember, resolved
from trainer.contract import preset
from trainer.contract.machine import ENVIRONMENT, Machine
from trainer.contract.preset import load
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import BY_PATH

ROOT = Path(__file__).resolve().parents[3]


def told(draft: Draft) -> dict:
    return json.loads(live(draft, resolved(draft.preset, ROOT), ROOT))


def test_a_change_is_one_deed_that_can_be_taken_back() -> None:
    draft = Draft()
    draft.edit("network.rank", 5000)
    [problem] = told(draft)["problems"]["f-network-rank"]
    draft.change(dict(problem["fix"]["change"]), "done")
    assert draft.preset.network.rank == 1024 and not draft.faults and told(draft)["done"] == "done"
    draft.put_back()
    assert draft.shown["network.rank"] == 5000 and list(draft.faults) == ["network.rank"] and not draft.done


def test_fields_are_reset_to_what_was_loaded() -> None:
    draft, demo = Draft(), load(ROOT / "presets" / "demo.toml")
    draft.replace(demo)
    assert told(draft)["changed"] == {}
    draft.edit("captions.trigger", "other")
    draft.edit("network.rank", "no number")
    assert {name: each["was"] for name, each in told(draft)["changed"].items()} == {
        "f-captions-trigger": "zorb",
        "f-network-rank": "16",
    }
    draft.reset(["captions.trigger", "network.rank", "no.such"])
    assert draft.preset.captions.trigger == "zorb" and not draft.faults and draft.done == "2 settings reset"


def test_what_was_loaded_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "user" / "machine.toml"))
    context = Context(ROOT, tmp_path / "runs", Machine(tmp_path / "runs", tmp_path / "cache"))
    draft = Draft()
    draft.replace(load(ROOT / "presets" / "demo.toml"))
    draft.edit("captions.trigger", "other")
    remember(draft, context)
    back = recall(context)
    assert back.preset.captions.trigger == "other" and list(told(back)["changed"]) == ["f-captions-trigger"]


def test_what_stands_in_the_way_follows_the_form() -> None:
    draft = Draft()
    assert [name for name, _ in told(draft)["missing"]] == ["f-model-path", "f-dataset-folders"]
    draft.replace(load(ROOT / "presets" / "demo.toml"))
    assert told(draft)["missing"] == []
    draft.edit("network.rank", 0)
    assert told(draft)["missing"] == [["f-network-rank", BY_PATH["network.rank"].setting.label]]


def test_problems_speak_as_the_form_does() -> None:
    assert sentence(Problem("schedule.warmup", "set validation.every")) == 'set "Validate every"'
    assert sentence(Problem("network.rnak", "no such", "did you mean network.rank?")).endswith("network.rank?")
    fix = fix_of("network.unet", (("network.unet", True),))
    assert fix == {"label": "turn on", "change": [["network.unet", True]]}
    assert fix_of("network.rank", ()) is None and fix_of("x", (("no.such", 1),)) is None


def test_a_flag_outside_of_a_section_is_called_a_setting() -> None:
    with pytest.raises(Problems) as wrong:
        preset.loads("network_dim = 8\n[sheduler]\nname = 'x'\n")
    whys = [problem.why for problem in wrong.value.problems]
    assert whys == ["there is no such setting", "there is no such section"]


def test_what_depends_on_a_setting_without_effect_has_none_either() -> None:
    draft = Draft()
    assert "f-validation-budget" not in told(draft)["off"]
    draft.edit("validation.split", "off")
    assert told(draft)["off"]["f-validation-budget"] == "no images are held out"
    draft.edit("validation.folder", "somewhere")
    assert "f-validation-budget" not in told(draft)["off"]


def test_float_is_offered_where_no_gpu_is() -> None:
    draft = Draft()
    full = resolved(draft.preset, ROOT)
    without = json.loads(live(draft, full, ROOT, gpu=False))["offers"]
    assert without["f-precision-compute"]["fix"]["label"] == "use float" and told(draft)["offers"] == {}
