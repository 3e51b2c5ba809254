"""Early stopping: whether the held-out loss has stopped falling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

DECAYED = 0.1
"""Share of its peak below which a learning rate moves next to nothing."""


@dataclass(frozen=True)
class Verdict:
    """`lowest`: this check is the lowest so far. `waited`: checks in a row without one. `stop`: patience is over.
    `text`: one sentence for people. `decayed`: the learning rate has come down to next to nothing."""

    lowest: bool
    waited: int
    stop: bool
    text: str
    decayed: bool = False


class EarlyStopping:
    """Counts checks without a new lowest loss. `min_improvement`: percent by which a loss must fall below the lowest so
    far to count as lower."""

    def __init__(self, patience: int, min_improvement: float = 0.0) -> None:
        self.patience, self.min_improvement = patience, min_improvement
        self.lowest, self.lowest_step, self.waited = math.inf, 0, 0

    def add(self, step: int, loss: float, rate: float = 1.0) -> Verdict:
        """Take one check. A loss that is no number counts as not lower. `rate`: the learning rate as share of its
        peak: where it has come down to nothing, a curve that stays flat says nothing of the images."""
        lower = loss < self.lowest * (1 - self.min_improvement / 100) if math.isfinite(self.lowest) else loss < math.inf
        if lower:
            self.lowest, self.lowest_step, self.waited = loss, step, 0
            return Verdict(True, 0, False, f"The validation loss is the lowest so far: {loss:.4f} at step {step}.")
        self.waited += 1
        decayed = rate < DECAYED
        why = f": the learning rate is below {DECAYED:.0%} of its peak by now" if decayed else ""
        text = f"{self._since()} {self._times(self.waited)}{why}."
        return Verdict(False, self.waited, self.waited >= self.patience, text, decayed)

    def _since(self) -> str:
        if not math.isfinite(self.lowest):
            return "The validation loss has been no finite number for"
        return f"The validation loss has not fallen below {self.lowest:.4f} of step {self.lowest_step} for"

    @staticmethod
    def _times(count: int) -> str:
        return f"{count} check{'' if count == 1 else 's in a row'}"

    def state(self) -> dict[str, Any]:
        """What a resumed run needs; plain values. A lowest loss that there is not yet is None."""
        lowest = self.lowest if math.isfinite(self.lowest) else None
        return {"lowest": lowest, "lowest_step": self.lowest_step, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Take what `state` gave."""
        self.lowest = math.inf if state["lowest"] is None else state["lowest"]
        self.lowest_step, self.waited = state["lowest_step"], state["waited"]
