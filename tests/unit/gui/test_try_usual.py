"""The Try tab's form: what is usual for the chosen model, without touching what somebody typed."""

from __future__ import annotations

from pathlib import Path

from model_headers import model_file

from gui import tryout
from gui.tryout import SUITED, samplers, suited, usual


def test_the_form_begins_with_values_that_can_be_drawn_with() -> None:
    assert usual()["sampler"] in samplers() and all(usual()[name] for name in SUITED)


def test_usual_values_follow_the_model_and_typed_ones_stay(tmp_path: Path) -> None:
    small = model_file(tmp_path / "small.safetensors", "SD 1.x", "epsilon")
    large = model_file(tmp_path / "large.safetensors", "SDXL", "epsilon")
    first = {name: usual()[name] for name in SUITED}
    then = suited(str(large), first)
    assert (then["width"], then["height"], then["sampler"]) == ("1024", "1024", "euler")
    assert suited(str(small), then) == first
    assert "width" not in suited(str(large), first | {"width": "640"})
    assert suited(str(tmp_path / "none.safetensors"), first) == {} == suited("", first)
    assert tuple(then) == tryout.SUITED
