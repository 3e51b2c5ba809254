"""Which devices a run needs, which are taken, and what of the queue may start next. No Gradio in it.

A lane is a device: "0", "1" … for GPUs, "cpu". Entries of one lane run one after the other in their order; those of
different lanes at the same time. An entry of several GPUs waits for all of them, and keeps those behind it waiting.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from gui import device
from gui.jobs import AT_WORK
from gui.queue.waiting import Entry, Queue
from gui.runs.watch import Row, Watcher, preset_of
from trainer.contract import tasks
from trainer.contract.parse import parse_gpus
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir

Lanes = frozenset[str]


def lanes_of(gpus: str) -> Lanes:
    """The devices that `hardware.gpus` means. "auto" is the first GPU; where no NVIDIA GPU is found it may be another
    maker's or the CPU, and counts as both."""
    try:
        names = parse_gpus(gpus)
    except ValueError:
        names = ("auto",)
    if names[0] != "auto":
        return frozenset(str(int(name)) if name.isdecimal() else name for name in names)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    first = str(int(visible)) if visible.isdecimal() else "0"
    return frozenset({first} if device.gpus() else {first, "cpu"})


def words(gpus: str) -> str:
    """The devices as people say them."""
    names = sorted(lanes_of(gpus))
    if "cpu" in names:
        return "CPU" if names == ["cpu"] else "first device"
    return f"GPU {', '.join(names)}"


def gpus_of(run: RunDir) -> str:
    """What a run was told to train on; "auto" where its folder does not say."""
    if preset := preset_of(run):
        return preset.hardware.gpus
    try:
        return tasks.load(run.task, run.read_state().kind).gpus.split(",")[0]
    except (OSError, ValueError, TypeError, KeyError, Problems):
        return "auto"


def at_work(watching: Watcher) -> list[Row]:
    """All runs of the folder that are at work now, whoever started them."""
    return [row for row in watching.rows() if row.state.state in AT_WORK]


def taken(runs: Path, rows: Iterable[Row]) -> Lanes:
    """The devices of these runs."""
    return frozenset(lane for row in rows for lane in lanes_of(gpus_of(RunDir(runs / row.id))))


def ready(queue: Queue, occupied: Collection[str]) -> Entry | None:
    """The first entry that may start; None where there is none. `occupied`: devices of all runs at work.

    A paused entry keeps its devices: whoever pauses a run wants its GPU free. One that is held keeps nothing. Behind
    one that is marked "stop after this one" nothing starts."""
    mine = queue.of("running", "paused")
    if not queue.on or any(entry.last for entry in mine):
        return None
    blocked = {*occupied, *(lane for entry in mine for lane in lanes_of(entry.gpus))}
    for entry in queue.of("waiting", "held"):
        lanes = lanes_of(entry.gpus)
        if entry.state == "waiting":
            if not lanes & blocked:
                return entry
            blocked |= lanes
        if entry.last:
            return None
    return None
