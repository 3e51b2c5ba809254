"""The folded list of held-out images: pictures only where the page may show them, names everywhere, no markup."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gui import roots
from gui.context import Context
from gui.form import heldout
from trainer.contract import families, preset
from trainer.contract.machine import Machine
from trainer.plan.plan import Plan, make_plan

PICTURE = '<img src="data:image/jpeg;base64,'


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path / "checkout", tmp_path / "runs", Machine(tmp_path / "runs", tmp_path / "cache"), local=True)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(30):
        pixels = np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"a&b {seed}.png")
    return plan_of(folder, "15 images")


def plan_of(folder: Path, split: str) -> Plan:
    values = {"dataset": {"folders": [{"path": str(folder)}]}, "validation": {"split": split}}
    return make_plan(preset.resolve(preset.build(values), families.default_family()))


def test_small_pictures_and_the_rest_by_name(plan: Plan, context: Context) -> None:
    html = heldout.card(plan, context)
    assert html.count(PICTURE) == 12 and "Held out: 15 of 30 images" in html
    assert "a&b" not in html and all(name.replace("&", "&amp;") in html for name in plan.held_out_names)
    assert len(html) < 60_000


def test_nothing_is_shown_where_nothing_is_held_out(plan: Plan, context: Context) -> None:
    assert heldout.card(plan_of(plan.images[0].path.parent, "off"), context) == ""


def test_on_a_page_for_others_only_pictures_of_the_named_folders(plan: Plan, context: Context, tmp_path: Path) -> None:
    public = replace(context, local=False)
    assert PICTURE not in heldout.card(plan, public) and "a&amp;b" in heldout.card(plan, public)
    named = replace(public, machine=replace(context.machine, folders=(tmp_path / "pictures",)))
    assert PICTURE in heldout.card(plan, named)
    (tmp_path / "shown").mkdir()
    link = tmp_path / "shown" / "link.png"
    try:
        link.symlink_to(tmp_path / "pictures" / "a&b 0.png")
    except OSError:
        pytest.skip("no links here")
    shown = replace(public, machine=replace(context.machine, folders=(tmp_path / "shown",)))
    assert not roots.may_show(link, shown)


def test_a_file_that_cannot_be_decoded_is_a_name(plan: Plan, context: Context) -> None:
    path = plan.images[plan.held_out[0]].path
    path.write_bytes(path.read_bytes()[:120])
    assert heldout.thumbnail(str(path), 1.0) == ""
