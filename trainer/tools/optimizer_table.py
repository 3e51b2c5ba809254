"""Writes `trainer/contract/optimizer_arguments.json`: which optimizers there are and the arguments each takes.

`--check` must refuse a wrong name or argument without loading torch, so the constructors' signatures are read once:

    python -m trainer.tools.optimizer_table

Rows of the catalog stand under their catalog name, the rest of pytorch-optimizer under its registry name. What cannot
train an adapter in a plain step (it wants a closure, second derivatives, names or a GPU) is left out, by trying.
"""

from __future__ import annotations

import importlib
import inspect
import json
import warnings
from pathlib import Path
from typing import Any

import pytorch_optimizer
import torch

from trainer.contract import catalog
from trainer.contract.rundir import write_whole

TARGET = Path(__file__).parents[1] / "contract" / "optimizer_arguments.json"
_NOT_ARGUMENTS = ("self", "params", "lr")


def arguments(kind: type) -> list[str]:
    """The names that a constructor spells out, without those that the program sets itself."""
    parameters = inspect.signature(kind.__init__).parameters.values()  # type: ignore[misc]
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return [name for name in named if name not in _NOT_ARGUMENTS]


def catalog_kind(entry: catalog.Entry) -> type:
    """The class of a catalog row."""
    module, _, name = entry.target.partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return found


def trains(kind: Any) -> bool:
    """Whether a plain forward, backward, step moves two low-rank matrices, three times in a row."""
    torch.manual_seed(0)
    down, up = torch.nn.Parameter(torch.randn(4, 8)), torch.nn.Parameter(torch.randn(8, 4))
    before = down.detach().clone()
    try:
        optimizer = kind([{"params": [down, up], "lr": 1e-2, "name": "unet"}], lr=1e-2)
        if hasattr(optimizer, "train"):
            optimizer.train()
        for _ in range(3):
            (up @ down).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    except Exception:  # whatever a foreign optimizer raises, it cannot be used
        return False
    return bool(torch.isfinite(down).all()) and not torch.equal(before, down.detach())


def table() -> dict[str, list[str]]:
    """Optimizer name -> argument names, from the libraries that are installed."""
    rows = {entry.name: arguments(catalog_kind(entry)) for entry in catalog.OPTIMIZERS}
    taken = {name.lower() for name in rows}
    for name in sorted(pytorch_optimizer.get_supported_optimizers()):
        if name not in taken:
            kind = pytorch_optimizer.load_optimizer(name)
            if trains(kind):
                rows[name] = arguments(kind)
    return rows


def main() -> None:
    """Write the table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = table()
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(names)}" for name, names in rows.items())
    write_whole(TARGET, "{\n" + lines + "\n}\n")
    print(f"{len(rows)} optimizers written to {TARGET}")


if __name__ == "__main__":
    main()
