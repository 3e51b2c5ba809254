"""Keys, shapes and blocks at the published sizes, against sd-scripts' own; nothing here has memory for weights."""

from __future__ import annotations

import json
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import original_layout
import pytest
import torch
from torch import Tensor

from trainer.contract.families import by_name
from trainer.contract.families.model_parts import contents, parts_of
from trainer.contract.families.unet_names import to_diffusers, to_original
from trainer.families.files import assemble, of_original
from trainer.families.sd1 import StableDiffusion1
from trainer.families.sd2 import StableDiffusion2
from trainer.families.sdxl import StableDiffusionXL
from trainer.families.unet_family import UNetFamily

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "sdscripts-layers.json").read_text(encoding="utf-8"))
FAMILIES: dict[str, type[UNetFamily]] = {
    "SD 1.x": StableDiffusion1,
    "SD 2.x": StableDiffusion2,
    "SDXL": StableDiffusionXL,
}
NOWHERE = Path("there is no such folder")
BESIDES = ("alphas_cumprod", "betas", "model_ema.decay", "model_ema.num_updates")


@cache
def states(family: str) -> dict[str, dict[str, Tensor]]:
    """Folder -> tensors of the true classes with the shipped configurations."""
    from diffusers.models import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    layout = FAMILIES[family].layout

    def config(part: str) -> dict[str, Any]:
        return json.loads((layout.shipped / part / "config.json").read_text(encoding="utf-8"))

    with torch.device("meta"):
        found = {
            "unet": UNet2DConditionModel.from_config(config("unet")).state_dict(),
            "vae": AutoencoderKL.from_config(config("vae")).state_dict(),
        }
        for encoder in layout.encoders:
            kind = CLIPTextModelWithProjection if encoder.projection else CLIPTextModel
            found[encoder.folder] = kind(CLIPTextConfig(**config(encoder.folder))).state_dict()
    return found


@cache
def single_file(family: str) -> dict[str, Tensor]:
    """All tensors of a checkpoint in the original layout, and some that such files hold besides."""
    found, encoders = states(family), FAMILIES[family].layout.encoders
    with torch.device("meta"):
        tensors = {**original_layout.unet(found["unet"]), **original_layout.vae(found["vae"])}
        for encoder in encoders:
            write = original_layout.open_clip if encoder.open_clip else original_layout.text
            tensors |= write(found[encoder.folder], encoder.prefix)
        return tensors | {name: torch.empty(4) for name in BESIDES}


def digest(tensors: dict[str, Tensor], start: str) -> list[object]:
    rows = sorted(f"{name} {tuple(value.shape)}" for name, value in tensors.items() if name.startswith(start))
    return [len(rows), blake2b("\n".join(rows).encode(), digest_size=16).hexdigest()]


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_without_a_model_are_those_of_sd_scripts(family: str) -> None:
    facts, golden = by_name(family), GOLDEN[family]
    layers = facts.layers({})
    mine = {layer.key: [facts.block_of(layer.key), *layer.shape] for layer in layers if not layer.residual}
    wide = {layer.key: [facts.block_of(layer.key), *layer.shape] for layer in layers if layer.residual}
    assert mine == golden["linear"] and wide == golden["conv"]
    counts = {"SD 1.x": (72, 0, 192), "SD 2.x": (138, 0, 192), "SDXL": (72, 192, 722)}[family]
    parts = [layer.part for layer in layers if not layer.residual]
    assert tuple(parts.count(part) for part in ("te1", "te2", "unet")) == counts
    assert len(facts.blocks) == {"SDXL": 23}.get(family, 25) == len(set(facts.blocks))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_trained_has_the_keys_of_sd_scripts(family: str) -> None:
    """The targets of models of the true size, by their modules' own weights."""
    source = of_original(FAMILIES[family].layout, "m", single_file(family), NOWHERE)
    model = FAMILIES[family]()
    model.parts = assemble(model.layout, source, torch.float16)
    targets = model.targets(True, list(model.parts))
    shapes = {t.key: list(t.module.weight.shape) for t in targets}  # type: ignore[union-attr]
    golden = GOLDEN[family]["linear"] | GOLDEN[family]["conv"]
    assert shapes == {key: row[1:] for key, row in golden.items()}
    assert {t.key for t in targets if t.convolution} == set(GOLDEN[family]["conv"])
    assert all(t.part == model.facts.layers({})[0].part for t in targets[:6])
    sizes = {"SD 1.x": 859_520_964, "SD 2.x": 865_910_724, "SDXL": 2_567_463_684}
    assert sum(value.numel() for value in model.parts["unet"].parameters()) == sizes[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_tensor_of_a_single_file_is_used(family: str) -> None:
    """Names and shapes are those that sd-scripts writes; each finds its place in the torch-free half and in the model,
    and every place is filled."""
    tensors, layout = single_file(family), FAMILIES[family].layout
    for part, golden in GOLDEN["single_files"][family].items():
        start = "model.diffusion_model." if part == "unet" else "conditioner.embedders.1.model."
        assert digest(tensors, start) == golden
    header = {name: tuple(value.shape) for name, value in tensors.items()}
    parts = parts_of(header)
    assert set(parts["other"]) == set(BESIDES)
    assert contents(parts) == set(by_name(family).parts)
    assert by_name(family).layers(header) == by_name(family).layers({})
    source, found = of_original(layout, "m", tensors, NOWHERE), states(family)
    shapes = {part: {name: tuple(value.shape) for name, value in own.items()} for part, own in source.tensors.items()}
    for part, folder in (("unet", "unet"), ("vae", "vae"), *((e.part, e.folder) for e in layout.encoders)):
        bare = {name.removeprefix("text_model."): tuple(value.shape) for name, value in found[folder].items()}
        assert {name.removeprefix("text_model."): shape for name, shape in shapes[part].items()} == bare
        if part != "vae":  # whose names are not looked at before it is loaded
            assert parts[part] == bare


@pytest.mark.parametrize("family", FAMILIES)
def test_names_go_there_and_back(family: str) -> None:
    bare_up = () if family == "SDXL" else (0,)
    for name in states(family)["unet"]:
        there = to_original(name, bare_up)
        assert to_diffusers(there) == name
        assert f"model.diffusion_model.{there}" in single_file(family)
        key = there.rpartition(".")[0].replace(".", "_")
        module = name.rpartition(".")[0].replace(".", "_")
        assert to_original(module, bare_up, sep="_") == key and to_diffusers(key, sep="_") == module


def test_a_name_of_no_layer_is_an_error() -> None:
    for name in ("joint_blocks.0.x", "down_blocks.0", "middle_block.0.what", "input_blocks.1.0.other"):
        with pytest.raises(ValueError, match="no name"):
            to_diffusers(name)
    with pytest.raises(ValueError, match="no name"):
        to_original("down_blocks.0.resnets.0.conv9")


def test_the_last_layer_of_openclip_h_is_left_out() -> None:
    """Published SD 2.x files have 24 layers, of which the last is not used."""
    tensors = single_file("SD 2.x")
    layer = {name: value for name, value in tensors.items() if ".resblocks.22." in name}
    more = tensors | {name.replace(".22.", ".23."): value for name, value in layer.items()}
    header = {name: tuple(value.shape) for name, value in more.items()}
    assert by_name("SD 2.x").layers(header) == by_name("SD 2.x").layers({})
    source = of_original(StableDiffusion2.layout, "m", more, NOWHERE)
    encoder: Any = assemble(StableDiffusion2.layout, source, torch.float16)["te1"]
    assert encoder.config.num_hidden_layers == len(encoder.encoder.layers) == 23
