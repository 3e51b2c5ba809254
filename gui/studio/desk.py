"""Answers to what the Dataset tab asks: messages and answers are plain values, which the tab sends as JSON.

What comes from the page is looked up: folders through `places.asked_for`, images by name in the opened folder, deeds in
their table. What does not fit is told, and nothing happens.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gui.context import Context
from gui.roots import may_show
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Preset
from trainer.plan import captionfiles

from . import places
from .captions import DEEDS, NEED_TEXT, Deed
from .folder import SORTS, Folders, Opened, Rules, Shown, View, look_through
from .preview import Look, Looks, same
from .thumbnails import Thumbnails

PAGE = 60
"""Images that the grid shows at once."""
_MOST_TAGS = 500
_MOST_EXAMPLES = 12
_FIRST_WAIT_S = 0.25
_WAIT_S = 2.0
_MOST_SHOWN_PX = 1600


@dataclass(frozen=True)
class Asked:
    """One message of the page. `preset`: the form's, resolved. `only`: images that a finding lets the grid show alone,
    with a title."""

    message: Mapping[str, Any]
    preset: Preset
    folder: str
    only: Mapping[str, Any] | None = None

    def text(self, key: str) -> str:
        """A text of the message; "" where there is none."""
        value = self.message.get(key, "")
        return value if isinstance(value, str) else ""

    def whole(self, key: str, least: int = 0) -> int:
        """A whole number of the message; `least` where there is none."""
        value = self.message.get(key, least)
        return max(least, int(value)) if isinstance(value, (int, float)) and abs(value) < 1e9 else least

    def texts(self, key: str) -> list[str]:
        """A list of texts of the message."""
        value = self.message.get(key, [])
        return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


class Desk:
    """What a page's Dataset tab asks is answered here. One for all pages."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.folders = Folders(None if context.local else lambda path: may_show(path, context))
        self.thumbnails = Thumbnails(context.machine.cache)
        self.looks = Looks(context.machine.cache, lambda path: context.local or may_show(path, context))

    def opened(self, asked: Asked, anew: bool = False) -> Opened:
        """The open folder. Problems where it may not be shown or cannot be read."""
        path = places.asked_for(asked.folder, self.context)
        captions = asked.preset.captions
        how = (path, Rules(captions.extension, captions.separator or ","), asked.preset.dataset)
        return self.folders.open(*how) if anew else self.folders.get(*how)

    def history(self, opened: Opened) -> Path:
        """Where the changes of its captions are kept."""
        return captionfiles.history_file(self.context.root, opened.path)

    def places(self, asked: Asked) -> dict[str, Any]:
        """What to offer before a folder is open."""
        return {"places": places.offered(asked.preset, self.context), "datasets": str(self.context.machine.datasets)}

    def listing(self, asked: Asked, anew: bool = False) -> dict[str, Any]:
        """One page of the grid, with what there is to filter by."""
        opened = self.opened(asked, anew)
        names = look_through(opened, view_of(asked))
        pages = max(1, -(-len(names) // PAGE))
        page = min(asked.whole("page"), pages - 1)
        rows = [opened.rows[name] for name in names[page * PAGE : (page + 1) * PAGE]]
        self.thumbnails.make([row.image for row in rows], _FIRST_WAIT_S)
        with_text = sum(bool(row.caption and row.caption.strip()) for row in opened.rows.values())
        buckets: dict[str, int] = {}
        for row in opened.rows.values():
            if row.placed is not None:
                buckets[str(row.placed.bucket)] = buckets.get(str(row.placed.bucket), 0) + 1
        undoable = captionfiles.undoable(self.history(opened))
        return {
            "folder": str(opened.path),
            "images": [self._card(opened, row) for row in rows],
            "total": len(opened.rows),
            "with": with_text,
            "matching": len(names),
            "page": page,
            "pages": pages,
            "tags": opened.counts().most_common(_MOST_TAGS),
            "buckets": sorted(buckets.items(), key=lambda row: (-row[1], row[0])),
            "broken": [{"name": bad.path.name, "why": bad.why} for bad in opened.unreadable],
            "notes": list(opened.found.notes),
            "undo": undoable.what if undoable else "",
            "separator": opened.rules.separator,
            "title": str(asked.only.get("title", "")) if asked.only else "",
            "own": any(same(row.path, opened.path) for row in asked.preset.dataset.folders),
        }

    def _card(self, opened: Opened, row: Shown) -> dict[str, Any]:
        size, place = row.image.size, row.placed
        return {
            "name": row.name,
            "caption": row.caption,
            "unread": opened.unread.get(row.name, ""),
            "size": str(size),
            "bucket": str(place.bucket) if place else "",
            "enlarged": bool(place and place.resized.area > size.area),
            **self._picture(row),
        }

    def _picture(self, row: Shown) -> dict[str, Any]:
        ready = self.thumbnails.ready(row.image)
        return {"url": address(ready) if ready else "", "faulty": self.thumbnails.broken(row.image)}

    def pictures(self, asked: Asked) -> dict[str, Any]:
        """Thumbnails that were not there yet: those of them that are now."""
        opened = self.opened(asked)
        rows = [opened.rows[name] for name in asked.texts("names")[:PAGE] if name in opened.rows]
        self.thumbnails.make([row.image for row in rows], _WAIT_S)
        return {"pictures": {row.name: self._picture(row) for row in rows}}

    def names(self, asked: Asked) -> dict[str, Any]:
        """All images that the filter lets through."""
        return {"names": look_through(self.opened(asked), view_of(asked))}

    def save(self, asked: Asked) -> dict[str, Any]:
        """Write one caption; refused where its file says something else than what the page showed before."""
        opened = self.opened(asked)
        row = _row(opened, asked.text("name"))
        opened.refresh([row.name])
        now, before = opened.rows[row.name].caption, asked.message.get("before")
        if now != before and (now or before):
            why = "its caption was changed meanwhile, outside of this editor; it is shown as it is now"
            raise Problems([Problem(row.name, why, "edit it again")])
        done = opened.write(
            {row.name: asked.text("caption")}, f"edited the caption of {row.name}", self.history(opened)
        )
        return {"saved": row.name, "caption": opened.rows[row.name].caption, "changed": done is not None}

    def deed(self, asked: Asked) -> dict[str, Any]:
        """Change many captions; with "dry" tell what would change."""
        opened, deed = self.opened(asked), deed_of(asked)
        names = [name for name in asked.texts("names") if name in opened.rows]
        if asked.message.get("dry"):
            told = opened.after(deed, names)
            examples = [{"name": name, "before": old, "after": new} for name, (old, new) in told.items()]
            return {"would": len(told), "of": len(names), "examples": examples[:_MOST_EXAMPLES]}
        change = opened.do(deed, names, self.history(opened))
        return {"done": change.what if change else "", "files": len(change.texts) if change else 0}

    def undo(self, asked: Asked) -> dict[str, Any]:
        """Take the newest change of captions back."""
        opened = self.opened(asked)
        change = captionfiles.undo(opened.path, self.history(opened))
        opened.refresh(list(opened.rows))
        return {"done": change.what if change else "", "files": len(change.texts) if change else 0}

    def original(self, asked: Asked) -> dict[str, Any]:
        """What a caption said before it was first changed here."""
        opened = self.opened(asked)
        name = _row(opened, asked.text("name")).name
        file = opened.caption_file(name).resolve().relative_to(opened.path.resolve()).as_posix()
        known = any(file in change.texts for change in captionfiles.changes(self.history(opened)))
        return {"original": captionfiles.original(self.history(opened), file), "known": known, "name": name}

    def look(self, asked: Asked) -> dict[str, Any]:
        """An image as the trainer will see it at one of its looks."""
        opened = self.opened(asked)
        row = _row(opened, asked.text("name"))
        found = self.looks.look(asked.preset, opened.path, row.image.path, asked.whole("look", 1), opened.read_at)
        return {"name": row.name, **told_of(found)}

    def whole(self, asked: Asked) -> dict[str, Any]:
        """An image as its file has it, upright, at most 1600 pixels a side."""
        from trainer.plan.pixels import BrokenImage, open_image

        row = _row(self.opened(asked), asked.text("name"))
        try:
            picture = open_image(row.image.path)
        except BrokenImage as error:
            raise Problems([Problem(row.name, error.why)]) from None
        picture.thumbnail((_MOST_SHOWN_PX, _MOST_SHOWN_PX))
        return {"name": row.name, "picture": data_address(picture)}


def view_of(asked: Asked) -> View:
    """What the grid is asked to show; what is not understood shows all."""
    caption, sort = asked.text("filter"), asked.text("sort")
    names = asked.only.get("names") if asked.only else None
    return View(
        caption=caption if caption in ("with", "without") else "all",
        text=asked.text("words"),
        tags=tuple(asked.texts("tags")),
        bucket=asked.text("bucket"),
        only=frozenset(str(name) for name in names) if isinstance(names, (list, tuple)) else None,
        sort=sort if sort in SORTS else "name",
    )


def deed_of(asked: Asked) -> Deed:
    """The deed that is asked for. Problems where there is none such, or its text is missing."""
    kind, what = asked.text("deed"), asked.text("what")
    if kind not in DEEDS and kind != "replace_text":
        raise Problems([Problem("Change", "there is no such change", "choose one of the list")])
    if kind in NEED_TEXT and not what.strip():
        raise Problems([Problem("Change", "no text is given", "write the tag or text that it is about")])
    what, by = (what, asked.text("by")) if kind == "replace_text" else (what.strip(), asked.text("by").strip())
    return Deed(kind, what, by, asked.preset.captions.separator or ",")


def told_of(found: Look) -> dict[str, Any]:
    """A look in the page's words: what was drawn, and the picture."""
    draw, size = found.draw, found.image.size
    return {
        "picture": data_address(found.picture),
        "look": found.number,
        "looks": found.of,
        "step": found.step,
        "epoch": draw.epoch,
        "own": found.own,
        "size": str(size),
        "resized": str(draw.resized),
        "enlarged": draw.resized.area > size.area,
        "bucket": str(draw.bucket),
        "crop": list(draw.crop),
        "cut": [draw.resized.width - draw.bucket.width, draw.resized.height - draw.bucket.height],
        "flip": draw.flip,
        "rotate": round(draw.rotate, 2),
        "jitter": [round(factor, 3) for factor in draw.jitter],
        "caption": draw.caption,
        "text_mode": found.text_mode,
        "masks": found.masks,
        "masked": data_address(found.masked) if found.masked else "",
        "counts": round(100 * found.counts),
        "regularisation": found.regularisation,
        "weight": draw.weight,
    }


def data_address(picture: Any) -> str:
    """A picture within the page: no file of the user's gets an address."""
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=93, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def address(path: Path) -> str:
    """Where the page finds a thumbnail."""
    return "gradio_api/file=" + quote(path.resolve().as_posix(), safe="/:")


def _row(opened: Opened, name: str) -> Shown:
    if name not in opened.rows:
        raise Problems([Problem(name or "Image", "it is not in the folder any more", "open the folder again")])
    return opened.rows[name]
