"""The queue as the page shows it: what is at work, what waits in which order, what has ended. No Gradio in it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gui.jobs import AT_WORK
from gui.queue import devices, reboot, waiting
from gui.queue.waiting import OVER, UNSTARTED, Entry, Queue
from gui.runs.watch import Row
from trainer.contract.problems import Problems
from trainer.report.words import duration, escape

UNDO_S = 600.0
"""How long a removed entry is offered to be put back on the page."""

SHOWN_OVER = 30

EMPTY = 'Nothing waits. "Add to queue" on the Train tab puts a run here; runs of one device start one after the other.'

OFF = "The queue is held: what is at work goes on, nothing more starts."

PAUSED = "paused: its device stays free until you continue or remove it"


def card(runs: Path, queue: Queue, rows: Sequence[Row], left: Mapping[str, float], wrong: str = "") -> str:
    """The whole card. `rows`: all runs. `left`: seconds that runs at work (by their id) still take, and entries that
    wait (by theirs), as far as it is known. `wrong`: why a click could not be obeyed."""
    by_id = {row.id: row for row in rows}
    active = [*queue.of("running", "paused"), *queue.of(*UNSTARTED)]
    head = f'<header><h2>Queue</h2><span class="quiet count">{escape(_counted(queue))}</span>{_switch(queue)}</header>'
    off = f'<p class="held-queue">{escape(OFF)}</p>' if not queue.on and queue.of(*UNSTARTED) else ""
    error = f'<p class="bad" role="alert">{escape(wrong)}</p>' if wrong else ""
    waits = _waits(runs, queue, rows, left)
    items = "".join(_active(entry, queue, by_id.get(entry.run), left, waits) for entry in active)
    body = f'<ol class="queue-list">{items}</ol>' if items else ""
    empty = "" if items or queue.of(*OVER) else f'<p class="quiet">{escape(EMPTY)}</p>'
    tail = _removed(queue) + _ended(queue) + (_reboot(runs) if active else "")
    return f'<section class="queue" aria-label="Queue">{head}{off}{error}{body}{empty}{tail}</section>'


def mark(runs: Path) -> str:
    """How many entries wait, for queue.js."""
    try:
        count = len(waiting.read(runs).of(*UNSTARTED))
    except Problems:
        count = 0
    return f'<span data-waiting="{count}"></span>'


def _counted(queue: Queue) -> str:
    words = (("at work", ("running",)), ("paused", ("paused",)), ("waiting", UNSTARTED))
    counts = [(len(queue.of(*states)), word) for word, states in words]
    return ", ".join(f"{count} {word}" for count, word in counts if count)


def _switch(queue: Queue) -> str:
    if not queue.on:
        return _button("go-on", "", "Go on", "start what waits, in its order", "go")
    if queue.of(*UNSTARTED):
        return _button("pause", "", "Hold the queue", "what is at work goes on; nothing more starts")
    return ""


def _button(what: str, id: str, word: str, title: str = "", kind: str = "", off: bool = False) -> str:
    """A button of the card; a sign instead of a word takes its title as its name. `off`: it does nothing now, and stays
    so that the others and the keyboard keep their place."""
    name = f' title="{escape(title)}"' if title else ""
    name += f' aria-label="{escape(title)}"' if title and not any(letter.isalpha() for letter in word) else ""
    name += ' aria-disabled="true"' if off else ""
    looks = f' class="{kind}"' if kind else ""
    return f'<button type="button" data-queue="{what}" data-entry="{escape(id)}"{looks}{name}>{escape(word)}</button>'


def _active(entry: Entry, queue: Queue, row: Row | None, left: Mapping[str, float], waits: Mapping[str, str]) -> str:
    number = [each.id for each in queue.of(*UNSTARTED)].index(entry.id) + 1 if entry.state in UNSTARTED else 0
    place = f'<span class="place">{number}</span>' if number else '<span class="place"><i class="dot"></i></span>'
    drag = ' draggable="true"' if number else ""
    last = '<p class="last">The queue is held after this one.</p>' if entry.last else ""
    return (
        f'<li class="{entry.state}" data-entry="{escape(entry.id)}"{drag}>{place}<div class="what">{_name(entry)}'
        f'<span class="line">{escape(_line(entry, row, left, waits))}</span>{last}</div>'
        f'<div class="moves">{_moves(entry, number, len(queue.of(*UNSTARTED)))}</div></li>'
    )


def _name(entry: Entry) -> str:
    """Its name, which leads to the run once there is one."""
    said = f'<span translate="no">{escape(entry.name)}</span>'
    if not entry.run or entry.state in UNSTARTED:
        return f'<b class="name">{said}</b>'
    title = "show this run below"
    return (
        f'<button type="button" class="pick name" data-queue="show" data-entry="{escape(entry.id)}" '
        f'title="{title}">{said}</button>'
    )


def _line(entry: Entry, row: Row | None, left: Mapping[str, float], waits: Mapping[str, str]) -> str:
    where = devices.words(entry.gpus) + (f" · {entry.engine}" if entry.engine else "")
    if entry.state == "running":
        at = "starting" if row is None or not row.step else f"step {row.step:,} of {row.total_steps:,}"
        rest = f", about {duration(left[entry.run])} left" if entry.run in left else ""
        return f"{where} · {at}{rest}"
    if entry.state == "paused":
        return f"{where} · {PAUSED}"
    return f"{where} · {'held' if entry.state == 'held' else waits.get(entry.id, 'waiting')}"


def _moves(entry: Entry, number: int, count: int) -> str:
    after = _button("stop-after", entry.id, "Stop after", "stop after this one: hold the queue once it has ended")
    if entry.last:
        after = _button("stop-after", entry.id, "Do not stop", "let the queue go on after this one")
    if entry.state == "running":
        how = "end it after the step in hand, with everything saved"
        if entry.engine:
            how = f"end it at once: {entry.engine} saves nothing when it is stopped"
        return after + _button("stop", entry.id, "Stop", how)
    if entry.state == "paused":
        return _button("retry", entry.id, "Continue", "go on from its last full state", "go") + after + _remove(entry)
    up = _button("up", entry.id, "↑", "move up", off=number == 1)
    down = _button("down", entry.id, "↓", "move down", off=number == count)
    hold = _button("hold", entry.id, "Hold", "keep its place, start it later")
    if entry.state == "held":
        hold = _button("release", entry.id, "Release", "let it wait for its turn again", "go")
    return up + down + hold + after + _remove(entry)


def _remove(entry: Entry) -> str:
    title = "take it out of the list; its run folder stays" if entry.run else "take it out of the queue"
    return _button("remove", entry.id, "Remove", title)


def _waits(runs: Path, queue: Queue, rows: Sequence[Row], left: Mapping[str, float]) -> dict[str, str]:
    """Entry id -> what a waiting entry waits for, and for how long where that is known of all before it."""
    said: dict[str, str] = {}
    mine = {entry.run for entry in queue.of("running")}
    at_work = [row for row in rows if row.state.state in AT_WORK]
    busy = [(devices.taken(runs, [row]), row.state.name or row.id, row.id in mine) for row in at_work]
    before = [
        (devices.lanes_of(entry.gpus), entry.name, left.get(entry.run) if entry.state == "running" else None)
        for entry in queue.of("running", "paused")
    ]
    stopping = next((entry.name for entry in queue.of("running", "paused") if entry.last), "")
    for entry in queue.of(*UNSTARTED):
        lanes = devices.lanes_of(entry.gpus)
        ahead = [(name, seconds) for other, name, seconds in before if other & lanes]
        others = [name for other, name, ours in busy if other & lanes and not ours]
        if not queue.on or stopping:
            said[entry.id] = (
                f"not before you let the queue go on, after {stopping}" if stopping else "the queue is held"
            )
        elif ahead:
            said[entry.id] = f"after {ahead[-1][0]}" if len(ahead) == 1 else f"after {len(ahead)} others"
            if not others:
                said[entry.id] += _in([seconds for _, seconds in ahead])
        else:
            said[entry.id] = f"when {others[0]} ends" if others else "starts now"
        if entry.state == "waiting":
            before.append((lanes, entry.name, left.get(entry.id)))
            stopping = stopping or (entry.name if entry.last else "")
    return said


def _in(seconds: Sequence[float | None]) -> str:
    """When it starts, if all before it take these times; "" where one is not known."""
    known = [each for each in seconds if each is not None]
    return f", in about {duration(sum(known))}" if len(known) == len(seconds) else ""


def _removed(queue: Queue) -> str:
    """The newest one that was removed, to be put back."""
    gone = [entry for entry in queue.of("removed") if entry.ended > time.time() - UNDO_S]
    if not gone:
        return ""
    entry = max(gone, key=lambda each: each.ended)
    said = f'Removed <b translate="no">{escape(entry.name)}</b>.'
    return f'<p class="removed" role="status">{said} {_button("put-back", entry.id, "Put back")}</p>'


_MARKS = {"done": "done", "failed": "failed", "stopped": "stopped"}
_AGAIN = {"failed": "Retry", "stopped": "Continue"}


def _ended(queue: Queue) -> str:
    over = sorted(queue.of(*OVER), key=lambda entry: entry.ended, reverse=True)
    if not over:
        return ""
    failed = len(queue.of("failed"))
    wrong = f", {failed} failed" if failed else ""
    items = "".join(_over(entry) for entry in over[:SHOWN_OVER])
    clear = _button("clear", "", "Clear this list", "the runs themselves stay")
    opened = " open" if failed else ""
    return (
        f'<details data-fold="queue-over"{opened}><summary>{len(over)} ended{wrong}</summary>'
        f'<ol class="queue-list over">{items}</ol>{clear}</details>'
    )


def _over(entry: Entry) -> str:
    mark = f'<span class="state {entry.state}"><i></i>{_MARKS[entry.state]}</span>'
    cause = f'<span class="line" translate="no">{escape(entry.cause)}</span>' if entry.cause else ""
    word, title = _AGAIN.get(entry.state, ""), "wait again: from its last full state, or anew where there is none"
    if entry.engine:  # no run of another program can go on
        word, title = "Retry", "wait again: it begins anew"
    again = "" if entry.state == "done" else _button("retry", entry.id, word, title)
    return (
        f'<li class="{entry.state}" data-entry="{escape(entry.id)}">'
        f'<div class="what">{_name(entry)} {mark}{cause}</div>'
        f'<div class="moves">{again}{_remove(entry)}</div></li>'
    )


def _reboot(runs: Path) -> str:
    """What a shut-down means for the queue, and what makes it go on without anybody."""
    command = reboot.line(runs)
    return (
        f'<details data-fold="queue-reboot"><summary>After a restart of the computer</summary>'
        f"<p>{escape(reboot.SAID)}</p><p>{escape(reboot.how())}</p>"
        f'<p class="command"><code translate="no">{escape(command)}</code> '
        f'<button type="button" data-copy="{escape(command)}">copy</button></p></details>'
    )


def added(entry: Entry, queue: Queue) -> str:
    """What is said under Start of an entry that was just added."""
    place = [each.id for each in queue.of(*UNSTARTED)]
    number = place.index(entry.id) + 1 if entry.id in place else 0
    where = f"It is number {number} of {len(place)} that wait." if number else "It starts now."
    held = "" if queue.on else f" {OFF}"
    return (
        f'<p class="good">Added to the queue: <b translate="no">{escape(entry.name)}</b></p>'
        f'<p class="quiet">{escape(where + held)} <button type="button" class="jump" data-queue-open>Show the queue'
        "</button></p>"
    )


def offer(names: Sequence[str], device: str) -> str:
    """What is asked before a second run is started on a device that is at work."""
    named = ", ".join(names)
    why = "Two runs at once share its memory and slow each other down."
    return (
        f'<div class="busy" role="status"><p><b translate="no">{escape(named)}</b> '
        f'<span>is at work on the same device:</span> <span translate="no">{escape(device)}</span></p><p>{why}</p>'
        '<p class="moves"><button type="button" class="go" data-press="add-to-queue">Add to queue</button>'
        '<button type="button" data-press="start-anyway">Start anyway</button></p></div>'
    )


def busy(runs: Path, rows: Sequence[Row], gpus: str) -> list[str]:
    """Names of the runs at work on the devices that `gpus` means, whoever started them."""
    lanes = devices.lanes_of(gpus)
    at_work = [row for row in rows if row.state.state in AT_WORK]
    return [row.state.name or row.id for row in at_work if devices.taken(runs, [row]) & lanes]
