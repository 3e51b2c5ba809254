"""The report of a preflight: JSON that reads back, HTML that is whole and safe, a table for the terminal."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gui.preflight_table import preflight_table
from trainer.report.preflight import JSON_FILE, Chart, Curve, Preflight, Rung, dumps, load, loads, worst
from trainer.report.preflight_page import page, render

EVIL = '<img src=x onerror="alert(1)">'
CURVES = [Curve("loss", [(1e-5, 1.0), (1e-3, 0.5)]), Curve("yours", [(1e-4, 0.9)], ink=4, dots=True)]
CHART = Chart("range test", "learning rate", CURVES, log_x=True, log_y=True)
RUNGS = [
    Rung(1, "One image", "green", "Learnt.", ["detail"], figures={"share": 0.2}, charts=[CHART]),
    Rung(2, "A few images", "yellow", EVIL, [EVIL], "same captions", [EVIL], {"rise": math.nan}),
    Rung(3, "Base model", "red", "Wrong.", link="prediction type", fixes=["set model.prediction"]),
]
REPORT = Preflight("run-1", EVIL, "CPU", 1.0, 61.0, RUNGS)


def test_json_reads_back_and_has_its_version(tmp_path: Path) -> None:
    text = dumps(REPORT)
    values = json.loads(text)
    assert (values["format"], values["verdict"], values["links"]) == (1, "red", ["prediction type", "same captions"])
    assert values["rungs"][1]["figures"]["rise"] is None, "JSON has no not-a-number"
    back = loads(text)
    assert math.isnan(back.rungs[1].figures["rise"])
    assert replace(back, rungs=[]) == replace(REPORT, rungs=[])
    assert (back.rungs[0], back.rungs[2]) == (RUNGS[0], RUNGS[2])
    (tmp_path / JSON_FILE).write_text(text, encoding="utf-8")
    loaded = load(tmp_path)
    assert loaded is not None and loaded.headline == REPORT.headline


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "rungs": [{}]}'])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError):
        loads(text)
    (tmp_path / JSON_FILE).write_text(text, encoding="utf-8")
    assert load(tmp_path) is None


def test_a_later_version_may_add_keys() -> None:
    values = json.loads(dumps(REPORT))
    values["new"] = values["rungs"][0]["new"] = values["rungs"][0]["charts"][0]["new"] = 1
    assert loads(json.dumps(values)).rungs[0] == RUNGS[0]


def test_headline_names_the_most_important_link_first() -> None:
    assert REPORT.headline.startswith("Do not start yet: the prediction type is wrong")
    assert replace(REPORT, rungs=RUNGS[:1]).headline == "Ready to train: every rung is green."
    assert "yellow" in replace(REPORT, rungs=RUNGS[:2]).headline
    assert worst([]) == "green"


def test_html_is_whole_safe_and_offline() -> None:
    html = page(REPORT)
    assert html.startswith("<!doctype html>") and html.endswith("</html>")
    assert "<img" not in html and "<script" not in html and "http" not in html
    assert ("prefers-color-scheme: dark" in html and "<svg" in html and "0.0001" in html) or "1e-4" in html
    assert render(REPORT) in html


def test_table_on_a_narrow_terminal() -> None:
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(preflight_table(REPORT))
    text = console.export_text()
    assert "Base model" in text and "set model.prediction" in text and "Do not start yet" in text
