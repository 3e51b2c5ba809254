"""What may leave this computer: a recipe and texts without its folders, and without the names of the user's pictures
unless they are published (`saving.publish`)."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .adapter_lines import is_line, make_line, parse_line
from .preset import dumps, value_at, with_values
from .settings import ITEMS, Preset

IMAGE = "an image"
_SUFFIX = r"\.(?:png|jpe?g|webp|bmp|gif|avif|heic|heif|tiff?)\b"
_PICTURE = re.compile(r"[^\s/\\'\"(),:;]+" + _SUFFIX, re.IGNORECASE)
_SEVERAL = re.compile(rf"{IMAGE}(?:(?:,| and|, and) {IMAGE})+")
_POSIX = re.compile(r"(?<![\w./])~?/(?!/)(?:[^\s/'\"<>]+/)+([^\s/'\"<>]*)")
_WINDOWS = re.compile(r"(?:(?<!\w)[A-Za-z]:[\\/]|\\\\)(?:[^\\/'\"<>|:*?\n]+[\\/])*([^\s\\/'\"<>|:*?]*)")


def file_name(path: str) -> str:
    """A local path's last part, whichever system wrote it; a hub id ("name/model") as a whole."""
    is_hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+", path) and not path.endswith((".safetensors", ".ckpt"))
    if is_hub_id and not Path(path).exists():
        return path
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def shareable(preset: Preset) -> Preset:
    """The recipe: models by name, image folders by name where the user publishes them, else numbered; no prompt file,
    since it lies on this computer."""
    changes: dict[str, Any] = {}
    for item in ITEMS:
        value = value_at(preset, item.path)
        if item.setting.widget == "path" and isinstance(value, str) and value:
            changes[item.path] = file_name(value)
    under = [parse_line(line) for line in preset.model.adapters if is_line(line)]
    changes["model.adapters"] = [make_line(file_name(path), strength) for path, strength in under]
    changes["sampling.prompts_file"] = ""
    if not preset.saving.publish and preset.validation.folder:
        changes["validation.folder"] = "held-out images"
    rows = []
    for number, folder in enumerate(preset.dataset.folders, 1):
        kept = {key: value for key, value in folder if key in folder.model_fields_set}
        kept["path"] = file_name(folder.path) if preset.saving.publish else f"images {number}"
        if folder.mask:
            kept["mask"] = file_name(folder.mask) if preset.saving.publish else f"masks {number}"
        rows.append(kept)
    return with_values(preset, {**changes, "dataset.folders": rows})


def recipe_text(preset: Preset) -> str:
    """The shareable preset as TOML without the help texts, every value written."""
    return dumps(shareable(preset), f"format = {preset.format}\n")


class Cleaner:
    """Takes folders out of texts that come from anywhere (warnings, errors), and names of pictures where they are not
    published. What it knows by heart (`preset`'s folders, `places`) may hold blanks; other paths are known by shape."""

    def __init__(self, preset: Preset | None, places: Iterable[Path] = ()) -> None:
        self._publish = preset is not None and preset.saving.publish
        folders = [path for folder in preset.dataset.folders for path in (folder.path, folder.mask)] if preset else []
        folders += [preset.validation.folder] if preset else []
        named = [preset.model.path, preset.model.vae, preset.sampling.prompts_file] if preset else []
        own = [*places, Path.home(), Path(tempfile.gettempdir()), *(Path(text).parent for text in named if text)]
        self._folders = _known(folders)
        self._places = _known([*map(str, own), *folders])

    def __call__(self, text: str) -> str:
        """The text, with names in place of paths."""
        if not self._publish:
            for folder in self._folders:
                text = re.sub(re.escape(folder) + r"[\\/][^\n]*?" + _SUFFIX, IMAGE, text, flags=re.IGNORECASE)
        for place in self._places:
            text = re.sub(re.escape(place) + r"[\\/]", "", text).replace(place, file_name(place))
        text = _WINDOWS.sub(r"\1", _POSIX.sub(r"\1", text))
        return text if self._publish else _SEVERAL.sub("images", _PICTURE.sub(IMAGE, text))


def _known(paths: Iterable[str]) -> list[str]:
    """Absolute paths of some depth, longest first; a lone "/" or "C:\\" would cut every text to pieces."""
    found = {path.rstrip("/\\") for path in paths}
    return sorted((path for path in found if len(re.findall(r"[\\/]", path)) > 1), key=len, reverse=True)
