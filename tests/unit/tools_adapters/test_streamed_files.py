"""The streaming writer writes what safetensors' own writer writes, and keeps no file in memory."""

from __future__ import annotations

import subprocess
import sys
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


MEASURED = """
import sys, torch
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from pathlib import Path
from adapter_files import run_tool
from trainer.plan.adapters import look
from trainer.tools.adapters import extracting, merging_into, resizing
import resource
folder = Path(sys.argv[3])
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
torch.linalg.svd(torch.randn(64, 64)); torch.randn(512, 512) @ torch.randn(512, 512)
adapters = [str(folder / "a.safetensors")]
run_tool(folder / "warm", "merge-into", model=str(folder / "small.safetensors"), adapters=adapters)
before = peak()
run_tool(folder, "merge-into", model=str(folder / "large.safetensors"), adapters=adapters)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measures the peak with POSIX's getrusage")
def test_merging_into_a_checkpoint_needs_no_more_memory_than_its_largest_tensors(tmp_path: Path) -> None:
    """A checkpoint of 200 MB, its largest tensor 8 MiB: the peak grows by less than 2 x (tensor + update) + 16 MB."""
    key = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight"
    other = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_k.weight"
    name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_"
    adapter = {}
    for one in "qk":
        adapter[f"{name}{one}.lora_down.weight"] = torch.ones(2, 2048)
        adapter[f"{name}{one}.lora_up.weight"] = torch.ones(1024, 2)
    save(tmp_path / "a.safetensors", adapter)
    save(tmp_path / "small.safetensors", {key: torch.zeros(1024, 2048), other: torch.zeros(1024, 2048)})
    rest = {f"first_stage_model.x.{number}": spec(torch.zeros(1024, 2048)) for number in range(23)}
    large = {key: spec(torch.zeros(1024, 2048)), other: spec(torch.zeros(1024, 2048)), **rest}
    with Writer(tmp_path / "large.safetensors", large, {}) as writer:  # what is not written is a hole of zeros
        writer._missing.clear()
    root = Path(__file__).resolve().parents[3]
    argv = [sys.executable, "-c", MEASURED, str(root), str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "large-merged.safetensors").stat().st_size > 200e6
    assert float(done.stdout.split()[-1]) < 2 * (8 + 8) + 16
