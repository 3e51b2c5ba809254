"""The preset as text beside the form: the form follows the text, the text the form; people's own comments stay; a fault
is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gui.form import toml_text
from gui.form.session import Draft, resolved
from trainer.contract.preset import load, with_values
from trainer.contract.settings import ITEMS, Preset

ROOT = Path(__file__).resolve().parents[3]
DEMO = load(ROOT / "presets" / "demo.toml")


def draft_of(preset: Preset) -> Draft:
    draft = Draft(opened=True)
    draft.replace(preset)
    return draft


def typed(draft: Draft, text: str) -> list[str]:
    """What the editor's handler does with a text that somebody typed; returns the settings that it changed."""
    preset, faults = toml_text.read(text)
    assert preset is not None, faults
    changed = draft.take_preset(preset, resolved(draft.preset, ROOT), first=True)
    draft.toml = toml_text.own_comments(text)
    return changed


def text_of(draft: Draft) -> str:
    return toml_text.text_of(resolved(draft.preset, ROOT), draft.toml, draft.toml_help)


@pytest.mark.parametrize("with_help", [False, True])
@pytest.mark.parametrize("preset", [Preset(), DEMO], ids=["defaults", "demo"])
def test_the_text_says_what_the_form_does_and_typing_nothing_changes_nothing(preset: Preset, with_help: bool) -> None:
    draft = draft_of(preset)
    draft.toml_help = with_help
    text = text_of(draft)
    assert toml_text.read(text) == (resolved(preset, ROOT), [])
    assert typed(draft, text) == [] and draft.preset == preset
    assert text_of(draft) == text


def test_only_what_was_typed_changes_and_rules_stay_rules() -> None:
    draft = draft_of(DEMO)
    before = draft.preset
    text = text_of(draft)
    assert "\nalpha = 16" in text  # the rule "same as the rank" is shown as its value
    assert typed(draft, text.replace("\nrank = 16", "\nrank = 8")) == ["network.rank"]
    assert draft.preset == with_values(before, {"network.rank": 8, "about.tested": "untested"})
    assert draft.shown["network.rank"] == 8 and draft.shown["network.alpha"] == ""
    draft.put_back()
    assert draft.preset == before


def test_rows_of_folders_are_taken_from_the_text() -> None:
    draft = draft_of(Preset())
    rows = '[[dataset.folders]]\npath = "one"\n[[dataset.folders]]\npath = "two"\nrepeats = 3\n'
    text = text_of(draft).replace("folders = []\n", "") + rows
    assert "dataset.folders" in typed(draft, text)
    one, two = draft.preset.dataset.folders
    assert (Path(one.path).name, Path(two.path).name, two.repeats) == ("one", "two", 3)
    assert len(draft.shown["dataset.folders"]) == 2


def test_rules_of_layers_are_taken_from_the_text_and_told_in_words() -> None:
    draft = draft_of(Preset())
    rules = '[[network.layers]]\nmatch = "attn2"\nrank = 4\n[[network.layers]]\nmatch = "ff"\nrate = 0.5\n'
    assert typed(draft, text_of(draft).replace("layers = []\n", "") + rules) == ["network.layers"]
    assert [str(rule) for rule in draft.preset.network.layers] == ["attn2: rank 4", "ff: rate 0.5"]
    assert [row["match"] for row in draft.shown["network.layers"]] == ["attn2", "ff"]
    text = text_of(draft)
    assert toml_text.read(text)[0] == resolved(draft.preset, ROOT) and typed(draft, text) == []


def test_own_comments_stay_through_edits_of_the_form_and_with_the_help() -> None:
    draft = draft_of(DEMO)
    text = text_of(draft).replace("\nrank = 16", "\n# mine, above\nrank = 16  # mine, beside")
    typed(draft, text)
    draft.edit("network.rank", 4)
    draft.edit("training.length", "77 steps")
    shown = text_of(draft)
    assert "# mine, above\nrank = 4  # mine, beside" in shown and 'length = "77 steps"' in shown
    draft.toml_help = True
    helped = text_of(draft)
    assert "# Network rank" in helped and "# mine, above\n" in helped and "rank = 4  # mine, beside" in helped
    typed(draft, helped)
    draft.toml_help = False
    assert text_of(draft) == shown  # the help is taken out again, what people wrote is not


def test_a_text_without_own_comments_is_not_kept() -> None:
    draft = draft_of(DEMO)
    typed(draft, text_of(draft))
    assert draft.toml == ""
    quoted = with_values(Preset(), {"captions.trigger": "a # b"})
    assert toml_text.own_comments(toml_text.text_of(quoted)) == ""
    assert toml_text.own_comments('[captions]\ntrigger = "x"  # why\n') != ""


def test_help_is_put_above_each_setting_and_taken_out_again() -> None:
    bare = toml_text.text_of(resolved(DEMO, ROOT))
    helped = toml_text.put_help(bare)
    assert toml_text.take_help(helped) == bare
    for item in ITEMS:
        assert helped.count(f"\n# {item.setting.label}") >= 1, item.path
    assert toml_text.read(helped) == toml_text.read(bare)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[network]\nrank = 8\nrnak = 7\n", 3, "did you mean network.rank?"),
        ("[network]\nrank = 5000\n", 2, "at most 1024"),
        ("\n\n[netwrok]\nrank = 5\n", 3, "network"),
        ('[network]\nrank = "many"\n', 2, "network.rank"),
        ("[network\nrank = 5\n", 1, ""),
        ("[network]\nrank = \n", 2, ""),
        ("[network]\nrank = 5\nrank = 6\n", 3, ""),
        ('[captions]\ntrigger = "open\n', 2, ""),
        ('[[dataset.folders]]\npath = "a"\nrepeets = 3\n', 3, "repeats"),
        ("format = 99\n", 1, "format"),
    ],
)
def test_a_fault_is_told_with_its_line(text: str, line: int, said: str) -> None:
    preset, faults = toml_text.read(text)
    assert preset is None and [fault.line for fault in faults] == [line], faults
    assert faults[0].why and said in faults[0].why


def test_all_faults_are_told_in_the_order_of_their_lines() -> None:
    _, faults = toml_text.read('[training]\nlength = "long"\n[network]\nrank = 0\n[model]\npaht = "x"\n')
    assert [fault.line for fault in faults] == [2, 4, 6]


def test_a_text_of_any_size_is_answered() -> None:
    assert toml_text.read("#" * (toml_text.LARGEST + 1))[1] == [toml_text.Fault(0, "this is too long for a preset")]
    preset, faults = toml_text.read("")
    assert preset == Preset() and faults == []
