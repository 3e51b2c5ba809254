"""What the checks remember over a stop, and what is kept where a file cannot be written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from trainer.contract.events import Event, Noted, Validated, Warned
from trainer.moments.checks import Checker
from trainer.parallel import Ranks
from trainer.validation.measure import Result
from trainer.validation.stopping import EarlyStopping


class Keeper:
    """Keeps files, but for those of some steps."""

    name = "x"

    def __init__(self, fails: tuple[int, ...] = ()) -> None:
        self.saved: list[int] = []
        self.fails = fails

    def save_lowest(self, step: int) -> None:
        if step in self.fails:
            raise OSError("the disk is full")
        self.saved.append(step)


def checker(losses: list[float], keys: tuple[str, ...] = ("a", "b"), fails: tuple[int, ...] = ()) -> Any:
    """A checker whose held-out loss goes through `losses`; `.events` is what it has told."""
    from trainer.contract.settings import Preset

    preset = Preset().model_copy(update={"validation": Preset().validation.model_copy(update={"patience": 2})})
    images = [SimpleNamespace(key=key) for key in keys]
    plan: Any = SimpleNamespace(
        preset=preset, held_out=tuple(range(len(keys))), train_probe=(), images=images, steps=SimpleNamespace(total=9)
    )
    rest, events = iter(losses), list[Event]()

    def measure(images: tuple[int, ...]) -> Result:
        loss = next(rest)
        return Result(loss, 0.0, {100: loss, 900: loss}, [loss] * len(images))

    keeper: Any = Keeper(fails)
    made = Checker(plan, measure, EarlyStopping(2), keeper, Ranks(), events.append)
    made.events = events  # type: ignore[attr-defined]
    return made


def run(made: Any, first: int, last: int) -> list[bool]:
    for step in range(first, last + 1):
        made.check(step)
    return [event.lowest for event in made.events if isinstance(event, Validated)]


def test_it_goes_on_with_what_it_remembered() -> None:
    first, second = checker([0.5, 0.3, 0.4]), checker([0.35, 0.2])
    run(first, 0, 2)
    second.restore(first.state())
    assert second.kept_step == 1
    assert run(second, 3, 4) == [False, True] and second.kept_step == 4


def test_other_images_are_not_held_against_the_lowest_of_the_old_ones() -> None:
    first, second = checker([0.5, 0.3]), checker([0.45, 0.5], keys=("a", "b", "c"))
    run(first, 0, 1)
    second.restore(first.state())
    assert isinstance(second.events[0], Noted) and "counted anew" in second.events[0].text
    assert run(second, 2, 3) == [True, False] and second.kept_step == 2


def test_a_lowest_that_cannot_be_written_is_told_and_not_called_kept() -> None:
    made = checker([0.5, 0.4, 0.3, 0.35, 0.36], fails=(2,))
    run(made, 0, 4)
    assert made.kept_step == 1 and made.keeper.saved == [1]
    warned = [event.text for event in made.events if isinstance(event, Warned)]
    assert "the disk is full" in warned[0]
    assert "not fallen below 0.3000 of step 2" in warned[1] and "is kept as" not in warned[1]


def test_states_of_before_can_be_read() -> None:
    made = checker([0.4])
    made.restore({"lowest": 0.3, "lowest_step": 7, "waited": 1, "told": False})
    assert made.kept_step == 7 and run(made, 8, 8) == [False]
