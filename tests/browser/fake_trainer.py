"""A trainer that trains nothing: it writes the run folder that a real one would, and obeys its control files.

`python fake_trainer.py <run folder> [--steps N] [--pause SECONDS] [--end done|failed|killed]`
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from PIL import Image, ImageDraw

from trainer.contract import events as ev
from trainer.contract.rundir import RunDir, process_start
from trainer.plan.recipes import of_picture
from trainer.report.report import write

TOLD = {"sampler": "ddim", "sampler_a1111": "DDIM", "base_model": "fake.safetensors"}


def loss_at(step: int, noise: random.Random) -> float:
    """As noisy as a diffusion loss: a slow fall under a spread that comes from the random timesteps."""
    return (0.09 + 0.06 * math.exp(-step / 60)) * noise.lognormvariate(0.0, 0.55)


def draw(path: Path, step: int, number: int) -> str:
    image = Image.new("RGB", (96, 96), (40 + 20 * number, 60, 90))
    reach = 8 + min(36, step // 3)
    ImageDraw.Draw(image).ellipse((48 - reach, 48 - reach, 48 + reach, 48 + reach), outline=(240, 200, 60), width=6)
    image.save(path)
    return f"samples/{path.name}"


class FakeRun:
    def __init__(self, run: RunDir, steps: int, prompts: list[str]) -> None:
        self.run, self.steps, self.prompts = run, steps, prompts
        self.writer, self.noise = ev.Writer(run.events), random.Random(1)

    def emit(self, kind: type[ev.Event], step: int, **values: object) -> None:
        self.writer.write(kind(time=time.time(), step=step, **values))

    def sample(self, step: int) -> None:
        files = [draw(self.run.samples / f"{step:06}-{n}.png", step, n) for n in range(len(self.prompts))]
        seeds = [42 + n for n in range(len(files))]
        told = [
            of_picture(TOLD, {"steps": 20, "guidance": 4.0, "seed": seed, "width": 96, "height": 96}, step, "")
            for seed in seeds
        ]
        self.emit(ev.Sampled, step, files=files, prompts=self.prompts, seeds=seeds, recipes=told)

    def sample_asked(self, step: int, prompt: str) -> None:
        file = draw(self.run.samples / f"{step:06}-asked.png", step, 3)
        self.emit(ev.Sampled, step, files=[file], prompts=[prompt], seeds=[42], asked=True)

    def save(self, step: int, what: str = "in between") -> str:
        name = "badge.safetensors" if what == "final" else f"badge-step{step:08}.safetensors"
        (self.run.path / name).write_bytes(bytes(1_234_567))
        self.emit(ev.Saved, step, file=name, bytes=1_234_567, what=what)
        return name

    def train(self, pause: float, fail_at: int) -> None:
        self.run.update_state(
            state="running",
            pid=os.getpid(),
            process_started=process_start(os.getpid()),
            started=time.time(),
            total_steps=self.steps,
        )
        per_epoch = 40
        self.emit(
            ev.RunStarted,
            0,
            name="badge",
            total_steps=self.steps,
            steps_per_epoch=per_epoch,
            total_epochs=self.steps / per_epoch,
            images=16,
            held_out=2,
            held_out_images=["badge_03.png", "badge_11.png"],
            device="fake device",
        )
        self.sample(0)
        for step in range(1, self.steps + 1):
            time.sleep(pause)
            if step == fail_at:
                raise RuntimeError("out of memory on purpose")
            rate = 1e-4 * min(1, step / 20) * (1 + math.cos(math.pi * step / self.steps)) / 2
            self.emit(
                ev.StepDone,
                step,
                epoch=step / per_epoch,
                loss=loss_at(step, self.noise),
                learning_rate={"unet": rate, "text_encoder": rate / 2},
                seconds=max(pause, 1e-3),
                images=4,
                grad_norm=self.noise.lognormvariate(0.0, 0.3),
                adapter_norm=math.sqrt(step) / 10 if step % 10 == 0 else None,
            )
            print(f"\rstep {step}/{self.steps}" + ("\n" if step % 10 == 0 else ""), end="", flush=True)
            if step % 50 == 0:
                self.emit(
                    ev.Validated,
                    step,
                    loss=0.1 + 0.05 * math.exp(-step / 60),
                    train_loss=0.09 + 0.05 * math.exp(-step / 60),
                    per_timestep={str(t): 0.1 + 0.05 * math.exp(-step / (60 + t)) for t in range(62, 1000, 125)},
                    per_image=[0.1 + 0.05 * math.exp(-step / 60), 0.12 + step / 40_000],
                )
            if step % 10 == 0:
                self.emit(ev.Timing, step, seconds={"data": 0.6, "forward": 0.4}, wall_s=1.0, steps=10, images=40)
            asked = self.run.take("sample")
            if asked:
                self.sample_asked(step, asked)
            elif step % 100 == 0 or asked is not None:
                self.sample(step)
            if self.run.take("save") is not None:
                self.save(step)
            if self.run.take("stop") is not None:
                return self.end(step, "stopped", 130)
            if self.run.take("pause") is not None:
                return self.end(step, "paused", 130)
        self.end(self.steps, "done", 0)

    def end(self, step: int, how: str, code: int) -> None:
        self.sample(step)
        name = self.save(step, "final")
        self.emit(ev.Finished, step, how=how, file=name, seconds=1.0)
        self.over(state=how, exit_code=code, step=step, adapter=name)

    def over(self, **changes: object) -> None:
        state = replace(self.run.read_state(), ended=time.time(), **changes)
        write(self.run, state)
        self.run.write_state(state)

    def fail(self, error: Exception) -> None:
        print(f"\nTraceback (most recent call last):\nRuntimeError: {error}", flush=True)
        self.emit(ev.Failed, 0, cause=str(error), problems=["memory.gradient_checkpointing: off - turn it on"])
        self.over(state="failed", exit_code=1, cause=str(error))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.05)
    parser.add_argument("--fail-at", type=int, default=0)
    parser.add_argument("--prompt", action="append", default=[])
    given = parser.parse_args()
    fake = FakeRun(RunDir(given.run), given.steps, given.prompt or ["a ring badge on a table", "a table"])
    try:
        fake.train(given.pause, given.fail_at)
    except RuntimeError as error:
        fake.fail(error)


if __name__ == "__main__":
    main()
