"""The LoRA alone: zero effect at start, dropout, masters, merging, saving; Kohya's names on a full-size model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_models
import torch
from torch import nn

from trainer.contract.families import default_family
from trainer.contract.problems import Problems
from trainer.families.sd1 import LAYOUT, StableDiffusion1
from trainer.networks.applied import merge_into
from trainer.networks.lora import LoRA, initial_down
from trainer.parts import Target

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "sdscripts-sd15-r16.json").read_text(encoding="utf-8"))


class Small(nn.Module):
    """One layer of each kind that is adapted."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.project = nn.Conv2d(6, 6, 1)
        self.linear = nn.Linear(6, 5, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.project(self.conv(x)).flatten(2).transpose(1, 2))


def targets(model: nn.Module) -> list[Target]:
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return [Target(f"lora_unet_{name}", "unet", name, layer, name == "conv") for name, layer in layers]


def trained(model: nn.Module, dropout: float = 0.0) -> LoRA:
    """A LoRA whose second half is no longer zero."""
    network = LoRA(targets(model), rank=3, alpha=1.5, conv_rank=2, conv_alpha=4.0, dropout=dropout)
    for layer in network.layers.values():
        nn.init.normal_(layer.up)
    return network


@pytest.fixture
def model() -> Small:
    torch.manual_seed(0)
    return Small().requires_grad_(False)


X = torch.linspace(-1, 1, 2 * 4 * 8 * 8).reshape(2, 4, 8, 8)


def test_zero_effect_at_the_start(model: Small) -> None:
    """The update itself is exactly zero; the layer's output may differ in its last bit, since on some processors the
    rows of a strided input go through another kernel than the whole."""
    before = model(X)
    network = LoRA(targets(model), 3, 3.0, 2, 2.0)
    network.attach()
    assert not any(layer.update().any() for layer in network.layers.values())
    torch.testing.assert_close(model(X), before, rtol=0, atol=1e-7)


def test_forward_is_the_formula(model: Small) -> None:
    """W x + alpha / rank * up(down(x)), written out for each kind of layer in float64."""
    network = trained(model)
    network.attach()
    for name, rank, alpha in (("conv", 2, 4.0), ("project", 3, 1.5), ("linear", 3, 1.5)):
        layer, adapter = getattr(model, name), network.layers[f"lora_unet_{name}"]
        shape = (2, 5, 6) if name == "linear" else (2, layer.in_channels, 8, 8)
        x = torch.randn(shape)
        weight = layer.weight.double() + alpha / rank * torch.einsum(
            "or,rikl->oikl" if layer.weight.ndim == 4 else "or,ri->oi",
            adapter.up.double().flatten(1),
            adapter.down.double(),
        )
        if name == "linear":
            expected = x.double() @ weight.T
        else:
            expected = torch.conv2d(x.double(), weight, layer.bias.double(), layer.stride, layer.padding)
        assert torch.allclose(layer(x).double(), expected, atol=1e-5)


def test_gradients_are_those_of_plain_layers(model: Small) -> None:
    network = trained(model)
    network.attach()
    x = X.clone().requires_grad_(True)
    model(x).square().sum().backward()
    got = (
        [x.grad]
        + [layer.down.grad for layer in network.layers.values()]
        + [layer.up.grad for layer in network.layers.values()]
    )
    network.detach()
    values = [X.clone().requires_grad_(True)]
    values += [layer.down.detach().clone().requires_grad_(True) for layer in network.layers.values()]
    values += [layer.up.detach().clone().requires_grad_(True) for layer in network.layers.values()]
    names = [key.removeprefix("lora_unet_") for key in network.layers]
    weights = {}
    for index, name in enumerate(names):
        weight = getattr(model, name).weight
        scale = list(network.layers.values())[index].scale
        update = values[1 + len(names) + index].flatten(1) @ values[1 + index].flatten(1)
        weights[f"{name}.weight"] = weight + scale * update.reshape(weight.shape)
    torch.func.functional_call(model, weights, (values[0],)).square().sum().backward()
    for mine, plain in zip(got, values):
        assert mine is not None and plain.grad is not None
        assert torch.allclose(mine, plain.grad, rtol=1e-4, atol=1e-5)


def test_merged_equals_applied_and_detach_restores(model: Small) -> None:
    before, state = model(X), {name: value.clone() for name, value in model.state_dict().items()}
    network = trained(model)
    network.attach()
    applied = model(X)
    assert not torch.allclose(applied, before)
    assert list(model.state_dict()) == list(state), "the base keeps its own names"
    network.enabled(False)
    assert torch.equal(model(X), before)
    network.enabled(True)
    network.detach()
    assert torch.equal(model(X), before)
    merge_into(targets(model), network.tensors())
    assert torch.allclose(model(X), applied, atol=1e-5)


def test_saved_and_loaded_is_the_same(model: Small) -> None:
    network = trained(model)
    other = LoRA(targets(model), 3, 1.5, 2, 4.0, seed=99)
    other.load_tensors(network.tensors())
    for name, value in network.tensors().items():
        assert torch.equal(other.tensors()[name], value)
    without_alpha = {name: value for name, value in network.tensors().items() if not name.endswith("alpha")}
    other.load_tensors(without_alpha)
    assert {layer.scale for layer in other.layers.values()} == {1.0}


def test_tensors_of_another_network_are_refused(model: Small) -> None:
    network = trained(model)
    with pytest.raises(Problems, match="does not fit"):
        LoRA(targets(model), 4, 4.0, 2, 2.0).load_tensors(network.tensors())
    with pytest.raises(Problems, match="not trained here"):
        LoRA(targets(model), 3, 3.0).load_tensors(network.tensors())


def test_dropout_only_in_training(model: Small) -> None:
    network = trained(model, dropout=0.5)
    network.attach()
    quiet = model(X)
    assert torch.equal(model(X), quiet)
    network.training(True)
    noisy = [model(X) for _ in range(400)]
    assert not torch.equal(noisy[0], noisy[1])
    network.training(False)
    assert torch.equal(model(X), quiet)
    layer, adapter = model.linear, network.layers["lora_unet_linear"]
    network.training(True)
    x = torch.randn(1, 1, 6)
    mean = torch.stack([layer(x) for _ in range(4000)]).mean(0)
    network.training(False)
    assert torch.allclose(mean, layer(x), atol=0.1 * adapter.update().abs().max().item() * 6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_masters_stay_float_in_half_precision(model: Small, dtype: torch.dtype) -> None:
    model.to(dtype)
    network = trained(model)
    network.attach()
    out = model(X.to(dtype))
    assert out.dtype == dtype
    out.float().square().sum().backward()
    for value in network.parameters("unet"):
        assert value.dtype == value.grad.dtype == torch.float32
    assert network.parameters("te1") == []


def test_autocast_over_a_float_base(model: Small) -> None:
    network = trained(model)
    network.attach()
    exact = model(X)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(X)
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), exact, rtol=0.1, atol=0.1 * exact.abs().max().item())


def test_the_start_depends_on_seed_and_key_alone() -> None:
    one = initial_down((4, 8), 1, "a")
    torch.manual_seed(123)
    assert torch.equal(initial_down((4, 8), 1, "a"), one)
    assert not torch.equal(initial_down((4, 8), 2, "a"), one)
    assert not torch.equal(initial_down((4, 8), 1, "b"), one)
    bound = 8**-0.5
    many = initial_down((64, 8), 1, "a")
    assert many.abs().max() <= bound and many.abs().max() > 0.9 * bound, "kaiming-uniform with a = sqrt(5)"


@pytest.fixture(scope="module")
def full_size() -> StableDiffusion1:
    """Stable Diffusion 1.5 from the shipped configuration, without memory for its weights."""
    from diffusers.models import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    family = StableDiffusion1()
    with torch.device("meta"):
        unet = json.loads((LAYOUT.shipped / "unet" / "config.json").read_text(encoding="utf-8"))
        text = json.loads((LAYOUT.shipped / "text_encoder" / "config.json").read_text(encoding="utf-8"))
        family.parts["unet"] = UNet2DConditionModel.from_config(unet)
        family.parts["te1"] = CLIPTextModel(CLIPTextConfig(**text))
    return family


def test_names_shapes_and_order_are_those_of_sd_scripts(full_size: StableDiffusion1) -> None:
    network = LoRA(full_size.targets(False, ["unet", "te1"]), 16, 16.0)
    mine: dict[str, list[int]] = {}
    for key, layer in network.layers.items():
        mine[f"{key}.alpha"] = []
        mine[f"{key}.lora_down.weight"] = list(layer.down.shape)
        mine[f"{key}.lora_up.weight"] = list(layer.up.shape)
    assert mine == {name: tensor["shape"] for name, tensor in GOLDEN["tensors"].items()}
    assert list(mine)[:6] == GOLDEN["order_in_file_by_offset"]
    assert sum(key.startswith("lora_unet") for key in network.layers) == 192
    assert sum(key.startswith("lora_te") for key in network.layers) == 72


def test_convolutions_add_the_residual_blocks(full_size: StableDiffusion1) -> None:
    """86 more: 22 residual blocks of 3 layers, 14 shortcuts, 3 down- and 3 upsamplers."""
    network = LoRA(full_size.targets(True, ["unet"]), 16, 16.0, conv_rank=8, conv_alpha=8.0)
    assert len(network.layers) == 192 + 86
    assert network.layers["lora_unet_down_blocks_0_resnets_0_conv1"].down.shape == (8, 320, 3, 3)
    assert network.layers["lora_unet_down_blocks_0_resnets_0_time_emb_proj"].down.shape == (16, 1280)
    assert network.layers["lora_unet_up_blocks_0_resnets_0_conv_shortcut"].down.shape == (16, 2560, 1, 1)
    assert network.layers["lora_unet_down_blocks_0_downsamplers_0_conv"].up.shape == (320, 8, 1, 1)
    counted = sum(value.numel() for value in network.parameters("unet"))
    assert tiny_models.plain_size(default_family(), {}, 16, 8, ("unet",)) == counted
