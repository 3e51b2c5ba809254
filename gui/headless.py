"""Training without the page: check, start, show progress, pass on the trainer's exit code."""

from __future__ import annotations

import signal
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from trainer.contract import preset as presets
from trainer.contract.events import Event, Failed, Reader, Saved
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import EXIT_CRASHED, EXIT_DONE, EXIT_SETTINGS, EXIT_STOPPED, RunDir, RunState
from trainer.contract.settings import Preset
from trainer.plan.plan import Plan, describe, examine

from . import jobs
from .console import View, make_view, size

POLL_S = 0.1
QUIET_S = 3.0
"""How long a run may have no living process before it counts as dead: its last words may still be on the way."""

ADAPTERS = ("final", "lowest validation loss")


def main(options: Namespace) -> int:
    """`--preset`: train and wait. Returns the trainer's exit code; 2 or 3 for what is wrong before the start."""
    with _told_on_stderr() as outcome:
        preset, _ = _checked(options)
        run = jobs.start(preset, runs=_runs(options))
        print(f"Run folder: {run.path}", flush=True)
        return follow(run)
    return outcome[0]


def check(options: Namespace) -> int:
    """`--check`: everything that a start would check, and the plan in words. Loads no model and no torch."""
    with _told_on_stderr() as outcome:
        _, plan = _checked(options)
        for line in describe(plan):
            print(line)
        return EXIT_DONE
    return outcome[0]


def stop(options: Namespace) -> int:
    """`--stop RUN`: ask a run to end after the step in hand. RUN is a folder, a run's name or its beginning, or
    "latest"."""
    with _told_on_stderr() as outcome:
        run = jobs.find(options.stop, _runs(options))
        if run is None:
            names = ", ".join(found.id for found in jobs.running(_runs(options))) or "none"
            print(f"There is no run {options.stop!r}. Running now: {names}", file=sys.stderr)
            return EXIT_SETTINGS
        state = run.current_state()
        if state.state not in ("starting", "running"):
            print(f"{run.id} does not run: it is {state.state}.", file=sys.stderr)
            return EXIT_SETTINGS
        jobs.stop(run)
        print(f"{run.id} ends after the step in hand.")
        return EXIT_DONE
    return outcome[0]


def resume(options: Namespace) -> int:
    """`--resume RUN`: go on with a run that ended before its last step, and wait. RUN as for `--stop`."""
    with _told_on_stderr() as outcome:
        run = jobs.find(options.resume, _runs(options))
        if run is None:
            print(f"There is no run {options.resume!r}.", file=sys.stderr)
            return EXIT_SETTINGS
        step = jobs.resume(run)
        print(f"Run folder: {run.path}\nGoing on after step {step}.", flush=True)
        return follow(run, new_only=True)
    return outcome[0]


@contextmanager
def _told_on_stderr() -> Iterator[list[int]]:
    """Problems become one list on stderr and an exit code, in the list that is handed out."""
    outcome = [EXIT_DONE]
    try:
        yield outcome
    except Problems as problems:
        print(error_list(problems), file=sys.stderr)
        outcome[0] = problems.exit_code


def error_list(problems: Problems) -> str:
    """All problems as one text, a line each."""
    count = len(problems.problems)
    head = "One thing has to be put right:" if count == 1 else f"{count} things have to be put right:"
    return "\n".join([head, *(f"  {problem}" for problem in problems.problems)])


def _runs(options: Namespace) -> Path | None:
    return Path(options.runs) if getattr(options, "runs", None) else None


def _checked(options: Namespace) -> tuple[Preset, Plan]:
    """The resolved preset and its plan; Problems holds everything that is wrong with them, whichever check found it."""
    faults: list[Problem] = []
    preset = _as_far_as_possible(lambda: presets.load(_preset_file(options.preset)), faults)
    if options.set:
        preset = _as_far_as_possible(lambda: presets.apply_set(preset, options.set), faults)
        preset = presets.absolute_paths(preset, Path.cwd())
    if options.name:
        preset = presets.with_values(preset, {"saving.name": options.name})
    try:
        resolved, _, plan = examine(preset)
    except Problems as error:
        told = {fault.path for fault in faults}
        raise Problems([*faults, *(each for each in error.problems if each.path not in told)]) from None
    if faults:
        raise Problems(faults)
    return resolved, plan


def _as_far_as_possible(make: Callable[[], Preset], faults: list[Problem]) -> Preset:
    """What `make` gives, or what is left of it without its faults, which are noted. Problems where nothing is left."""
    try:
        return make()
    except Problems as error:
        if error.rest is None:
            raise Problems([*faults, *error.problems]) from None
        faults += error.problems
        rest: Preset = error.rest
        return rest


def _preset_file(name: str) -> Path:
    """The file that `--preset` means: a path, or the bare name of one in `presets/` or `presets/user/`."""
    folder = jobs.ROOT / "presets"
    named = [folder / f"{name}.toml", folder / "user" / f"{name}.toml"]
    bare = Path(name).name == name and not Path(name).exists()
    return next((path for path in named if bare and path.is_file()), Path(name))


class Interrupts:
    """Ctrl-C and SIGTERM: the first asks the run to stop, the second ends it at once."""

    def __init__(self, run: RunDir, view: View) -> None:
        self._run, self._view, self.count = run, view, 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            jobs.stop(self._run)

    def act(self, told: int) -> int:
        """Say and do what the signals since the last call ask for; returns how many have been dealt with."""
        if self.count > told and told == 0:
            self._view.say("Stopping after the step in hand; everything is saved. Again to end at once.")
            told = 1
        if self.count > told:
            self._view.say("Ending at once.")
            jobs.kill(self._run)
        return self.count


def follow(run: RunDir, new_only: bool = False) -> int:
    """Show a run until its end; returns its exit code. `new_only`: what an earlier process has written is left out."""
    view = make_view(Console())
    reader, told, seen = Reader(run.events), 0, list[Event]()
    if new_only:
        reader.offset = run.events_bytes()
    try:
        with Interrupts(run, view) as interrupts:
            last_life = time.monotonic()
            while True:
                lives = jobs.alive(run)
                last_life = time.monotonic() if lives else last_life
                over = _over(run) or time.monotonic() - last_life > QUIET_S
                for event in reader.new():
                    view.show(event)
                    seen += [event] if isinstance(event, (Saved, Failed)) else []
                if over:
                    break
                told = interrupts.act(told)
                time.sleep(POLL_S)
    finally:
        view.close()
    return _farewell(run, seen, killed=told > 1)


def _over(run: RunDir) -> bool:
    try:
        return run.read_state().exit_code is not None
    except (OSError, ValueError, TypeError):
        return False


def _farewell(run: RunDir, seen: list[Event], killed: bool) -> int:
    """The last words on the screen and the exit code."""
    state = run.read_state()
    if state.exit_code is None:
        if killed:
            run.update_state(
                state="stopped", exit_code=EXIT_STOPPED, cause="ended at once by the user", ended=time.time()
            )
            print(f"Ended at once. What had been saved is in {run.path}")
            return EXIT_STOPPED
        print(f"The trainer died without a word. Its last lines in {run.console}:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in last_lines(run)), file=sys.stderr)
        return EXIT_CRASHED
    if state.exit_code not in (EXIT_DONE, EXIT_STOPPED):
        _tell_failure(run, state, seen)
    _tell_results(run, state, seen)
    return state.exit_code


def _tell_failure(run: RunDir, state: RunState, seen: list[Event]) -> None:
    problems = [line for event in seen if isinstance(event, Failed) for line in event.problems]
    print(f"Failed: {state.cause}", file=sys.stderr)
    for line in problems if len(problems) > 1 else []:
        print(f"  {line}", file=sys.stderr)
    print(f"The whole story is in {run.console}", file=sys.stderr)


def _tell_results(run: RunDir, state: RunState, seen: list[Event]) -> None:
    """Where the adapter, the pictures and the run folder are."""
    if state.exit_code == EXIT_STOPPED:
        print(f"Stopped after step {state.step} of {state.total_steps}.")
        print(f'To go on: python launch.py --resume "{run.path}"')
    saved = [event for event in seen if isinstance(event, Saved)]
    files = {event.file: event for event in saved if event.what in ADAPTERS}
    for name, event in sorted(files.items(), key=lambda pair: ADAPTERS.index(pair[1].what)):
        print(f"LoRA: {run.path / name} ({size(event.bytes)}{'' if event.what == 'final' else ', ' + event.what})")
    grid = run.samples / "before-after.png"
    if grid.is_file():
        print(f"Before and after: {grid}")
    print(f"Run folder: {run.path}")


def last_lines(run: RunDir, count: int = 15) -> list[str]:
    """The end of the console log."""
    try:
        with open(run.console, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 20_000))
            return file.read().decode("utf-8", errors="replace").splitlines()[-count:]
    except OSError:
        return []
