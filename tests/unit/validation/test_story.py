"""What is said of checks whose meaning is known: once each, never of noise."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence

import pytest

from trainer.contract.events import Event, Noted, Validated, Warned
from trainer.validation.stopping import EarlyStopping
from trainer.validation.story import Story, clearly_below

IMAGES = [0.10, 0.30, 0.20, 0.40, 0.15, 0.25]
"""Losses of six images before training: far apart, as they are."""


def check(
    step: int, factor: float, train: float = 0.2, images: Sequence[float] = IMAGES, noise: float = 0.0
) -> Validated:
    chance = random.Random(step)
    losses = [loss * factor * (1 + noise * chance.uniform(-1, 1)) for loss in images]
    mean = sum(losses) / len(losses)
    times = {str(t): mean * (1 + 0.1 * t) for t in range(8)}
    return Validated(step=step, loss=mean, train_loss=train, per_image=losses, per_timestep=times, error=0.01)


class Teller:
    """A story with the early stopping that it is told with; every check of a new lowest keeps a file."""

    def __init__(self, patience: int = 4, ends: bool = False) -> None:
        self.stopping, self.story, self.ends = EarlyStopping(patience), Story(), ends

    def add(self, event: Validated) -> list[Event]:
        verdict = self.stopping.add(event.step, event.loss)
        return self.story.add(event, verdict, "x-lowest.safetensors", self.ends)

    def texts(self, *events: Validated) -> list[str]:
        said = [said for event in events for said in self.add(event)]
        assert all(isinstance(event, (Noted, Warned)) for event in said)
        return [event.text for event in said if isinstance(event, (Noted, Warned))]


def test_falling_below_the_base_model_is_said_once() -> None:
    teller = Teller()
    assert teller.texts(check(0, 1.0)) == []
    assert teller.texts(check(140, 0.9), check(180, 0.8)) == [
        "The validation loss fell below the untouched base model's at step 140 (0.2100 against 0.2333): it is learning."
    ]


def test_noise_does_not_speak() -> None:
    """A scatter of 3 % an image around the base model's own loss, forty times."""
    teller = Teller(patience=1000)
    said = teller.texts(check(0, 1.0), *(check(step, 1.0, noise=0.03) for step in range(1, 41)))
    assert len(said) <= 2  # one in forty looks on each side may err at this margin
    assert not clearly_below(check(7, 1.0, noise=0.03), check(0, 1.0))


def test_images_are_compared_in_pairs() -> None:
    """A fall of 2 % in every image is far below the images' own scatter, and sure all the same."""
    assert clearly_below(check(5, 0.98), check(0, 1.0))
    assert not clearly_below(check(0, 1.0), check(5, 0.98))


def test_rising_above_the_base_model_warns() -> None:
    teller = Teller()
    said = [event for event in (*teller.add(check(0, 1.0)), *teller.add(check(20, 1.2))) if isinstance(event, Warned)]
    assert len(said) == 1 and said[0].setting == "optimizer.learning_rate"
    assert "rose above the untouched base model's at step 20" in said[0].text


def test_overfitting_names_the_lowest_its_file_and_the_gap() -> None:
    teller = Teller(patience=4)
    curve = [(0, 1.0, 0.20), (10, 0.6, 0.12), (20, 0.65, 0.10), (30, 0.7, 0.09), (40, 0.75, 0.08), (50, 0.8, 0.07)]
    said = teller.texts(*(check(step, factor, train) for step, factor, train in curve))
    assert [text.split("at step")[0] for text in said[:1]] == [
        "The validation loss fell below the untouched base model's "
    ]
    assert said[1].startswith("The loss of training images keeps falling (0.1200 at step 10, 0.1000 at step 20)")
    assert "the gap between them went from 0.0200 to 0.0517" in said[1]
    assert said[2:] == [
        "The validation loss has not fallen below 0.1400 of step 10 for 4 checks in a row. That of training images "
        "has: probably overfitting. The adapter of step 10 is kept as x-lowest.safetensors."
    ]


def test_a_new_lowest_makes_a_new_rise_worth_saying() -> None:
    teller = Teller(patience=2)
    factors = [1.0, 0.6, 0.7, 0.7, 0.7, 0.5, 0.6, 0.6, 0.6]
    said = teller.texts(*(check(10 * i, factor) for i, factor in enumerate(factors)))
    assert [text for text in said if "in a row" in text] == [
        text for text in said if "of step 10 for 2" in text or "of step 50 for 2" in text
    ]
    assert len([text for text in said if "in a row" in text]) == 2


def test_a_rise_of_both_losses_is_not_called_overfitting() -> None:
    teller = Teller(patience=2)
    said = teller.texts(check(0, 1.0, 0.2), check(10, 0.9, 0.18), check(20, 1.5, 0.3), check(30, 1.9, 0.4))
    assert "rather too high a learning rate than overfitting. The adapter of step 10 is kept" in said[-1]


def test_never_below_the_base_model_names_no_file() -> None:
    teller = Teller(patience=2, ends=True)
    said = teller.texts(*(check(10 * i, 1.0 + 0.1 * i) for i in range(3)))
    assert said[-1].endswith("It has never been below the untouched base model's. The run ends here.")


def test_a_loss_that_is_no_number_is_told_once_and_is_no_base() -> None:
    teller = Teller()
    said = teller.texts(check(0, math.nan), check(10, math.inf), check(20, 0.5))
    assert len(said) == 1 and "step 0 is not a finite number" in said[0]


@pytest.mark.parametrize("at", range(7))
def test_a_resumed_run_says_what_one_without_a_break_says(at: int) -> None:
    curve = [(0, 1.0, 0.2), (10, 0.6, 0.12), (20, 0.65, 0.1), (30, 0.7, 0.09), (40, 0.75, 0.08), (50, 0.8, 0.07)]
    checks = [check(step, factor, train, IMAGES[:4]) for step, factor, train in curve]
    whole, first, second = Teller(), Teller(), Teller()
    expected = [whole.add(event) for event in checks]
    got = [first.add(event) for event in checks[:at]]
    second.stopping.restore(json.loads(json.dumps(first.stopping.state())))
    second.story.restore(json.loads(json.dumps(first.story.state())))
    assert got + [second.add(event) for event in checks[at:]] == expected


def test_states_from_before_there_were_sentences_can_be_read() -> None:
    story = Story()
    story.restore({})
    assert story.state() == {"base": None, "lowest": None, "told": []}
