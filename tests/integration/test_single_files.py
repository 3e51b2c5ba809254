"""Single files equal the folder that they were made of, without network; what must not be opened is not."""

from __future__ import annotations

import importlib.util
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from original_layout import tensors_of, vae, write_single_file
from safetensors.torch import load_file, save_file

from trainer.contract.families import Recognised, recognise
from trainer.contract.problems import Problems
from trainer.families import clip
from trainer.families.sd1 import StableDiffusion1
from trainer.parts import BatchFacts, LoadPlan, ModelFiles
from trainer.run import resolve

PLAN = LoadPlan(torch.device("cpu"), torch.float32, torch.float32)
FACTS = BatchFacts(*[torch.zeros(1, 2)] * 3)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Any use of a socket fails, and the hub cache is an empty folder."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(clip, "_USER_FOLDER", tmp_path / "user" / "tokenizer")


def load(path: Path | str, **files: Any) -> Any:
    family = resolve("families", recognise(str(path)).family)()
    family.load(ModelFiles(str(path), recognise(str(path)), **files), PLAN)
    return family


def outputs(family: StableDiffusion1) -> list[torch.Tensor]:
    """One of everything: text, noise, latents, picture."""
    generator = torch.Generator().manual_seed(0)
    noisy, pixels = torch.randn(1, 4, 8, 8, generator=generator), torch.rand(1, 3, 64, 64, generator=generator)
    text = family.encode_captions(["a red circle"])
    predicted = family.predict(noisy, torch.tensor([300]), text, FACTS).detach()
    return [text["text"], predicted, family.encode_images(pixels, [1]), family.decode(noisy)]


@pytest.mark.parametrize("ending", [".safetensors", ".ckpt"])
def test_a_single_file_is_the_folder(demo_model_dir: Path, tmp_path: Path, ending: str) -> None:
    file = write_single_file(demo_model_dir, tmp_path / f"tiny{ending}")
    for mine, other in zip(outputs(load(file)), outputs(load(demo_model_dir))):
        assert torch.equal(mine, other)


def test_a_bomb_is_refused_and_does_not_go_off(demo_model_dir: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (tmp_path / "went-off",)

    write_single_file(demo_model_dir, tmp_path / "bomb.ckpt")
    torch.save({"state_dict": tensors_of(demo_model_dir), "bomb": Bomb()}, tmp_path / "bomb.ckpt")
    with pytest.raises(Problems, match="holds more than weights") as caught:
        load(tmp_path / "bomb.ckpt")
    assert caught.value.exit_code == 3
    assert not (tmp_path / "went-off").exists()


def without(file: Path, start: str) -> None:
    save_file({name: value for name, value in load_file(file).items() if not name.startswith(start)}, file)


def test_incomplete_files_say_what_is_missing(demo_model_dir: Path, tmp_path: Path) -> None:
    file = write_single_file(demo_model_dir, tmp_path / "m.safetensors")
    without(file, "cond_stage_model.")
    with pytest.raises(Problems, match="holds no text encoder"):
        load(file)
    file = write_single_file(demo_model_dir, tmp_path / "m.safetensors")
    without(file, "model.diffusion_model.middle_block")
    with pytest.raises(Problems, match="the U-Net is incomplete"):
        load(file)
    file = write_single_file(demo_model_dir, tmp_path / "m.safetensors")
    without(file, "first_stage_model.")
    with pytest.raises(Problems, match="holds no VAE"):
        load(file)


def test_an_unusual_size_wants_its_configuration(demo_model_dir: Path, tmp_path: Path) -> None:
    file = write_single_file(demo_model_dir, tmp_path / "m.safetensors")
    shutil.rmtree(tmp_path / "m")
    with pytest.raises(Problems, match="in a folder m beside it"):
        load(file)


def test_the_tokenizer_is_looked_for_and_named(demo_model_dir: Path, tmp_path: Path) -> None:
    file = write_single_file(demo_model_dir, tmp_path / "m.safetensors")
    vocabulary = tmp_path / "m" / "tokenizer"
    vocabulary.rename(tmp_path / "aside")
    with pytest.raises(Problems) as caught:
        load(file)
    said = str(caught.value)
    assert "vocab.json and merges.txt" in said and str(vocabulary) in said and "user" in said
    for place in (tmp_path / "tokenizer", tmp_path / "user" / "tokenizer"):
        shutil.copytree(tmp_path / "aside", place)
        assert load(file).count_tokens("a red circle") == 3
        shutil.rmtree(place)


def test_an_old_folder_has_other_names(demo_model_dir: Path, tmp_path: Path) -> None:
    """The first published folders name the VAE's attention, and CLIP's parts, in the old way; pickled weights, and fp16
    files alone, are read too."""
    folder = shutil.copytree(demo_model_dir, tmp_path / "old")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for name, value in load_file(file).items():
        for new, before in names.items():
            name = name.replace(f".{new}.", f".{before}.")
        old[name] = value
    assert any("proj_attn" in name for name in old)
    save_file(old, file)
    text = folder / "text_encoder" / "model.safetensors"
    values = {f"text_model.{n.removeprefix('text_model.')}": value for n, value in load_file(text).items()}
    save_file({**values, "text_model.embeddings.position_ids": torch.arange(77)[None]}, text)
    torch.save(load_file(text), text.with_name("pytorch_model.bin"))
    text.unlink()
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_name("diffusion_pytorch_model.fp16.safetensors"))
    for mine, other in zip(outputs(load(folder)), outputs(load(demo_model_dir))):
        assert torch.equal(mine, other)


def test_a_separate_vae(demo_model_dir: Path, tmp_path: Path) -> None:
    """Folder, diffusers file, original file with and without prefix: all the same VAE, and another one is used."""
    own = load_file(demo_model_dir / "vae" / "diffusion_pytorch_model.safetensors")
    changed = {name: value * 1.1 if name == "decoder.conv_out.weight" else value for name, value in own.items()}
    original = {name: value.contiguous() for name, value in vae(changed).items()}
    folder = shutil.copytree(demo_model_dir / "vae", tmp_path / "vae")
    save_file(changed, folder / "diffusion_pytorch_model.safetensors")
    save_file(changed, tmp_path / "a.safetensors")
    save_file(original, tmp_path / "b.safetensors")
    save_file({n.removeprefix("first_stage_model."): v for n, v in original.items()}, tmp_path / "c.safetensors")
    plain = outputs(load(demo_model_dir))[-1]
    pictures = [
        outputs(load(demo_model_dir, vae=str(p)))[-1] for p in (folder, *sorted(tmp_path.glob("?.safetensors")))
    ]
    assert len(pictures) == 4
    assert all(torch.equal(picture, pictures[0]) for picture in pictures)
    assert not torch.equal(plain, pictures[0])
    with pytest.raises(Problems, match=r"model\.vae: there is no file"):
        load(demo_model_dir, vae=str(tmp_path / "none.safetensors"))


def test_a_model_of_the_hub_cache(demo_model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(Problems, match="not in the local hub cache and cannot be fetched"):
        load("someone/tiny")
    repository = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(demo_model_dir, repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert recognise("someone/tiny").header
    for mine, other in zip(outputs(load("someone/tiny")), outputs(load(demo_model_dir))):
        assert torch.equal(mine, other)


def test_prediction_and_zero_terminal_snr(demo_model_dir: Path, tmp_path: Path) -> None:
    file = write_single_file(demo_model_dir, tmp_path / "m.safetensors")
    assert load(file).process.prediction == "epsilon"
    assert load(file, prediction="v").process.prediction == "v"
    save_file({**load_file(file), "v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, file)
    family = load(file)
    kept = torch.cumprod(1 - torch.tensor(family.process.betas), 0)
    assert family.process.prediction == "v"
    assert kept[-1] < 1e-6 and family.sampling.scheduler["rescale_betas_zero_snr"]
    off, on = load(file, zero_snr=False), load(demo_model_dir, prediction="v", zero_snr=True)
    assert off.process.betas == load(demo_model_dir).process.betas
    assert off.sampling.scheduler["timestep_spacing"] == "leading"
    assert on.process == family.process and on.sampling == family.sampling


@pytest.fixture
def sdxl(tmp_path: Path) -> Path:
    return tiny_models.build(tiny_models.SDXL, tmp_path / "sdxl")


def test_what_a_single_file_lacks_is_told_at_once_or_taken_from_beside_it(sdxl: Path, tmp_path: Path) -> None:
    file = write_single_file(sdxl, tmp_path / "m.safetensors")
    whole = load(file)
    for start in ("conditioner.", "first_stage_model."):
        without(file, start)
    with pytest.raises(Problems, match="no text encoder and no second text encoder and no VAE"):
        load(file)
    shutil.rmtree(tmp_path / "m")
    sdxl.rename(tmp_path / "m")
    found = load(file)
    for part, module in whole.parts.items():
        mine = found.parts[part].state_dict()
        assert all(torch.equal(mine[name], value) for name, value in module.state_dict().items()), part


def test_a_separate_vae_and_one_tokenizer_for_both_encoders(sdxl: Path, tmp_path: Path) -> None:
    other = tiny_models.build(tiny_models.SDXL, tmp_path / "other", seed=1)
    plain, mixed = load(sdxl), load(sdxl, vae=str(other / "vae"))
    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mixed.decode(noisy), load(other).decode(noisy))
    assert not torch.equal(mixed.decode(noisy), plain.decode(noisy))
    file = write_single_file(sdxl, tmp_path / "m.safetensors")
    without(file, "first_stage_model.")
    assert torch.equal(load(file, vae=str(other / "vae")).decode(noisy), mixed.decode(noisy))
    shutil.rmtree(sdxl / "tokenizer_2")
    again = load(sdxl)
    texts = zip(again.encode_captions(["a red circle"]).values(), plain.encode_captions(["a red circle"]).values())
    assert all(torch.equal(one, two) for one, two in texts)


def test_encoders_alone_can_be_loaded(sdxl: Path) -> None:
    """What captions need, where the model itself is in use elsewhere."""
    family = resolve("families", "SDXL")()
    family.load(ModelFiles(str(sdxl), recognise(str(sdxl))), replace(PLAN, encoders_only=True))
    assert set(family.parts) == {"te1", "te2"}
    texts = zip(
        family.encode_captions(["a red circle"]).values(), load(sdxl).encode_captions(["a red circle"]).values()
    )
    assert all(torch.equal(one, two) for one, two in texts)


def test_settings_that_the_model_cannot_follow(demo_model_dir: Path) -> None:
    files = ModelFiles(str(demo_model_dir), recognise(str(demo_model_dir)))
    cpu = torch.device("cpu")
    with pytest.raises(Problems, match=r"captions\.clip_skip"):
        StableDiffusion1().load(files, LoadPlan(cpu, torch.float32, torch.float32, clip_skip=9))
    with pytest.raises(Problems, match=r"precision\.base"):
        StableDiffusion1().load(files, LoadPlan(cpu, torch.bfloat16, torch.float32))
    if importlib.util.find_spec("xformers") is None:
        with pytest.raises(Problems, match=r"memory\.attention: xformers does not work here"):
            StableDiffusion1().load(files, LoadPlan(cpu, torch.float32, torch.float32, attention="xformers"))
    untrained = ModelFiles("x.safetensors", Recognised("Flux.1", "flow", "single file", False))
    with pytest.raises(Problems, match=r"Flux\.1"):
        StableDiffusion1().load(untrained, PLAN)
