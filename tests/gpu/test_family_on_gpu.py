"""The families and the LoRA on a CUDA device: near the CPU's result in each format, trained values in float."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import SDXL, build
from torch import nn

from trainer.contract.families import recognise
from trainer.networks.lora import LoRA
from trainer.parts import BatchFacts, LoadPlan, ModelFiles
from trainer.run import resolve

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

FORMATS = [
    (torch.float32, torch.float32, 1e-3),
    (torch.bfloat16, torch.bfloat16, 5e-2),
    (torch.float16, torch.float16, 1e-2),
    (torch.float32, torch.bfloat16, 5e-2),
]


SIZES = (torch.tensor([[96, 64], [80, 64]]), torch.tensor([[8, 0], [3, 5]]), torch.tensor([[64, 48]] * 2))
"""Of the pictures, as a batch gives them: on the CPU, wherever the model is."""


@pytest.fixture(scope="module", params=["demo", "SDXL"])
def folder(request: pytest.FixtureRequest, demo_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(SDXL, tmp_path_factory.mktemp("model")) if request.param == "SDXL" else demo_model_dir


def trained(family: Any) -> list[str]:
    """All parts that can have an adapter."""
    return [part for part in family.parts if part != "vae"]


def predicted(folder: Path, device: str, base: torch.dtype, compute: torch.dtype) -> tuple[torch.Tensor, LoRA]:
    """A prediction with a LoRA of fixed values, and its gradients."""
    recognised = recognise(str(folder))
    family = resolve("families", recognised.family)()
    family.load(ModelFiles(str(folder), recognised), LoadPlan(torch.device(device), base, compute))
    network = LoRA(family.targets(True, trained(family)), 4, 2.0, 4, 4.0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in network.layers.values():
            layer.up.copy_(nn.init.normal_(torch.empty(layer.up.shape), std=0.05, generator=generator))
    network.attach()
    noisy = torch.randn(2, 4, 16, 16, generator=generator).to(device)
    text = family.encode_captions(["a red circle", "a green square"], train=True)
    times, facts = torch.tensor([100, 700], device=device), BatchFacts(*SIZES)
    answer = family.predict(noisy, times, text, facts)
    answer.square().mean().backward()
    return answer.detach().cpu(), network


def gradient(network: LoRA, part: str) -> torch.Tensor:
    """All of a part's gradients; an encoder's last layer has none where the text is taken before it."""
    return torch.cat([value.grad.flatten().cpu() for value in network.parameters(part) if value.grad is not None])


@pytest.mark.parametrize(("base", "compute", "tolerance"), FORMATS)
def test_near_the_cpu(folder: Path, base: torch.dtype, compute: torch.dtype, tolerance: float) -> None:
    exact, reference = predicted(folder, "cpu", torch.float32, torch.float32)
    answer, network = predicted(folder, "cuda", base, compute)
    assert (answer - exact).norm() / exact.norm() < tolerance
    for part in {layer.part for layer in network.layers.values()}:
        grads = [gradient(adapter, part) for adapter in (network, reference)]
        assert grads[0].dtype == torch.float32
        assert torch.cosine_similarity(grads[0], grads[1], dim=0) > 0.99
