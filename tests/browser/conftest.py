"""The real page in a real Chromium. Without one the tests are skipped, unless LORATORY_REQUIRE_BROWSER=1 demands it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from served import Served, serve

from trainer.testing import BROWSERS

expect.set_options(timeout=15_000)
"""Milliseconds: on a machine that is busy with other things answers may take longer than Playwright's five seconds."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("LORATORY_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        if os.environ.get("LORATORY_REQUIRE_BROWSER") == "1":
            pytest.fail("no Chromium here, and LORATORY_REQUIRE_BROWSER=1 demands it")
        pytest.skip("no Chromium here: install it, or set LORATORY_CHROMIUM to its path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One page for a module's tests."""
    yield from serve(tmp_path_factory.mktemp("page"))


UNFOLDED = """try {
  if (localStorage.getItem('loratory-folds') === null) localStorage.setItem('loratory-folds', '{"*": false}');
} catch { /* before a page is there */ }"""
"""The browser remembers all groups of the form as unfolded, so that tests reach each field at once."""


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A fresh browser session. A script error on the page fails the test."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    context.add_init_script(UNFOLDED)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []
