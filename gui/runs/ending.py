"""How a run ended, as a card: the file and how to use it, before and after; or the cause of a failure."""

from __future__ import annotations

from pathlib import Path

from gui.runs import gallery, panels
from trainer.contract import preset
from trainer.contract.events import Saved
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir, RunState
from trainer.report import pictures
from trainer.report.view import RunView
from trainer.report.words import escape, size

SHOWN_WARNINGS, SHOWN_NOTES = 6, 3
"""How many are in sight; earlier ones are folded away."""

SUPERSEDED = "validation.budget"
"""Setting whose notes (how often is measured) hold until the next one."""


def ending(run: RunDir, state: RunState, view: RunView, lines: list[str]) -> str:
    """The card of a run that is over; "" while it runs."""
    show = {"done": _done, "stopped": _done, "paused": _paused, **_FAILURES}.get(state.state)
    return show(run, state, view, lines) if show else ""


def failure(run: RunDir, state: RunState, view: RunView, lines: list[str]) -> str:
    """The card of a run that is over without what it was for; "" for any other."""
    show = _FAILURES.get(state.state)
    return show(run, state, view, lines) if show else ""


def warnings(view: RunView) -> str:
    """What the run had to say beside its figures: what to look at, then what is good to know; each said once."""
    bad = list(dict.fromkeys(event.text for event in view.warnings))
    if view.not_numbers:
        bad.append(f"The loss was not a number in {view.not_numbers} steps.")
    last = next((event for event in reversed(view.notes) if event.setting == SUPERSEDED), None)
    notes = [event for event in view.notes if event.setting != SUPERSEDED or event is last]
    good = list(dict.fromkeys(f"Step {event.step}: {event.text}" if event.step else event.text for event in notes))
    return _told(bad, "warned", "Warnings", SHOWN_WARNINGS) + _told(good, "noted", "Notes", SHOWN_NOTES)


def _told(texts: list[str], kind: str, label: str, most: int) -> str:
    """A list of sentences; of many the newest are in sight."""
    items = [f"<li>{escape(text)}</li>" for text in texts]
    older = "".join(items[:-most])
    folded = panels.fold(f"told-{kind}", f"{len(items) - most} earlier", f"<ul>{older}</ul>") if older else ""
    shown = f'<ul aria-label="{label}">{"".join(items[-most:])}</ul>'
    return f'<div class="{kind}">{folded}{shown}</div>' if items else ""


def trigger_word(run: RunDir) -> str:
    """The trigger word of the run's own preset."""
    try:
        return preset.load(run.preset).captions.trigger
    except (Problems, OSError):
        return ""


def final_file(run: RunDir, state: RunState, view: RunView) -> tuple[Path, int] | None:
    """The adapter that the run ended with and its size in bytes, where the file is still there."""
    named = [event.file for event in reversed(view.saved) if event.what == "final"]
    named += [view.finished.file] if view.finished and view.finished.file else []
    named += [state.adapter] if state.adapter else []
    named += [event.file for event in reversed(view.saved)]
    for name in named:
        path = run.inside(name)
        if path is not None and path.is_file():
            return path, path.stat().st_size
    return None


def _done(run: RunDir, state: RunState, view: RunView, _lines: list[str]) -> str:
    early = {"stopped": "Stopped by you", "stopped early": "Stopped early: the held-out loss no longer fell"}
    how = view.finished.how if view.finished else state.state
    head = f"{early.get(how, 'Done')} after {max(view.step, state.step)} steps"
    found = final_file(run, state, view)
    body = _use(run, *found) if found else "<p>No LoRA file lies in the run folder: it was removed or never saved.</p>"
    rest = _report(run) + _others(run, view, found) + before_after(run, view)
    return f'<div class="card good"><h3>{escape(head)}</h3>{body}{rest}</div>'


def _use(run: RunDir, path: Path, count: int) -> str:
    trigger = trigger_word(run)
    word = _copyable(trigger) if trigger else "none: it always applies"
    prompt = _copyable(f"<lora:{path.stem}:1.0>" + (f" {trigger}" if trigger else ""))
    rows = [
        ("LoRA file", f"<b>{escape(path.name)}</b> ({size(count)})"),
        ("Where it lies", _copyable(str(path))),
        ("Trigger word", word),
        ("Strength to try", "1.0 first; 0.6 to 0.8 where it takes over the picture"),
        ("In a prompt", prompt),
    ]
    url = escape(panels.file_url(path))
    button = f'<a class="download" href="{url}" download="{escape(path.name)}">Download the LoRA</a>'
    cells = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return f'<dl class="facts">{cells}</dl><p>{button}</p>'


def _copyable(text: str) -> str:
    """Text with a button that copies it (the tab's script answers the click)."""
    return (
        f'<span class="copyable"><code>{escape(text)}</code>'
        f'<button type="button" class="copy" data-copy="{escape(text)}" aria-label="copy">copy</button></span>'
    )


def _report(run: RunDir) -> str:
    """Links to the report; what the page serves of it runs no script (`security`)."""
    if not run.report.is_file():
        return ""
    url = escape(panels.file_url(run.report))
    return (
        f'<p class="report"><a href="{url}" target="_blank" rel="noopener">Open the report</a> '
        f'<a href="{url}" download="{escape(run.id)}.html">Download it</a> '
        "<small>One file to keep or post: pictures, curves and settings, without your folders.</small></p>"
    )


def _others(run: RunDir, view: RunView, found: tuple[Path, int] | None) -> str:
    """In-between files that are still there, each as it was saved last."""
    links = []
    for event in {event.file: event for event in view.saved}.values():
        path = run.inside(event.file)
        if path is not None and path.is_file() and (found is None or path != found[0]):
            links.append(_link(path, event))
    return (
        f"<details><summary>{len(links)} more saved file{'s' if len(links) > 1 else ''}</summary>"
        f"<ul>{''.join(links)}</ul></details>"
        if links
        else ""
    )


def _link(path: Path, event: Saved) -> str:
    what = f"step {event.step}, {size(path.stat().st_size)}" + ("" if event.what == "in between" else f", {event.what}")
    url = escape(panels.file_url(path))
    return f'<li><a href="{url}" download="{escape(path.name)}">{escape(path.name)}</a> ({escape(what)})</li>'


def before_after(run: RunDir, view: RunView) -> str:
    """The first and the last pictures of the same prompt and seed, side by side."""
    found = pictures.before_after(view)
    if found is None:
        return ""
    shown = "".join(_pair(run, found.names, pair) for pair in found.pairs)
    remark = f'<p class="quiet">{escape(found.remark)}</p>' if found.remark else ""
    return f'<h4>Before and after</h4>{remark}<div class="pairs">{shown}</div>'


def _pair(run: RunDir, names: tuple[str, str], pair: tuple[pictures.Picture, pictures.Picture]) -> str:
    prompt, seed = pair[1].prompt, pair[1].seed
    note = f"same seed {seed}" if seed is not None else ""
    sides = "".join(gallery.picture(run, side.file, name, when=name) for side, name in zip(pair, names))
    said = f'<p class="prompt">{escape(prompt or "(empty prompt)")} <small>{escape(note)}</small></p>'
    return f'<div class="pair">{said}<div class="pictures">{sides}</div></div>'


def _paused(run: RunDir, state: RunState, view: RunView, _lines: list[str]) -> str:
    steps = f"{max(view.step, state.step):,} of {view.total_steps or state.total_steps:,} steps"
    said = "The device is free. Continue goes on exactly where it stopped, also after a restart of the computer."
    rest = _others(run, view, None) + before_after(run, view)
    return f'<div class="card good"><h3>Paused after {steps}</h3><p>{said}</p>{rest}</div>'


def _failed(run: RunDir, state: RunState, view: RunView, lines: list[str]) -> str:
    cause = (view.failed.cause if view.failed else "") or state.cause or "It ended without saying why."
    problems = "".join(f"<li>{escape(text)}</li>" for text in (view.failed.problems if view.failed else []))
    listed = f'<ul class="problems">{problems}</ul>' if problems else ""
    rest = listed + _report(run) + _last_lines(run, lines) + _others(run, view, None)
    return f'<div class="card bad"><h3>Failed: {escape(cause)}</h3>{rest}</div>'


def _interrupted(run: RunDir, state: RunState, view: RunView, lines: list[str]) -> str:
    cause = state.cause or "its process is gone"
    head = f"Interrupted after step {max(view.step, state.step):,}: {cause}"
    text = "The computer was switched off, or something ended it. What was saved before is whole."
    said = f"<h3>{escape(head)}</h3><p>{text}</p>"
    log = panels.fold("last-lines", "Its last lines", _last_lines(run, lines)) if lines else ""
    return f'<div class="card bad">{said}{_others(run, view, None)}{log}</div>'


_FAILURES = {"failed": _failed, "interrupted": _interrupted}


def _last_lines(run: RunDir, lines: list[str]) -> str:
    if not lines:
        return ""
    text = escape("\n".join(lines[-20:]))
    return f"<p>Its last lines ({escape(run.console.name)} holds all):</p><pre>{text}</pre>"
