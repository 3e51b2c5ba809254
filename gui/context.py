"""What the tabs are built from: the facts of this checkout and computer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.contract.machine import Machine


@dataclass
class Context:
    """`root`: the checkout. `runs`: the runs folder that the page shows and starts runs in. `machine`: this computer's
    settings, replaced as a whole where the Computer tab changes them. `local`: nobody but the user of this computer can
    open the page."""

    root: Path
    runs: Path
    machine: Machine
    local: bool = False
