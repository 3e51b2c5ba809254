"""Charts as text: places on the page, ticks, escaping."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as xml

import pytest

from trainer.report import charts
from trainer.report.charts import Series


def draw(*series: Series, **options: object) -> str:
    return charts.line_chart(series, **{"title": "Loss", **options})  # type: ignore[arg-type]


def routes(text: str, kind: str) -> list[list[tuple[int, int]]]:
    found = re.findall(rf'<path class="{kind}"[^>]* d="([^"]*)"', text)
    return [[(int(x), int(y)) for x, y in re.findall(r"(-?\d+) (-?\d+)", route)] for route in found]


def test_a_chart_is_well_formed() -> None:
    text = draw(
        Series("a", [(0, 1), (10, 2)]), Series("b", [(5, 1.5)], "points", 2), Series("c", [(0, 3), (9, 1)], "faint")
    )
    assert xml.fromstring(text).tag == "figure"


def test_points_lie_where_they_belong() -> None:
    """x from 0 to 100 over the width; y from 0 (values near 0 begin there) to 6 % above the highest."""
    ((left, middle, right),) = routes(draw(Series("a", [(0, 1), (50, 0), (100, 1)])), "line")
    assert (left[0], middle[0], right[0]) == (0, charts.WIDTH // 2, charts.WIDTH)
    assert middle[1] == charts.HEIGHT and left[1] == right[1] == round(charts.HEIGHT * (1 - 1 / 1.06))


def test_a_running_curve_grows_into_its_chart() -> None:
    ((_, last),) = routes(draw(Series("a", [(0, 1), (50, 2)]), x_end=200), "line")
    assert last[0] == charts.WIDTH // 4


def test_log_axis_is_even_in_powers() -> None:
    points = routes(draw(Series("a", [(1, 1.0), (2, 0.1), (3, 0.01), (4, 0.0), (5, -1.0)]), log=True), "line")[0]
    assert len(points) == 3, "what is not above 0 has no place"
    assert points[2][1] - points[1][1] == pytest.approx(points[1][1] - points[0][1], abs=1)


def test_one_wild_step_does_not_press_the_rest_flat() -> None:
    calm = [(n, 1 + n % 2) for n in range(500)]
    text = draw(Series("raw", [*calm, (500, 1e6)], "faint"))
    heights = [y for _, y in routes(text, "faint")[0]]
    assert max(heights[:-1]) - min(heights[:-1]) > 0.3 * charts.HEIGHT and min(heights) >= -0.03 * charts.HEIGHT


def test_nothing_to_draw_says_so() -> None:
    assert "nothing yet" in draw() and "nothing yet" in draw(Series("a", [(1, math.nan)]))
    assert "<path" in draw(Series("a", [(1, 5.0)])), "one point is drawn"


def test_only_finite_values_reach_the_page() -> None:
    text = draw(Series("a", [(0, 1), (1, math.inf), (2, math.nan), (3, 2)])).lower()
    assert "nan" not in text and "inf" not in text


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</figcaption><b>",
    "${alert(1)}",
    "' onload='x",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_names_are_text(text: str) -> None:
    drawn = xml.fromstring(draw(Series(text, [(0, 1), (1, 2)]), title=text, x_name=text))
    assert text in "".join(drawn.itertext())
    assert {element.tag for element in drawn.iter()} <= {
        "figure", "figcaption", "b", "span", "div", "{http://www.w3.org/2000/svg}svg", "svg", "path",
    }  # fmt: skip
    assert not any(name.startswith("on") for element in drawn.iter() for name in element.attrib)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0, 0.36, [0, 0.1, 0.2, 0.3]),
        (3, 1200, [200, 400, 600, 800, 1000, 1200]),
        (0, 1.06e-4, [0, 2e-5, 4e-5, 6e-5, 8e-5, 1e-4]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    found = charts.ticks(low, high, 4 if high == 0.36 else 5)
    assert found == pytest.approx(expected)


def test_log_ticks() -> None:
    assert charts.log_ticks(0.001, 10) == pytest.approx([0.001, 0.01, 0.1, 1, 10])
    assert charts.log_ticks(0.09, 1.1) == pytest.approx([0.1, 0.2, 0.5, 1])
    narrow = charts.log_ticks(0.11, 0.14)
    assert len(narrow) >= 3 and all(0.11 <= tick <= 0.14 for tick in narrow)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.1 + 0.2, "0.3"), (1500, "1500"), (12345.6, "12346"), (5e-5, "5e-5"), (1.25e-4, "1.25e-4"),
     (0.0015, "0.0015"), (100_000, "100000"), (2_000_000, "2e6")],
)  # fmt: skip
def test_numbers_as_people_read_them(value: float, text: str) -> None:
    assert charts.number(value) == text


def test_a_read_out_names_step_and_values() -> None:
    line = Series("smoothed", [(n, n / 100) for n in range(0, 101, 10)])
    checks = Series("held-out", [(50.0, 0.75)], "points", 2)
    said = re.findall(r"<span>([^<]*)</span></div>", draw(line, checks))
    assert "step 50\nsmoothed 0.5\nheld-out 0.75" in said and "step 20\nsmoothed 0.2" in said
    assert len(re.findall('class="at', draw(Series("a", [(n, 1) for n in range(10_000)])))) <= charts.COLUMNS


def test_a_long_curve_weighs_little() -> None:
    raw = Series("raw", [(n * 160, 0.1 + (n * 7919 % 101) / 500) for n in range(600)], "faint")
    smooth = Series("smoothed", [(n * 320, 0.1 + n / 9000) for n in range(300)])
    assert len(draw(raw, smooth)) < 25_000
