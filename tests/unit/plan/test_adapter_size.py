"""How many values an adapter has, from shapes alone: LyCORIS' ways of splitting, and the ranks of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from trainer.contract import preset
from trainer.contract.families import by_name
from trainer.contract.settings import Preset
from trainer.plan.adapter_size import butterfly, factorization, measure
from trainer.plan.plan import adapter_of
from trainer.plan.started import ranks_of

FAMILY = by_name("SD 1.x")


def resolved(changes: dict[str, Any], family: Any = FAMILY) -> Preset:
    return preset.resolve(preset.with_values(preset.build({}), changes), family)


def test_numbers_are_split_as_lycoris_splits_them() -> None:
    from lycoris.functional.general import factorization as theirs
    from lycoris.functional.general import power2factorization

    for dimension in (1, 2, 7, 12, 127, 128, 250, 320, 360, 640, 768, 1280, 2560, 5120, 10240):
        for factor in (-1, 1, 2, 3, 4, 7, 8, 10, 16, 64, 1000):
            assert factorization(dimension, factor) == tuple(theirs(dimension, factor))
            if factor > 1 and power2factorization(dimension, factor)[1]:
                assert butterfly(dimension, factor) == power2factorization(dimension, factor)
            elif factor > 1:
                with pytest.raises(ValueError, match="outputs"):
                    butterfly(dimension, factor)


@pytest.mark.parametrize(("name", "unet", "text"), [("SD 1.x", 192, 72), ("SDXL", 722, 264)])
def test_one_factor_for_each_output_of_each_layer(name: str, unet: int, text: int) -> None:
    """(IA)3 has as many values as its layers have outputs: the sum over the family's own list."""
    family = by_name(name)
    chosen = resolved({"network.type": "IA3", "network.text_encoder": True}, family)
    layers = [layer for layer in family.layers({}) if not layer.residual]
    assert (sum(layer.part == "unet" for layer in layers), sum(layer.part != "unet" for layer in layers)) == (
        unet,
        text,
    )
    assert measure(chosen, family, {}) == (sum(layer.shape[0] for layer in layers), ())
    frozen = resolved({"network.type": "IA3"}, family)
    assert measure(frozen, family, {})[0] == sum(layer.shape[0] for layer in layers if layer.part == "unet")


def test_what_cannot_be_built_is_told_with_the_layer() -> None:
    (problem,) = adapter_of(resolved({"network.type": "BOFT", "network.rank": 8}), None).problems
    assert problem.path == "network.rank" and "320 outputs need groups of 10" in problem.why
    assert adapter_of(resolved({"network.type": "BOFT", "network.rank": 10}), None).parameters > 0
    nothing = {"network.down_rates": "zeros", "network.mid_rates": "0", "network.up_rates": "zeros"}
    (problem,) = adapter_of(resolved(nothing), None).problems
    assert "no layer is trained" in problem.why
    assert adapter_of(resolved({"network.down_rates": "nonsense"}), None).parameters == 0, "that is for the rules"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_ranks_and_alphas_of_a_file_are_read_without_torch(tmp_path: Path, dtype: torch.dtype) -> None:
    key, other = "lora_unet_mid_block_attentions_0_proj_in", "lora_unet_down_blocks_0_resnets_0_conv1"
    tensors = {
        f"{key}.lora_down.weight": torch.zeros(3, 1280, 1, 1, dtype=dtype),
        f"{key}.lora_up.weight": torch.zeros(1280, 3, 1, 1, dtype=dtype),
        f"{key}.alpha": torch.tensor(1.5, dtype=dtype),
        f"{other}.lora_down.weight": torch.zeros(2, 320, 3, 3, dtype=dtype),
        f"{other}.lora_up.weight": torch.zeros(320, 2, 1, 1, dtype=dtype),
    }
    file = tmp_path / "start.safetensors"
    save_file(tensors, file)
    assert ranks_of(str(file)) == {other: (2, 2.0), key: (3, 1.5)}
    chosen = resolved({"network.start": str(file), "network.start_ranks": True})
    assert adapter_of(chosen, None).parameters == sum(value.numel() for value in tensors.values() if value.dim())
    save_file({"x.weight": torch.zeros(1)}, file)
    assert adapter_of(chosen, None).parameters == 0
