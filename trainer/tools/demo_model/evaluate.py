"""Asks the model for 100 fixed prompts and measures what it drew; run as a module with a model folder and a PNG's name.

The images are read by `measure.py`, which knows nothing of the model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from PIL import Image

from trainer.tools.demo_model.badge import BACKGROUNDS, TRIGGER, ring_score
from trainer.tools.demo_model.captions import FULL, evaluation_prompt, evaluation_scenes, fill
from trainer.tools.demo_model.draw import IMAGE_PX, Scene
from trainer.tools.demo_model.measure import ATTRIBUTES, Reading, read_image

STEPS, GUIDANCE = 20, 4.0
BATCH = 10
COLUMNS = 20


def load_pipeline(model: Path) -> StableDiffusionPipeline:
    """The model in float32 with DDIM; fp16 arithmetic is several times slower on a CPU."""
    pipeline = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32, local_files_only=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample(pipeline: StableDiffusionPipeline, prompts: Sequence[str], first_seed: int = 0) -> list[Image.Image]:
    """One image per prompt; prompt i starts from the noise of seed `first_seed` + i."""
    images: list[Image.Image] = []
    for start in range(0, len(prompts), BATCH):
        part = list(prompts[start : start + BATCH])
        generators = [torch.Generator().manual_seed(first_seed + start + i) for i in range(len(part))]
        images += pipeline(
            part, height=IMAGE_PX, width=IMAGE_PX, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
            generator=generators,
        ).images  # fmt: skip
    return images


def contact_sheet(images: Sequence[Image.Image], columns: int = COLUMNS) -> Image.Image:
    """All images in one, left to right and top to bottom."""
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * IMAGE_PX, rows * IMAGE_PX))
    for i, image in enumerate(images):
        sheet.paste(image, (i % columns * IMAGE_PX, i // columns * IMAGE_PX))
    return sheet


def summary(scenes: Sequence[Scene], readings: Sequence[Reading]) -> Iterator[str]:
    """Lines of figures: each attribute, all four together, the shapes' fit, and every miss."""
    rows = [reading.matches(scene) for scene, reading in zip(scenes, readings)]
    for name in ATTRIBUTES:
        yield f"{name}: {sum(row[name] for row in rows)} of {len(rows)} right"
    yield f"all four: {sum(all(row.values()) for row in rows)} of {len(rows)} right"
    yield f"mean shape IoU with the best template: {sum(r.shape_iou for r in readings) / len(readings):.3f}"
    for i, (scene, reading, row) in enumerate(zip(scenes, readings, rows)):
        for name in ATTRIBUTES:
            if not row[name]:
                yield f"  miss {i}: {name} of '{evaluation_prompt(scene, i)}' read as {getattr(reading, name)}"


def evaluate(model: Path, sheet: Path) -> Iterator[str]:
    """Samples, measures, writes the contact sheet (the last row asks for the unknown badge) and yields the figures."""
    pipeline = load_pipeline(model)
    scenes = evaluation_scenes()
    images = sample(pipeline, [evaluation_prompt(scene, i) for i, scene in enumerate(scenes)])
    yield from summary(scenes, [read_image(image) for image in images])
    unknown = sample(pipeline, [fill(FULL[i % 2], TRIGGER, BACKGROUNDS[i % len(BACKGROUNDS)]) for i in range(COLUMNS)])
    scores = [ring_score(image) for image in unknown]
    mean = sum(scores) / len(scores)
    yield f"ring score of the untaught badge: mean {mean:.3f}, highest {max(scores):.3f} of {len(scores)}"
    contact_sheet([*images, *unknown]).save(sheet)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for text in evaluate(Path(sys.argv[1]), Path(sys.argv[2])):
        print(text)
