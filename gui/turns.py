"""Which message of a control of one page is the newest.

Messages that carry what was done are answered side by side (`gui.shared.SAYS`), so that an older one may come to its
end after a newer one. Where a message tells how things are to stand, not what is to be added, the older one then
changes nothing. The browser numbers such messages as `turn`, ever higher (`page.js`). No Gradio in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Turns:
    """The newest message of each control, by the control's name."""

    newest: dict[str, float] = field(default_factory=dict)

    def take(self, said: Mapping[str, Any], control: str = "") -> bool:
        """Whether no newer message has come before this one, which then is the newest."""
        if not self.holds(said, control):
            return False
        self.newest[control] = _number(said)
        return True

    def now(self) -> dict[str, float]:
        """What to compare with later, where something may have been said meanwhile."""
        return dict(self.newest)

    def holds(self, said: Mapping[str, Any], control: str = "") -> bool:
        """Whether this message is still the newest: asked once more when its answer is ready."""
        return _number(said) >= self.newest.get(control, 0.0)


def _number(said: Mapping[str, Any]) -> float:
    turn = said.get("turn")
    return float(turn) if isinstance(turn, (int, float)) else 0.0
