"""The shipped demo really teaches its badge: three seeds, with captions and without, judged by two measures.

The judge is not our own code: diffusers loads the adapter file and draws; the loss is computed with its scheduler.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gui import jobs
from trainer.contract import preset as presets
from trainer.contract.rundir import RunDir, write_whole
from trainer.tools.demo_model.badge import TRIGGER, held_out, ring_score

DEMO = Path(__file__).resolve().parents[2] / "presets" / "demo.toml"
SEEDS = (1, 2, 3)
LOSS_LEFT = 0.5
"""Held-out loss after training, at most this share of the untouched model's."""
RING_BEFORE, RING_AFTER = 0.2, 0.35
"""Mean ring score over the prompts: below before, above after. Measured on 2 CPU cores, 21 November 2026: 0.06 before;
0.52, 0.44, 0.47 with captions and 0.61, 0.52, 0.56 without (seeds 1, 2, 3; rate and rank were chosen on 1 and 2)."""
GROUNDS = ("green", "yellow", "black", "orange", "pink", "purple") * 2
MODES = {
    "files": ([f"{TRIGGER} on a {ground} background" for ground in GROUNDS], True),
    "trigger word": ([TRIGGER] * len(GROUNDS), False),
}
"""`captions.mode` -> the prompts that are judged, and whether held-out images keep their captions."""


class Judge:
    """Loss and pictures of the demo model, with or without an adapter, through diffusers."""

    def __init__(self, model: Path) -> None:
        from diffusers import DDIMScheduler, StableDiffusionPipeline

        self.pipe: Any = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
        self.pipe.scheduler = DDIMScheduler.from_config(self.pipe.scheduler.config)
        self.pipe.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def texts(self, captions: list[str]) -> torch.Tensor:
        ids = self.pipe.tokenizer(captions, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        return self.pipe.text_encoder(ids.input_ids)[0]

    @torch.no_grad()
    def loss(self, with_captions: bool) -> float:
        """Mean squared error of the noise over the held-out badges at eight noise levels, noise fixed."""
        images, captions = zip(*held_out())
        pixels = torch.stack([torch.from_numpy(np.asarray(image)).permute(2, 0, 1) for image in images]) / 127.5 - 1
        latents = self.pipe.vae.encode(pixels).latent_dist.mode() * self.pipe.vae.config.scaling_factor
        states = self.texts(list(captions) if with_captions else [TRIGGER] * len(captions))
        losses = []
        for timestep in range(62, 1000, 125):
            noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(timestep))
            times = torch.full((len(latents),), timestep)
            noisy = self.pipe.scheduler.add_noise(latents, noise, times)
            losses.append(float((self.pipe.unet(noisy, times, states).sample - noise).square().mean()))
        return statistics.fmean(losses)

    def ring(self, prompts: list[str]) -> float:
        """Mean ring score of one picture a prompt."""
        generators = [torch.Generator().manual_seed(1000 + i) for i in range(len(prompts))]
        pictures = self.pipe(
            prompts, num_inference_steps=20, guidance_scale=4.0, width=128, height=128, generator=generators
        ).images
        return statistics.fmean(ring_score(picture) for picture in pictures)


@pytest.fixture(scope="module")
def judge(demo_model_dir: Path) -> Iterator[Judge]:
    yield Judge(demo_model_dir)


@pytest.fixture(scope="module")
def untouched(judge: Judge) -> dict[str, float]:
    """The loss of the model without an adapter, by mode."""
    return {mode: judge.loss(with_captions) for mode, (_, with_captions) in MODES.items()}


TRAIN = "import sys; from trainer.__main__ import main; sys.exit(max(main(['', path]) for path in sys.argv[1:]))"
"""Trains in one run folder after the other. Launching has tests of its own; it would import torch twice a run."""
PATIENCE_S = 900


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], RunDir]:
    """Every mode and seed trained from the shipped preset, a process a mode, one thread each."""
    folder = tmp_path_factory.mktemp("runs")
    made = {(mode, seed): furnished(folder, mode, seed) for mode in MODES for seed in SEEDS}
    logs = {mode: folder / f"{mode}.log" for mode in MODES}
    started = [begin([made[mode, seed] for seed in SEEDS], log) for mode, log in logs.items()]
    try:
        codes = [process.wait(PATIENCE_S) for process in started]
    finally:
        for process in started:
            process.kill()
    assert codes == [0] * len(started), "".join(log.read_text(encoding="utf-8") for log in logs.values())
    return made


def furnished(folder: Path, mode: str, seed: int) -> RunDir:
    """A run folder that is ready for its trainer."""
    changes = {
        "captions.mode": mode,
        "captions.dropout": 0.0 if mode == "trigger word" else 0.1,
        "training.seed": seed,
        "hardware.threads": 1,
        "sampling.every": "never",
        "sampling.at_start": False,
    }
    run = RunDir.create(folder, f"{mode}-{seed}")
    write_whole(run.preset, presets.dumps(jobs.resolve(presets.with_values(presets.load(DEMO), changes))))
    return run


def begin(runs: Sequence[RunDir], log: Path) -> subprocess.Popen[bytes]:
    preset = presets.load(runs[0].preset)
    argv = [sys.executable, "-c", TRAIN, *(str(run.path) for run in runs)]
    environ = jobs.environment(preset, jobs.devices(preset.hardware.gpus))
    with open(log, "wb") as file:
        return subprocess.Popen(argv, cwd=jobs.ROOT, env=environ, stdout=file, stderr=subprocess.STDOUT)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_before_training_the_word_means_nothing(judge: Judge, mode: str) -> None:
    judge.pipe.unload_lora_weights()
    assert judge.ring(MODES[mode][0]) < RING_BEFORE


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", MODES)
def test_after_training_it_draws_the_badge(
    judge: Judge, untouched: dict[str, float], runs: dict[tuple[str, int], RunDir], mode: str, seed: int
) -> None:
    prompts, with_captions = MODES[mode]
    before, run = untouched[mode], runs[mode, seed]
    judge.pipe.unload_lora_weights()
    judge.pipe.load_lora_weights(str(run.path), weight_name=run.read_state().adapter)
    after, ring = judge.loss(with_captions), judge.ring(prompts)
    judge.pipe.unload_lora_weights()
    print(f"{mode}, seed {seed}: held-out loss {before:.4f} -> {after:.4f}, ring {ring:.3f}")
    assert after < LOSS_LEFT * before
    assert ring > RING_AFTER
