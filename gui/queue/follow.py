"""The queue without the page: `launch.py --queue a.toml b.toml folder/` adds and follows, `--queue` alone goes on."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from gui import jobs
from gui.console import Bar, Lines, Pace, Terminal, View, silence, tell
from gui.engine import checkout, exporting, starting
from gui.headless import checked, told_on_stderr
from gui.queue import devices, reboot, waiting, worker
from gui.queue.waiting import OVER, UNSTARTED, Entry, Queue
from trainer.contract.events import Reader
from trainer.contract.interrupts import Interrupts
from trainer.contract.machine import Machine, load_machine
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import EXIT_CRASHED, EXIT_DONE, EXIT_STOPPED, RunDir
from trainer.contract.settings import Preset
from trainer.report.words import duration

POLL_S = 0.5
ENSURE_S = 20.0
"""Seconds after which a worker that has died is started again."""

LEFT = """\
Nobody follows the queue here any more; it goes on. What you can do:
  python launch.py --queue          follow it again
  python launch.py --queue-hold     start nothing more; what is at work goes on
  python launch.py --stop latest    end the run at work after the step in hand"""


def main(options: Namespace) -> int:
    """`--queue`: 0 when all are done, 1 if any failed, 130 where they were stopped, held, or nobody follows any more;
    2 or 3 for what is wrong with a file, and then none is added."""
    with told_on_stderr() as outcome:
        runs = Path(options.runs).resolve() if options.runs else jobs.default_runs()
        if options.queue_hold:
            waiting.change(runs, lambda queue: waiting.switch(queue, on=False))
            tell("The queue is held: what is at work goes on, nothing more starts. To go on: python launch.py --queue")
            return EXIT_DONE
        if options.queue:
            entries = waiting.add(runs, _all_checked(options), options.engine or "")
        else:
            queue = waiting.change(runs, lambda queue: waiting.switch(queue, on=True))
            entries = queue.of("running", "paused", "waiting")
        if not entries:
            tell("Nothing waits. To add runs: python launch.py --queue a.toml b.toml")
            return EXIT_DONE
        return Follower(runs, entries).follow()
    return outcome[0]


def files_of(names: Sequence[str]) -> Iterator[str]:
    """The preset files that are meant; a folder means all .toml files in it, by name. Problems where it has none."""
    for name in names:
        if Path(name).is_dir():
            found = sorted(path for path in Path(name).glob("*.toml") if path.is_file())
            if not found:
                raise Problems([Problem(name, "there is no .toml file in this folder", "name presets or their folder")])
            yield from map(str, found)
        else:
            yield name


def _all_checked(options: Namespace) -> list[Preset]:
    """Every preset, resolved, as it will be trained; Problems of all files at once, each with its file's name, and how
    to go on where all of them are what `--engine`'s trainer cannot do and may be left out."""
    machine = load_machine(jobs.ROOT)
    ready: list[Preset] = []
    problems = _without_trainer(options, machine)
    elsewhere, harmless = bool(options.engine) and not problems, not problems
    for name in files_of(options.queue):
        try:
            preset, _ = checked(Namespace(**{**vars(options), "preset": name}))
            preset = jobs.resolve(preset)
            ready.append(starting.check(preset, machine, options.leave_out)[1] if elsewhere else preset)
        except Problems as error:
            short = Path(name).name
            problems += [Problem(f"{short}: {each.path}", each.why, each.fix, each.kind) for each in error.problems]
            harmless &= isinstance(error, starting.Refused) and error.harmless
    if problems:
        raise Problems([*problems, *([exporting.GO_ON] if harmless else [])])
    return ready


def _without_trainer(options: Namespace, machine: Machine) -> list[Problem]:
    """What is missing of the trainer that `--engine` names: it is told once, not for each file."""
    try:
        if options.engine:
            checkout.found(machine)
    except Problems as error:
        return list(error.problems)
    return []


class NamedLines(Lines):
    """For pipes and log files: lines of several runs, each with its name."""

    def __init__(self, console: Terminal, name: str) -> None:
        super().__init__(console)
        self._name = name

    def say(self, text: str) -> None:
        """Print a line."""
        super().say(f"{self._name}: {text}")


class NamedBar(Bar):
    """For a terminal: one bar of several below the messages."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._pace, self._progress, self._name = Pace(), progress, name
        self._task = progress.add_task("starting", total=None, words="", name=name)

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(Text(f"{self._name}: {text}"), soft_wrap=True)

    def close(self) -> None:
        """Take this bar away."""
        if self._task in self._progress.task_ids:
            self._progress.remove_task(self._task)


class Follower:
    """Shows entries of the queue until all of them have ended."""

    def __init__(self, runs: Path, entries: Sequence[Entry]) -> None:
        self._runs, self._ids = runs, [entry.id for entry in entries]
        self._numbers = {id: f"[{number}/{len(entries)}]" for number, id in enumerate(self._ids, 1)}
        self._told: dict[str, str] = {}
        self._views: dict[str, tuple[View, Reader]] = {}
        self._console = Terminal()
        self._bars: Progress | None = None
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.fields[name]}", markup=False),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[words]}", markup=False),
                console=self._console,
                transient=True,
            )

    def follow(self) -> int:
        """Watch until the end; returns the exit code."""
        interrupts = Interrupts(lambda: None, lambda: None).listen()
        looked = 0.0
        if self._bars:
            self._bars.start()
        try:
            while True:
                if time.monotonic() - looked > ENSURE_S:
                    looked = time.monotonic()
                    worker.ensure(self._runs)
                queue = waiting.read(self._runs)
                left = self._show(queue)
                if not left or self._stuck(queue, left):
                    break
                if interrupts.closed:
                    silence(sys.stdout, sys.stderr)
                    return EXIT_STOPPED
                if interrupts.count:
                    self._close()
                    tell(f"{LEFT}\n\nAfter a restart of the computer: {reboot.SAID}\n{reboot.how()}")
                    tell(f"  {reboot.line(self._runs)}")
                    return EXIT_STOPPED
                time.sleep(POLL_S)
        finally:
            self._close()
            interrupts.leave()
        return self._code(waiting.read(self._runs))

    def _close(self) -> None:
        for view, _ in self._views.values():
            view.close()
        self._views.clear()
        if self._bars:
            self._bars.stop()

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def _show(self, queue: Queue) -> list[Entry]:
        """Say what is new; the entries that have not ended yet."""
        mine = [entry for entry in queue.entries if entry.id in self._numbers]
        for entry in mine:
            if entry.state == "running":
                self._progress(entry)
            elif entry.id in self._views:
                self._progress(entry)
                self._views.pop(entry.id)[0].close()
            if self._told.get(entry.id) != entry.state:
                self._told[entry.id] = entry.state
                self._say(f"{self._numbers[entry.id]} {entry.name}: {self._words(entry)}")
        return [entry for entry in mine if entry.state not in (*OVER, "removed")]

    def _progress(self, entry: Entry) -> None:
        run = RunDir(self._runs / entry.run)
        if entry.id not in self._views:
            name = f"{self._numbers[entry.id]} {entry.name}"
            view: View = NamedBar(self._bars, name) if self._bars else NamedLines(self._console, name)
            reader = Reader(run.events)
            if entry.tries or (entry.began and entry.began - _created(run) > 60.0):
                reader.offset = run.events_bytes()  # what an earlier process has written is left out
            self._views[entry.id] = view, reader
        shown, new = self._views[entry.id]
        for event in new.new():
            shown.show(event)

    def _words(self, entry: Entry) -> str:
        if entry.state in UNSTARTED:
            by = f", trained by {entry.engine}" if entry.engine else ""
            return f"{entry.state}, {devices.words(entry.gpus)}{by}"
        folder = self._runs / entry.run
        if entry.state == "running":
            return f"started. Run folder: {folder}"
        if entry.state == "paused":
            return f'paused; its device stays free. To go on: python launch.py --resume "{folder}"'
        if entry.state == "removed":
            return "removed from the queue"
        cause = f": {entry.cause}" if entry.cause else ""
        return f"{entry.state}{cause}{self._result(entry)}"

    def _result(self, entry: Entry) -> str:
        run = RunDir(self._runs / entry.run)
        try:
            state = run.read_state()
        except (OSError, ValueError):
            return ""
        if not entry.run:
            return ""
        took = f" after {state.step} steps, {duration(max(0.0, entry.ended - entry.began))}"
        if entry.state == "failed":
            return f". The whole story is in {run.console}"
        lora = f". LoRA: {run.path / state.adapter}" if state.adapter else ""
        goes_on = entry.state == "stopped" and not entry.engine  # no run of another program can go on
        again = f'. To go on: python launch.py --resume "{run.path}"' if goes_on else ""
        return took + lora + again

    def _stuck(self, queue: Queue, left: Sequence[Entry]) -> bool:
        """Whether nothing of what is left starts before somebody says so."""
        if any(entry.state in ("running", "paused") for entry in left):
            return False
        if not queue.on:
            self._say("The queue is held: nothing more starts. To go on: python launch.py --queue")
        elif all(entry.state == "held" for entry in left):
            self._say("What is left is held, each by itself: release it on the page, in the Runs tab.")
        else:
            return False
        return True

    def _code(self, queue: Queue) -> int:
        states = {entry.state for entry in queue.entries if entry.id in self._numbers}
        if "failed" in states:
            return EXIT_CRASHED
        return EXIT_DONE if states <= {"done"} else EXIT_STOPPED


def _created(run: RunDir) -> float:
    try:
        return run.read_state().created
    except (OSError, ValueError):
        return float("inf")
