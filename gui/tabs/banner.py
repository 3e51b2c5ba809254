"""What a page says above its tabs when it opens: runs that ended in the middle, with their next move; and, as a mark on
the Runs tab, how many are at work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from gui import jobs
from gui.runs import actions
from gui.runs.watch import Row, Watcher
from gui.shared import SAYS
from gui.text import paragraph
from trainer.contract import checkpoints
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir
from trainer.report.words import escape

SHOWN = 3
"""Interrupted runs that are named; the list of runs has them all."""

_SCRIPT = """
const mark = () => {
  const count = element.querySelector('[data-running]')?.dataset.running ?? '0';
  document.querySelector('#tabs')?.setAttribute('data-running', count);
};
new MutationObserver(mark).observe(element, {childList: true, subtree: true});
setTimeout(mark, 500);
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-do]');
  if (!button || window.loratory.again(event)) return;
  if (button.dataset.do === 'hide') { button.closest('.ended').remove(); return; }
  const question = button.dataset.do === 'discard' ? window.loratory.told(SURE) : '';
  if (!question || confirm(question)) trigger('click', {run: button.dataset.run, what: button.dataset.do});
});
""".replace("SURE", json.dumps(actions.BY_NAME["discard"].sure))


def area() -> gr.HTML:
    """The place above the tabs; empty and unseen where there is nothing to say."""
    return gr.HTML(elem_id="ended-runs", js_on_load=_SCRIPT, apply_default_css=False, elem_classes="area")


def text(runs: Path, rows: Sequence[Row]) -> str:
    """What is said of these runs."""
    at_work = sum(row.state.state in jobs.AT_WORK for row in rows)
    ended = [row for row in rows if row.state.state == "interrupted" and _could_go_on(row)]
    said = "".join(_ended(RunDir(runs / row.id), row) for row in ended[:SHOWN])
    return f'{said}<span data-running="{at_work}" hidden></span>'


def _could_go_on(row: Row) -> bool:
    """Another program's run is only shown: it cannot be gone on with."""
    return row.state.kind == "training" and not row.state.engine


def _ended(run: RunDir, row: Row) -> str:
    found = checkpoints.newest(run)
    of = f" of {row.total_steps:,}" if row.total_steps else ""
    kept = f"its full state of step {found.step:,} is whole" if found else "no full state had been saved"
    said = f"<b>{escape(row.state.name or row.id)}</b> stopped at step {row.step:,}{of}: its process is gone; {kept}."
    onwards = f"Continue from step {found.step:,}" if found else "Start again"
    words = (("resume", onwards), ("show", "Show"), ("discard", "Discard"), ("hide", "Not now"))
    buttons = "".join(
        f'<button type="button" data-do="{what}" data-run="{escape(row.id)}">{escape(word)}</button>'
        for what, word in words
    )
    return f'<div class="ended" role="status"><span>{said}</span><span class="moves">{buttons}</span></div>'


def wire(place: gr.HTML, watching: Watcher, chosen: gr.State, tabs: gr.Tabs) -> None:
    """Let a click continue, show or discard the run that it names; the first two open the Runs tab on it."""

    def act(event: gr.EventData) -> list[Any]:
        run, what = watching.run(str(event._data.get("run", ""))), str(event._data.get("what", ""))
        if run is None or what not in ("resume", "show", "discard"):
            return [gr.skip(), gr.skip(), gr.skip()]
        try:
            if what != "show":
                actions.BY_NAME[what].do(run, "")
        except Problems as problems:
            return [text(watching.runs, watching.rows()) + paragraph(str(problems), "bad"), gr.skip(), gr.skip()]
        said = text(watching.runs, watching.rows())
        return [said, gr.skip(), gr.skip()] if what == "discard" else [said, run.id, gr.Tabs(selected="runs")]

    place.click(act, None, [place, chosen, tabs], **SAYS)
