"""What each kind of adapter does to a weight, against the LyCORIS library's own modules and formulas written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_files import random, run_tool, save
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainer.contract.problems import Problems
from trainer.plan.adapters.look import look

LINEAR = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"
CONV = "model.diffusion_model.middle_block.0.in_layers.2.weight"
KEYS = {
    LINEAR: "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q",
    CONV: "lora_unet_mid_block_resnets_0_conv1",
}
INPUT = {LINEAR: random((3, 16), 3, 1.0), CONV: random((1, 16, 4, 4), 4, 1.0)}
BASE = {LINEAR: random((32, 16), 1), CONV: random((32, 16, 3, 3), 2)}

ALGORITHMS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("LoRA", "LoConModule", {}),
    ("LoCon", "LoConModule", {"use_tucker": True}),
    ("DoRA", "LoConModule", {"weight_decompose": True}),
    ("LoHa", "LohaModule", {}),
    ("LoHa", "LohaModule", {"use_tucker": True}),
    ("LoHa with DoRA", "LohaModule", {"weight_decompose": True}),
    ("LoKr", "LokrModule", {"factor": 4}),
    ("LoKr", "LokrModule", {"factor": 2, "use_tucker": True, "decompose_both": True}),
    ("LoKr with DoRA", "LokrModule", {"factor": 4, "weight_decompose": True}),
    ("(IA)3", "IA3Module", {}),
    ("(IA)3", "IA3Module", {"train_on_input": True}),
    ("GLoRA", "GLoRAModule", {}),
    ("OFT", "DiagOFTModule", {}),
    ("OFT", "DiagOFTModule", {"rescaled": True}),
    ("BOFT", "ButterflyOFTModule", {}),
    ("full difference", "FullModule", {}),
)


def module_for(weight: Tensor) -> nn.Module:
    made: nn.Module
    if weight.dim() == 2:
        made = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    else:
        made = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=False)
    made.weight = nn.Parameter(weight.clone())
    return made


@pytest.mark.parametrize(("kind", "name", "options"), ALGORITHMS, ids=lambda value: str(value))
def test_a_merged_layer_gives_what_the_lycoris_library_gives_in_training(
    tmp_path: Path, kind: str, name: str, options: dict[str, Any]
) -> None:
    """Its outputs, not its merged weights: lycoris-lora 4.1.3 applies alpha / rank twice where it merges LoHa and LoKr
    (0.25 instead of 0.5 here), and once where it trains."""
    modules = pytest.importorskip("lycoris.modules")
    torch.manual_seed(0)
    tensors, wanted = {}, {}
    for key, weight in BASE.items():
        layer = module_for(weight)
        adapter = getattr(modules, name)(KEYS[key], layer, 1.0, 4, 2.0, **options)
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.copy_(parameter + torch.randn_like(parameter) * 0.05)
        adapter.apply_to()
        own = {part: value for part, value in adapter.state_dict().items() if "org" not in part}
        tensors |= {f"{KEYS[key]}.{part}": torch.as_tensor(value).clone().contiguous() for part, value in own.items()}
        wanted[key] = layer(INPUT[key]).detach()
    save_file(tensors, tmp_path / "a.safetensors", {"ss_base_model_version": "sd_v1"})
    save(tmp_path / "m.safetensors", BASE)
    assert set(look(tmp_path / "a.safetensors").kinds) <= ({"LoRA", "LoCon"} if kind in ("LoRA", "LoCon") else {kind})
    run_tool(tmp_path, "merge-into", model=str(tmp_path / "m.safetensors"), adapters=[str(tmp_path / "a.safetensors")])
    merged = load_file(tmp_path / "m-merged.safetensors")
    for key, weight in BASE.items():
        plain, ours = (module_for(each)(INPUT[key]).detach() for each in (weight, merged[key]))
        assert not torch.allclose(ours, plain, atol=1e-3)
        assert torch.allclose(ours, wanted[key], atol=1e-5), key


def test_dora_by_output_and_by_input(tmp_path: Path) -> None:
    """Written out: columns or rows of W + BA at the learned length (arXiv 2402.09353, equation 5)."""
    key, weight = KEYS[LINEAR], BASE[LINEAR]
    down, up = random((2, 16), 5), random((32, 2), 6)
    save(tmp_path / "m.safetensors", BASE)
    for axis, shape in ((1, (32, 1)), (0, (1, 16))):
        lengths = random(shape, 7).abs()
        tensors = {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.dora_scale": lengths}
        file = save(tmp_path / "a.safetensors", tensors)
        model, out = str(tmp_path / "m.safetensors"), str(tmp_path / "o.safetensors")
        run_tool(tmp_path, "merge-into", model=model, adapters=[str(file)], out=out, replace=True)
        merged = weight + up @ down
        wanted = lengths * merged / merged.norm(dim=axis, keepdim=True)
        assert torch.allclose(load_file(out)[LINEAR], wanted, atol=1e-6)


def test_loha_becomes_a_lora_by_merging_to_a_rank(tmp_path: Path) -> None:
    """(a b) * (c d) of ranks 2 and 2 has rank 4 at most: at rank 4 the LoRA is exact."""
    key = KEYS[LINEAR]
    parts = {"hada_w1_a": (32, 2), "hada_w1_b": (2, 16), "hada_w2_a": (32, 2), "hada_w2_b": (2, 16)}
    tensors = {f"{key}.{name}": random(shape, number, 0.5) for number, (name, shape) in enumerate(parts.items())}
    file = save(tmp_path / "a.safetensors", {**tensors, f"{key}.alpha": torch.tensor(1.0)})
    one, two, three, four = (tensors[f"{key}.{name}"] for name in parts)
    made = load_file(run_tool(tmp_path, "merge", adapters=[str(file)], rank=4).file)
    assert torch.allclose(
        made[f"{key}.lora_up.weight"] @ made[f"{key}.lora_down.weight"], (one @ two) * (three @ four) / 2, atol=1e-5
    )
    with pytest.raises(Problems, match="is LoHa, which cannot be merged with others exactly - give a rank"):
        run_tool(tmp_path, "merge", adapters=[str(file)], out=str(tmp_path / "x"))
    with pytest.raises(Problems, match="is LoHa, which cannot be resized"):
        run_tool(tmp_path, "resize", adapter=str(file), out=str(tmp_path / "x"))
