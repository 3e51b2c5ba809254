"""Which images are held out, as the plan shows them: small pictures, folded away.

A picture is sent only where the page would hand the file out itself (a folder that the machine file names, a shipped
one), or where the page is open to nobody but this computer. It is made anew, 72 pixels wide, and stands in the HTML:
no file of the user's gets an address. No Gradio in here.
"""

from __future__ import annotations

import base64
import functools
import io

from gui.context import Context
from gui.roots import may_show
from trainer.plan.plan import Plan
from trainer.plan.scan import ImageFile, register_heif
from trainer.report.words import escape

MOST = 12
"""Pictures; the rest are names."""
_SIDE_PX = 72


def card(plan: Plan, context: Context) -> str:
    """A folded list of the held-out images; "" where there are none."""
    if not plan.held_out:
        return ""
    images = list(zip(plan.held_out_names, (plan.images[index] for index in plan.held_out)))
    pictures = "".join(_figure(name, image, context) for name, image in images[:MOST])
    rest = ", ".join(escape(name) for name, _ in images[MOST : MOST + 200])
    more = f'<p class="quiet">and <span translate="no">{rest}</span></p>' if rest else ""
    return (
        f'<details class="held-out"><summary>Held out: {len(images):,} of {len(plan.images):,} images</summary>'
        f'<div class="held-out-pictures">{pictures}</div>{more}</details>'
    )


def _figure(name: str, image: ImageFile, context: Context) -> str:
    source = thumbnail(str(image.path), image.mtime) if may_show(image.path, context) else ""
    picture = f'<img src="{source}" alt="">' if source else ""
    return f'<figure>{picture}<figcaption translate="no">{escape(name)}</figcaption></figure>'


@functools.lru_cache(maxsize=256)
def thumbnail(path: str, changed: float) -> str:
    """A small JPEG of an image file as a data address; "" where it cannot be decoded. `changed`: the file's date, so
    that another picture is shown once there is one."""
    from PIL import Image, ImageOps

    try:
        if path.lower().endswith((".heic", ".heif")):
            register_heif()
        with Image.open(path) as image:
            image.draft("RGB", (2 * _SIDE_PX, 2 * _SIDE_PX))
            small = ImageOps.exif_transpose(image).convert("RGB")
            small.thumbnail((_SIDE_PX, _SIDE_PX))
            data = io.BytesIO()
            small.save(data, "JPEG", quality=80)
    except Exception:  # decoders raise whatever the damage leads them to
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
