"""Names of layers in every layout are one place, and converting there and back gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapter_files import lora, random, run_tool, save
from safetensors.torch import load_file

from trainer.contract.problems import Problems
from trainer.plan.adapters.look import all_families, look, standard
from trainer.plan.adapters.names import Place, diffusers_name, kohya_name, lycoris_name, place_of

SAME = (
    (
        "lora_unet_down_blocks_2_attentions_1_transformer_blocks_0_attn2_to_out_0",
        "lora_unet_input_blocks_8_1_transformer_blocks_0_attn2_to_out_0",
        "lycoris_down_blocks_2_attentions_1_transformer_blocks_0_attn2_to_out_0",
        "unet.down_blocks.2.attentions.1.transformer_blocks.0.attn2.to_out.0",
        "unet.down_blocks.2.attentions.1.transformer_blocks.0.attn2.processor.to_out",
        "base_model.model.down_blocks.2.attentions.1.transformer_blocks.0.attn2.to_out.0",
        "diffusion_model.input_blocks.8.1.transformer_blocks.0.attn2.to_out.0",
    ),
    ("lora_unet_up_blocks_0_upsamplers_0_conv", "lora_unet_output_blocks_2_2_conv", "lora_unet_output_blocks_2_1_conv"),
    ("lora_unet_down_blocks_1_downsamplers_0_conv", "lora_unet_input_blocks_6_0_op"),
    ("lora_unet_mid_block_resnets_1_conv_shortcut", "lora_unet_middle_block_2_skip_connection"),
    ("lora_unet_up_blocks_1_resnets_2_time_emb_proj", "lora_unet_output_blocks_5_0_emb_layers_1"),
    ("lora_unet_add_embedding_linear_2", "lora_unet_label_emb_0_2", "unet.add_embedding.linear_2"),
    (
        "lora_te2_text_model_encoder_layers_31_self_attn_out_proj",
        "text_encoder_2.text_model.encoder.layers.31.self_attn.out_proj",
        "text_encoder_2.encoder.layers.31.self_attn.out_proj",
    ),
    ("lora_te_text_model_encoder_layers_3_mlp_fc2", "lora_te1_text_model_encoder_layers_3_mlp_fc2"),
)
"""Names of one layer, a row each: sd-scripts' own keys (`networks/lora.py`), diffusers' and PEFT's state dicts."""


ORIGINAL = ("lora_unet_input_", "lora_unet_middle_", "lora_unet_output_")


@pytest.mark.parametrize("names", SAME, ids=lambda names: names[0])
def test_all_names_of_a_layer_are_one_place(names: tuple[str, ...]) -> None:
    places = {place_of(name) for name in names}
    assert len(places) == 1 and None not in places


@pytest.mark.parametrize("name", ["lora_unet_double_blocks_0_img_attn_qkv", "lora_unet_", "transformer.x", "unet.mlp"])
def test_a_name_of_no_layer_is_no_place(name: str) -> None:
    assert place_of(name) is None


@pytest.mark.parametrize("family", all_families(), ids=lambda family: family.name)
def test_every_layer_of_a_family_is_found_under_each_of_its_names(family: object) -> None:
    known = standard(family)  # type: ignore[arg-type]
    assert len(known) == len(family.layers({})) > 200  # type: ignore[attr-defined]
    for place, (key, _) in known.items():
        assert key == kohya_name(place, "_te1_" in key, key.startswith(ORIGINAL))
        assert place_of(diffusers_name(place)) == place
        assert (name := lycoris_name(place)) is None or place_of(name) == place


@pytest.mark.parametrize("to", ["diffusers", "LyCORIS"])
@pytest.mark.parametrize("alpha", [4.0, 1.0])
def test_converted_there_and_back_every_byte_is_the_same(tmp_path: Path, to: str, alpha: float) -> None:
    """alpha / rank is 1 and 1/4: a power of two is multiplied in and taken out without rounding."""
    file = save(tmp_path / "a.safetensors", lora(4, alpha), ss_base_model_version="sd_v1")
    there = run_tool(tmp_path, "convert", adapter=str(file), to=to)
    assert look(there.file).layout == to
    back = run_tool(tmp_path, "convert", adapter=there.file, to="Kohya")
    before, after = load_file(file), load_file(back.file)
    assert set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_scale_that_is_no_power_of_two_comes_back_within_rounding(tmp_path: Path) -> None:
    file = save(tmp_path / "a.safetensors", lora(4, 3.0), ss_base_model_version="sd_v1")
    there = run_tool(tmp_path, "convert", adapter=str(file), to="diffusers")
    back = load_file(run_tool(tmp_path, "convert", adapter=there.file, to="Kohya").file)
    for name, value in load_file(file).items():
        if name.endswith("lora_up.weight"):
            assert torch.allclose(back[name], value * 0.75, atol=1e-7)
            assert back[name.replace("lora_up.weight", "alpha")] == 4


def test_dora_goes_to_diffusers_and_back(tmp_path: Path) -> None:
    tensors = lora(4, 4.0)
    for name in [name for name in tensors if name.endswith("lora_up.weight")]:
        up = tensors[name]
        tensors[name.replace("lora_up.weight", "dora_scale")] = random((up.shape[0], *[1] * (up.dim() - 1)), 3).abs()
    file = save(tmp_path / "a.safetensors", tensors, ss_base_model_version="sd_v1")
    there = run_tool(tmp_path, "convert", adapter=str(file), to="diffusers")
    shapes = {name: value.shape for name, value in load_file(there.file).items() if "magnitude" in name}
    assert shapes["unet.down_blocks.1.resnets.0.conv1.lora_magnitude_vector.weight"] == (1, 24, 1, 1)
    back = load_file(run_tool(tmp_path, "convert", adapter=there.file, to="Kohya").file)
    assert all(torch.equal(back[name], value) for name, value in tensors.items())
    again = run_tool(tmp_path, "convert", adapter=there.file, to="diffusers", out=str(tmp_path / "again.safetensors"))
    assert {name: value.shape for name, value in load_file(again.file).items() if "magnitude" in name} == shapes
    older = {name.removesuffix(".weight") if "magn" in name else name: v for name, v in load_file(there.file).items()}
    file = save(tmp_path / "older.safetensors", older)
    back = load_file(run_tool(tmp_path, "convert", adapter=str(file), to="Kohya").file)
    assert all(name in back for name in tensors if "dora_scale" in name)


def test_what_has_no_names_in_diffusers_is_refused(tmp_path: Path) -> None:
    key = "lora_unet_mid_block_attentions_0_proj_in"
    names = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    loha = {f"{key}.{name}": random((4, 4), number) for number, name in enumerate(names)}
    file = save(tmp_path / "a.safetensors", loha)
    with pytest.raises(Problems, match=r"a\.safetensors is LoHa, which cannot be written with diffusers' names"):
        run_tool(tmp_path, "convert", adapter=str(file), to="diffusers")
    assert Place("unet", "mid_block.attentions.0.proj_in") in look(file).by_place()
