"""What a run, a preset or a log says is shown as text: nothing of it runs in the browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from served import Served, serve

from trainer.contract import events as ev
from trainer.contract.rundir import RunDir

pytestmark = pytest.mark.browser
HOSTILE = [
    "<script>window.hacked=1</script>",
    '"><img src=x onerror="window.hacked=1">',
    "'><svg onload=window.hacked=1>",
    "</pre></textarea></style><script>window.hacked=1</script>",
    "${window.hacked=1} {{window.hacked=1}} <%= window.hacked=1 %>",
    "[x](javascript:window.hacked=1) <a href='javascript:window.hacked=1'>x</a>",
    "&lt;img src=x onerror=window.hacked=1&gt;",
    "@children",
]
ALL = " ".join(HOSTILE)


def hostile_run(served: Served, state: str, **changes: object) -> RunDir:
    """A run folder in which every text is an attack."""
    run = RunDir.create(served.runs, "x")
    run.update_state(name=ALL, device=ALL, cause=ALL, preset_title=ALL, created=time.time() + 60)
    (run.samples / "1.png").write_bytes(b"no picture")
    (run.path / "x.safetensors").write_bytes(b"weights")
    run.preset.write_text(f"format = 1\n[captions]\ntrigger = {json.dumps(ALL)}\n", encoding="utf-8")
    run.console.write_text("\n".join(HOSTILE), encoding="utf-8")
    common = {"time": 1.0}
    writer = ev.Writer(run.events)
    started = ev.RunStarted(name=ALL, total_steps=9, steps_per_epoch=3, total_epochs=3, images=1, device=ALL, **common)
    rates = {ALL: 1e-4, "b": 1e-5}
    told: list[ev.Event] = [started, ev.Phase(text=ALL), ev.Warned(text=ALL, setting=ALL)]
    told += [ev.StepDone(step=n, epoch=1, loss=1.0, learning_rate=rates, seconds=1.0) for n in (1, 2, 3)]
    files = ["samples/1.png", *(f"samples/{text}" for text in HOSTILE), "../../x.png", "/etc/passwd"]
    prompts = [ALL, *HOSTILE, "outside", "outside"]
    told += [ev.Sampled(step=n, files=files, prompts=prompts, seeds=[1] * len(files)) for n in (0, 3)]
    told += [
        ev.Saved(step=3, file="x.safetensors", bytes=7, what="final"),
        ev.Saved(step=2, file="/etc/passwd", bytes=7),
    ]
    told += [ev.Phase(text=ALL)]
    told += [ev.Failed(cause=ALL, problems=HOSTILE)] if state == "failed" else []
    for event in told:
        writer.write(event)
    writer.close()
    run.update_state(state=state, **changes)
    return run


@pytest.fixture
def watched(page: Page) -> Page:
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog opened: {dialog.message}"))
    return page


@pytest.mark.parametrize("state", ["done", "failed", "interrupted", "starting"])
def test_nothing_of_a_run_is_executed(watched: Page, served: Served, state: str) -> None:
    run = hostile_run(served, state)
    watched.goto(served.url)
    watched.get_by_role("tab", name="Runs").click()
    row = watched.locator(f'tr[data-run="{run.id}"]')
    row.click()
    expect(watched.locator("#run-progress h2")).to_have_text(ALL)
    expect(row).to_contain_text(HOSTILE[0])
    expect(watched.locator("#run-console")).to_contain_text(HOSTILE[1])
    expect(watched.locator("#run-samples")).to_contain_text(HOSTILE[2])
    watched.wait_for_timeout(1500)
    assert watched.evaluate("window.hacked") is None
    found = "#run-progress, #run-ending, #run-warnings, #run-curves, #run-samples, #run-console, #runs-list"
    bad = """found => [...document.querySelectorAll(found)].flatMap(area => [...area.querySelectorAll('*')])
      .filter(e => e.tagName === 'SCRIPT' || [...e.attributes].some(a => a.name.startsWith('on'))
        || (e.href && String(e.href.baseVal ?? e.href).startsWith('javascript')))
      .map(e => e.outerHTML.slice(0, 200))"""
    assert watched.evaluate(bad, found) == []


def test_files_outside_the_run_are_not_linked(watched: Page, served: Served) -> None:
    run = hostile_run(served, "done")
    watched.goto(served.url)
    watched.get_by_role("tab", name="Runs").click()
    watched.locator(f'tr[data-run="{run.id}"]').click()
    expect(watched.locator("#run-ending")).to_contain_text("x.safetensors")
    links = watched.evaluate("[...document.querySelectorAll('.area [href], .area [src]')].map(e => e.href || e.src)")
    assert links and all(run.id in link for link in links)


@pytest.fixture(scope="module")
def guarded(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(tmp_path_factory.mktemp("guarded"), "--listen", "0.0.0.0", LORATORY_PASSWORD="correct horse")


def test_the_page_asks_for_the_password(page: Page, guarded: Served) -> None:
    page.goto(guarded.url)
    expect(page.get_by_role("tab", name="Runs")).to_have_count(0)
    for password in ("wrong horse", "correct horse"):
        page.get_by_label("username").fill("loratory")
        page.get_by_label("password").fill(password)
        page.get_by_role("button", name="Login").click()
        expect(page.get_by_text("Incorrect")).to_have_count(int(password == "wrong horse"))
    page.get_by_role("tab", name="Runs").click(timeout=20_000)
    expect(page.locator("#runs-list")).to_contain_text("No runs yet")
    assert "correct horse" not in guarded.log.read_text(encoding="utf-8")
