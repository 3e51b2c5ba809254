"""The family and the LoRA on a CUDA device: near the CPU's result in each format, trained values in float."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from trainer.contract.families import recognise
from trainer.families.sd1 import StableDiffusion1
from trainer.networks.lora import LoRA
from trainer.parts import BatchFacts, LoadPlan, ModelFiles

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

FORMATS = [
    (torch.float32, torch.float32, 1e-3),
    (torch.bfloat16, torch.bfloat16, 5e-2),
    (torch.float16, torch.float16, 1e-2),
    (torch.float32, torch.bfloat16, 5e-2),
]


def predicted(folder: Path, device: str, base: torch.dtype, compute: torch.dtype) -> tuple[torch.Tensor, LoRA]:
    """A prediction with a LoRA of fixed values, and its gradients."""
    family = StableDiffusion1()
    family.load(ModelFiles(str(folder), recognise(str(folder))), LoadPlan(torch.device(device), base, compute))
    network = LoRA(family.targets(True, ["unet", "te1"]), 4, 2.0, 4, 4.0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in network.layers.values():
            layer.up.copy_(nn.init.normal_(torch.empty(layer.up.shape), std=0.05, generator=generator))
    network.attach()
    noisy = torch.randn(2, 4, 16, 16, generator=generator).to(device)
    text = family.encode_captions(["a red circle", "a green square"], train=True)
    times, facts = torch.tensor([100, 700], device=device), BatchFacts(*[torch.zeros(2, 2)] * 3)
    answer = family.predict(noisy, times, text, facts)
    answer.square().mean().backward()
    return answer.detach().cpu(), network


@pytest.mark.parametrize(("base", "compute", "tolerance"), FORMATS)
def test_near_the_cpu(demo_model_dir: Path, base: torch.dtype, compute: torch.dtype, tolerance: float) -> None:
    exact, reference = predicted(demo_model_dir, "cpu", torch.float32, torch.float32)
    answer, network = predicted(demo_model_dir, "cuda", base, compute)
    assert (answer - exact).norm() / exact.norm() < tolerance
    for part in ("unet", "te1"):
        grads = [torch.cat([v.grad.flatten().cpu() for v in n.parameters(part)]) for n in (network, reference)]  # type: ignore[union-attr]
        assert grads[0].dtype == torch.float32
        assert torch.cosine_similarity(grads[0], grads[1], dim=0) > 0.99
