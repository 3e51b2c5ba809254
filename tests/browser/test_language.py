"""The page in another language, switched live: what is ours is told anew, what is the user's stays as it is."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect
from served import Served, shot

from gui import languages
from trainer.contract.settings import BY_PATH

pytestmark = pytest.mark.browser
RANK = BY_PATH["network.rank"]


def speak(page: Page, code: str) -> None:
    page.select_option("#language select", code)
    page.wait_for_function("code => window.loratory.language() === code", arg=code)


def open_page(page: Page, served: Served) -> None:
    page.goto(served.url)
    page.wait_for_selector("#f-network-rank .help")


def test_a_language_is_switched_live_and_kept(page: Page, served: Served) -> None:
    open_page(page, served)
    trigger = page.locator("#f-captions-trigger input")
    trigger.fill("Images")  # a word of the page's too: what people type is never translated
    for code in ("ja", "zh"):
        words = languages.dictionary(code)
        speak(page, code)
        expect(page.locator("html")).to_have_attribute("lang", {"ja": "ja", "zh": "zh-Hans"}[code])
        field = page.locator("#f-network-rank")
        expect(field).to_contain_text(words[RANK.setting.label])
        field.locator(".help").first.focus()
        expect(page.locator("#tip")).to_contain_text(words[" ".join(RANK.help.split())])
        expect(trigger).to_have_value("Images")
        shot(page, f"language-{code}")
    page.reload()
    page.wait_for_function("window.loratory?.language?.() === 'zh'")
    expect(page.locator("#f-network-rank")).to_contain_text(words[RANK.setting.label])
    speak(page, "en")
    expect(page.locator("#f-network-rank")).to_contain_text(RANK.setting.label)
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_what_has_no_translation_stays_english_and_patterns_keep_their_numbers(page: Page, served: Served) -> None:
    open_page(page, served)
    words = {"{0} of {1} images": "{1} 枚中 {0}", "Images": "画像", "none yet": "まだ"}
    page.evaluate("told => window.loratory.heard(told)", json.dumps({"code": "ja", "words": words}))
    page.evaluate(
        """() => {
          const box = document.createElement("div");
          box.id = "words";
          box.innerHTML = `<p>3 of 40 images</p><p> Images </p><p>Images!</p><p translate="no">Images</p>
            <input placeholder="none yet"><p id="spoken">Images</p>`;
          document.body.append(box);
        }"""
    )
    box = page.locator("#words")
    expect(box.locator("p").nth(0)).to_have_text("40 枚中 3")
    expect(box.locator("p").nth(1)).to_have_text("画像")
    expect(box.locator("p").nth(2)).to_have_text("Images!")
    expect(box.locator("p").nth(3)).to_have_text("Images")
    expect(box.locator("input")).to_have_attribute("placeholder", "まだ")
    page.evaluate("document.querySelector('#spoken').firstChild.data = '7 of 9 images'")
    expect(page.locator("#spoken")).to_have_text("9 枚中 7")
    page.evaluate("told => window.loratory.heard(told)", json.dumps({"code": "en", "words": {}}))
    expect(page.locator("#spoken")).to_have_text("7 of 9 images")
    expect(box.locator("p").nth(0)).to_have_text("3 of 40 images")
    expect(box.locator("input")).to_have_attribute("placeholder", "none yet")
