"""The streaming writer writes what safetensors' own writer writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapter_files import lora, save
from safetensors.torch import load_file
from safetensors.torch import save as save_bytes

from trainer.contract.problems import Problems
from trainer.plan.adapters.tensorfile import open_file, relative
from trainer.saving.adapter import adapter_bytes
from trainer.tools.adapters.stream import Spool, Writer, hashed, read, spec

MIXED = {
    "b.half": torch.arange(6, dtype=torch.float16).reshape(2, 3),
    "a.whole": torch.tensor([1, 2], dtype=torch.int64),
    "ü.float": torch.randn(3, 5, generator=torch.Generator().manual_seed(1)),
    "brain": torch.ones(3, dtype=torch.bfloat16),
    "empty": torch.empty(0, 4),
    "number": torch.tensor(2.5),
}


def test_a_written_file_is_byte_for_byte_that_of_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with Writer(path, {name: spec(value) for name, value in MIXED.items()}, {"ss_x": 'a "ü"\n'}) as writer:
        for name in reversed(MIXED):
            writer.put(name, MIXED[name])
    assert path.read_bytes() == save_bytes(MIXED, {"ss_x": 'a "ü"\n'})


@pytest.mark.parametrize("rank", [4, 64])
def test_hashes_are_those_that_saving_computes(tmp_path: Path, rank: int) -> None:
    """rank 64: the file is longer than the place that the old hash is taken of."""
    tensors = lora(rank) | {"lora_te_text_model_encoder_layers_9_mlp_fc1.lora_down.weight": torch.randn(512, 1024)}
    metadata = {"ss_network_dim": "4", "modelspec.title": "x"}
    path = tmp_path / "x.safetensors"
    with Spool(path) as spool:
        for name, value in tensors.items():
            spool.put(name, value)
        spool.write(hashed(metadata))
    wanted = adapter_bytes(tensors, metadata, torch.float32)
    (tmp_path / "y.safetensors").write_bytes(wanted)
    assert open_file(path).metadata == open_file(tmp_path / "y.safetensors").metadata


def test_read_gives_what_safetensors_reads(tmp_path: Path) -> None:
    path = save(tmp_path / "x.safetensors", MIXED)
    file = open_file(path)
    for name, value in load_file(path).items():
        assert torch.equal(read(file, name), value) and read(file, name).dtype == value.dtype
    assert next(iter(relative(file).values())).begin == 0


def test_an_interrupted_file_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), Writer(path, {name: spec(value) for name, value in MIXED.items()}, {}):
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="never written"), Writer(path, {"a": spec(MIXED["brain"])}, {}):
        pass
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_a_damaged_file_is_told_of(tmp_path: Path) -> None:
    path = save(tmp_path / "x.safetensors", MIXED)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(Problems, match="cut short"):
        open_file(path)
    with pytest.raises(Problems, match="there is no file"):
        open_file(tmp_path / "y.safetensors")
