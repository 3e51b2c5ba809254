"""The languages of the page: dictionaries from the English that the page shows to what it says instead.

A key is the English text itself, so that a text whose English has changed is shown in English until it is translated
again. The browser does the translating (web/language.js); no sentence of the server's is put together per language.
No Gradio in here.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

LOCALES = Path(__file__).parent / "locales"

LANGUAGES: dict[str, str] = {"en": "English", "zh": "简体中文", "ja": "日本語"}
"""Code -> the language's own name."""


@functools.lru_cache(maxsize=8)
def dictionary(code: str) -> dict[str, str]:
    """English text -> text in the language; empty for English and for what is none of ours. The files of a language's
    folder (`locales/ja/settings.json`) are one dictionary."""
    if code not in LANGUAGES or code == "en":
        return {}
    words: dict[str, str] = {}
    for path in sorted((LOCALES / code).glob("*.json")):
        words |= json.loads(path.read_text(encoding="utf-8"))
    return words


def told(code: str) -> str:
    """What the browser is answered: the language and its dictionary, as JSON."""
    known = code if code in LANGUAGES else "en"
    return json.dumps({"code": known, "words": dictionary(known)}, ensure_ascii=False)
