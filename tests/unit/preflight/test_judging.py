"""Figures become verdicts: pure functions, so the whole table of what can be wrong is walked through in no time."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import pytest

from trainer.contract.settings import Preset
from trainer.preflight.base import BaseFigures, TextFigures
from trainer.preflight.judge_base import base_model
from trainer.preflight.judge_fit import few_images, one_image
from trainer.preflight.judge_rate import learning_rate
from trainer.preflight.judge_speed import reasons, speed
from trainer.preflight.links import Links, PartLink
from trainer.preflight.overfit import FewFigures, OneFigures
from trainer.preflight.speed import SpeedFigures
from trainer.preflight.sweep import SweepFigures, diverging, fastest
from trainer.preflight.verdict import percent
from trainer.report.verdicts import Split

STEPS = 1000
UNET = PartLink("unet", layers=10, gradient=0.1)
TEXT = PartLink("te1", layers=5, gradient=0.1)
SOUND = OneFigures(Links(True, (UNET,)), [0.2, 0.1, 0.04], 1e-3, {"unet": 3e-4})


def linked(*parts: PartLink, connected: bool = True) -> OneFigures:
    return replace(SOUND, links=Links(connected, parts), losses=[0.2, 0.04] if connected else [0.2])


@pytest.mark.parametrize(
    "figures, verdict, link, word",
    [
        (SOUND, "green", "", "by heart"),
        (linked(UNET, connected=False), "red", "no gradient", "does not depend"),
        (linked(replace(UNET, silent=10, gradient=0.0)), "red", "no gradient", "U-Net"),
        (linked(UNET, replace(TEXT, silent=5, gradient=0.0)), "red", "no gradient", "text encoder"),
        (linked(replace(UNET, silent=3)), "yellow", "no gradient", "3 of 10"),
        (linked(replace(UNET, silent=1)), "green", "", ""),
        (linked(replace(UNET, frozen=10), connected=False), "red", "frozen parts", "All 10"),
        (linked(replace(UNET, frozen=2, silent=2)), "red", "frozen parts", "2 of 10"),
        (linked(replace(UNET, unheld=10)), "red", "frozen parts", "not given to the optimizer"),
        (linked(UNET, PartLink("te1")), "red", "frozen parts", "no adapter layers"),
        (linked(replace(UNET, gradient=math.nan)), "red", "not finite", "no number"),
        (replace(SOUND, losses=[0.2, 0.14]), "yellow", "", "70 %"),
        (replace(SOUND, losses=[0.2, 0.19]), "red", "does not learn", "95 %"),
        (replace(SOUND, losses=[0.2, math.nan]), "red", "not finite", "no finite"),
        (replace(SOUND, losses=[0.2], rate=0.0), "red", "frozen parts", "moves nothing"),
        (replace(SOUND, users={"unet": 1e-12}), "red", "rate too low", "effectively zero"),
        (replace(SOUND, users={"unet": 5e-6}), "yellow", "rate too low", "low"),
        (replace(SOUND, users={"unet": 0.05}), "yellow", "rate too high", "a lot"),
        (replace(SOUND, users={"unet": 0.5}), "red", "rate too high", "too much"),
        (replace(SOUND, users={"unet": math.nan}), "red", "rate too high", "too much"),
        (replace(SOUND, users={"unet": 3e-4, "te1": 0.0}), "red", "rate too low", "text encoder"),
    ],
)
def test_one_image(figures: OneFigures, verdict: str, link: str, word: str) -> None:
    rung = one_image(figures, STEPS)
    assert (rung.verdict, rung.link) == (verdict, link)
    assert word in rung.sentence and rung.sentence
    assert rung.fixes or verdict == "green" or "moves nothing" in rung.sentence


def test_a_text_encoder_alone_need_not_learn_noise_by_heart() -> None:
    figures = OneFigures(Links(True, (TEXT,)), [0.2, 0.19], 1e-3, {"te1": 3e-4})
    assert one_image(figures, STEPS).verdict == "green"


def test_an_optimizer_that_finds_its_rate_is_not_judged_by_its_first_steps() -> None:
    rung = one_image(replace(SOUND, users={}), STEPS, finds_rate=True)
    assert rung.verdict == "green" and any("finds its rate" in text for text in rung.details)


FEW = FewFigures(["a.png", "b.png"], [0.2, 0.1], [0.1, 0.05], 12, captions=2, rise=(0.05, 0.4))
HEARD = TextFigures(2, 2, conditioning=0.5, answer=0.1)


@pytest.mark.parametrize(
    "few, text, mode, verdict, link, word",
    [
        (FEW, HEARD, "files", "green", "", "text included"),
        (replace(FEW, after=[0.1, 0.1]), HEARD, "files", "yellow", "", "b.png"),
        (replace(FEW, after=[0.2, 0.1]), HEARD, "files", "red", "does not learn", "2 of 2"),
        (replace(FEW, after=[0.2, math.nan]), HEARD, "files", "red", "not finite", "finite"),
        (replace(FEW, rise=(0.0, 0.0)), replace(HEARD, answer=0.0), "files", "red", "text ignored", "ignored"),
        (replace(FEW, rise=(0.0, 0.0)), replace(HEARD, conditioning=0.0), "files", "red", "text ignored", "encoded"),
        (replace(FEW, rise=(0.0, 0.01)), HEARD, "files", "yellow", "text ignored", "hardly"),
        (replace(FEW, rise=None, captions=1), TextFigures(2, 1), "files", "yellow", "same captions", "All 2"),
        (replace(FEW, rise=None, captions=1), TextFigures(2, 1), "trigger word", "green", "", "cannot be judged"),
        (replace(FEW, rise=None, captions=1), TextFigures(2, 1), "none", "green", "", "cannot be judged"),
        (replace(FEW, rise=None, captions=1), TextFigures(1, 1), "files", "green", "", "one image"),
    ],
)
def test_few_images(few: FewFigures, text: TextFigures, mode: str, verdict: str, link: str, word: str) -> None:
    rung = few_images(few, text, mode)
    assert (rung.verdict, rung.link) == (verdict, link)
    assert word in rung.sentence


def test_rising_validation_is_said_to_be_expected() -> None:
    without = few_images(FEW, HEARD, "files").details
    measured = few_images(replace(FEW, held_out=(0.2, 0.3)), HEARD, "files").details
    assert any("would rise here" in text for text in without)
    assert any("0.2 before, 0.3 after" in text and "expected" in text for text in measured)


EPSILON = BaseFigures("epsilon", [125, 875], [0.3, 0.01], [0.6, 1.9], deviation=1.0)


@pytest.mark.parametrize(
    "figures, verdict, link",
    [
        (EPSILON, "green", ""),
        (replace(EPSILON, told="v", told_losses=[0.6, 1.9], other_losses=[0.3, 0.01]), "red", "prediction type"),
        (replace(EPSILON, other_losses=[0.3, 0.01]), "yellow", ""),
        (replace(EPSILON, told_losses=[math.nan, 0.1]), "red", "not finite"),
        (replace(EPSILON, told_losses=[1.0, 1.0], other_losses=[1.9, 1.9]), "yellow", ""),
        (replace(EPSILON, deviation=5.6, matched=2.2), "red", "latent scale"),
        (replace(EPSILON, deviation=5.6, matched=None), "red", "latent scale"),
        (replace(EPSILON, deviation=2.0, matched=1.9), "red", "latent scale"),
        (replace(EPSILON, deviation=0.5, matched=1.05), "yellow", ""),
    ],
)
def test_base_model(figures: BaseFigures, verdict: str, link: str) -> None:
    rung = base_model(figures)
    assert (rung.verdict, rung.link) == (verdict, link)
    assert rung.sentence and rung.charts[0].curves[0].points[0][0] == 125


def sweep_of(breaks: bool = True) -> list[tuple[float, float]]:
    """Falls fastest around 1e-3, is lowest at 4e-3, diverges from 3e-2."""
    falling = [(1e-5, 1.0), (3e-5, 0.99), (1e-4, 0.97), (3e-4, 0.9), (1e-3, 0.7), (3e-3, 0.5), (1e-2, 0.48)]
    return falling + ([(3e-2, 1.2), (0.1, 5.0)] if breaks else [])


def test_where_the_loss_falls_fastest_and_where_it_breaks_out() -> None:
    assert 4e-4 < fastest(sweep_of()) < 2e-3
    assert diverging(sweep_of()) == 3e-2
    assert math.isnan(diverging(sweep_of(breaks=False)))
    assert diverging([(1e-4, 0.9), (1e-3, 1.6), (1e-2, 0.8), (0.1, math.nan)]) == 0.1, "one wild value is no divergence"
    assert math.isnan(fastest([(1e-4, 1.0), (1e-3, 1.1), (1e-2, 1.2), (1e-1, 1.3)]))


@pytest.mark.parametrize(
    "rate, verdict, link",
    [
        (1e-3, "green", ""),
        (1e-4, "green", ""),
        (0.02, "yellow", "rate too high"),
        (0.03, "red", "rate too high"),
        (1e-6, "yellow", "rate too low"),
        (8e-6, "green", ""),
    ],
)
def test_learning_rate(rate: float, verdict: str, link: str) -> None:
    rung = learning_rate(SweepFigures(rate, sweep_of(), 1.0))
    assert (rung.verdict, rung.link) == (verdict, link)
    assert rung.fixes or verdict == "green"
    assert [curve.name.split(":")[0] for curve in rung.charts[0].curves[1:]] == ["falls fastest", "diverges", "yours"]


def test_a_rate_below_every_divergence_is_fine() -> None:
    assert learning_rate(SweepFigures(1e-2, sweep_of(breaks=False), 1.0)).verdict == "green"


def test_nothing_to_sweep() -> None:
    assert learning_rate(SweepFigures(1.0, skipped="Prodigy finds its rate by itself")).verdict == "green"
    assert learning_rate(SweepFigures(1.0, skipped="a step at your rate moves nothing")).verdict == "red"
    never = [(rate, 1.0 + i) for i, (rate, _) in enumerate(sweep_of())]
    assert learning_rate(SweepFigures(1e-3, never, 1.0)).link == "does not learn"


def timed(seconds: dict[str, float], steps: int = 10, gpu: bool = True, peak: float = 4e9) -> SpeedFigures:
    wall = sum(seconds.values())
    memory = {"device_total": 12e9} if gpu else {}
    split = Split(defaultdict(float, seconds), wall_s=wall, steps=steps, images=4 * steps, memory=memory)
    return SpeedFigures(split, 2, wall / steps * STEPS, 60.0, 0.0, gpu, peak)


def preset_of(**changes: object) -> Preset:
    from trainer.contract import preset as presets
    from trainer.contract.families import default_family

    values = {name.replace("__", "."): value for name, value in changes.items()}
    return presets.resolve(presets.with_values(Preset(), values), default_family())


def test_a_batch_under_a_second_is_green() -> None:
    rung = speed(timed({"forward": 6.0, "backward": 8.0}), preset_of(), STEPS)
    assert rung.verdict == "green"
    assert rung.figures["seconds_per_batch"] == pytest.approx(0.7)
    assert rung.figures["run_s"] == pytest.approx(1400 + 60)
    assert any("24:20" in text for text in rung.details)


def test_the_reason_where_it_cannot_be_is_named() -> None:
    slow = {"forward": 30.0, "backward": 40.0}
    rung = speed(timed(slow, gpu=False), preset_of(), STEPS)
    assert rung.verdict == "yellow" and "a CPU computes" in rung.sentence and rung.fixes
    plain = preset_of(memory__gradient_checkpointing=False, precision__compute="bf16", training__batch_size=1)
    assert reasons(timed(slow), plain) == []
    large = preset_of(memory__gradient_checkpointing=True, precision__compute="bf16", dataset__resolution=1024)
    words = " ".join(reason for reason, _ in reasons(timed(slow), large))
    assert "1024 x 1024" in words and "checkpointing" in words
    waits = speed(timed({"data": 40.0, "forward": 10.0, "backward": 10.0}), plain, STEPS)
    assert "waits for data" in waits.sentence


def test_a_full_card_is_yellow() -> None:
    rung = speed(timed({"forward": 1.0, "backward": 1.0}, peak=11.5e9), preset_of(), STEPS)
    assert (rung.verdict, rung.link) == ("yellow", "out of memory") and rung.fixes


@pytest.mark.parametrize("share, text", [(0.011, "1.1 %"), (0.5, "50 %"), (1e-12, "1.0e-10 %"), (0.0, "0 %")])
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
