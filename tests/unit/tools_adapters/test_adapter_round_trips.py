"""Each adapter tool undone by its opposite, on files under true names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapter_files import ORIGINAL, SHAPES, TEXT, checkpoint, lora, random, run_tool, save, update, updates
from safetensors.torch import load_file, save_file

from trainer.contract.problems import Problems
from trainer.plan.adapters.tensorfile import open_file

SD1 = {"ss_base_model_version": "sd_v1", "ss_tag_frequency": '{"1_zorb": {"zorb": 3}}', "ss_output_name": "secret"}


def close(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor], most: float = 1e-6) -> bool:
    assert list(some) and set(some) == set(others)
    return all(float((some[name] - others[name]).abs().max()) <= most for name in some)


def test_merged_in_at_1_and_at_minus_1_gives_the_checkpoint_back(tmp_path: Path) -> None:
    before, adapter = checkpoint(), lora()
    model, file = save(tmp_path / "m.safetensors", before), save(tmp_path / "a.safetensors", adapter, **SD1)
    run_tool(tmp_path, "merge-into", model=str(model), adapters=[str(file)])
    merged = load_file(tmp_path / "m-merged.safetensors")
    for name, shape in SHAPES.items():
        key = f"model.diffusion_model.{ORIGINAL[name]}.weight"
        wanted = before[key] + update(adapter, f"lora_unet_{name.replace('.', '_')}", shape)
        assert torch.allclose(merged[key], wanted, atol=1e-6)
    for name, shape in TEXT.items():
        key = f"cond_stage_model.transformer.text_model.{name}.weight"
        wanted = before[key] + update(adapter, f"lora_te_text_model_{name.replace('.', '_')}", shape)
        assert torch.allclose(merged[key], wanted, atol=1e-6)
    again = str(tmp_path / "m-merged.safetensors")
    run_tool(tmp_path, "merge-into", model=again, adapters=[str(file)], strengths=[-1], out=str(tmp_path / "back"))
    assert close(load_file(tmp_path / "back.safetensors"), before)


def test_two_adapters_at_once_are_the_same_as_one_after_the_other(tmp_path: Path) -> None:
    save(tmp_path / "m.safetensors", checkpoint())
    for number in (1, 2):
        save(tmp_path / f"{number}.safetensors", lora(seed=50 * number), **SD1)
    files = [str(tmp_path / f"{number}.safetensors") for number in (1, 2)]
    model = str(tmp_path / "m.safetensors")
    run_tool(tmp_path, "merge-into", model=model, adapters=files, strengths=[0.5, -2])
    run_tool(tmp_path, "merge-into", model=model, adapters=files[:1], strengths=[0.5], out=str(tmp_path / "one"))
    one = str(tmp_path / "one.safetensors")
    run_tool(tmp_path, "merge-into", model=one, adapters=files[1:], strengths=[-2], out=str(tmp_path / "two"))
    assert close(load_file(tmp_path / "m-merged.safetensors"), load_file(tmp_path / "two.safetensors"))


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_a_checkpoint_is_written_in_the_format_asked_for(tmp_path: Path, precision: str, dtype: torch.dtype) -> None:
    before = checkpoint()
    model, file = save(tmp_path / "m.safetensors", before), save(tmp_path / "a.safetensors", lora(), **SD1)
    run_tool(tmp_path, "merge-into", model=str(model), adapters=[str(file)], strengths=[0], precision=precision)
    merged = load_file(tmp_path / "m-merged.safetensors")
    assert all(torch.equal(merged[name], value.to(dtype)) for name, value in before.items())


def test_a_diffusers_folder_is_merged_like_the_single_file(tmp_path: Path) -> None:
    single, adapter = checkpoint(), lora()
    folder, file = tmp_path / "m", save(tmp_path / "a.safetensors", adapter, **SD1)
    unet = {f"{name}.weight": single[f"model.diffusion_model.{ORIGINAL[name]}.weight"] for name in SHAPES}
    text = {f"text_model.{n}.weight": single[f"cond_stage_model.transformer.text_model.{n}.weight"] for n in TEXT}
    save(folder / "unet" / "diffusion_pytorch_model.safetensors", unet)
    save(folder / "text_encoder" / "model.safetensors", text)
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (folder / "unet" / "config.json").write_text("{}")
    run_tool(tmp_path, "merge-into", model=str(folder), adapters=[str(file)])
    run_tool(tmp_path, "merge-into", model=str(save(tmp_path / "s.safetensors", single)), adapters=[str(file)])
    wanted = load_file(tmp_path / "s-merged.safetensors")
    merged = load_file(tmp_path / "m-merged" / "unet" / "diffusion_pytorch_model.safetensors")
    assert all(
        torch.equal(merged[f"{n}.weight"], wanted[f"model.diffusion_model.{ORIGINAL[n]}.weight"]) for n in SHAPES
    )
    merged = load_file(tmp_path / "m-merged" / "text_encoder" / "model.safetensors")
    assert all(torch.equal(merged[name], wanted[f"cond_stage_model.transformer.{name}"]) for name in text)
    assert (tmp_path / "m-merged" / "unet" / "config.json").read_text() == "{}"


def test_fused_rows_of_open_clip_get_their_own_third(tmp_path: Path) -> None:
    fused = random((48, 16), 3)
    home = "conditioner.embedders.1.model.transformer.resblocks.0"
    unet = {name: value for name, value in checkpoint().items() if name.startswith("model.")}
    save(
        tmp_path / "m.safetensors",
        {**unet, f"{home}.attn.in_proj_weight": fused, f"{home}.mlp.c_fc.weight": random((8, 16), 4)},
    )
    adapter = {}
    for number, name in enumerate(("self_attn_k_proj", "self_attn_v_proj", "mlp_fc1")):
        key = f"lora_te2_text_model_encoder_layers_0_{name}"
        adapter[f"{key}.lora_down.weight"] = random((2, 16), 10 + number)
        adapter[f"{key}.lora_up.weight"] = random((8 if name == "mlp_fc1" else 16, 2), 20 + number)
        adapter[f"{key}.alpha"] = torch.tensor(2.0)
    file = save(tmp_path / "a.safetensors", adapter)
    result = run_tool(tmp_path, "merge-into", model=str(tmp_path / "m.safetensors"), adapters=[str(file)])
    merged = load_file(tmp_path / "m-merged.safetensors")[f"{home}.attn.in_proj_weight"]
    k, v = (update(adapter, f"lora_te2_text_model_encoder_layers_0_self_attn_{x}_proj", (16, 16)) for x in "kv")
    assert torch.allclose(merged, fused + torch.cat([torch.zeros(16, 16), k, v]), atol=1e-6) and not result.notes


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    model = save(tmp_path / "m.safetensors", checkpoint())
    adapter = {name.replace("blocks_1", "blocks_7"): value for name, value in lora(text=False).items()}
    file = save(tmp_path / "a.safetensors", adapter)
    with pytest.raises(Problems, match=r"layers of a\.safetensors are not in m\.safetensors"):
        run_tool(tmp_path, "merge-into", model=str(model), adapters=[str(file)])
    assert not (tmp_path / "m-merged.safetensors").exists()


def test_merging_exactly_adds_the_updates_up(tmp_path: Path) -> None:
    one, two = lora(4, 2.0, 1), lora(2, 2.0, 90, text=False)
    files = [str(save(tmp_path / f"{n}.safetensors", t, **SD1)) for n, t in (("one", one), ("two", two))]
    run_tool(tmp_path, "merge", adapters=files, weights=[1, -0.5])
    merged, a, b = (updates(tmp_path / f"{name}.safetensors") for name in ("one-merged", "one", "two"))
    wanted = {key: value - 0.5 * b[key] if key in b else value for key, value in a.items()}
    assert close(merged, wanted)
    written = open_file(tmp_path / "one-merged.safetensors")
    assert written.metadata["ss_network_dim"] == "Dynamic" and "secret" not in str(written.metadata)
    run_tool(tmp_path, "merge", adapters=files, weights=[1, -0.5], rank=6, out=str(tmp_path / "cut"))
    assert close(updates(tmp_path / "cut.safetensors"), wanted, 1e-5)


@pytest.mark.parametrize("ends", [("lora_down.weight", "lora_up.weight"), ("diff", "diff")], ids=["LoRA", "full"])
def test_adapters_of_models_of_different_sizes_are_not_merged(tmp_path: Path, ends: tuple[str, str]) -> None:
    """Of one family by name; whatever kind of update it is, what is wrong is told in words."""
    files = []
    for width in (24, 32):
        shapes = {ends[0]: (4, width), ends[1]: (24, 4)} if ends[0] != ends[1] else {"diff": (24, width)}
        key = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
        tensors = {f"{key}.{end}": random(shape, width) for end, shape in shapes.items()}
        files.append(str(save(tmp_path / f"{width}.safetensors", tensors, **SD1)))
    with pytest.raises(Problems, match="to_q has different sizes in these files"):
        run_tool(tmp_path, "merge", adapters=files, rank=4)
    assert not (tmp_path / "24-merged.safetensors").exists()


def test_merging_one_file_at_weight_1_changes_no_update(tmp_path: Path) -> None:
    file = save(tmp_path / "a.safetensors", lora(4, 4.0), **SD1)
    run_tool(tmp_path, "merge", adapters=[str(file)])
    before, after = load_file(file), load_file(tmp_path / "a-merged.safetensors")
    assert set(before) == set(after) and all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("kind", ["lora_mid", "1x1"])
def test_resized_to_its_full_rank_a_lora_does_the_same(tmp_path: Path, kind: str) -> None:
    adapter = lora(4, 2.0)
    if kind == "lora_mid":
        key = "lora_unet_down_blocks_1_resnets_0_conv1"
        adapter[f"{key}.lora_down.weight"] = random((4, 16, 1, 1), 5)
        adapter[f"{key}.lora_mid.weight"] = random((4, 4, 3, 3), 6, 1.0)
    file = save(tmp_path / "a.safetensors", adapter, **SD1)
    result = run_tool(tmp_path, "resize", adapter=str(file), rank=4)
    after = updates(Path(result.file))
    wanted = updates(file) if kind == "1x1" else None
    if wanted is not None:
        assert close(after, wanted)
    else:
        up, mid, down = (adapter[f"{key}.lora_{role}.weight"] for role in ("up", "mid", "down"))
        whole = torch.einsum("osxy,srkl,rixy->oikl", up, mid, down) * 0.5
        assert torch.allclose(after[key], whole.flatten(1), atol=1e-6)
    assert ("Kept of the update's norm", "100.00%") in result.facts


@pytest.mark.parametrize(
    ("method", "amount", "kept"), [("rank", 1, 2), ("ratio", 3, 2), ("cumulative", 0.8, 2), ("Frobenius", 0.99, 3)]
)
def test_each_way_of_resizing_keeps_the_ranks_that_it_says(
    tmp_path: Path, method: str, amount: float, kept: int
) -> None:
    """Singular values 8, 4, 2, 0: sums 8 12 14, of squares 64 80 84."""
    key = "lora_unet_mid_block_attentions_0_proj_in"
    turned = torch.linalg.qr(random((4, 4), 1))[0]
    values = torch.tensor([8.0, 4.0, 2.0, 0.0])
    adapter = {f"{key}.lora_down.weight": turned.T.contiguous(), f"{key}.lora_up.weight": turned * values}
    file = save(tmp_path / "a.safetensors", adapter, **SD1)
    rank = 2 if method == "rank" else 4
    result = run_tool(tmp_path, "resize", adapter=str(file), rank=rank, method=method, amount=amount)
    assert load_file(result.file)[f"{key}.lora_down.weight"].shape[0] == kept


def test_what_was_merged_in_is_extracted_again(tmp_path: Path, demo_model_dir: Path) -> None:
    """On the tiny model that ships: the extracted updates are those of the adapter, layers without difference are left
    out, and what is below the smallest difference too."""
    text, unet = demo_model_dir / "text_encoder" / "model.safetensors", demo_model_dir / "unet"
    shapes = {n: s.shape for n, s in open_file(unet / "diffusion_pytorch_model.safetensors").tensors.items()}
    names = [n.removesuffix(".weight") for n in shapes if n.endswith(("attn1.to_q.weight", "resnets.0.conv1.weight"))][
        :5
    ]
    assert len({len(shapes[f"{name}.weight"]) for name in names}) == 2 and text.is_file()
    adapter = {}
    for number, name in enumerate(names):
        outputs, inputs, *kernel = shapes[f"{name}.weight"]
        key = f"lora_unet_{name.replace('.', '_')}"
        adapter[f"{key}.lora_down.weight"] = random((2, inputs, *kernel), number)
        adapter[f"{key}.lora_up.weight"] = random((outputs, 2, *[1] * len(kernel)), 50 + number)
        adapter[f"{key}.alpha"] = torch.tensor(2.0)
    file = save(tmp_path / "a.safetensors", adapter, **SD1)
    tuned, base = str(tmp_path / "tuned"), str(demo_model_dir)
    run_tool(tmp_path, "merge-into", model=base, adapters=[str(file)], out=tuned, precision="float")
    wanted = {"base": base, "tuned": tuned, "rank": 2, "conv_rank": 2, "precision": "float", "min_diff": 1e-7}
    result = run_tool(tmp_path, "extract", **wanted)
    assert close(updates(Path(result.file)), updates(file), 1e-5)
    with pytest.raises(Problems, match="no layer of tuned differs by more than 5"):
        run_tool(tmp_path, "extract", **{**wanted, "min_diff": 5, "out": str(tmp_path / "none")})


def test_edited_metadata_leave_every_byte_of_the_tensors(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file(lora(), file, {**SD1, "ss_network_dim": "4", "sshs_model_hash": "old"})
    result = run_tool(tmp_path, "metadata", adapter=str(file), strip="names and tags", set=["modelspec.author=me"])
    before, after = open_file(file), open_file(result.file)
    assert file.read_bytes()[before.start :] == Path(result.file).read_bytes()[after.start :]
    assert after.metadata["ss_network_dim"] == "4" and after.metadata["modelspec.author"] == "me"
    assert "ss_tag_frequency" not in after.metadata and "secret" not in str(after.metadata)
    assert not any("hash" in fault for fault in run_tool(tmp_path, "verify", adapter=result.file).faults)
    run_tool(tmp_path, "metadata", adapter=str(file), strip="everything", out=str(file), replace=True)
    assert open_file(file).metadata == {}


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    file = save(tmp_path / "a.safetensors", lora(), **SD1)
    (tmp_path / "a-edited.safetensors").write_bytes(b"mine")
    with pytest.raises(Problems, match="is there already"):
        run_tool(tmp_path, "metadata", adapter=str(file))
    assert (tmp_path / "a-edited.safetensors").read_bytes() == b"mine"
