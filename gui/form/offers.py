"""Values that are offered beside a field and never set by themselves: an optimizer's usual ones, float on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gui.form import fixes
from gui.form.values import number_text
from trainer.contract import catalog
from trainer.contract.settings import Preset


@dataclass(frozen=True)
class Offer:
    """`why`: what is said of the value that is offered for the setting at `path`."""

    path: str
    why: str
    value: Any

    def told(self) -> dict[str, Any]:
        """As the page's script shows it, as a problem with its button."""
        return {"text": self.why, "fix": fixes.fix_of(self.path, [(self.path, self.value)])}


def of_optimizer(preset: Preset) -> tuple[Offer, ...]:
    """Where the optimizer's usual values are others than the form's."""
    row = catalog.optimizer(preset.optimizer.name)
    offered = []
    if preset.optimizer.learning_rate != row.rate:
        usual = f"usual with {row.name}: {number_text(row.low)} to {number_text(row.high)}"
        offered.append(Offer("optimizer.learning_rate", usual, row.rate))
    if preset.schedule.warmup != row.warmup:
        usual = f"usual with {row.name}: {number_text(row.warmup)} %"
        offered.append(Offer("schedule.warmup", usual, row.warmup))
    return tuple(offered)


def of_computer(preset: Preset, gpu: bool) -> tuple[Offer, ...]:
    """Float where a run will be computed on the CPU, as far as that is known without torch."""
    chosen = preset.hardware.gpus.strip().lower().startswith("cpu")
    if preset.precision.compute == "float" or (gpu and not chosen):
        return ()
    why = "on a CPU float is the format to take"
    return (Offer("precision.compute", why if chosen else f"no NVIDIA GPU was found; {why}", "float"),)
