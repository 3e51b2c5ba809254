"""The Tools tab: adapter files looked into, merged, extracted, resized, converted, edited, verified and sent."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.context import Context as Building

from gui import jobs, tooling, tools_view
from gui.runs import trash
from gui.runs.watch import Watcher, pending, watcher
from gui.shared import SAYS, TOLD, TOLD_SAYS, Shared
from gui.tabs import copy_adapter
from trainer.contract.adapter_tasks import TOOLS
from trainer.contract.problems import Problem, Problems

SHOWN = 60
_FORMS = "window.loratory.tools(element, trigger, server);"
_CLICKS = "window.loratory.toolResult(element, trigger, (data) => trigger('open', data));"


def build(shared: Shared) -> None:
    """Lay the tab out and wire it."""
    watching, context = watcher(shared.context.runs), shared.context
    shown, sent, file = gr.State(""), gr.State({}), gr.State("")

    def tools_known(_: Any) -> dict[str, Any]:
        return {"adapters": tooling.known_adapters(context, watching), "models": tooling.known_models(context)}

    def tools_glance(path: Any) -> dict[str, Any]:
        return tooling.glance(str(path or ""), context)

    with gr.Row(elem_id="tools-tab"):
        with gr.Column(scale=5, min_width=300, elem_classes="sheet"):
            form = gr.HTML(
                tools_view.forms(),
                elem_id="tool-forms",
                js_on_load=_FORMS,
                apply_default_css=False,
                server_functions=[tools_known, tools_glance],
            )
            said = gr.HTML(elem_id="tool-said", apply_default_css=False, elem_classes="area", js_on_load=None)
        with gr.Column(scale=7, min_width=320, elem_classes="sheet"):
            areas = [
                gr.HTML(elem_id=f"tool-{name}", js_on_load=_CLICKS, apply_default_css=False, elem_classes="area")
                for name in ("head", "result")
            ]
            copy_adapter.build(shared, file)
            areas.append(gr.HTML(elem_id="tool-list", js_on_load=_CLICKS, apply_default_css=False, elem_classes="area"))
    panel = _Panel(shared, watching)
    clock = gr.Timer(1.0, active=False)
    outputs = [shown, said, *areas, file, sent, clock]
    form.click(panel.start, [shown, sent], outputs, **TOLD)
    for area in areas:
        area.click(panel.act, [shown, sent], outputs, **TOLD_SAYS)
        if shared.own is not None:
            area.open(panel.into_try, None, [shared.own, shared.tabs], **SAYS)
    clock.tick(panel.look, [shown, sent], outputs, trigger_mode="once", **TOLD)
    if Building.root_block is not None:
        Building.root_block.load(panel.look, [shown, sent], outputs, **TOLD)


class _Panel:
    """The tab's handlers. `sent`: what one session was last told, so that only news travel."""

    def __init__(self, shared: Shared, watching: Watcher) -> None:
        self._context, self._watching = shared.context, watching

    def look(self, id: str, known: dict[str, Any]) -> list[Any]:
        """What changed since the last look."""
        return self._news(id, known)

    def start(self, event: gr.EventData, id: str, known: dict[str, Any]) -> list[Any]:
        """Begin what a form asks for."""
        told = event._data or {}
        name = next((each for each in TOOLS if each == told.get("tool")), None)
        try:
            if name is None:
                raise Problems([Problem("tool", "there is no such tool", "choose one")])
            values = told.get("values")
            task = tooling.task_of(name, values if isinstance(values, dict) else {}, self._context)
            return self._news(tooling.begin(task, self._watching).id, {**known, "said": ""})
        except Problems as error:
            return self._news(id, {**known, "said": tools_view.refused(error.problems)})

    def act(self, event: gr.EventData, id: str, known: dict[str, Any]) -> list[Any]:
        """Stop, delete, show or send."""
        told = event._data or {}
        what, run = str(told.get("what", "")), self._watching.run(str(told.get("try", "")))
        known = {**known, "said": ""}
        try:
            if run is not None and what == "stop":
                jobs.ask(run, "stop")
            if run is not None and what == "delete":
                trash.throw_away(run)
                return self._news("", known)
            if run is not None and what == "send":
                if not self._context.local:
                    raise Problems([Problem("upload", "this page can be opened from other computers", "send it here")])
                return self._news(tooling.begin(tooling.sent(run), self._watching).id, known)
        except Problems as error:
            known["said"] = tools_view.refused(error.problems)
        return self._news(run.id if run is not None and what == "show" else id, known)

    def into_try(self, event: gr.EventData) -> list[Any]:
        """The file that was made, into the Try tab."""
        run = self._watching.run(str((event._data or {}).get("try", "")))
        found = tooling.result_of(run) if run is not None else None
        return [found.file, gr.Tabs(selected="try")] if found is not None else [gr.skip(), gr.skip()]

    def _news(self, id: str, known: dict[str, Any]) -> list[Any]:
        told, rows = dict(known), tooling.of_tools(self._watching)
        row = next((each for each in rows if each.id == id), rows[0] if rows else None)
        run = self._watching.run(row.id) if row is not None else None
        texts = {"said": told.get("said", ""), "head": tools_view.head(None, None, False), "result": "", "list": ""}
        file = ""
        if row is not None and run is not None:
            with self._watching.lock:
                texts["head"] = tools_view.head(row, self._watching.view(run), "stop" in pending(run))
            found = tooling.result_of(run)
            texts["result"] = tools_view.result(found, row.id, tooling.loaded(run))
            file = found.file if found is not None and found.adapter else ""
            texts["list"] = tools_view.listing([(each, self._name(each.id)) for each in rows[:SHOWN]], row.id)
        now = row.id if row is not None else ""
        answers: list[Any] = [gr.skip() if told.get("shown") == now == id else now]
        for name in ("said", "head", "result", "list"):
            answers.append(gr.skip() if told.get(f"#{name}") == hash(texts[name]) else texts[name])
            told[f"#{name}"] = hash(texts[name])
        answers.append(gr.skip() if told.get("file") == file else file)
        working = row is not None and row.state.state in tools_view.AT_WORK
        told |= {"shown": now, "file": file, "working": working}
        clock = gr.skip() if known.get("working", False) == working else gr.Timer(active=working)
        return [*answers, told if told != known else gr.skip(), clock]

    def _name(self, id: str) -> str:
        run = self._watching.run(id)
        task = tooling.loaded(run) if run is not None else None
        return tooling.first_file(task) if task is not None else ""
