"""Sample pictures as PNG files that tell how they were made, and "before | after" side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

MARGIN_PX, LABEL_PX, SMALLEST_CELL_PX = 8, 18, 192


def to_picture(pixels_CHW: Tensor) -> Image.Image:
    """Values in [0, 1] -> 8 bits a channel; what is no number is black."""
    values_HWC = (pixels_CHW.nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(values_HWC.contiguous().numpy())


def png(picture: Image.Image, texts: Mapping[str, str] | None = None) -> bytes:
    """A PNG file, with `texts` by keyword in it: as plain text chunks where Latin letters are enough, which is what
    A1111 writes and every reader knows, else as international ones."""
    info = PngInfo()
    for keyword, text in (texts or {}).items():
        info.add_text(keyword, text)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def before_after(rows: Sequence[tuple[str, Path, Path]], titles: tuple[str, str]) -> Image.Image:
    """A sheet with a row a prompt: (prompt, picture before, picture after) under two column titles."""
    pairs = [(text, _opened(before), _opened(after)) for text, before, after in rows]
    width = max(picture.width for _, *both in pairs for picture in both)
    heights = [max(before.height, after.height) + LABEL_PX + MARGIN_PX for _, before, after in pairs]
    sheet = Image.new("RGB", (2 * width + 3 * MARGIN_PX, sum(heights) + LABEL_PX + 2 * MARGIN_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    columns = (MARGIN_PX, width + 2 * MARGIN_PX)
    for x, title in zip(columns, titles):
        pen.text((x, MARGIN_PX), title, "black", font)
    top = LABEL_PX + MARGIN_PX
    for (text, *both), height in zip(pairs, heights):
        pen.text((MARGIN_PX, top), _fitted(text, pen, font, sheet.width - 2 * MARGIN_PX), "black", font)
        for x, picture in zip(columns, both):
            sheet.paste(picture, (x, top + LABEL_PX))
        top += height
    return sheet


def _opened(path: Path) -> Image.Image:
    """The picture, small ones enlarged by a whole number so that labels fit over them."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    times = -(-SMALLEST_CELL_PX // max(1, picture.width))
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.LANCZOS)


def _fitted(text: str, pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, px: int) -> str:
    line = " ".join(text.split()) or "(no text)"
    while len(line) > 1 and pen.textlength(line, font) > px:
        line = line[:-2].rstrip("…") + "…"
    return line
