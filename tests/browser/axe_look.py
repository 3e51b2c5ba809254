"""What axe-core finds on a page, in light and in dark: no violation of any of its rules, good practice among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.sync_api import Page

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
_OTHER_THEME = "() => document.body.classList.toggle('dark')"


def violations(page: Page) -> list[str]:
    """What axe finds in the theme of the moment: rule, and the elements' own HTML."""
    if not page.evaluate("() => 'axe' in window"):
        page.add_script_tag(path=AXE)
    found: dict[str, Any] = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:160]} — {node['failureSummary'].splitlines()[-1].strip()}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def assert_accessible(page: Page) -> None:
    """No violation as the page stands now, in both themes; the theme is left as it was. Colours change at once."""
    page.add_style_tag(content="*, *::before, *::after { transition: none !important; animation: none !important; }")
    found = [f"one theme: {told}" for told in violations(page)]
    page.evaluate(_OTHER_THEME)
    found += [f"the other theme: {told}" for told in violations(page)]
    page.evaluate(_OTHER_THEME)
    assert not found, "\n".join(found)
