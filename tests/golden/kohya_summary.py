"""What an imported preset comes to, compact enough to be compared: counts of keys, and settings that are not ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainer.contract.importers.kohya_json import from_json
from trainer.contract.preset import to_values
from trainer.contract.settings import Preset


def summary(path: Path) -> dict[str, Any]:
    """Counts per class, the keys that were changed on the way, and the settings that differ from our defaults. Free
    texts are left out: they are the author's."""
    found = from_json(json.loads(path.read_text(encoding="utf-8")))
    ours, plain = to_values(found.preset), to_values(Preset())
    settings = {
        f"{section}.{name}": value
        for section, values in ours.items()
        for name, value in values.items()
        if plain.get(section, {}).get(name) != value and f"{section}.{name}" not in TEXTS
    }
    return {**found.counts, "changed": [key.name for key in found.changed], "settings": settings}


TEXTS = ("saving.comment", "sampling.prompts", "about.carried", "network.start", "model.path", "dataset.folders")
