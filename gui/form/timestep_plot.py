"""The curve beside the noise settings: how often each timestep is drawn, what is left out shaded. No Gradio in here."""

from __future__ import annotations

from functools import lru_cache

from trainer.contract.settings import Noise
from trainer.plan.timesteps import density
from trainer.report.charts import Series, line_chart

STEPS, WIDTH = 1000, 5
"""Timesteps of the models' noising, and how many of them make a point of the curve."""

TITLE = "How often each timestep is drawn: 1 is as often as all alike"


@lru_cache(maxsize=16)
def chart(noise: Noise) -> str:
    """The curve as HTML; "" where the lowest timestep is not below the highest, which is told beside the fields."""
    low, high = noise.timestep_min, noise.timestep_max
    if low >= high:
        return ""
    shares = density(noise, STEPS)
    shares = [STEPS * sum(shares[start : start + WIDTH]) / WIDTH for start in range(0, STEPS, WIDTH)]
    points = [(WIDTH * (place + 0.5), round(share, 4)) for place, share in enumerate(shares)]
    drawn = line_chart([Series("", points)], title=TITLE, height_px=104, x_name="timestep", x_range=(0.0, float(STEPS)))
    sides = (("low", low), ("high", STEPS - high))
    shades = "".join(
        f'<i class="{side}" style="width:{100 * width / STEPS:.1f}%"></i>' for side, width in sides if width
    )
    return f'<div class="density"><div class="left-out">{shades}</div>{drawn}</div>'
