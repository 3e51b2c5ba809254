"""The Try tab: pictures drawn with adapters, at any step and strength, beside the base model."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from gradio.context import Context as Building

from gui import jobs, tryout, tryout_view
from gui.context import Context
from gui.processes import alive
from gui.runs import trash
from gui.runs.watch import Row, Watcher, pending, watcher
from gui.shared import LATEST, QUIET, SAYS, TOLD_LATEST, Shared
from gui.tabs import copy_adapter
from gui.tryout import Asked
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir

SHOWN_TRIES = 60
_CLICKS = "window.loratory.tries(element, trigger);"


@dataclass(frozen=True)
class Form:
    """The inputs, by the names of `Asked`; `run` chooses whose adapters are offered."""

    run: gr.Dropdown
    inputs: dict[str, Any]
    draw: gr.Button
    said: gr.HTML


def build(shared: Shared) -> None:
    """Lay the tab out and wire it."""
    watching = watcher(shared.context.runs)
    shown, sent, file = gr.State(""), gr.State({}), gr.State("")
    with gr.Row(elem_id="tryout-tab"):
        with gr.Column(scale=4, min_width=300, elem_classes="sheet"):
            form = _form()
            shared.own = form.inputs["own"]
            copy_adapter.build(shared, file)
        with gr.Column(scale=8, min_width=320, elem_classes="sheet"):
            areas = [_area("try-head"), _area("try-grid"), _area("try-list")]
    _wire_form(form, watching, file, shared.context)
    _wire_view(form, watching, areas, shown, sent)


def _form() -> Form:
    usual = tryout.usual()
    gr.HTML("<h2>Try an adapter</h2>", js_on_load=None)
    run = gr.Dropdown(
        [("none", "")], value="", label="Run whose adapters are tried", elem_id="try-run", filterable=True
    )
    inputs: dict[str, Any] = {
        "files": gr.CheckboxGroup([], label="Its adapters, a column each", elem_id="try-files", visible=False),
        "own": gr.Textbox(
            label="Or adapter files of your own",
            placeholder="path of a .safetensors file, one a line",
            lines=1,
            elem_id="try-own",
        ),
        "strengths": gr.Textbox("1", label="Strengths, a column each", elem_id="try-strengths", max_lines=1),
        "base": gr.Checkbox(True, label="Base model alone, as the first column", elem_id="try-base"),
        "prompts": gr.Textbox(label="Prompts, one a line", lines=3, elem_id="try-prompts"),
        "negative": gr.Textbox(label="Negative prompt", elem_id="try-negative", lines=1),
        "model": gr.Textbox(
            usual["model"], label="Base model", placeholder="path of a checkpoint", elem_id="try-model", max_lines=1
        ),
    }
    with gr.Row(elem_classes="try-numbers"):
        for name, label in (("seed", "Seed"), ("width", "Width"), ("height", "Height")):
            inputs[name] = _small(name, label, usual)
    with gr.Row(elem_classes="try-numbers"):
        for name, label in (("steps", "Sampler steps"), ("guidance", "Guidance (CFG)")):
            inputs[name] = _small(name, label, usual)
        inputs["sampler"] = gr.Dropdown(
            list(tryout.samplers()),
            value=usual["sampler"],
            label="Sampler",
            elem_id="try-sampler",
            elem_classes="field",
            min_width=90,
        )
    with gr.Accordion("More", open=False):
        inputs["vae"] = gr.Textbox("", label="Separate VAE", elem_id="try-vae", max_lines=1)
        inputs["precision"] = gr.Radio(
            ["float", "fp16", "bf16"], value=usual["precision"], label="Number format", elem_id="try-precision"
        )
    draw = gr.Button("Draw", variant="primary", elem_id="try-draw")
    said = gr.HTML(elem_id="try-said", apply_default_css=False, elem_classes="area", js_on_load=None)
    return Form(run, inputs, draw, said)


def _small(name: str, label: str, usual: dict[str, Any]) -> gr.Textbox:
    return gr.Textbox(usual[name], label=label, elem_id=f"try-{name}", max_lines=1, min_width=90)


def _area(name: str) -> gr.HTML:
    return gr.HTML(elem_id=name, js_on_load=_CLICKS, apply_default_css=False, elem_classes="area")


LEAVING_S = 8.0
"""How long a deletion waits for the processes of a try that has just ended."""

_FILLED = tuple(tryout.usual())
"""Fields that a run fills with its own values."""


def _wire_form(form: Form, watching: Watcher, file: gr.State, context: Context) -> None:
    def choose(run_id: str) -> list[Any]:
        run = watching.run(run_id or "")
        if run is None:
            return [gr.update(choices=[], value=[], visible=False), *[gr.skip()] * len(_FILLED), ""]
        with watching.lock:
            found = tryout.adapters(run, watching.view(run))
        choices = [(each.label, str(each.file)) for each in found]
        values = tryout.defaults(run)
        last = choices[-1][1] if choices else ""
        files = gr.update(choices=choices, value=[last] if last else [], visible=bool(choices))
        return [files, *(values.get(name, gr.skip()) for name in _FILLED), last]

    def chosen(files: list[str]) -> str:
        return files[-1] if files else ""

    outputs = [form.inputs["files"], *(form.inputs[name] for name in _FILLED), file]

    def suit(model: str, *shown: str) -> list[Any]:
        values = tryout.suited(model.strip(), dict(zip(tryout.SUITED, map(str, shown))))
        return [values.get(name, gr.skip()) for name in tryout.SUITED]

    form.run.input(choose, form.run, outputs, **TOLD_LATEST)
    fields = [form.inputs[name] for name in tryout.SUITED]
    form.inputs["model"].blur(suit, [form.inputs["model"], *fields], fields, **LATEST)
    form.inputs["files"].change(chosen, form.inputs["files"], file, **TOLD_LATEST)


def _wire_view(form: Form, watching: Watcher, areas: list[gr.HTML], shown: gr.State, sent: gr.State) -> None:
    outputs = [shown, *areas, form.run, form.said, sent]
    everything = {form.run, shown, sent, *form.inputs.values()}

    def look(id: str, known: dict[str, Any]) -> list[Any]:
        return _news(watching, id, known)

    def draw(values: dict[Any, Any]) -> list[Any]:
        known, run = dict(values[sent]), watching.run(values[form.run] or "")
        asked = _asked(form, values)
        try:
            made = tryout.task(replace(asked, files=tryout.in_order(asked.files, run, watching)), run)
            warned = tryout_view.warning(tryout.beside(watching, made.gpus))
            id, known["said"] = tryout.begin(made, watching).id, warned
        except Problems as error:
            id, known["said"] = values[shown], tryout_view.refused(error.problems)
        return _news(watching, id, known)

    def act(event: gr.EventData, id: str, known: dict[str, Any]) -> list[Any]:
        told = event._data or {}
        which, known = str(told.get("try", "")), {**known, "said": ""}
        try:
            id = _obey(watching, str(told.get("what", "")), which, id)
        except Problems as error:
            known["said"] = tryout_view.refused(error.problems)
        return _news(watching, id, known)

    def again(event: gr.EventData) -> list[Any]:
        told = event._data or {}
        return _restored(form, watching, str(told.get("try", "")) if told.get("what") == "again" else "")

    form.draw.click(draw, everything, outputs, api_visibility="private", show_progress="hidden")
    for area in areas:
        area.click(act, [shown, sent], outputs, **SAYS)
    areas[0].click(again, None, [form.run, *form.inputs.values()], **SAYS)
    gr.Timer(1.0).tick(look, [shown, sent], outputs, trigger_mode="once", **QUIET)
    if Building.root_block is not None:
        Building.root_block.load(look, [shown, sent], outputs, **QUIET)


def _asked(form: Form, values: dict[Any, Any]) -> Asked:
    typed: dict[str, Any] = {name: values[component] for name, component in form.inputs.items()}
    typed["files"] = tuple(typed["files"] or ())
    given: dict[str, Any] = {name: "" if value is None else value for name, value in typed.items()}
    return Asked(**given)


def _obey(watching: Watcher, what: str, which: str, shown: str) -> str:
    """Do what was clicked; the id of the try to show."""
    run = watching.run(which)
    if run is None:
        return shown
    if what == "stop":
        jobs.ask(run, "stop")
    if what == "delete":
        _let_leave(run, watching)
        trash.throw_away(run)
        return ""
    return which


def _let_leave(run: RunDir, watching: Watcher) -> None:
    """Wait a little for the processes of a try that is over: they leave a moment after they have said so."""
    state, until = watching.state(run), time.monotonic() + LEAVING_S
    while state is not None and state.state not in jobs.AT_WORK and alive(run) and time.monotonic() < until:
        time.sleep(0.1)


def _restored(form: Form, watching: Watcher, id: str) -> list[Any]:
    """The form as it was for a try; nothing where there is none."""
    run = watching.run(id)
    made = tryout.task_of(run) if run else None
    if made is None:
        return [gr.skip()] * (1 + len(form.inputs))
    used = list(dict.fromkeys(one.file for column in made.columns for one in column))
    strengths = list(dict.fromkeys(f"{one.strength:g}" for column in made.columns for one in column))
    source = watching.run(made.source)
    offered = []
    if source is not None:
        with watching.lock:
            offered = tryout.adapters(source, watching.view(source))
    paths = [str(each.file) for each in offered]
    values = {name: str(getattr(made, name)) for name in form.inputs if hasattr(made, name)}
    values["guidance"] = f"{made.guidance:g}"
    return [
        source.id if source else "",
        *(
            {
                "files": gr.update(
                    choices=[(each.label, str(each.file)) for each in offered],
                    value=[file for file in used if file in paths],
                    visible=bool(offered),
                ),
                "own": "\n".join(file for file in used if file not in paths),
                "strengths": ", ".join(strengths) or "1",
                "base": () in made.columns,
                "prompts": "\n".join(made.prompts),
            }.get(name, values.get(name, gr.skip()))
            for name in form.inputs
        ),
    ]


def _news(watching: Watcher, id: str, known: dict[str, Any]) -> list[Any]:
    """What changed for one session since it was last told."""
    told, rows = dict(known), tryout.tries(watching)
    row = next((each for each in rows if each.id == id), rows[0] if rows else None)
    texts = {"head": tryout_view.nothing(), "grid": "", "list": ""}
    run = watching.run(row.id) if row else None
    if row is not None and run is not None:
        with watching.lock:
            texts |= _drawn(watching, row, run)
        listed = [(each, tryout.task_of(RunDir(watching.runs / each.id))) for each in rows[:SHOWN_TRIES]]
        texts["list"] = tryout_view.listing(listed, row.id)
    now = row.id if row else ""
    answers: list[Any] = [gr.skip() if told.get("shown") == now == id else now]
    told["shown"] = now
    for name in ("head", "grid", "list"):
        answers.append(gr.skip() if told.get(name) == hash(texts[name]) else texts[name])
        told[name] = hash(texts[name])
    choices = [("none", ""), *((each.state.name, each.id) for each in tryout.runs_with_adapters(watching))]
    answers.append(gr.skip() if told.get("runs") == choices else gr.update(choices=choices))
    told["runs"] = choices
    answers.append(gr.skip() if told.get("said", "") == told.get("said before", "") else told["said"])
    told["said before"] = told.get("said", "")
    return [*answers, told if told != known else gr.skip()]


def _drawn(watching: Watcher, row: Row, run: RunDir) -> dict[str, str]:
    made, view = tryout.task_of(run), watching.view(run)
    head = tryout_view.head(row, made, view, "stop" in pending(run))
    if made is None:
        return {"head": head, "grid": ""}
    label, source = tryout.short_names(made), watching.run(made.source)
    if source is not None:
        label |= {str(each.file): each.label for each in tryout.adapters(source, watching.view(source))}
    return {"head": head, "grid": tryout_view.grid(run, made, tryout.recipes_of(run), label)}
