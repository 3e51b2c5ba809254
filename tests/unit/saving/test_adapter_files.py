"""Adapter files: whole, hashed as Kohya's, in Kohya's layout; retention; base model hashes."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from trainer.saving.adapter import load_adapter, save_adapter
from trainer.saving.hashes import NO_HASHES, BackgroundHash, hash_file
from trainer.saving.retention import in_between_files, prune

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "sdscripts-sd15-r16.json").read_text(encoding="utf-8"))


def test_a_file_like_the_golden_one(tmp_path: Path) -> None:
    """The golden file's tensors saved by us: same names, shapes, formats, order and bytes of tensors."""
    tensors = {name: torch.zeros(tensor["shape"]) for name, tensor in GOLDEN["tensors"].items()}
    size = save_adapter(tmp_path / "a.safetensors", tensors, {"ss_steps": "1"}, torch.float16)
    assert size == (tmp_path / "a.safetensors").stat().st_size
    data = (tmp_path / "a.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__")
    mine = {name: {"dtype": entry["dtype"], "shape": entry["shape"]} for name, entry in header.items()}
    assert mine == GOLDEN["tensors"]
    by_offset = sorted(header, key=lambda name: (header[name]["data_offsets"], name))
    assert by_offset[:6] == GOLDEN["order_in_file_by_offset"]
    assert size - 8 - length == GOLDEN["file_bytes"] - 8 - GOLDEN["header_bytes"]


def test_hashes_can_be_checked_from_any_copy(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = tmp_path / "a.safetensors"
    save_adapter(file, {"w": torch.randn(700, 800)}, {"ss_steps": "1", "modelspec.title": "x"}, torch.float32)
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    metadata = load_adapter(file)[1]
    assert metadata["sshs_model_hash"] == hashlib.sha256(data[8 + length :]).hexdigest()
    save_adapter(tmp_path / "b.safetensors", {"w": load_adapter(file)[0]["w"]}, {"ss_steps": "1"}, torch.float32)
    other = load_adapter(tmp_path / "b.safetensors")[1]
    assert other["sshs_legacy_hash"] == metadata["sshs_legacy_hash"], "modelspec.* does not count"
    assert metadata["sshs_legacy_hash"] != hashlib.sha256(b"").hexdigest()[:8], "the file is long enough to have one"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_tensor_has_the_chosen_format(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {"a.alpha": torch.tensor(4.0), "a.lora_up.weight": torch.ones(4, 2)}
    save_adapter(tmp_path / "a.safetensors", tensors, {}, dtype)
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {dtype}  # noqa: SIM118 - no mapping


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_adapter(file, {"w": torch.ones(2)}, {}, torch.float32)
    before = file.read_bytes()
    with pytest.raises(Exception, match=r".*"):
        save_adapter(file, {"w": torch.ones(2)}, {"ss_steps": 1}, torch.float32)  # type: ignore[dict-item]
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.safetensors"]


def _save(folder: Path, name: str, step: int) -> None:
    save_adapter(folder / f"{name}.safetensors", {"w": torch.ones(1)}, {"ss_steps": str(step)}, torch.float32)


def test_retention_keeps_the_last_by_step(tmp_path: Path) -> None:
    for name, step in (("cat-step00000150", 150), ("cat-000002", 200), ("cat-000001", 100), ("cat", 300)):
        _save(tmp_path, name, step)
    _save(tmp_path, "cat-two-000001", 1)
    names = [path.stem for path in in_between_files(tmp_path, "cat")]
    assert names == ["cat-000001", "cat-step00000150", "cat-000002"]
    assert prune(tmp_path, "cat", 0, 10**9) == []
    assert [path.stem for path in prune(tmp_path, "cat", 2, 10**9)] == ["cat-000001"]
    assert {path.stem for path in tmp_path.iterdir()} == {"cat", "cat-step00000150", "cat-000002", "cat-two-000001"}


def test_base_model_hashes_are_kohyas_and_remembered(tmp_path: Path) -> None:
    model, memory = tmp_path / "m.safetensors", tmp_path / "hashes.json"
    data = bytes(range(256)) * 8192
    model.write_bytes(data)
    found = BackgroundHash(str(model), memory).result()
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.short == hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8]
    known = json.loads(memory.read_text(encoding="utf-8"))
    (key,) = known
    known[key]["short"] = "remember"
    memory.write_text(json.dumps(known), encoding="utf-8")
    assert BackgroundHash(str(model), memory).result().short == "remember"
    model.write_bytes(data + b"x")
    assert BackgroundHash(str(model), memory).result() == hash_file(model)


def test_a_folder_or_hub_id_has_no_hash(tmp_path: Path) -> None:
    assert BackgroundHash(str(tmp_path)).result() == NO_HASHES
    assert BackgroundHash("name/model").result() == NO_HASHES
    assert BackgroundHash("").result() == NO_HASHES
