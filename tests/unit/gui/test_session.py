"""The form of one page: edits, faults, offers, what blank fields mean, and that it comes back after a reload."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from gui.context import Context
from gui.form.fixes import field_id
from gui.form.live import hints, live
from gui.form.session import Draft, prepare, recall, remember, resolved
from gui.tabs.train import Train, restored
from trainer.contract.families import default_family
from trainer.contract.machine import ENVIRONMENT, Machine
from trainer.contract.preset import load, with_values
from trainer.contract.problems import Problems
from trainer.contract.settings import ITEMS, Preset

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "user" / "machine.toml"))
    return Context(ROOT, tmp_path / "runs", Machine(tmp_path / "runs", tmp_path / "cache"))


def told(draft: Draft) -> dict:
    return json.loads(live(draft, resolved(draft.preset, ROOT), ROOT))


def test_a_fault_stays_beside_its_field_and_the_last_good_value_counts() -> None:
    draft = Draft()
    draft.edit("network.rank", 8)
    draft.edit("network.rank", 5000)
    assert draft.preset.network.rank == 8 and draft.shown["network.rank"] == 5000
    assert "at most 1024" in told(draft)["problems"]["f-network-rank"][0]["text"]
    draft.edit("network.rank", 4)
    assert draft.preset.network.rank == 4 and "f-network-rank" not in told(draft)["problems"]


def test_settings_that_contradict_each_other_are_told_while_editing() -> None:
    draft = Draft()
    draft.edit("network.unet", False)
    assert told(draft)["problems"]


def test_fields_without_effect_say_why() -> None:
    draft = Draft()
    assert told(draft)["off"]["f-network-conv_alpha"]
    draft.edit("network.conv_rank", 8)
    assert "f-network-conv_alpha" not in told(draft)["off"]


def test_a_new_optimizer_offers_its_rate_and_changes_nothing_by_itself() -> None:
    draft = Draft()
    draft.edit("optimizer.name", "Prodigy")
    assert draft.preset.optimizer.learning_rate == 1e-4
    assert {path: offer["fix"]["label"] for path, offer in told(draft)["offers"].items()} == {
        "f-optimizer-learning_rate": "use 1",
        "f-schedule-warmup": "use 0",
    }
    draft.edit("optimizer.learning_rate", "1")
    assert list(told(draft)["offers"]) == ["f-schedule-warmup"]
    draft.edit("optimizer.name", "AdamW")
    assert told(draft)["offers"]["f-optimizer-learning_rate"]["fix"]["label"] == "use 0.0001"


def test_blank_fields_say_what_they_follow() -> None:
    draft = Draft()
    draft.edit("network.rank", 12)
    draft.edit("captions.trigger", "zorb")
    said = hints(resolved(draft.preset, ROOT), default_family())
    assert said["network.alpha"] == "12, same as Network rank"
    assert said["dataset.resolution"].startswith("512")
    assert said["sampling.prompts"].startswith("zorb, ")


def test_loading_replaces_every_value() -> None:
    draft = Draft()
    for path, content in {"network.rank": 5000, "optimizer.name": "Lion", "captions.prefix": "old"}.items():
        draft.edit(path, content)
    demo = load(ROOT / "presets" / "demo.toml")
    draft.replace(demo)
    assert draft.preset == demo and not draft.faults and not draft.offers
    assert draft.take(draft.shown) == demo
    draft.put_back()
    assert draft.shown["network.rank"] == 5000 and list(draft.faults) == ["network.rank"]
    assert draft.preset.optimizer.name == "Lion"
    draft.put_back()
    assert draft.preset == demo


def test_a_proved_preset_is_unproved_once_its_recipe_changes() -> None:
    draft = Draft()
    draft.replace(with_values(Preset(), {"about.tested": "zorb-20260101-120000"}))
    draft.edit("model.path", "mine.safetensors")
    draft.edit("about.tested", "typed by hand")
    assert draft.preset.about.tested == "zorb-20260101-120000"
    old = dict(draft.shown)
    draft.edit("network.rank", 4)
    assert draft.preset.about.tested == "untested" == told(draft)["facts"]["f-about-tested"]
    assert draft.take({**old, "network.rank": 4}).about.tested == "untested"


def test_the_whole_form_as_sent_is_what_counts() -> None:
    draft = Draft()
    sent = {**draft.shown, "network.rank": 4, "captions.trigger": "zorb"}
    preset = draft.take(sent)
    assert (preset.network.rank, preset.captions.trigger) == (4, "zorb")
    with pytest.raises(Problems, match=r"network\.rank"):
        draft.take({**sent, "network.rank": 0})


def test_a_form_can_be_copied_for_each_session() -> None:
    first = Draft()
    second = copy.deepcopy(first)
    second.edit("network.rank", 4)
    assert first.preset.network.rank == 16 and first.shown["network.rank"] == 16


def test_the_form_comes_back_as_it_was_left(context: Context) -> None:
    assert recall(context).shown == Draft().shown
    draft = Draft()
    draft.edit("captions.trigger", "<b>zorb</b>")
    draft.edit("network.rank", 5000)
    draft.edit("dataset.folders", [{"path": "a", "repeats": "3", "trigger": ""}])
    remember(draft, context)
    back = recall(context)
    assert back.shown == draft.shown and back.preset == draft.preset and list(back.faults) == ["network.rank"]


def test_a_proved_preset_comes_back_proved(context: Context) -> None:
    draft = Draft()
    draft.replace(load(ROOT / "presets" / "demo.toml"))
    remember(draft, context)
    again = recall(context)
    assert again.preset.about.tested == draft.preset.about.tested != "untested"
    again.edit("network.rank", 4)
    remember(again, context)
    assert recall(context).preset.about.tested == "untested"


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"network.rank": {}}', '{"no.such": 1}', "\x00", '"x"'])
def test_a_spoilt_memory_of_the_form_is_no_obstacle(context: Context, text: str) -> None:
    path = context.machine.runs.parent / "user" / "form.json"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    assert recall(context).preset == Preset()


def test_everything_wrong_is_told_before_a_start(context: Context) -> None:
    draft = Draft()
    sent = {**draft.shown, "model.path": "no/such.safetensors", "optimizer.name": "AdamZ"}
    with pytest.raises(Problems) as told:
        prepare(draft, sent, context)
    assert {"model.path", "dataset.folders", "optimizer.name"} <= {problem.path for problem in told.value.problems}


def test_what_is_no_value_hides_nothing_else_that_is_wrong(context: Context) -> None:
    draft = Draft()
    sent = {**draft.shown, "training.length": "banana", "network.rank": 0, "saving.name": "a/b"}
    with pytest.raises(Problems) as told:
        prepare(draft, sent, context)
    paths = [problem.path for problem in told.value.problems]
    assert {"training.length", "network.rank", "saving.name", "model.path", "dataset.folders"} <= set(paths)
    assert len(set(paths)) == len(paths)


def test_the_demo_is_ready_to_start(context: Context) -> None:
    draft = Draft()
    draft.replace(load(ROOT / "presets" / "demo.toml"))
    full = prepare(draft, draft.shown, context)
    assert Path(full.model.path).is_absolute() and full.saving.name == "zorb"


def test_field_ids_are_one_a_setting() -> None:
    ids = [field_id(item.path) for item in ITEMS]
    assert len(set(ids)) == len(ids)
    assert field_id("dataset.folders.repeats") == "f-dataset-folders"


def test_a_session_that_the_server_forgot_goes_on_from_what_was_kept(context: Context) -> None:
    draft = recall(context)
    draft.edit("captions.trigger", "zorb")
    remember(draft, context)
    forgotten = Draft()
    forgotten.open_again(context)
    forgotten.edit("network.rank", 4)
    assert (forgotten.preset.captions.trigger, forgotten.preset.network.rank) == ("zorb", 4)
    draft.edit("captions.trigger", "other")
    draft.open_again(context)
    assert draft.preset.captions.trigger == "other"


ODD = [
    "~",
    "~nosuchuser/x",
    "\0",
    "a" * 5000,
    "//server/share",
    "C:\\x",
    "/proc/1/root",
    "/dev/null",
    "a\nb",
    "'",
    "../..",
]
PATHS = ["model.path", "model.vae", "sampling.prompts_file", "saving.name", "dataset.folders"]


@pytest.mark.parametrize("path", [*PATHS, "optimizer.name", "schedule.name", "hardware.gpus", "validation.split"])
@pytest.mark.parametrize("odd", ODD)
def test_no_half_typed_value_breaks_the_page(context: Context, path: str, odd: str) -> None:
    draft = recall(context)
    draft.edit("dataset.folders", [{"path": str(ROOT / "presets" / "demo" / "images")}])
    draft.edit(path, [{"path": odd}] if path == "dataset.folders" else odd)
    assert told(draft)["edits"] == 2
    with pytest.raises(Problems):
        prepare(draft, draft.shown, context)


def test_an_edit_that_comes_before_the_form_as_it_was_left_stays(context: Context) -> None:
    kept = Draft()
    kept.edit("network.rank", 8)
    remember(kept, context)
    none: Any = None
    form = Train({item.path: none for item in ITEMS}, none, none, none, none, none, say=lambda draft: [])
    draft = Draft()
    draft.open_again(context)
    draft.edit("captions.trigger", "zorb")
    again, *fields = restored(form, context)(draft)
    assert again is draft and (draft.preset.network.rank, draft.preset.captions.trigger) == (8, "zorb")
    sent = {path: update["value"] for path, update in zip(form.fields, fields, strict=True) if "value" in update}
    assert (sent.pop("network.rank"), sent.pop("captions.trigger")) == (8, "zorb")
    assert sent and set(sent.values()) == {None}, "else only empty numbers, which the browser would show as 0"


def test_what_an_answer_tells_belongs_together_though_edits_go_on() -> None:
    draft = Draft(opened=True)
    draft.edit("network.rank", "4")
    before = draft.as_it_is()
    draft.edit("network.rank", "5")
    draft.replace(Preset())
    draft.put_back()
    assert (before.edits, before.preset.network.rank, before.shown["network.rank"]) == (1, 4, "4")
