"""pytorch-optimizer's optimizers under their registry names, as attributes of this module: `registry.adabelief`.

The package exports its classes under their own names only (`AdaBelief`), so a catalog target cannot name them there.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """The class registered as `name`, letter case aside. AttributeError where there is none."""
    from pytorch_optimizer import get_supported_optimizers, load_optimizer

    if name.lower() not in get_supported_optimizers():
        raise AttributeError(f"pytorch-optimizer has no optimizer {name!r}")
    return load_optimizer(name.lower())
