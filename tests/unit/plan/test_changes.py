"""What may be changed in a run that goes on, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.contract import families
from trainer.contract import preset as presets
from trainer.contract.problems import Problems
from trainer.contract.settings import Preset
from trainer.plan.changes import RULES, Change, Moment, marks, review, rule_of

CONSTANT = {"schedule.name": "constant", "schedule.warmup": 0}


def made(changes: dict[str, Any] | None = None) -> Preset:
    full = presets.resolve(Preset(), families.default_family())
    return presets.with_values(full, {"training.length": "100 steps", **(changes or {})})


def told(old: Preset, changes: dict[str, Any], total: int = 100, step: int = 40, known: bool = True) -> list[Change]:
    new = presets.with_values(old, changes)
    return review(marks(old), old if known else None, new, Moment(step, 100, total))


def test_every_setting_has_a_rule_and_every_rule_a_setting() -> None:
    paths = {item.path for item in presets.ITEMS}
    assert all(rule_of(path)[0] in ("free", "told", "refused") for path in paths)
    assert set(RULES) <= paths | {path.partition(".")[0] for path in paths}
    assert all(text or path == "training.length" for path, (_, text) in RULES.items())


def test_nothing_changed_says_nothing() -> None:
    assert told(made(), {}) == []


def test_a_new_rate_is_told_with_both_values_and_the_step() -> None:
    (change,) = told(made(CONSTANT), {"optimizer.learning_rate": 7e-5})
    assert change.kind == "told" and not change.alarming
    assert change.text.startswith("optimizer.learning_rate: 0.0001 → 7e-05 from step 41 on: ")
    assert not any(change.alarming for change in told(made(CONSTANT), {"optimizer.learning_rate": 1e-6}))
    *_, jump = told(made(CONSTANT), {"optimizer.learning_rate": 1e-3})
    assert jump.alarming and "jumps from 0.0001 at step 40 to 0.001 at step 41" in jump.text


def test_a_setting_without_effect_is_not_spoken_of() -> None:
    old = made({**CONSTANT, "network.text_encoder": False})
    assert told(old, {"optimizer.text_encoder_learning_rate": 1e-5, "schedule.power": 3.0}) == []


def test_free_settings_are_told_to_change_nothing() -> None:
    changes = {"saving.every": "20 steps", "hardware.keep_awake": False, "validation.patience": 9}
    found = told(made(), changes)
    assert {change.path: change.kind for change in found} == dict.fromkeys(changes, "free")
    assert all(
        "changes nothing in what is learnt" in change.text and "from step" not in change.text for change in found
    )


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("network.rank", 99, "put back 16"),
        ("model.path", "/another", "base model"),
        ("optimizer.name", "Lion", "memory"),
        ("training.seed", 7, "order"),
        ("precision.compute", "float", "format"),
        ("validation.split", "4 images", "could not be believed"),
        ("validation.folder", "/elsewhere", "could not be compared"),
    ],
)
def test_what_cannot_be_changed_is_refused_with_a_reason(path: str, value: Any, words: str) -> None:
    with pytest.raises(Problems) as caught:
        told(made(), {path: value})
    (problem,) = caught.value.problems
    assert problem.path == path and words in str(problem) and caught.value.exit_code == 2


def test_all_refusals_come_at_once() -> None:
    with pytest.raises(Problems) as caught:
        told(made(), {"network.rank": 3, "training.seed": 1, "optimizer.learning_rate": 1e-3})
    assert {problem.path for problem in caught.value.problems} == {"network.rank", "training.seed"}


def test_a_run_cannot_be_made_shorter_than_it_is() -> None:
    with pytest.raises(Problems, match="has done 40 steps already"):
        told(made(), {"training.length": "30 steps"}, total=30)


def test_a_longer_constant_run_is_the_same_and_a_cosine_is_not() -> None:
    longer = {"training.length": "200 steps"}
    first, compared = told(made(CONSTANT), longer, total=200, step=100)
    assert first.text == "training.length: 100 steps → 200 steps, that is 200 steps in all, of which 100 are done"
    assert "exactly that of a run of this length from the start" in compared.text
    *_, compared = told(made({**CONSTANT, "schedule.warmup": 5}), longer, total=200, step=100)
    assert "is not that of a run of this length" in compared.text and "LR warmup 5 %" in compared.text
    *_, compared = told(made({**CONSTANT, "captions.tag_warmup": 50}), longer, total=200, step=100)
    assert "is not that of a run of this length" in compared.text and "tag warm-up" in compared.text
    _, jump, compared = told(made({"schedule.name": "cosine"}), longer, total=200, step=100)
    assert jump.alarming and "learning rate jumps from" in jump.text
    assert "cosine" in compared.text and "is not that of" in compared.text


def test_without_the_old_preset_or_with_a_wrong_one_no_old_value_is_claimed() -> None:
    old = made()
    (change,) = told(old, {"noise.min_snr_gamma": 3.0}, known=False)
    assert change.text.startswith("noise.min_snr_gamma is now 3 from step 41 on")
    new = presets.with_values(old, {"noise.min_snr_gamma": 3.0})
    wrong = presets.with_values(old, {"noise.min_snr_gamma": 9.0})
    (change,) = review(marks(old), wrong, new, Moment(40, 100, 100))
    assert change.text.startswith("noise.min_snr_gamma is now 3")


def test_a_state_of_an_older_version_knows_fewer_settings() -> None:
    old = made()
    then = {path: mark for path, mark in marks(old).items() if not path.startswith("noise.")}
    assert review(then, None, presets.with_values(old, {"noise.noise_offset": 0.1}), Moment(40, None, 100)) == []
