"""What `--prove-resume` compares: bits, whatever the number format."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gui.prove import compare, tensors


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_file_is_read_without_torch_and_one_bit_is_seen(tmp_path: Path, dtype: torch.dtype) -> None:
    values = {"a": torch.linspace(-2, 2, 12).reshape(3, 4).to(dtype), "b": torch.ones(5, dtype=dtype)}
    save_file(values, tmp_path / "one.safetensors", {"x": "y"})
    values["b"] = values["b"].clone()
    values["b"][3] = 1.5
    save_file(values, tmp_path / "two.safetensors")
    one, two = tensors(tmp_path / "one.safetensors"), tensors(tmp_path / "two.safetensors")
    assert one.keys() == values.keys() and one["a"].shape == (3, 4)
    assert compare(one, one).text == "17 values, all equal in every bit"
    found = compare(one, two)
    assert (found.unequal, found.largest, found.where) == (1, 0.5, "b")
    assert found.text == "1 of 17 values differ, by 0.5 at most (b)"


def test_a_missing_name_and_another_shape_are_no_small_matter() -> None:
    one = {"a": np.zeros(3, "<f4")}
    for other in ({}, {"a": np.zeros(4, "<f4")}, {"a": np.zeros(3, "<f2")}, {**one, "b": np.zeros(1, "<f4")}):
        assert compare(one, other).largest == math.inf and compare(one, other).unequal


def test_minus_zero_and_not_a_number_are_compared_by_their_bits() -> None:
    assert compare({"a": np.array([0.0])}, {"a": np.array([-0.0])}).unequal == 1
    assert compare({"a": np.array([np.nan])}, {"a": np.array([np.nan])}).unequal == 0
