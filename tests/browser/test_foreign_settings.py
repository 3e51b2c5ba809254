"""Settings of other programs in a real browser: dropped, explained, loaded, kept, exported; and another trainer that is
chosen beside Start (a stand-in, as in the integration tests)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from served import Served, serve, shot

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import sd_scripts_stand_in

from gui.queue import waiting
from trainer.contract.preset import dumps, load, with_values
from trainer.contract.rundir import RunDir, find_runs

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]

KOHYA = {
    "LoRA_type": "Standard",
    "network_dim": "24",
    "network_alpha": 12,
    "epoch": 3,
    "max_train_steps": "",
    "optimizer": "AdamW8bit",
    "max_resolution": "512,512",
    "lr_scheduler": "cosine",
    "huggingface_token": "hf_do_not_show_me",
    "<b>odd</b>": "<img src=x onerror=alert(1)>",
}


@pytest.fixture(scope="module")
def served(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page whose computer has an sd-scripts."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "user").mkdir()
    machine = sd_scripts_stand_in.machine_file(folder)
    (folder / "user" / "machine.toml").write_text(machine.read_text(encoding="utf-8"), encoding="utf-8")
    yield from serve(folder)


def opened(page: Page, url: str, tab: str) -> Page:
    page.goto(url)
    page.wait_for_selector("#f-model-path .help")
    page.get_by_role("tab", name=tab, exact=True).click()
    return page


def test_a_kohya_preset_is_explained_loaded_kept_and_exported(page: Page, served: Served, tmp_path: Path) -> None:
    opened(page, served.url, "Presets")
    dropped = tmp_path / "mine.json"
    dropped.write_text(json.dumps(KOHYA), encoding="utf-8")
    page.set_input_files("#preset-drop input[type=file]", dropped)
    said = page.locator("#preset-said")
    expect(said).to_contain_text(f"kohya_ss preset: {len(KOHYA)} keys")
    rows = said.locator(".fates tbody tr:visible")
    expect(rows).to_have_count(len(KOHYA))
    shot(page, "import-report")
    said.locator(".fate-filters [data-fate=dropped]").click()
    expect(rows.filter(has_text="<b>odd</b>")).to_have_count(1)
    expect(rows.filter(has_text="network_dim")).to_have_count(0)
    said.locator(".fate-filters [data-fate=all]").click()
    said.locator(".fate-filters input").fill("network_dim")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("Network rank")
    assert "hf_do_not_show_me" not in page.content()
    page.locator("#preset-load").click()
    expect(page.locator("#f-network-rank input")).to_have_value("24")
    with page.expect_download() as download:
        page.locator("#preset-export").click()
    assert "network_dim = 24" in Path(download.value.path()).read_text(encoding="utf-8")
    expect(page.locator("#preset-kept")).to_contain_text("train_network.py --config_file")

    other = tmp_path / "other.toml"
    other.write_text('network_dim = 4\nnetwork_module = "networks.lora"\n', encoding="utf-8")
    (tmp_path / "no-preset.json").write_text("{}", encoding="utf-8")
    page.set_input_files("#preset-drop input[type=file]", [dropped, other, tmp_path / "no-preset.json"])
    expect(said).to_contain_text("2 of 3 files can be taken over.")
    said.locator('[data-file="1"]').click()
    expect(said).to_contain_text("sd-scripts configuration: 2 keys")
    page.locator("#preset-keep").click()
    expect(said).to_contain_text("2 presets written")
    user = served.log.parent / "user"
    assert load(user / "mine.toml").network.rank == 24 and load(user / "other.toml").network.rank == 4


def test_another_trainer_says_what_it_cannot_do_before_it_starts(page: Page, served: Served, tmp_path: Path) -> None:
    values = {"validation.stop": "stop", "hardware.gpus": "cpu", "saving.name": "elsewhere", "validation.split": "10 %"}
    dropped = tmp_path / "demo.toml"
    dropped.write_text(dumps(with_values(load(ROOT / "presets" / "demo.toml"), values)), encoding="utf-8")
    opened(page, served.url, "Presets")
    page.set_input_files("#preset-drop input[type=file]", dropped)
    page.locator("#preset-load").click()
    expect(page.locator("#preset-said")).to_contain_text("Loaded")
    page.get_by_role("tab", name="Train", exact=True).click()
    page.locator("#engine").get_by_label("sd-scripts").check()
    page.locator("#start").click()
    result = page.locator("#result")
    expect(result).to_contain_text("sd-scripts cannot do all of this")
    expect(result).to_contain_text("stops no run by itself")
    assert find_runs(served.runs) == []
    shot(page, "engine-refused")
    page.get_by_role("button", name="Start without these").click()
    expect(page.get_by_role("heading", name="elsewhere")).to_be_visible()
    [run] = find_runs(served.runs)
    assert run.read_state().engine == "sd-scripts" and load(run.preset).validation.stop == "report only"
    expect(page.locator("#run-stop")).to_be_visible()
    expect(page.locator("#run-pause")).to_be_hidden()
    shot(page, "engine-run")
    added_for_the_other(page, served)


def added_for_the_other(page: Page, served: Served) -> None:
    """ "Add to queue" says what the other trainer cannot do too, adds nothing before that is answered, and then the
    queue's worker starts that trainer."""
    page.get_by_role("tab", name="Train", exact=True).click()
    page.locator("#add-to-queue").click()
    result = page.locator("#result")
    expect(result.get_by_role("button", name="Add without these")).to_be_visible()
    assert waiting.read(served.runs).entries == ()
    shot(page, "engine-queue-refused")
    result.get_by_role("button", name="Add without these").click()
    expect(result).to_contain_text("Added to the queue")
    [entry] = waiting.read(served.runs).entries
    assert entry.engine == "sd-scripts"
    page.get_by_role("tab", name="Runs", exact=True).click()
    expect(page.locator("#queue")).to_contain_text("sd-scripts")
    shot(page, "engine-queued")
    until = time.monotonic() + 60
    while waiting.read(served.runs).entries[0].state in ("waiting", "running") and time.monotonic() < until:
        time.sleep(0.3)
    [entry] = waiting.read(served.runs).entries
    assert entry.state == "done", entry
    assert RunDir(served.runs / entry.run).read_state().engine == "sd-scripts"
