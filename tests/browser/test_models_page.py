"""Model folders are named once, in the Computer tab; from then on their checkpoints are a list in the form."""

from __future__ import annotations

import shutil
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from axe_look import assert_accessible
from playwright.sync_api import Browser, Locator, Page, expect
from safetensors.numpy import save_file
from served import ROOT, Served, serve, shot

pytestmark = pytest.mark.browser
DEMO = ROOT / "presets" / "demo"
FLUX = "double_blocks.0.img_attn.norm.key_norm.scale"


@dataclass(frozen=True)
class Computer:
    """A page, and the folders of the computer that it runs on."""

    page: Served
    folder: Path

    @property
    def comfy(self) -> Path:
        return self.folder / "home" / "ComfyUI"

    def machine(self) -> dict[str, object]:
        return tomllib.loads((self.folder / "user" / "machine.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def computer(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Computer]:
    folder = tmp_path_factory.mktemp("computer")
    checkpoints = folder / "home" / "ComfyUI" / "models" / "checkpoints"
    (folder / "home" / "ComfyUI" / "comfy").mkdir(parents=True)
    checkpoints.mkdir(parents=True)
    shutil.copytree(DEMO / "model", checkpoints.parent / "diffusers" / "badge painter")
    save_file({FLUX: np.zeros(4, np.float32)}, checkpoints / "large.safetensors")
    save_file({"lora_te_x.lora_down.weight": np.zeros((2, 2), np.float32)}, checkpoints / "adapter.safetensors")
    shutil.copytree(DEMO / "images", folder / "pictures")
    shutil.copytree(DEMO / "model", folder / "more" / "second model")
    for served in serve(folder, HOME=str(folder / "home"), HF_HUB_CACHE=str(folder / "hub")):
        yield Computer(served, folder)


def opened(page: Page, computer: Computer, tab: str = "Train") -> None:
    page.goto(computer.page.url)
    page.wait_for_function("document.querySelector('#toml')?.textContent.includes('[network]')")
    page.wait_for_timeout(500)  # the form as it was left comes with the TOML, and what is said of its model after it
    page.get_by_role("tab", name=tab).click()


def rows(page: Page, name: str) -> Locator:
    return page.locator(f".computer-{name} .computer-line")


def named(page: Page, computer: Computer) -> None:
    """Name ComfyUI's folder, unless a test before has done so."""
    opened(page, computer, "Computer")
    expect(rows(page, "runs")).to_have_count(1)
    if page.locator(".computer-suggestion").count():
        page.locator(".computer-suggestion").get_by_role("button").click()
        expect(rows(page, "models").locator(".computer-saved")).to_have_text("saved")


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_folders_are_named_once(page: Page, computer: Computer) -> None:
    opened(page, computer, "Computer")
    suggestion = page.locator(".computer-suggestion")
    expect(suggestion).to_contain_text(str(computer.comfy))
    expect(page.locator("#computer-facts")).to_contain_text("python launch.py --update")
    expect(page.locator("#computer-facts")).to_contain_text("diffusers")
    shot(page, "computer-suggestion")
    assert_accessible(page)
    suggestion.get_by_role("button").click()
    line = rows(page, "models")
    expect(line.locator(".computer-note")).to_have_text("ComfyUI: 3 checkpoints found")
    expect(line.locator(".computer-saved")).to_have_text("saved")
    assert computer.machine()["models"] == [str(computer.comfy)]
    page.locator(".computer-models .more").click()
    page.keyboard.type(str(computer.folder / "mor"))
    expect(rows(page, "models").nth(1).locator(".computer-note")).to_have_text(
        "There is no such folder; did you mean more?"
    )
    page.keyboard.press("Enter")
    expect(rows(page, "models").nth(1).locator("input")).to_have_attribute("aria-invalid", "true")
    shot(page, "computer-wrong-folder")
    assert computer.machine()["models"] == [str(computer.comfy)]
    rows(page, "models").nth(1).locator("input").fill(f'"{computer.folder / "more"}"')
    page.keyboard.press("Enter")
    expect(rows(page, "models").nth(1).locator(".computer-note")).to_have_text("plain folder: 1 checkpoints found")
    assert computer.machine()["models"] == [str(computer.comfy), str(computer.folder / "more")]


def test_a_folder_of_images_counts_without_a_restart(page: Page, computer: Computer) -> None:
    picture = next((computer.folder / "pictures").rglob("*.png"))
    address = f"{computer.page.url}gradio_api/file={quote(str(picture))}"
    before = status_of(address)
    opened(page, computer, "Computer")
    page.locator(".computer-folders .more").click()
    page.keyboard.type(str(computer.folder / "pictures"))
    page.keyboard.press("Enter")
    expect(rows(page, "folders").locator(".computer-saved")).to_have_text("saved")
    named = status_of(address)
    rows(page, "folders").locator(".computer-away").click()
    expect(rows(page, "folders")).to_have_count(0)
    page.wait_for_timeout(500)
    assert (before, named, status_of(address)) == (403, 200, 403)


def test_the_cache_is_emptied_and_its_limit_kept(page: Page, computer: Computer) -> None:
    cache = computer.folder / "cache"
    entry = cache / "latents" / "ab" / f"{'ab' * 16}.safetensors"
    entry.parent.mkdir(parents=True)
    entry.write_bytes(b"x" * 2_500_000)
    opened(page, computer, "Computer")
    rows(page, "cache").locator("input").fill(str(computer.folder / "more"))
    expect(rows(page, "cache").locator(".computer-note")).to_contain_text("this one holds second model")
    rows(page, "cache").locator("input").fill(str(cache))
    page.keyboard.press("Enter")
    expect(rows(page, "cache").locator(".computer-saved")).to_have_text("saved")
    assert computer.machine()["cache"] == str(cache)
    page.get_by_role("button", name="Empty the cache").click()
    expect(page.locator(".computer-size").first).to_contain_text("2.5 MB freed")
    expect(page.locator(".computer-size").first).to_contain_text("empty")
    assert not entry.exists()
    limit = rows(page, "cache_limit_gb").locator("input")
    limit.fill("-3")
    expect(rows(page, "cache_limit_gb").locator(".computer-note")).to_contain_text("above 0")
    limit.fill("7.5")
    page.keyboard.press("Enter")
    expect(rows(page, "cache_limit_gb").locator(".computer-saved")).to_have_text("saved")
    assert computer.machine()["cache_limit_gb"] == 7.5


def test_a_model_is_chosen_by_the_keyboard(page: Page, computer: Computer) -> None:
    named(page, computer)
    page.get_by_role("tab", name="Train").click()
    box = page.get_by_role("combobox", name="Base model")
    box.focus()
    page.keyboard.press("ArrowDown")
    options = page.get_by_role("listbox", name="Models on this computer").get_by_role("option")
    expect(page.get_by_role("listbox", name="Models on this computer")).to_be_visible()
    expect(options.filter(has_text="badge painter")).to_contain_text("SD 1.x, epsilon, 7.7 MB")
    expect(options.filter(has_text="large.safetensors")).to_have_attribute("aria-disabled", "true")
    expect(page.locator(".model-popup")).to_contain_text("no base models (LoRAs, VAEs and the like): 1")
    assert options.filter(has_text="adapter").count() == 0
    shot(page, "model-list", whole=False)
    assert_accessible(page)
    page.keyboard.type("badge pa")
    expect(options).to_have_count(1)
    page.keyboard.press("ArrowDown")
    active = box.get_attribute("aria-activedescendant")
    assert active and page.locator(f"#{active}").inner_text().startswith("badge painter")
    page.keyboard.press("Enter")
    expect(page.locator(".model-popup")).to_be_hidden()
    chosen = computer.comfy / "models" / "diffusers" / "badge painter"
    expect(box).to_have_value(str(chosen))
    expect(page.locator(".model-says")).to_have_text("badge painter: SD 1.x, epsilon, 7.7 MB")
    expect(page.locator("pre.toml, #toml textarea, .cm-content").first).to_contain_text("badge painter")
    box.press("ArrowDown")
    box.press("Escape")
    expect(page.locator(".model-popup")).to_be_hidden()
    expect(box).to_have_value(str(chosen))
    page.wait_for_timeout(500)
    page.reload()
    expect(page.locator(".model-says")).to_have_text("badge painter: SD 1.x, epsilon, 7.7 MB", timeout=15_000)


def test_any_path_can_be_pasted_and_none_is_uploaded(page: Page, computer: Computer) -> None:
    opened(page, computer)
    box = page.get_by_role("combobox", name="Base model")
    place = computer.folder / "more" / "second model"
    paste = """(box, text) => { const data = new DataTransfer(); data.setData('text', text); box.focus();
      box.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})); }"""
    box.evaluate(paste, f'"{place}"')
    expect(box).to_have_value(str(place))
    expect(page.locator(".model-says")).to_have_text("second model: SD 1.x, epsilon, 7.7 MB")
    box.fill(str(computer.comfy / "models" / "checkpoints" / "large.safetensors"))
    box.press("Escape")
    expect(page.locator(".model-says")).to_contain_text("not trained yet")
    expect(page.locator("#f-model-path")).to_contain_text("choose a Stable Diffusion")
    drop = """(box, name) => { const data = new DataTransfer(); data.items.add(new File(['weights'], name));
      box.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})); }"""
    box.evaluate(drop, "six-gigabytes.safetensors")
    expect(page.locator(".model-says")).to_contain_text("A model is never uploaded")
    shot(page, "model-dropped", whole=False)


def test_where_others_can_open_the_page_paths_are_only_shown(
    page: Page, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("open")
    for served in serve(folder, "--listen", "0.0.0.0", LORATORY_PASSWORD="correct horse"):
        page.goto(served.url)
        page.get_by_label("username").fill("loratory")
        page.get_by_label("password").fill("correct horse")
        page.get_by_role("button", name="Login").click()
        page.get_by_role("tab", name="Computer").click(timeout=20_000)
        expect(page.locator("#computer-tab")).to_contain_text("Other computers can open this page")
        expect(rows(page, "runs").locator("input")).to_have_attribute("readonly", "")
        expect(page.locator(".computer-form button")).to_have_count(0)
        told = page.evaluate(
            """async () => { const config = window.gradio_config, area = config.components.find(
                 each => each.props?.elem_id === 'computer-form');
               const ask = async (name, data) => (await fetch('gradio_api/component_server', {method: 'POST',
                 headers: {'Content-Type': 'application/json'}, body: JSON.stringify({data, fn_name: name,
                 component_id: area.id, session_hash: 'x'})})).json();
               return [await ask('computer_save', {name: 'folders', values: ['/']}), await ask('computer_cache', true)];
            }"""
        )
        assert [answer["ok"] for answer in told] == [False, False], told
        assert not (folder / "user" / "machine.toml").exists()
        shot(page, "computer-read-only")
