"""How long the page takes from an edit of a field to the changed plan: the input event to the change of what the plan's
area holds. For the browser test and `benchmarks/edit_to_plan.py`."""

from __future__ import annotations

from playwright.sync_api import Page

EDITS = (
    ("training-length", ("300 steps", "310 steps", "320 steps", "330 steps")),
    ("training-batch_size", ("2", "3", "5", "4")),
    ("network-rank", ("8", "12", "24", "16")),
    ("captions-trigger", ("zorba", "zorbb", "zorbc", "zorb")),
)
"""Field, and contents that each change the plan."""

_WATCH = """() => {
  window.__pace = [];
  let began = 0;
  document.addEventListener("input", () => { began = performance.now(); }, true);
  new MutationObserver(() => {
    if (began) window.__pace.push(performance.now() - began);
    began = 0;
  }).observe(document.querySelector("#plan"), { childList: true, subtree: true, characterData: true });
}"""


def load_demo(page: Page, url: str) -> None:
    """Open the page with the demo preset in its form, and wait for its plan."""
    page.goto(url)
    page.wait_for_selector("#f-network-rank .help")
    page.get_by_role("tab", name="Presets", exact=True).click()
    page.locator('[data-preset="shipped/demo"][data-what="load"]').click()
    page.locator("#preset-load").click()
    page.get_by_role("tab", name="Train", exact=True).click()
    page.locator("#plan table").wait_for()
    page.wait_for_timeout(300)


def measure(page: Page) -> list[float]:
    """Milliseconds of each edit."""
    page.evaluate(_WATCH)
    for field, contents in EDITS:
        box = page.locator(f"#f-{field} input, #f-{field} textarea").first
        for content in contents:
            known = page.evaluate("window.__pace.length")
            box.fill(content)
            page.wait_for_function("known => window.__pace.length > known", arg=known, timeout=20_000)
            page.wait_for_timeout(40)
    times: list[float] = page.evaluate("window.__pace")
    return times
