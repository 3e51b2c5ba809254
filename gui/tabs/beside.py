"""What stands beside fields and is more than a field: the bars of the blocks, the curve of the timesteps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gradio as gr

from gui.context import Context
from gui.form import blocks, timestep_plot
from gui.form.session import Draft, family_of, resolved
from gui.shared import SAYS
from trainer.contract.settings import Preset

if TYPE_CHECKING:
    from gui.tabs.train import Train

BARS = [*blocks.LISTS.values(), *blocks.RATES]
"""The settings that the bars write into."""

_BARS = "window.loratory.blockBars(element, trigger); /* 'bars' */"


@dataclass
class Beside:
    """The parts, which are there once the form is laid out."""

    bars: gr.HTML = field(init=False)
    timesteps: gr.HTML = field(init=False)

    def places(self) -> dict[str, Callable[[], object]]:
        """Setting -> what lays out the part in front of it."""
        return {BARS[0]: self._bars, "noise.timestep_min": self._timesteps}

    def _bars(self) -> None:
        self.bars = gr.HTML("", html_template="", js_on_load=_BARS, elem_id="blocks", elem_classes=_SEEN)

    def _timesteps(self) -> None:
        self.timesteps = gr.HTML("", js_on_load=None, apply_default_css=False, elem_id="timesteps", elem_classes=_SEEN)

    def say(self, draft: Draft, full: Preset, asked: bool) -> Any:
        """The curve, where it is another than the page shows, or where all is `asked` for."""
        curve = timestep_plot.chart(full.noise)
        changed, draft.timesteps = curve != draft.timesteps, curve
        return curve if changed or asked else gr.skip()

    def wire(self, train: Train, context: Context) -> None:
        """Let the bars write into the fields of the blocks."""

        def edit(draft: Draft, event: gr.EventData) -> list[Any]:
            draft.open_again(context)
            if not draft.turns.take(event._data, f"bars {event._data.get('what')}"):
                return [gr.skip()] * len(outputs)
            before = dict(draft.shown)
            full, family = resolved(draft.preset, context.root), family_of(draft.preset, context.root)
            for path, content in blocks.contents(full, family, event._data).items():
                draft.edit(path, content)
            same = [draft.shown[path] == before.get(path) for path in BARS]
            fields = [gr.skip() if kept else gr.update(value=draft.shown[path]) for path, kept in zip(BARS, same)]
            return [*fields, *train.say(draft)]

        outputs = [*(train.fields[path] for path in BARS), *train.said]
        self.bars.bars(edit, train.draft, outputs, **SAYS)  # type: ignore[attr-defined]


_SEEN = ["beside-fields", "tier-expert"]
