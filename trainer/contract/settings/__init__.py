"""Every setting of a preset, a file a section; `Preset` puts them together."""

from typing import Annotated

from pydantic import Field

from .base import (
    ByFamily,
    FromFolder,
    Interval,
    Item,
    Needs,
    Rule,
    SameAs,
    Section,
    Setting,
    UsualPrompts,
    parse_interval,
    parse_length,
    walk,
)
from .captions import Captions
from .dataset import Dataset, Folder
from .hardware import Hardware
from .logging import Logging
from .memory import Memory
from .model import About, Model
from .network import LayerRule, Network
from .noise import Noise
from .optimizer import Optimizer
from .precision import Precision
from .sampling import Sampling
from .saving import Saving
from .schedule import Schedule
from .training import Training
from .validation import Validation

FORMAT = 1
"""The version of the preset file that this program writes."""


class Preset(Section):
    """A recipe: every setting of a training run, as shared in one TOML file."""

    format: Annotated[int, Field(ge=1)] = FORMAT
    """Version of the preset format."""

    about: About = About()
    model: Model = Model()
    dataset: Dataset = Dataset()
    captions: Captions = Captions()
    network: Network = Network()
    training: Training = Training()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    noise: Noise = Noise()
    precision: Precision = Precision()
    memory: Memory = Memory()
    validation: Validation = Validation()
    sampling: Sampling = Sampling()
    saving: Saving = Saving()
    hardware: Hardware = Hardware()
    logging: Logging = Logging()


ITEMS: tuple[Item, ...] = tuple(walk(Preset))
"""Every setting once, in the order of the form and of the file."""

BY_PATH: dict[str, Item] = {item.path: item for item in ITEMS}

ROWS: dict[str, type[Section]] = {item.path: row for item in ITEMS if (row := item.row) is not None}
"""Setting -> what its rows are, for those that are tables of rows."""

__all__ = [
    "BY_PATH",
    "FORMAT",
    "ITEMS",
    "ROWS",
    "About",
    "ByFamily",
    "Captions",
    "Dataset",
    "Folder",
    "FromFolder",
    "Hardware",
    "Interval",
    "Item",
    "LayerRule",
    "Logging",
    "Memory",
    "Model",
    "Needs",
    "Network",
    "Noise",
    "Optimizer",
    "Precision",
    "Preset",
    "Rule",
    "SameAs",
    "Sampling",
    "Saving",
    "Schedule",
    "Section",
    "Setting",
    "Training",
    "UsualPrompts",
    "Validation",
    "parse_interval",
    "parse_length",
    "walk",
]
