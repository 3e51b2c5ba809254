"""Where the time went as one stacked bar: HTML text without script, readable in light and dark, without colours too."""

from __future__ import annotations

from html import escape

from trainer.contract.events import Timing

from .verdicts import WORDS, Split, Verdict
from .words import duration, percent, size

LABELLED = 0.09
"""Share from which a piece of the bar has room for its own name."""

INKS = {
    "data": "#ff9a52",
    "transfer": "#ffd9b8",
    "forward": "#b3dcf5",
    "backward": "#56b4e9",
    "optimizer": "#1fae7c",
    "validation": "#f6d3e8",
    "sampling": "#e59ccc",
    "saving": "#c2a24a",
    "other": "#c6cbd3",
}
"""The charts' light tones, the same on a light and a dark page, with dark letters on all of them: orange waits, blue
computes, green updates, pink looks. Neighbours differ in lightness too, for those who cannot tell the hues apart."""

CSS = """
.timebar { margin: 0; color: inherit; }
.timebar figcaption { font-size: 14px; font-weight: 600; margin-bottom: 6px; }
.timebar .stack { display: flex; gap: 2px; height: 30px; border-radius: 6px; overflow: hidden; }
.timebar .stack i { flex: 0 1 auto; min-width: 2px; overflow: hidden; white-space: nowrap; font-style: normal;
  text-overflow: ellipsis; font-size: 12px; line-height: 30px; text-align: center; color: #16181d;
  background: var(--ink); }
.timebar ul { display: flex; flex-wrap: wrap; gap: 3px 16px; margin: 8px 0; padding: 0; list-style: none;
  font-size: 13px; font-variant-numeric: tabular-nums; }
.timebar li::before { content: ""; display: inline-block; width: 11px; height: 11px; border-radius: 3px;
  margin-right: 5px; vertical-align: -1px; background: var(--ink); box-shadow: 0 0 0 1px #8886; }
.timebar p { margin: 4px 0; font-size: 14px; }
.timebar p.verdict { font-weight: 600; }
.timebar p.use { opacity: .85; font-size: 13px; }
"""


def time_bar(split: Split, verdict: Verdict) -> str:
    """The bar with its legend, the verdict and what is in use; "" before anything is known."""
    if split.wall_s <= 0:
        return ""
    parts = [part for part in Timing.PARTS if split.seconds[part] > 0 and split.share(part) >= 0.001]
    pieces = "".join(_piece(part, split.share(part)) for part in parts)
    legend = "".join(
        f'<li style="--ink:{INKS[part]}">{WORDS[part]} {percent(split.share(part))} '
        f"({duration(split.seconds[part])})</li>"
        for part in parts
    )
    label = escape(", ".join(f"{WORDS[part]} {percent(split.share(part))}" for part in parts), quote=True)
    said = f'<p class="verdict">{escape(verdict.text)}</p>' if verdict.text else ""
    use = escape(in_use(split))
    return (
        f'<figure class="timebar"><figcaption>Where the time went ({duration(split.wall_s)})</figcaption>'
        f'<div class="stack" role="img" aria-label="{label}">{pieces}</div><ul>{legend}</ul>{said}'
        f'{f"""<p class="use">{use}</p>""" if use else ""}</figure>'
    )


def _piece(part: str, share: float) -> str:
    name = WORDS[part] if share >= LABELLED else ""
    return f'<i style="width:{100 * share:.2f}%;--ink:{INKS[part]}" title="{WORDS[part]} {percent(share)}">{name}</i>'


def in_use(split: Split) -> str:
    """Speed, memory and how busy the device was, as far as known."""
    memory, rows = split.memory, []
    if (speed := split.images_per_second) is not None:
        rows.append(f"{speed:.1f} images/s")
    if "device_total" in memory:
        rows.append(f"GPU memory {size(round(memory['device_used']))} of {size(round(memory['device_total']))} in use")
    if "device_peak" in memory:
        rows.append(f"this run's tensors {size(round(memory['device_peak']))} at most")
    if split.device_use is not None:
        rows.append(f"GPU computing {percent(split.device_use)} of the time")
    if "host_used" in memory:
        rows.append(f"main memory {size(round(memory['host_used']))} of {size(round(memory['host_total']))}")
    return " · ".join(rows)
