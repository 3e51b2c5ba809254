"""Recognition from headers alone: files are written with the real key names and empty or tiny tensors."""

from __future__ import annotations

import json
import math
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tiny_models
import torch
from original_layout import tensors_of, write_single_file
from safetensors.torch import load_file, save_file

from trainer.contract.families import by_name, default_family, recognise, untrained
from trainer.contract.families.base import read_header
from trainer.contract.families.pickled import read_shapes
from trainer.contract.problems import Problems

GOLDEN = Path(__file__).parents[2] / "golden" / "sdscripts-sd15-r16.json"
MODEL = "model.diffusion_model."


def write(path: Path, shapes: dict[str, tuple[int, ...]], metadata: dict[str, str] | None = None) -> Path:
    """A safetensors file of zeros in these shapes."""
    save_file({name: torch.zeros(shape, dtype=torch.float16) for name, shape in shapes.items()}, path, metadata)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(Problems) as caught:
        recognise(str(path))
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_the_shipped_model_is_sd1(demo_model_dir: Path) -> None:
    found = recognise(str(demo_model_dir))
    assert (found.family, found.prediction, found.layout, found.trained) == ("SD 1.x", "epsilon", "diffusers", True)


@pytest.mark.parametrize("ending", [".safetensors", ".ckpt"])
def test_a_single_file_is_recognised_by_structure(demo_model_dir: Path, tmp_path: Path, ending: str) -> None:
    file = write_single_file(demo_model_dir, tmp_path / f"tiny{ending}")
    found = recognise(str(file))
    assert (found.family, found.layout, found.trained) == ("SD 1.x", "single file", True)
    facts, folder = default_family(), recognise(str(demo_model_dir))
    assert facts.layers(found.header) == facts.layers(folder.header)


def test_a_pickle_is_read_as_data(demo_model_dir: Path, tmp_path: Path) -> None:
    """Names and shapes from the opcodes equal those that torch itself would load."""
    tensors = tensors_of(demo_model_dir)
    torch.save({"state_dict": tensors, "epoch": 3, "lr": [0.1, 0.2], "flag": True}, tmp_path / "m.ckpt")
    assert read_shapes(tmp_path / "m.ckpt") == {name: tuple(value.shape) for name, value in tensors.items()}
    parameters = {name: torch.nn.Parameter(value.float()) for name, value in list(tensors.items())[:3]}
    torch.save(parameters, tmp_path / "p.ckpt")
    assert set(read_shapes(tmp_path / "p.ckpt")) == set(parameters)


class Bomb:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.witness,)


def test_a_pickle_bomb_does_not_go_off(demo_model_dir: Path, tmp_path: Path) -> None:
    witness = tmp_path / "went-off"
    torch.save({"state_dict": tensors_of(demo_model_dir), "bomb": Bomb(witness)}, tmp_path / "bomb.ckpt")
    assert recognise(str(tmp_path / "bomb.ckpt")).family == "SD 1.x"
    assert not witness.exists()
    pickle.loads(pickle.dumps(Bomb(witness)))
    assert witness.exists(), "the bomb is a real one"


def test_prediction_markers(demo_model_dir: Path, tmp_path: Path) -> None:
    tensors = {name: value.contiguous() for name, value in tensors_of(demo_model_dir).items()}
    save_file({**tensors, "v_pred": torch.zeros(0)}, tmp_path / "v.safetensors")
    save_file(tensors, tmp_path / "m.safetensors", {"modelspec.prediction_type": "v"})
    assert recognise(str(tmp_path / "v.safetensors")).prediction == "v"
    assert recognise(str(tmp_path / "m.safetensors")).prediction == "v"


SDXL = {
    f"{MODEL}input_blocks.0.0.weight": (320, 4, 3, 3),
    f"{MODEL}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
    f"{MODEL}label_emb.0.0.weight": (1280, 2816),
}
REFINER = SDXL | {
    f"{MODEL}input_blocks.0.0.weight": (384, 4, 3, 3),
    f"{MODEL}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (768, 1280),
    f"{MODEL}input_blocks.10.0.in_layers.2.weight": (1536, 1536, 3, 3),
    f"{MODEL}label_emb.0.0.weight": (1536, 2560),
}
SD2 = {
    f"{MODEL}input_blocks.0.0.weight": (320, 4, 3, 3),
    f"{MODEL}input_blocks.1.1.proj_in.weight": (320, 320),
    f"{MODEL}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
    f"{MODEL}output_blocks.11.0.skip_connection.weight": (320, 640, 1, 1),
}
SD1_INPAINT = SD2 | {
    f"{MODEL}input_blocks.0.0.weight": (320, 9, 3, 3),
    f"{MODEL}input_blocks.1.1.proj_in.weight": (320, 320, 1, 1),
    f"{MODEL}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
}


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (SDXL | {f"{MODEL}input_blocks.0.0.weight": (320, 9, 3, 3)}, "SDXL for inpainting, epsilon: not trained yet"),
        (SDXL | {"edm_mean": (4,)}, "SDXL for EDM noise (Playground v2.5), epsilon: not trained yet"),
        (SD2 | {f"{MODEL}input_blocks.0.0.weight": (320, 5, 3, 3)}, "SD 2.x for depth to image, v: not trained yet"),
        (SD2 | {f"{MODEL}label_emb.0.0.weight": (1280, 2048)}, "SD 2.x for image variations (unCLIP), v"),
        (SD1_INPAINT, "SD 1.x for inpainting, epsilon: not trained yet"),
        ({f"{MODEL}joint_blocks.0.context_block.attn.qkv.weight": (6, 6)}, "SD 3 / 3.5, flow: not trained yet"),
        ({"double_blocks.0.img_attn.norm.key_norm.scale": (128,), "img_in.weight": (8, 8)}, "Flux.1, flow"),
        (
            {"distilled_guidance_layer.in_proj.bias": (8,), "double_blocks.0.img_attn.norm.key_norm.scale": (8,)},
            "Chroma",
        ),
        ({"single_stream_modulation.lin.weight": (8, 8)}, "Flux.2"),
        ({"cap_pad_token": (1, 8), "cap_embedder.1.weight": (8, 8)}, "Z-Image"),
        ({"cap_embedder.0.weight": (8,), "noise_refiner.0.attention.qkv.weight": (8, 8)}, "Lumina-Image 2"),
        ({"txt_norm.weight": (8,), "transformer_blocks.0.img_mod.1.weight": (8, 8)}, "Qwen-Image"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_families_are_named(tmp_path: Path, shapes: dict[str, tuple[int, ...]], said: str) -> None:
    file = write(tmp_path / "x.safetensors", shapes)
    found = recognise(str(file))
    assert not found.trained
    problem = str(untrained(str(file), found))
    assert problem.startswith(f"model.path: x.safetensors is {said}"), problem
    assert "choose a Stable Diffusion 1.x, 2.x or XL model" in problem


def test_the_refiner_is_refused_with_its_reason(tmp_path: Path) -> None:
    """Its structure, and what ComfyUI knows it by: the width of its only text."""
    bare = {f"{MODEL}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (768, 1280)}
    for shapes in (REFINER, bare):
        file = write(tmp_path / "r.safetensors", shapes)
        found = recognise(str(file))
        assert (found.family, found.trained) == ("SDXL refiner", False)
        problem = str(untrained(str(file), found))
        assert "only finishes pictures that another model has begun" in problem
        assert "choose the SDXL base model" in problem


@pytest.mark.parametrize(
    ("shapes", "metadata", "family", "prediction", "zero_snr", "certain"),
    [
        (SDXL, {}, "SDXL", "epsilon", False, False),
        (SDXL | {"v_pred": (0,)}, {}, "SDXL", "v", False, True),
        (SDXL | {"v_pred": (0,), "ztsnr": (0,)}, {}, "SDXL", "v", True, True),
        (SDXL, {"modelspec.prediction_type": "epsilon"}, "SDXL", "epsilon", False, True),
        (SD2, {}, "SD 2.x", "v", False, False),
        (SD2, {"modelspec.architecture": "stable-diffusion-v2-768-v"}, "SD 2.x", "v", False, True),
        (SD2, {"modelspec.architecture": "stable-diffusion-v2-512"}, "SD 2.x", "epsilon", False, True),
        (SD2, {"modelspec.prediction_type": "epsilon"}, "SD 2.x", "epsilon", False, True),
    ],
)
def test_a_file_says_what_it_predicts(
    tmp_path: Path,
    shapes: dict[str, tuple[int, ...]],
    metadata: dict[str, str],
    family: str,
    prediction: str,
    zero_snr: bool,
    certain: bool,
) -> None:
    """The markers are those of NoobAI-XL's v-prediction files; modelspec as sd-scripts writes it."""
    found = recognise(str(write(tmp_path / "m.safetensors", shapes, metadata)))
    assert (found.family, found.prediction, found.trained) == (family, prediction, True)
    assert (found.zero_snr, found.certain) == (zero_snr, certain)


@pytest.mark.parametrize("row", tiny_models.ROWS, ids=lambda row: row.id)
def test_every_kind_of_model_is_recognised_in_every_form(row: tiny_models.Row, tmp_path: Path) -> None:
    folder = tiny_models.build(row, tmp_path / "m")
    forms = [folder, tiny_models.single_file(row, folder, tmp_path / "one.safetensors")]
    forms += [tiny_models.single_file(row, folder, tmp_path / "two.ckpt")]
    half = {name: value.half() for name, value in load_file(forms[1]).items()}
    save_file(half, tmp_path / "half.safetensors")
    parts = by_name(row.family).parts
    keys = [layer.key for layer in by_name(row.family).layers(recognise(str(folder)).header)]
    assert len(keys) == len(set(keys)) > 100
    for form in [*forms, tmp_path / "half.safetensors"]:
        found = recognise(str(form))
        said = row.prediction if row.markers or "half" not in form.name or row.family != "SD 2.x" else "v"
        assert (found.family, found.prediction, found.zero_snr) == (row.family, said, row.zero_snr), form
        assert found.contents == set(parts)
        assert [layer.key for layer in by_name(row.family).layers(found.header)] == keys


def test_what_a_single_file_lacks_may_lie_beside_it(tmp_path: Path) -> None:
    folder = tiny_models.build(tiny_models.SDXL, tmp_path / "whole")
    tensors = load_file(tiny_models.single_file(tiny_models.SDXL, folder, tmp_path / "m.safetensors"))
    bare = {name: value for name, value in tensors.items() if name.startswith("model.diffusion_model.")}
    save_file(bare, tmp_path / "bare.safetensors")
    assert recognise(str(tmp_path / "bare.safetensors")).contents == {"unet"}
    folder.rename(tmp_path / "bare")
    assert recognise(str(tmp_path / "bare.safetensors")).contents == {"unet", "te1", "te2", "vae"}


def test_shards_count_as_one_part_and_a_missing_one_is_named(tmp_path: Path) -> None:
    """As diffusers saves what is larger than 10 GB."""
    folder = tiny_models.build(tiny_models.SDXL, tmp_path / "m")
    whole = recognise(str(folder))
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    names = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    halves = [dict(list(tensors.items())[i::2]) for i in (0, 1)]
    for name, half in zip(names, halves):
        save_file(half, folder / "unet" / name)
    index = {"weight_map": {key: name for name, half in zip(names, halves) for key in half}}
    weights.with_name(weights.name + ".index.json").write_text(json.dumps(index))
    weights.unlink()
    assert recognise(str(folder)).header == whole.header
    (folder / "unet" / names[1]).unlink()
    assert f"lacks {names[1]}" in refusal(folder)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": (4, 4)}, "is a LoRA"),
        ({"unet.mid_block.attentions.0.proj_in.lora_A.weight": (4, 4)}, "is a LoRA"),
        ({"lora_unet_x.hada_w1_a": (4, 4)}, "is a LoRA"),
        ({"encoder.conv_in.weight": (8, 3, 3, 3), "decoder.conv_in.weight": (8, 4, 3, 3)}, "is a VAE"),
        ({"text_model.embeddings.token_embedding.weight": (8, 8)}, "is a text encoder"),
        ({"emb_params": (2, 8)}, "is a textual-inversion embedding"),
        ({"control_model.time_embed.0.weight": (8, 8)}, "is a ControlNet"),
        ({"something.else": (8, 8)}, "no model family that we know"),
    ],
)
def test_what_is_no_base_model_is_named(tmp_path: Path, shapes: dict[str, tuple[int, ...]], said: str) -> None:
    assert said in refusal(write(tmp_path / "x.safetensors", shapes))


def test_damaged_and_missing_files(demo_model_dir: Path, tmp_path: Path) -> None:
    whole = write_single_file(demo_model_dir, tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "page.safetensors").write_bytes(b"<html>not found</html>")
    (tmp_path / "page.ckpt").write_bytes(b"<html>not found</html>")
    (tmp_path / "photo.png").write_bytes(b"x")
    assert "cut short" in refusal(tmp_path / "cut.safetensors")
    assert "does not start like a safetensors file" in refusal(tmp_path / "page.safetensors")
    assert "not a PyTorch zip file" in refusal(tmp_path / "page.ckpt")
    assert "no model file" in refusal(tmp_path / "photo.png")
    assert "did you mean whole.safetensors?" in refusal(tmp_path / "whole.safetensor")
    assert "name the file" in refusal(tmp_path)


@pytest.mark.parametrize("header", ["[]", '{"a": 1}', '{"a": {"shape": ["x"]}}', '{"a": {"shape": [1]}}', "1234"])
def test_a_header_that_lists_no_tensors(tmp_path: Path, header: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode())
    assert "damaged" in refusal(tmp_path / "x.safetensors")


@pytest.mark.parametrize("cut", [5, 50, 300])
def test_a_damaged_pickle_is_an_error_not_a_crash(demo_model_dir: Path, tmp_path: Path, cut: int) -> None:
    """The list of tensors cut short, in a zip file that is whole."""
    torch.save({"state_dict": tensors_of(demo_model_dir)}, tmp_path / "whole.ckpt")
    with zipfile.ZipFile(tmp_path / "whole.ckpt") as whole, zipfile.ZipFile(tmp_path / "cut.ckpt", "w") as damaged:
        damaged.writestr("archive/data.pkl", whole.read("whole/data.pkl")[:-cut])
    assert "cannot be used" in refusal(tmp_path / "cut.ckpt")


def test_folders_of_other_families(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    found = recognise(str(tmp_path))
    assert (found.family, found.trained) == ("Flux.1", False)


def test_a_hub_id_that_is_not_cached_is_a_guess() -> None:
    found = recognise("nobody/there-is-no-such-model")
    assert (found.family, found.layout, found.header) == ("SD 1.x", "diffusers", {})
    assert recognise("nobody/some-sdxl-model").family == "SDXL"


def test_adapter_size_of_a_standard_model_is_that_of_the_golden_file() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))["tensors"]
    counted = {"lora_unet": 0, "lora_te": 0}
    for name, tensor in golden.items():
        counted["lora_te" if name.startswith("lora_te") else "lora_unet"] += (
            0 if name.endswith("alpha") else math.prod(tensor["shape"])
        )
    facts = by_name("sd 1.x")
    assert tiny_models.plain_size(facts, {}, 16, 0, ("unet",)) == counted["lora_unet"]
    assert tiny_models.plain_size(facts, {}, 16, 0, ("te1",)) == counted["lora_te"]


def test_header_of_a_file_with_metadata(tmp_path: Path) -> None:
    file = write(tmp_path / "x.safetensors", {"a": (2, 3)}, {"note": "ä"})
    assert read_header(file) == ({"a": (2, 3)}, {"note": "ä"})


def test_recognition_needs_no_torch(demo_model_dir: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from trainer.contract.families import recognise\n"
        f"print(recognise({str(demo_model_dir)!r}).family)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "SD 1.x"
