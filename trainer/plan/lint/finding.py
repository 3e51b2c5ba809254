"""What the linter says: findings, each with the images it is about and what one click can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Severity = Literal["serious", "worth a look", "note"]
ORDER: tuple[Severity, ...] = ("serious", "worth a look", "note")

Deed = Literal["settings", "set aside", "write caption", "add to captions", "remove tag"]


@dataclass(frozen=True)
class Fix:
    """One click. `deed` is what is done (`deeds.py`): `change` holds pairs of setting and new value; `files` are the
    images to move or to write captions for, or the caption files to change, and `text` the words for them."""

    label: str
    deed: Deed
    change: tuple[tuple[str, Any], ...] = ()
    files: tuple[Path, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing to know. `kind` names the check, `sentence` what was found, `why` what it does to the result.
    `setting`: the one to look at, where there is one."""

    kind: str
    severity: Severity
    sentence: str
    why: str
    images: tuple[Path, ...] = ()
    fixes: tuple[Fix, ...] = ()
    setting: str = ""


def by_severity(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The gravest first; otherwise in the order of the checks."""
    return tuple(sorted(findings, key=lambda finding: ORDER.index(finding.severity)))
