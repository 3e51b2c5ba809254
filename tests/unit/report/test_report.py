"""`report.html`: one file, nothing from elsewhere, nothing of the user's computer, all that the run told."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainer.contract import events as ev
from trainer.contract.preset import dumps
from trainer.contract.rundir import RunDir, RunState
from trainer.contract.settings import Preset
from trainer.plan.recipes import of_picture
from trainer.report import embed, gallery
from trainer.report.document import POLICY
from trainer.report.report import write

HOSTILE = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(1)>"
SECTIONS = ["before-after", "samples", "curves", "time", "told", "settings", "reproduce"]
Make = Callable[..., RunDir]


class Parts(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    @property
    def sections(self) -> list[str]:
        return [value for tag, name, value in self.attributes if tag == "section" and name == "id"]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A run folder as a trainer leaves it, with these events."""

    def build(*events: ev.Event, publish: bool = False, **changes: Any) -> RunDir:
        run = RunDir.create(tmp_path / "bob's runs", "zorb")
        preset = {
            "format": 1,
            "about": {"use": HOSTILE},
            "model": {"path": str(tmp_path / "bob" / "toy.safetensors")},
            "dataset": {"folders": [{"path": str(tmp_path / "bob" / "10_anna")}]},
            "captions": {"trigger": "zorb" + HOSTILE},
            "saving": {"name": "zorb", "publish": publish},
        }
        run.preset.write_text(dumps(Preset.model_validate(preset)), encoding="utf-8")
        run.events.write_text("".join(map(ev.to_line, events)), encoding="utf-8")
        run.write_state(RunState(name="zorb", device="CPU", versions={"torch": "2"}, ended=1.8e9, **changes))
        return run

    return build


def told(run: RunDir) -> Parts:
    """The written report, after the checks that hold for every one."""
    path = write(run, run.read_state())
    assert path == run.report
    text = path.read_text(encoding="utf-8")
    parts = Parts(text)
    assert not parts.tags & {"script", "iframe", "object", "embed", "link", "base", "form", "a", "video", "audio"}
    for tag, name, value in parts.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href", "srcset", "data", "action", "background"):
            assert value.startswith("data:image/"), (tag, name, value[:60])
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL) + [v for _, n, v in parts.attributes if n == "style"]
    assert not any(re.search(r"url\(|@import|expression", style) for style in styles)
    assert POLICY in text and len(text) < 5_000_000
    plain = re.sub(r"base64,[\w+/=]+", "", text)
    assert str(run.path.parent.parent) not in plain and "bob" not in plain and str(Path.home()) + "/" not in plain
    return parts


def started(**changes: Any) -> ev.RunStarted:
    return ev.RunStarted(time=10, name="zorb" + HOSTILE, total_steps=100, steps_per_epoch=10, total_epochs=10, images=9,
                         held_out=2, held_out_images=["anna_1.png", "anna_2.png"], **changes)  # fmt: skip


def steps(first: int, last: int, **changes: Any) -> list[ev.Event]:
    return [
        ev.StepDone(time=20.0 + n, step=n, epoch=n / 10, loss=0.1 + 0.1 / n, learning_rate={"unet": 1e-4},
                    grad_norm=1.0, adapter_norm=0.1 * n, images=4, seconds=1.0, **changes)
        for n in range(first, last + 1)
    ]  # fmt: skip


def drawn(run: RunDir, step: int, prompts: list[str], side: int = 64, **changes: Any) -> ev.Sampled:
    files = []
    for number in range(len(prompts)):
        values = np.random.default_rng(step + number).integers(0, 255, (side, side, 3), dtype=np.uint8)
        files.append(f"samples/{step}-{number}.png")
        Image.fromarray(values).save(run.path / files[-1])
    recipes = [of_picture({"sampler": "ddim", "base_model": "toy.safetensors"}, {"seed": 1}, step, "") for _ in prompts]
    return ev.Sampled(step=step, files=files, prompts=prompts, seeds=[1] * len(prompts), recipes=recipes, **changes)


def add(run: RunDir, *events: ev.Event) -> None:
    with open(run.events, "a", encoding="utf-8") as file:
        file.writelines(map(ev.to_line, events))


def checks(*losses: float) -> list[ev.Event]:
    return [
        ev.Validated(step=50 * n, loss=loss, error=0.01, train_loss=0.1, per_timestep={"100": loss, "900": loss / 9},
                     per_image=[loss, loss * (1 + n)])
        for n, loss in enumerate(losses)
    ]  # fmt: skip


def whole_run(make: Make, **changes: Any) -> RunDir:
    run = make(started(), state="done", step=100, **changes)
    (run.path / "zorb.safetensors").write_bytes(b"weights")
    (run.path / "zorb-lowest-validation-loss.safetensors").write_bytes(b"w")
    first, middle, last = (drawn(run, step, ["zorb", HOSTILE]) for step in (0, 50, 100))
    low = ev.Saved(step=50, file="zorb-lowest-validation-loss.safetensors", bytes=1, what="lowest validation loss")
    add(
        run, first, *checks(0.2, 0.1, 0.15), *steps(1, 50), middle, low, *steps(51, 100), last,
        ev.Noted(step=60, text=HOSTILE), ev.Warned(step=70, text=f"{run.path}/x.png and {Path.home()}/y are odd"),
        ev.Timing(seconds={"forward": 5.0, "backward": 5.0}, wall_s=10.0, steps=100),
        ev.Likened(step=100, similarity=0.7), ev.Saved(step=100, file="zorb.safetensors", bytes=7, what="final"),
        ev.Finished(time=200, step=100, how="done"),
    )  # fmt: skip
    return run


def test_a_whole_run_is_told_in_full(make: Make) -> None:
    parts = told(whole_run(make))
    assert parts.sections == SECTIONS
    text = parts.text
    for said in ("Done, after 100 of 100 steps", "toy.safetensors", "9 trained on, 2 held out", "0.1 ± 0.01 at step 50",
                 "kept as zorb-lowest-validation-loss.safetensors", "an image and y are odd", "step 60",
                 "Likeness", "Gap, %", "Adapter norm", "Gradient norm", "held-out image 2", "before training",
                 "forward", "python launch.py --preset", 'path = "images 1"'):  # fmt: skip
        assert said in text, said
    assert hashlib.sha256(b"weights").hexdigest() in text
    assert "anna" not in text and text.count(HOSTILE) >= 5
    images = [value for tag, name, value in parts.attributes if (tag, name) == ("img", "src")]
    assert len(images) == 2 * 2 + 3 * 2


def test_names_of_pictures_are_told_where_they_are_published(make: Make) -> None:
    text = told(whole_run(make, publish=True)).text
    assert "anna_2.png" in text and 'path = "10_anna"' in text and "x.png and y are odd" in text


def test_a_failed_run_tells_why_and_what_there_is(make: Make) -> None:
    run = make(started(), *steps(1, 3), state="failed", step=3, cause="x")
    cause = f"out of memory {HOSTILE} at {run.path}/checkpoints/a b"
    add(run, ev.Failed(step=3, cause=cause, problems=["memory.gradient_checkpointing: turn it on"]))
    parts = told(run)
    assert parts.sections == ["curves", "settings", "reproduce"]
    assert "Failed, after 3 of 100 steps" in parts.text and "turn it on" in parts.text and HOSTILE in parts.text


def test_a_run_that_never_began_has_no_report(make: Make) -> None:
    run = make(ev.Phase(text="loading"), ev.Failed(cause="no model"), state="failed")
    assert write(run, run.read_state()) is None and not run.report.exists()


def test_a_resumed_run_is_told_as_one(make: Make) -> None:
    run = make(started(), *steps(1, 20), state="stopped", step=40)
    add(run, ev.Resumed(time=9000, step=20), started(step=20), ev.StepDone(time=9010, step=21, epoch=2.1, loss=0.1,
        learning_rate={"unet": 1e-4}), ev.Finished(time=9020, step=21, how="stopped"))  # fmt: skip
    text = told(run).text
    assert "Stopped by hand" in text and "in 2 parts (continued after step 20)" in text
    assert "0:50" in text, "30 s and 20 s of work; two hours between them are none"


def test_pictures_of_a_kept_adapter_are_named_so(make: Make) -> None:
    run = make(started(), state="done", step=100)
    (run.path / "zorb.safetensors").write_bytes(b"w")
    kept = drawn(run, 30, ["zorb"]).files
    add(run, drawn(run, 0, ["zorb"]), drawn(run, 50, ["zorb"]), drawn(run, 100, ["zorb"]),
        ev.Saved(step=100, file="zorb.safetensors", bytes=1, what="final", weights_step=30),
        ev.Sampled(step=100, files=kept, prompts=["zorb"], seeds=[1], weights_step=30))  # fmt: skip
    text = told(run).text
    assert "step 30, the adapter that was kept" in text and "after, step 30" in text
    assert "the adapter of step 30: the lowest validation loss" in text


def test_stopped_between_pictures_says_whose_they_are(make: Make) -> None:
    run = make(started(), state="stopped", step=70)
    add(run, drawn(run, 0, ["zorb"]), drawn(run, 50, ["zorb"]), ev.Saved(step=70, file="z", bytes=1, what="final"))
    assert "The last pictures are of step 50; the LoRA is of step 70." in told(run).text


def test_many_large_pictures_stay_within_the_bound(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pure noise, which no format makes small; more rounds and prompts than are shown."""
    monkeypatch.setattr(embed, "BUDGET", 400_000)  # a twelfth, for a twelfth of the pixels
    run = make(started(), state="done")
    prompts = [f"prompt {n}" for n in range(8)]
    add(run, *(drawn(run, step, prompts, side=150) for step in range(0, 100, 10)))
    parts = told(run)
    text = run.report.read_text(encoding="utf-8")
    assert len(text) < 400_000 * 4 / 3 + 150_000
    assert "2 more prompts and 2 rounds between these" in parts.text
    assert [tag for tag, name, _ in parts.attributes if (tag, name) == ("img", "src")] == ["img"] * (6 * 2 + 6 * 8)


def test_a_strangers_folder_cannot_reach_outside(make: Make, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "secret.png")
    run = make(started(), state="done")
    (run.samples / "broken.png").write_bytes(b"no picture")
    files = [str(tmp_path / "secret.png"), "../../secret.png", "samples/broken.png"]
    add(run, ev.Sampled(step=1, files=files, prompts=["a", "b", "c"]))
    run.preset.write_text("not = [toml", encoding="utf-8")
    parts = told(run)
    assert "img" not in parts.tags and parts.text.count("no picture") == 3 and "settings" not in parts.sections


@pytest.mark.parametrize(("rounds", "shown"), [(1, [0]), (8, list(range(8))), (100, [0, 14, 28, 42, 57, 71, 85, 99])])
def test_the_first_and_the_last_round_are_always_shown(rounds: int, shown: list[int]) -> None:
    events = [ev.Sampled(step=n, files=["a"], prompts=["a"]) for n in range(rounds)]
    assert [event.step for event in gallery.chosen_rounds(events)] == shown
