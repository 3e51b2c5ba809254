"""The charts of a run, for the page and the report: what is always in sight, and the groups that are folded away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.report import checks
from trainer.report.charts import Series, line_chart
from trainer.report.curves import Points
from trainer.report.view import RunView, Window
from trainer.report.words import escape

WORST = 4
"""Held-out images that are drawn in a colour of their own; the others stay in the background."""


@dataclass(frozen=True)
class Group:
    """Charts that belong together. `key` names the group for scripts and tests."""

    key: str
    title: str
    body: str


def rate_name(group: str) -> str:
    """What a group of trained weights is called beside its learning rate."""
    return {"unet": "U-Net"}.get(group, group.replace("_", " "))


@dataclass(frozen=True)
class Look:
    """How the charts are looked at. `window`: these steps alone. `clip`: wild single losses press nothing flat."""

    log: bool = False
    window: Window | None = None
    clip: bool = True


def main(view: RunView, log: bool = False, look: Look | None = None) -> str:
    """Training loss with the held-out loss on one chart, the applied learning rates below: a curve that is flat because
    the rate has fallen to nothing is then not taken for a model that has learnt all."""
    look = look or Look(log)
    end, at = float(view.total_steps), look.window
    top, above, count = view.ordinary(at) if look.clip else (math.inf, 0, 0)
    held_out = view.kept("held out", _count(view), lambda: checks.held_out(view.validations))
    same = view.kept("same grid", _count(view), lambda: checks.same_grid(view.validations))
    loss = [
        Series("each step", view.raw_losses(at), "faint", 1, top=top),
        Series("smoothed", view.smooth_losses(at), "line", 1),
        Series("held-out batch of each step, smoothed", view.smoothed("batch", view.batch_losses, at), "line", 4),
        Series("held-out images", _seen(held_out, at), "points", 2),
        Series("same check on training images", _seen(same, at), "points", 3),
    ]
    curves = enumerate(view.rate_curves(at).items())
    rates = [Series(rate_name(group), points, "line", 1 + i % 4, i % 4) for i, (group, points) in curves]
    said = view.convergence()
    clipped = f"{above:,} of {count:,} steps lie above the chart." if above else ""
    return (
        line_chart(loss, title="Loss", height_px=260, log=look.log, x_end=end, x_range=at)
        + (_said(clipped) if clipped else "")
        + (_said(said) if said else "")
        + line_chart(rates, title="Learning rate", height_px=130, x_end=end, x_range=at)
    )


def _seen(points: Points, window: Window | None) -> Points:
    return [(x, y) for x, y in points if window[0] <= x <= window[1]] if window else points


def groups(view: RunView, names: Sequence[str] | None = None) -> list[Group]:
    """What there is beside the main charts. `names`: of the held-out images, in place of their files' names."""
    found = [
        Group("likeness", "Likeness of the samples to the held-out images", likeness(view)),
        Group("held-out", "Held-out images in detail", held_out(view, names)),
        Group("norms", "Gradient and size of the adapter", norms(view)),
        Group("memory", "Memory over the run", memory(view)),
    ]
    return [group for group in found if group.body]


def likeness(view: RunView) -> str:
    """The likeness curve, where an embedding model measures it."""
    points = sorted((float(event.step), event.similarity) for event in view.likenesses)
    if not points:
        return ""
    said = "Cosine of an embedding model's vectors, mean over the sample pictures; 1 is the same picture."
    chart = line_chart([Series("mean of the samples", points, "points", 1)], title="Likeness", height_px=170,
                       x_end=float(view.total_steps))  # fmt: skip
    return chart + _said(said)


def held_out(view: RunView, names: Sequence[str] | None = None) -> str:
    """The gap to the training images, the noise levels, and which image suffers."""
    named = names if names is not None else (view.started.held_out_images if view.started else [])
    return view.kept(f"held-out {names}", _count(view), lambda: _gap(view) + _by_noise(view) + _by_image(view, named))


def _gap(view: RunView) -> str:
    points = checks.gap(view.validations)
    if not points:
        return ""
    said = (
        "By how much the held-out images' loss lies above that of as many training images under the same noise. A gap "
        "that grows while the held-out loss rises is overfitting."
    )
    series = [Series("held-out above training", points, "points", 4)]
    return line_chart(series, title="Gap, %", height_px=150, x_end=float(view.total_steps)) + _said(said)


def _by_noise(view: RunView) -> str:
    bands = checks.by_noise(view.validations)
    if not bands:
        return ""
    series = [Series(name, points, "points", 1 + i) for i, (name, points) in enumerate(bands)]
    title = "Held-out loss by noise level, change since the first check in %"
    said = "High noise is where composition is learnt, low noise where texture is."
    return line_chart(series, title=title, height_px=190, x_end=float(view.total_steps)) + _said(said)


def _by_image(view: RunView, names: Sequence[str]) -> str:
    images = checks.by_image(view.validations, names)
    if not images:
        return ""
    faint = [Series("", image.change, "faint", 1) for image in images[WORST:]]
    worst = [Series(image.name, image.change, "points", 1 + i) for i, image in enumerate(images[:WORST])]
    title = "Held-out loss by image, change since the first check in %"
    chart = line_chart([*faint, *worst], title=title, height_px=190, x_end=float(view.total_steps))
    return chart + _image_table(images)


def _image_table(images: Sequence[checks.Image]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("Image", "First check", "Lowest (step)", "Last check", "Change"))
    rows = "".join(
        f"<tr><td>{escape(image.name)}</td><td>{image.first:.4f}</td>"
        f"<td>{image.lowest:.4f} ({image.lowest_step})</td><td>{image.last:.4f}</td><td>{image.risen:+.1f} %</td></tr>"
        for image in images
    )
    return f'<div class="scroll"><table class="numbers"><tr>{head}</tr>{rows}</table></div>'


def norms(view: RunView) -> str:
    """How hard the weights are pulled, and how far the adapter has moved the model."""
    end, drawn = float(view.total_steps), ""
    gradients = view.thinned("gradient", view.gradients)
    if gradients:
        series = [
            Series("each step", gradients, "faint", 1),
            Series("smoothed", view.smoothed("gradient", view.gradients), "line", 1),
        ]
        drawn += line_chart(series, title="Gradient norm, before clipping", height_px=150, x_end=end)
    adapter = view.thinned("adapter", view.norms)
    if adapter:
        title = "Adapter norm: the whole change to the model's weights"
        drawn += line_chart([Series("adapter", adapter, "line", 3)], title=title, height_px=150, x_end=end)
    return drawn


_MEMORY = {
    "device_used": "device, all programs",
    "device_own": "device, tensors of this run",
    "device_peak": "device, most of these so far",
    "host_used": "main memory of this run",
}
"""Figure of `Timing.memory` -> what it is called."""


def memory(view: RunView) -> str:
    """What was in use over the steps, on the device and in main memory; "" for a run that did not tell."""
    told = [(name, view.memory[key]) for key, name in _MEMORY.items() if key in view.memory]
    drawn = [
        Series(name, [(step, value / 1e9) for step, value in view.thinned(f"memory {name}", curve)], "line", 1 + i, i)
        for i, (name, curve) in enumerate(told)
    ]
    return line_chart(drawn, title="In use, GB", height_px=150, x_end=float(view.total_steps)) if drawn else ""


def _said(text: str) -> str:
    return f'<p class="said">{escape(text)}</p>'


def _count(view: RunView) -> int:
    return len(view.validations)


CSS = """
.chart + .said, .chart + .said + .said { margin: -6px 0 16px; font-size: 13px; opacity: .8; }
.scroll { overflow-x: auto; }
table.numbers { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: 0 0 10px; }
table.numbers th, table.numbers td { padding: 3px 12px 3px 0; text-align: right; border: 0; border-top: 1px solid #8883;
  white-space: nowrap; }
table.numbers th { font-weight: 600; border-top: 0; }
table.numbers th:first-child, table.numbers td:first-child { text-align: left; white-space: normal;
  overflow-wrap: anywhere; min-width: 130px; }
"""
