"""Each adapter tool holds one layer at a time, however many there are; `benchmarks/tools_memory.py` in short."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.tools_memory import CASES, CONSTANT, Size, make_files, measured, names_in

MANY = Size(62, 64, 128, 1024)
"""18 MB of adapter, 32 MB of checkpoint in float, of which a layer is less than 1 MB."""

TRIED = (
    "inspect", "merge, weighted sum", "merge, SVD", "merge into, two adapters", "extract", "resize, Frobenius",
    "convert Kohya to diffusers", "convert diffusers to Kohya", "convert LyCORIS to Kohya", "metadata, edited",
    "verify",
)  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_no_tool_takes_more_than_twice_its_largest_tensors_and_a_constant(tmp_path: Path) -> None:
    """All of them one after the other in one process. Who loads a file whole takes more than the bound: each of the
    files is larger."""
    files = {file for name in TRIED for file in names_in(CASES[name].values)}
    make_files(tmp_path, files, MANY)
    bounds = {name: 2 * CASES[name].pair(MANY) + CONSTANT for name in TRIED}
    assert min((tmp_path / f"{file}.safetensors").stat().st_size for file in files) > max(bounds.values())
    peaks = dict(zip(TRIED, measured([(tmp_path, name) for name in TRIED])))
    assert {name: peaks[name] for name in TRIED if peaks[name] >= bounds[name]} == {}
