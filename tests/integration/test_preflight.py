"""The ladder on the demo model: green as it ships, and each fault that is put in told apart by its name.

The faults are put into the parts, never into the figures: what is judged is measured on the broken model.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from whole_runs import DEMO, SMALL, launch, of_kind, set_options, wait_until

from gui import jobs
from trainer.__main__ import main
from trainer.contract import preset as presets
from trainer.contract.events import Noted, Phase, Warned
from trainer.contract.machine import load_machine
from trainer.contract.problems import Problems
from trainer.contract.rundir import EXIT_RED, EXIT_STOPPED, RunDir, find_runs, write_whole
from trainer.noise.process import Tables
from trainer.parts import Conditioning
from trainer.preflight import base, links, overfit, speed, stand, sweep
from trainer.preflight.judge_base import base_model
from trainer.preflight.judge_fit import few_images, one_image
from trainer.preflight.judge_rate import learning_rate
from trainer.preflight.judge_speed import speed as speed_and_memory
from trainer.report.preflight import HTML_FILE, JSON_FILE, Rung, load
from trainer.run import make_network
from trainer.sinks.fan import Fan

QUICK = {
    "hardware.gpus": "cpu",
    "hardware.threads": 1,
    "logging.tensorboard": False,
    "sampling.every": "never",
    "sampling.at_start": False,
    "network.rank": 8,
    "network.conv_rank": 0,
    "network.dropout": 0.5,
    "captions.dropout": 0.1,
    "dataset.flip": True,
    "noise.noise_offset": 0.1,
}
"""The demo at its own size, since a loss means something there only; with the fancy things on, which have to go off."""


def folder_of(runs: Path, changes: dict[str, Any]) -> RunDir:
    """The run folder of a preflight, ready for its trainer."""
    preset = presets.with_values(presets.load(DEMO), {**QUICK, **changes})
    run = RunDir.create(runs, "test")
    write_whole(run.preset, presets.dumps(jobs.resolve(preset)))
    run.update_state(kind="preflight")
    return run


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> stand.Stand:
    """The demo, loaded once, with its text encoder kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.run.release", lambda *given: None)
        return stand.build(folder_of(tmp_path_factory.mktemp("runs"), {}), Fan([]))


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rungs of fewer steps."""
    monkeypatch.setattr(overfit, "STEPS", 12)
    monkeypatch.setattr(overfit, "PASSES", 2)
    monkeypatch.setattr(stand, "IMAGES", 5)
    monkeypatch.setattr(sweep, "STEPS", 16)


def one(tried: stand.Stand) -> Rung:
    return one_image(overfit.measure_one(tried), tried.own.steps.total)


def few(tried: stand.Stand) -> Rung:
    text = base.measure_text(tried)
    return few_images(overfit.measure_few(tried), text, tried.bench.preset.captions.mode)


def look(tried: stand.Stand) -> Rung:
    return base_model(base.measure(tried))


def with_family(tried: stand.Stand, **changes: Any) -> stand.Stand:
    """The same with another family: attributes of it replaced."""

    class Changed:
        def __getattr__(self, name: str) -> Any:
            return changes[name] if name in changes else getattr(tried.bench.family, name)

    return replace(tried, bench=replace(tried.bench, family=Changed()))  # type: ignore[arg-type]


def with_rate(tried: stand.Stand, rate: float) -> stand.Stand:
    changes = {"optimizer.learning_rate": rate, "optimizer.unet_learning_rate": rate}
    preset = presets.with_values(tried.bench.preset, changes)
    return replace(tried, bench=replace(tried.bench, plan=replace(tried.bench.plan, preset=preset)))


def told(tried: stand.Stand, prediction: str) -> stand.Stand:
    """The same model, told to be of another prediction type."""
    return with_family(tried, process=replace(tried.bench.family.process, prediction=prediction))


def as_v_model(tried: stand.Stand) -> stand.Stand:
    """A model that predicts v: the demo's noise turned into v = (noise - sigma x_t) / alpha, the same claim."""
    tables, answer = Tables(tried.bench.family.process), tried.bench.family.predict

    def predict(noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning, facts: Any) -> Tensor:
        alpha, sigma = (row[timesteps_B].view(-1, 1, 1, 1) for row in (tables.alpha_T, tables.sigma_T))
        return (answer(noisy_BCHW, timesteps_B, conditioning, facts) - sigma * noisy_BCHW) / alpha

    return with_family(tried, predict=predict)


@pytest.mark.usefixtures("few_steps")
def test_the_demo_is_green(sound: stand.Stand) -> None:
    rungs = [look(sound), one(sound), few(sound), learning_rate(sweep.measure(sound))]
    assert [(rung.number, rung.verdict, rung.link) for rung in rungs] == [
        (3, "green", ""),
        (1, "green", ""),
        (2, "green", ""),
        (4, "green", ""),
    ]
    assert all(rung.sentence for rung in rungs)
    figures = rungs[3].figures
    assert figures["fastest_rate"] < figures["diverging_rate"] < 0.1 and figures["your_rate"] == 6e-3


def test_everything_fancy_is_off(sound: stand.Stand) -> None:
    preset = sound.bench.preset
    assert (preset.network.dropout, preset.captions.dropout, preset.noise.noise_offset) == (0, 0, 0)
    assert preset.schedule.name == "constant" and not preset.dataset.flip
    assert sound.own.preset.dataset.flip and sound.own.preset.captions.dropout == 0.1


def test_rungs_do_not_see_each_other(sound: stand.Stand) -> None:
    draw = sound.images()[0]
    looks = [stand.look_at(draw, timestep, 1000) for timestep in sound.levels()]
    with sound.fresh() as fresh:
        first = sound.losses(fresh, looks)
        for step in range(3):
            sound.step(fresh, step + 1, looks)
        assert sound.losses(fresh, looks).mean() < first.mean()
    with sound.fresh() as fresh:
        assert torch.equal(sound.losses(fresh, looks), first)


@pytest.mark.usefixtures("few_steps")
def test_wrong_prediction_type_both_ways(sound: stand.Stand) -> None:
    v_model = as_v_model(sound)
    assert look(told(v_model, "v")).verdict == "green"
    for wrong, fix in ((told(sound, "v"), '"epsilon"'), (v_model, '"v"')):
        rung = look(wrong)
        assert (rung.verdict, rung.link) == ("red", "prediction type")
        assert fix in rung.fixes[0] and "model.prediction" in rung.fixes[0]


@pytest.mark.usefixtures("few_steps")
def test_wrong_latent_scale(tmp_path: Path, demo_model_dir: Path) -> None:
    """Injected where it happens: the factor is left out of the VAE's own configuration."""
    model = tmp_path / "model"
    shutil.copytree(demo_model_dir, model)
    config = model / "vae" / "config.json"
    lines = config.read_text().splitlines()
    changed = ['  "scaling_factor": 1.0,' if "scaling_factor" in line else line for line in lines]
    assert changed != lines
    config.write_text("\n".join(changed))
    rung = look(stand.build(folder_of(tmp_path / "runs", {"model.path": str(model)}), Fan([])))
    assert (rung.verdict, rung.link) == ("red", "latent scale")
    assert rung.figures["loss_over_fitting_scale"] > 1.2, "the model itself says so too"


@pytest.mark.usefixtures("few_steps")
def test_latents_that_are_too_small(sound: stand.Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the demo's factor of 0.506 applied twice."""
    source = sound.loader._latents

    class Small:
        def take(self, draws: Any) -> Tensor:
            return 0.506 * source.take(draws)

    monkeypatch.setattr(sound.loader, "_latents", Small())
    rung = look(sound)
    assert (rung.verdict, rung.link) == ("red", "latent scale")


def changed_network(sound: stand.Stand, change: Callable[[Any], None]) -> stand.Stand:
    def make(bench: Any) -> Any:
        network, optimizer = make_network(bench)
        change(network)
        return network, optimizer

    return replace(sound, make=make)


def freeze(network: Any, every: int) -> None:
    for layer in list(network.modules.values())[::every]:
        layer.requires_grad_(False)


def test_no_gradient(sound: stand.Stand) -> None:
    """Once by a detached answer, once by an adapter that the model does not use."""
    answer = sound.bench.family.predict
    detached = with_family(sound, predict=lambda *given: answer(*given).detach())
    apart = changed_network(sound, lambda network: network.detach())
    for tried in (detached, apart):
        rung = one(tried)
        assert (rung.verdict, rung.link) == ("red", "no gradient")
        assert rung.figures["gradient_norm_unet"] == 0


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("every", [1, 7], ids=["all", "some"])
def test_frozen_parts(sound: stand.Stand, every: int) -> None:
    rung = one(changed_network(sound, lambda network: freeze(network, every)))
    assert (rung.verdict, rung.link) == ("red", "frozen parts")
    assert ("All" if every == 1 else " of ") in rung.sentence


def test_a_chosen_part_that_is_not_trained(sound: stand.Stand) -> None:
    """The text encoder is to be trained; its layers are there, but captions come from the cache."""
    preset = presets.with_values(sound.bench.preset, {"network.text_encoder": True})
    tried = replace(sound, bench=replace(sound.bench, plan=replace(sound.bench.plan, preset=preset)))
    rung = one(tried)
    assert (rung.verdict, rung.link) == ("red", "no gradient")
    assert "text encoder" in rung.sentence and any("memory.cache_text" in fix for fix in rung.fixes)


@pytest.mark.usefixtures("few_steps")
def test_a_rate_of_nothing_and_one_too_high(sound: stand.Stand) -> None:
    rung = one(with_rate(sound, 1e-12))
    assert (rung.verdict, rung.link) == ("red", "rate too low")
    assert rung.figures["share"] < 0.5, "the adapter itself is sound"
    looks = [stand.look_at(sound.images()[0], 500, 1000)]
    figures = overfit.OneFigures(
        links.Links(True, ()), [1.0, 0.2], 1e-3, overfit.measure_users(with_rate(sound, 0.2), looks)
    )
    assert one_image(figures, 200).link == "rate too high"


@pytest.mark.usefixtures("few_steps")
def test_the_range_test_finds_a_diverging_rate(sound: stand.Stand) -> None:
    figures = sweep.measure(with_rate(sound, 0.5))
    rung = learning_rate(figures)
    assert (rung.verdict, rung.link) == ("red", "rate too high")
    assert 0.005 < rung.figures["diverging_rate"] < 0.2
    assert len(figures.points) < sweep.STEPS, "it ends where the loss is lost"


@pytest.mark.usefixtures("few_steps")
def test_text_that_the_model_ignores(sound: stand.Stand) -> None:
    answer = sound.bench.family.predict

    def deaf(noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning, facts: Any) -> Tensor:
        return answer(noisy_BCHW, timesteps_B, {name: 0 * row for name, row in conditioning.items()}, facts)

    rung = few(with_family(sound, predict=deaf))
    assert (rung.verdict, rung.link) == ("red", "text ignored")
    assert rung.figures["swap_rise_after"] == 0


@pytest.mark.usefixtures("few_steps")
def test_a_text_encoder_that_says_nothing(sound: stand.Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    text = sound.loader._text

    class Numb:
        def take(self, captions: Any) -> Conditioning:
            return {name: torch.zeros_like(row) for name, row in text.take(captions).items()}

    monkeypatch.setattr(sound.loader, "_text", Numb())
    rung = few(sound)
    assert (rung.verdict, rung.link) == ("red", "text ignored")
    assert "encoded to the same" in rung.sentence


@pytest.mark.usefixtures("few_steps")
def test_captions_that_are_all_the_same(sound: stand.Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """From files that is told; with the trigger word alone it is meant, and only said."""
    caption = sound.images()[0].caption
    same = [replace(draw, caption=caption) for draw in sound.images()]
    monkeypatch.setattr(stand.Stand, "images", lambda self: same)
    figures, text = overfit.measure_few(sound), base.measure_text(sound)
    rung = few_images(figures, text, "files")
    assert (rung.verdict, rung.link) == ("yellow", "same captions")
    rung = few_images(figures, text, "trigger word")
    assert rung.verdict == "green" and "cannot be judged" in rung.sentence


@pytest.mark.usefixtures("few_steps")
def test_speed_adds_up(sound: stand.Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "MOST", 5)
    figures = speed.measure(sound)
    rung = speed_and_memory(figures, sound.own.preset, sound.own.steps.total)
    assert figures.split.steps == 5 and figures.split.images == 20
    assert figures.split.share("forward", "backward") > 0.5
    assert rung.figures["run_training_s"] == pytest.approx(200 * figures.step_s)
    assert rung.figures["peak_bytes"] > 1e8


def test_a_stop_is_obeyed_between_steps(tmp_path: Path) -> None:
    run = folder_of(tmp_path, {})
    run.request("stop")
    assert main(["trainer", str(run.path)]) == EXIT_STOPPED
    assert run.read_state().state == "stopped" and load(run.path) is None


def memory_of_sides() -> dict[str, bytes]:
    """What this computer remembers of held-out images."""
    folder = load_machine(stand.ROOT).cache / "held-out"
    return {path.name: path.read_bytes() for path in folder.glob("*")}


def test_from_the_command_line_to_the_report(tmp_path: Path) -> None:
    """A red rung: exit code 4, the table on the screen, the files in the folder, no adapter."""
    changes = {**SMALL, "training.batch_size": 4, "optimizer.learning_rate": 1e-12, "validation.split": "3 images"}
    remembered = memory_of_sides()
    where = ["--runs", str(tmp_path), "--name", "weak"]
    process = launch("--preset", str(DEMO), "--preflight", *where, *set_options(changes))
    out, err = process.communicate(timeout=120)
    assert process.returncode == EXIT_RED, out + err
    run = find_runs(tmp_path)[0]
    assert run.id.startswith("weak-preflight-") and run.read_state().kind == "preflight"
    assert (run.read_state().state, run.read_state().step) == ("done", 0)
    report = load(run.path)
    assert report is not None and report.verdict == "red" and "rate too low" in report.links
    assert [rung.number for rung in report.rungs] == [1, 2, 3, 4, 5]
    assert "effectively zero" in out and "What to change" in out and str(run.path / HTML_FILE) in out
    assert (run.path / JSON_FILE).is_file()
    assert "<script" not in (html := (run.path / HTML_FILE).read_text("utf-8")) and "http" not in html
    assert not list(run.path.rglob("*.safetensors"))
    assert not (run.path / "split.json").exists() and memory_of_sides() == remembered, "no image has a side by it"
    texts = [event.text for kind in (Noted, Warned) for event in of_kind(run, kind)]
    assert sum("Preflight, " in text for text in texts) == 5
    assert any(event.of and event.done == event.of for event in of_kind(run, Phase))
    assert jobs.find("latest", tmp_path) is not None and jobs.find("latest", tmp_path, "training") is None
    wait_until(lambda: not jobs.alive(run))
    with pytest.raises(Problems, match="it is a preflight"):
        jobs.resume(run)
