"""The cache: nothing stale, nothing torn, oldest out first."""

import math
import os
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from trainer.data.cache import Cache, fingerprint, trim


def test_what_is_put_comes_back_bit_for_bit(tmp_path: Path) -> None:
    cache = Cache(tmp_path, "text", "f")
    tensors = {"a": torch.randn(2, 3), "b": torch.randn(4).bfloat16(), "mask": torch.tensor([True, False])}
    cache.put(cache.key("x"), tensors)
    found = Cache(tmp_path, "text", "f").get(cache.key("x"))
    assert found is not None and found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == tensors[name].dtype for name in tensors)
    assert cache.get(cache.key("y")) is None


def test_everything_that_matters_is_in_the_key(tmp_path: Path) -> None:
    one = Cache(tmp_path, "latents", "vae 1")
    keys = {
        one.key("content", (64, 64), (0, 0), (64, 64), False),
        one.key("content", (64, 64), (0, 0), (64, 64), True),
        one.key("content", (64, 64), (0, 1), (64, 64), False),
        one.key("content", (64, 80), (0, 0), (64, 64), False),
        one.key("content", (64, 64), (0, 0), (64, 80), False),
        one.key("other", (64, 64), (0, 0), (64, 64), False),
        Cache(tmp_path, "latents", "vae 2").key("content", (64, 64), (0, 0), (64, 64), False),
    }
    assert len(keys) == 7
    assert one.key("a", "b") != one.key("a\x1fb") and one.key("1") != one.key(1)


def test_a_torn_file_counts_as_missing_and_goes(tmp_path: Path) -> None:
    cache = Cache(tmp_path, "latents", "f")
    cache.put("ab12", {"latents": torch.randn(4, 8, 8)})
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-7])
    assert cache.get("ab12") is None and not path.exists()


def test_nothing_but_whole_files_lies_in_the_folder(tmp_path: Path) -> None:
    cache = Cache(tmp_path, "latents", "f")
    for number in range(5):
        cache.put(cache.key(number), {"latents": torch.zeros(4)})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 5 and all(path.suffix == ".safetensors" for path in files)


def test_a_folder_that_cannot_be_written_costs_only_the_cache(tmp_path: Path) -> None:
    (tmp_path / "latents").write_text("a file where the folder should be")
    cache = Cache(tmp_path, "latents", "f")
    cache.put("ab", {"latents": torch.zeros(1)})


def aged(cache: Cache, key: str, days: float) -> Path:
    cache.put(key, {"latents": torch.zeros(1000)})
    (path,) = cache.folder.rglob(f"{key}.safetensors")
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    return path


def test_trim_removes_what_was_not_used_for_longest(tmp_path: Path) -> None:
    latents, text = Cache(tmp_path, "latents", "f"), Cache(tmp_path, "text", "f")
    paths = [aged(latents, "aa", 9), aged(text, "bb", 8), aged(latents, "cc", 7), aged(text, "dd", 1)]
    size = paths[0].stat().st_size
    assert latents.get("aa") is not None
    assert trim(tmp_path, 2 * size) == 2 * size
    assert [path.exists() for path in paths] == [True, False, False, True]
    assert trim(tmp_path, 2 * size) == 0


def test_trim_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert trim(tmp_path / "none", 0) == 0


def test_trim_clears_what_a_killed_writer_left(tmp_path: Path) -> None:
    old, new = tmp_path / ".x.safetensors.1.tmp", tmp_path / ".y.safetensors.2.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    trim(tmp_path, 10**9)
    assert (old.exists(), new.exists()) == (False, True)


def test_fingerprint_sees_every_weight_its_type_and_the_facts() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 4), nn.Conv2d(2, 2, 3))
    first = fingerprint(module, 1)
    assert fingerprint(module, 1) == first
    assert fingerprint(module, 2) != first
    assert fingerprint(nn.Sequential(nn.Linear(4, 4), nn.Conv2d(2, 2, 3)), 1) != first
    with torch.no_grad():
        module[1].bias[1] += 1e-6
    changed = fingerprint(module, 1)
    assert changed != first
    assert fingerprint(module.bfloat16(), 1) != changed


def test_fingerprint_sees_the_configuration_but_not_where_the_model_lies(tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    vae = AutoencoderKL(block_out_channels=(32,), norm_num_groups=8, scaling_factor=0.18215)
    vae.save_pretrained(tmp_path / "here")
    vae.save_pretrained(tmp_path / "there")
    first = fingerprint(AutoencoderKL.from_pretrained(tmp_path / "here"))
    there = AutoencoderKL.from_pretrained(tmp_path / "there")
    assert first == fingerprint(there)
    there.register_to_config(scaling_factor=0.13025)
    assert first != fingerprint(there)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_fingerprint_of_every_format(dtype: torch.dtype) -> None:
    assert len(fingerprint(nn.Linear(3, 3).to(dtype))) == 32


def test_values_that_are_no_numbers_are_never_kept_nor_given(tmp_path: Path) -> None:
    cache = Cache(tmp_path, "latents", "f")
    cache.put("ab12", {"latents": torch.tensor([1.0, math.nan])})
    assert not list(tmp_path.rglob("*.safetensors"))
    cache.put("ab12", {"latents": torch.ones(2)})
    (path,) = tmp_path.rglob("*.safetensors")
    safetensors.torch.save_file({"latents": torch.tensor([1.0, math.inf])}, path)  # as an older version kept it
    assert cache.get("ab12") is None and not path.exists()
