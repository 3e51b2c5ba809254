"""Whole runs on the demo model, small enough for a test each: 64 px, a few steps, one thread."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from whole_runs import DEMO, SMALL, trained

from trainer.contract import preset as presets
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs and caches of the tests, away from the user's."""
    folder = tmp_path_factory.mktemp("machine")
    file = folder / "machine.toml"
    file.write_text(f"runs = '{folder / 'runs'}'\ncache = '{folder / 'cache'}'\n", encoding="utf-8")
    before = {name: os.environ.get(name) for name in ("LORATORY_MACHINE", "OMP_NUM_THREADS")}
    os.environ.update({"LORATORY_MACHINE": str(file), "OMP_NUM_THREADS": "1"})
    yield folder
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def small() -> Callable[..., Preset]:
    """`small(**{"network.rank": 8})`: the small demo preset with changes."""
    demo = presets.load(DEMO)

    def make(changes: dict[str, Any] | None = None) -> Preset:
        return presets.with_values(demo, {**SMALL, **(changes or {})})

    return make


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """What a trainer in this process does with signals goes with it."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.fixture
def train_here(tmp_path: Path, small: Callable[..., Preset]) -> Iterator[Callable[..., RunDir]]:
    """`train_here({...})`: a whole run in this process; the run folder is what a launched trainer leaves."""
    with own_signals():
        yield lambda changes=None, before=None: trained(tmp_path / "runs", small(changes), before)


@pytest.fixture(scope="session")
def left_alone(
    tmp_path_factory: pytest.TempPathFactory, small: Callable[..., Preset]
) -> Callable[[dict[str, Any] | None], RunDir]:
    """`left_alone({...})`: as `train_here`, but trained once for all tests that compare something with the same
    undisturbed run. They only read its folder."""
    runs: dict[str, RunDir] = {}

    def run(changes: dict[str, Any] | None = None) -> RunDir:
        key = json.dumps(changes or {}, sort_keys=True)
        if key not in runs:
            with own_signals():
                runs[key] = trained(tmp_path_factory.mktemp("alone"), small(changes))
        return runs[key]

    return run
