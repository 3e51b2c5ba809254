"""Figures and texts as people read them."""

from __future__ import annotations

import html
import math


def escape(value: object) -> str:
    """Text for HTML: names, captions, prompts, paths and logs are never markup."""
    return html.escape(str(value), quote=True)


def duration(seconds: float) -> str:
    """1:05, 12:30, 2:05:00; "?" for what is no number."""
    if not math.isfinite(seconds):
        return "?"
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def percent(share: float) -> str:
    """61 %, 0.4 % of a share from 0 to 1."""
    return f"{100 * share:.0f} %" if share >= 0.0095 else f"{100 * share:.1f} %"


def size(count: int) -> str:
    """9.4 MB, 288 MB, 620 kB; 10^6 bytes each MB, as file managers and download pages count."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            value = count / factor
            return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"
    return f"{count} bytes"
