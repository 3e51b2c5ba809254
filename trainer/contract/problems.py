"""How anything that is wrong is said: the setting, the reason, the next move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["settings", "data", "model"]


@dataclass(frozen=True)
class Problem:
    """One thing that stops a run. `path` names the setting ("network.rank"), `fix` what to do; `kind` decides the exit
    code: 2 for settings, 3 for data and model. `change`: pairs of setting and new value, where one click can do what
    `fix` says."""

    path: str
    why: str
    fix: str = ""
    kind: Kind = "settings"
    change: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.path}: {self.why}" + (f" - {self.fix}" if self.fix else "")


def to(path: str, value: Any) -> tuple[tuple[str, Any], ...]:
    """The change of one setting, for `Problem.change`."""
    return ((path, value),)


class Problems(Exception):
    """All problems at once, raised before anything is loaded.

    `rest`: what is left of a preset without its faulty values, where there is such a rest: further checks go on with
    it, so that they need no second round."""

    def __init__(self, problems: Sequence[Problem], rest: Any = None) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.rest = rest

    @property
    def exit_code(self) -> int:
        """2 if a setting is wrong, else 3 (data or model)."""
        return 2 if any(problem.kind == "settings" for problem in self.problems) else 3


class RunEnded(Exception):
    """An error of known cause ended a run. `cause`: one sentence. `lines`: what else is known, and what to do."""

    def __init__(self, cause: str, lines: Sequence[str] = ()) -> None:
        super().__init__(cause)
        self.cause, self.lines = cause, tuple(lines)
