"""axe-core over every tab as it opens, in light and dark: no violation of any rule, the order of headings among them.

What tabs hold once somebody works in them is looked at by their own tests (`axe_look.assert_accessible`).
"""

from __future__ import annotations

import pytest
from axe_look import violations
from playwright.sync_api import Page
from served import Served

from gui.app import TABS

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_tab_has_a_violation(page: Page, served: Served, theme: str) -> None:
    page.goto(f"{served.url}?__theme={theme}")
    page.wait_for_selector("#f-network-rank .help")
    found = []
    for id, title, _ in TABS:
        page.locator(f"#tab-{id}-button").click()
        page.wait_for_timeout(400)
        found += [f"{title}: {told}" for told in violations(page)]
    assert found == []


def test_axe_would_tell(page: Page, served: Served) -> None:
    page.goto(served.url)
    page.wait_for_selector("#f-network-rank .help")
    wrong = '<button></button><h5>deep</h5><p style="color:#ccc">faint</p>'
    page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", wrong)
    told = violations(page)
    for rule in ("button-name", "color-contrast", "heading-order"):
        assert any(each.startswith(rule) for each in told), rule
