"""The denoising loop against diffusers' own pipeline; PNG texts; before and after."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.contract import catalog
from trainer.contract.events import Sampled
from trainer.contract.families import recognise
from trainer.contract.rundir import RunDir
from trainer.families.sd1 import StableDiffusion1
from trainer.parts import LoadPlan, ModelFiles
from trainer.run import resolve
from trainer.sampling.denoise import draw, start_noise
from trainer.sampling.grid import before_after
from trainer.sampling.previews import Kept, Previews, Recipe
from trainer.sampling.prompts import Prompt

A1111 = r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)'
"""`re_param_code` of A1111's modules/infotext_utils.py, with which it takes a picture's last line apart."""

PROMPT = Prompt("a red circle on a blue background", "a green square", 64, 64, 7, 6, 4.0)


@pytest.fixture(scope="module")
def family(demo_model_dir: Path) -> Iterator[StableDiffusion1]:
    loaded = StableDiffusion1()
    plan = LoadPlan(torch.device("cpu"), torch.float32, torch.float32)
    loaded.load(ModelFiles(str(demo_model_dir), recognise(str(demo_model_dir))), plan)
    yield loaded


def scheduler(family: StableDiffusion1, name: str) -> Any:
    return resolve("samplers", name).from_config(dict(family.sampling.scheduler))


def drawn(family: StableDiffusion1, name: str, prompt: Prompt = PROMPT) -> torch.Tensor:
    texts = (family.encode_captions([prompt.text]), family.encode_captions([prompt.negative]))
    return draw(family, scheduler(family, name), prompt, *texts, torch.device("cpu"))


@pytest.mark.parametrize("name", ["ddim", "dpm++ 2m", "pndm", "euler"])
def test_the_loop_draws_what_diffusers_pipeline_draws(
    family: StableDiffusion1, demo_model_dir: Path, name: str
) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        str(demo_model_dir), safety_checker=None, torch_dtype=torch.float32
    )
    pipeline.scheduler = scheduler(family, name)
    pipeline.set_progress_bar_config(disable=True)
    latents = start_noise(PROMPT, 4, 8)
    picture = pipeline(
        PROMPT.text,
        negative_prompt=PROMPT.negative,
        width=64,
        height=64,
        num_inference_steps=PROMPT.steps,
        guidance_scale=PROMPT.guidance,
        latents=latents,
        output_type="np",
    ).images[0]
    ours = drawn(family, name).permute(1, 2, 0).numpy()
    assert np.abs(ours - picture).max() < 1e-3


@pytest.mark.parametrize("name", catalog.names("samplers"))
def test_every_sampler_gives_the_same_picture_for_the_same_seed(family: StableDiffusion1, name: str) -> None:
    state = torch.get_rng_state()
    first = drawn(family, name)
    assert torch.equal(state, torch.get_rng_state()), "a sampler drew from the global generator"
    torch.manual_seed(99)
    assert torch.equal(first, drawn(family, name))
    assert first.shape == (3, 64, 64) and float(first.min()) >= 0 and float(first.max()) <= 1


def test_guidance_one_leaves_the_negative_prompt_out(family: StableDiffusion1) -> None:
    texts = [Prompt("a star", negative, 64, 64, 7, 3, 1.0) for negative in ("", "a circle")]
    assert torch.equal(drawn(family, "ddim", texts[0]), drawn(family, "ddim", texts[1]))


def test_before_and_after_stand_side_by_side(tmp_path: Path) -> None:
    for name, colour in (("before", "red"), ("after", "blue")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{name}.png")
    row = ("a prompt that is much too long for its column " * 5, tmp_path / "before.png", tmp_path / "after.png")
    sheet = before_after([row, row], ("before", "after 9 steps"))
    left, right = sheet.getpixel((60, 100)), sheet.getpixel((sheet.width - 60, 100))
    assert left == (255, 0, 0) and right == (0, 0, 255)


def test_previews_keep_prompts_encoded_and_tell_faults_once(family: StableDiffusion1, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    told: list[str] = []
    usual = Prompt("", "", 64, 64, 42, 2, 4.0)
    told_of_all = {"sampler": "ddim", "sampler_a1111": "DDIM", "base_model": "toy.safetensors"}
    recipe = Recipe(
        ("a star --w 7", "a circle --n a (square)"),
        "",
        usual,
        lambda: scheduler(family, "ddim"),
        told_of_all,
        base_hash=lambda: "abcdef0123456789",
        adapter=lambda step: f"zorb-step{step:08}.safetensors",
    )
    previews = Previews(family, recipe, RunDir(tmp_path), torch.device("cpu"), told.append)
    previews.encode()
    first, second = previews.draw(0), previews.draw(5)
    assert first is not None and second is not None
    assert first.files == ["samples/step00000000_00.png", "samples/step00000000_01.png"] and first.seeds == [42, 43]
    assert len(told) == 1 and "--w 7" in told[0]
    assert (tmp_path / first.files[0]).read_bytes()[-4000:] == (tmp_path / second.files[0]).read_bytes()[-4000:]
    sheet = previews.sheet()
    assert sheet is not None and sheet.is_file()
    assert_png_tells(tmp_path / first.files[1], first, "a circle\nNegative prompt: a \\(square\\)\n")
    told_text = "a circle <lora:zorb-step00000005:1>\nNegative prompt: a \\(square\\)\n"
    assert_png_tells(tmp_path / second.files[1], second, told_text)
    assert second.recipes[0]["strength"] == 1.0 and "strength" not in first.recipes[0]
    kept = previews.draw(9, Kept(3, "zorb.safetensors"))
    assert kept is not None and (kept.step, kept.weights_step) == (9, 3)
    assert kept.files[0] == "samples/step00000003_00.png" and kept.recipes[0]["adapter"] == "zorb.safetensors"
    again = Previews(family, recipe, RunDir(tmp_path), torch.device("cpu"), told.append)
    again.remember([first, kept])
    assert again.sheet() is not None


def assert_png_tells(path: Path, event: Sampled, beginning: str) -> None:
    """The PNG holds A1111's text, which their own parser takes apart, and the recipe of the event as JSON."""
    with Image.open(path) as image:
        text, ours = image.text["parameters"], json.loads(image.text["loratory"])  # type: ignore[attr-defined]
    assert text.startswith(beginning) and b"tEXtparameters\0" in path.read_bytes()
    assert ours == {"prompt": "a circle", **event.recipes[1]}
    last = text.split("\n")[-1]
    pairs = dict(re.findall(A1111, last))
    assert pairs["Steps"] == "2" and pairs["Sampler"] == "DDIM" and pairs["CFG scale"] == "4"
    assert pairs["Seed"] == "43" and pairs["Size"] == "64x64" and pairs["RNG"] == "CPU"
    assert pairs["Model"] == "toy" and pairs["Model hash"] == "abcdef0123"
