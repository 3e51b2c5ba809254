"""axe-core over every tab, in light and dark: no violation that it calls serious or critical."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Page
from served import Served

from gui.app import TABS

pytestmark = pytest.mark.browser
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
GRAVE = ("serious", "critical")


def violations(page: Page) -> list[str]:
    """What axe finds that is grave: rule, and the elements' own HTML."""
    found: dict[str, Any] = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:160]} — {node['failureSummary'].splitlines()[-1].strip()}"
        for each in found["violations"]
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_tab_has_a_grave_violation(page: Page, served: Served, theme: str) -> None:
    page.goto(f"{served.url}?__theme={theme}")
    page.wait_for_selector("#f-network-rank .help")
    page.add_script_tag(path=AXE)
    found = []
    for id, title, _ in TABS:
        page.locator(f"#tab-{id}-button").click()
        page.wait_for_timeout(400)
        found += [f"{title}: {told}" for told in violations(page)]
    assert found == []


def test_axe_would_tell(page: Page, served: Served) -> None:
    page.goto(served.url)
    page.wait_for_selector("#f-network-rank .help")
    page.add_script_tag(path=AXE)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<button></button><p style=\"color:#ccc\">faint</p>')")
    told = violations(page)
    assert any("button-name" in each for each in told) and any("color-contrast" in each for each in told)
