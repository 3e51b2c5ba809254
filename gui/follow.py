"""A run on the terminal until its end: progress, Ctrl-C, the last words, the exit code."""

from __future__ import annotations

import sys
import time
from contextlib import suppress

from trainer.contract import adapter_tasks, checkpoints
from trainer.contract import preset as presets
from trainer.contract.events import Event, Failed, Reader, Saved, Timing
from trainer.contract.interrupts import Interrupts
from trainer.contract.problems import Problems
from trainer.contract.rundir import EXIT_CRASHED, EXIT_DONE, EXIT_STOPPED, RunDir, RunState, rescue_folders
from trainer.report import preflight, tool_results
from trainer.report.verdicts import Split, in_a_line, verdict
from trainer.report.words import size

from . import jobs
from .console import Terminal, View, make_view, silence, tell
from .preflight_table import preflight_table

POLL_S = 0.1
QUIET_S = 3.0
"""How long a run may have no living process before it counts as dead: its last words may still be on the way."""

FOLDER_GONE = "The run folder cannot be written to, so the run cannot be asked to stop. "

ADAPTERS = ("final", "lowest validation loss")


class Asker:
    """What Ctrl-C and its like do to a run: the first stops it, the second ends it at once. Where the console closes,
    the run is asked to stop, and it does so by itself: nobody waits for it here."""

    def __init__(self, run: RunDir, view: View) -> None:
        self._run, self._view, self._told = run, view, 0
        self.interrupts = Interrupts(self._stop, lambda: None)
        self._unreachable = False
        self._engine = run.read_state().engine

    def _stop(self) -> None:
        try:
            self._run.request("stop")
        except OSError:
            self._unreachable = True

    def act(self) -> bool:
        """Say and do what was asked for since the last call; False where nobody watches any more."""
        count = self.interrupts.count
        if self.interrupts.closed:
            return False
        if count > 0 and self._told == 0:
            asked = "Stopping after the step in hand; everything is saved. Again to end at once."
            if self._engine:
                asked = f"Asking {self._engine} to end; what it has saved stays. Again to end it at once."
            self._view.say(FOLDER_GONE + "Again to end it at once." if self._unreachable else asked)
            self._told = 1
        if count > self._told:
            self._view.say("Ending at once.")
            jobs.kill(self._run)
        self._told = count
        return True

    @property
    def killed(self) -> bool:
        """Whether the run was ended at once."""
        return self._told > 1


def follow(run: RunDir, new_only: bool = False) -> int:
    """Show a run until its end; returns its exit code. `new_only`: what an earlier process has written is left out."""
    view = make_view(Terminal())
    reader, seen, asker = Reader(run.events), list[Event](), Asker(run, view)
    if new_only:
        reader.offset = run.events_bytes()
    asker.interrupts.listen()
    try:
        last_life, told_gone = time.monotonic(), False
        while True:
            lives = jobs.alive(run)
            last_life = time.monotonic() if lives else last_life
            over = _over(run) or time.monotonic() - last_life > QUIET_S
            for event in reader.new():
                view.show(event)
                seen += [event] if isinstance(event, (Saved, Failed, Timing)) else []
            if over:
                break
            told_gone = told_gone or _tell_if_gone(run, view)
            if not asker.act():
                silence(sys.stdout, sys.stderr)
                return EXIT_STOPPED
            time.sleep(POLL_S)
    finally:
        view.close()
        asker.interrupts.leave()
    return _farewell(run, seen, asker.killed)


def _tell_if_gone(run: RunDir, view: View) -> bool:
    """Say it where the trainer cannot: its words go to the folder that cannot be reached."""
    gone = not run.path.is_dir()
    if gone:
        view.say(f"{run.path} cannot be reached. The run goes on; what it writes is held in memory and tried again.")
    return gone


def _over(run: RunDir) -> bool:
    try:
        return run.read_state().exit_code is not None
    except (OSError, ValueError, TypeError):
        return False


def _farewell(run: RunDir, seen: list[Event], killed: bool) -> int:
    """The last words on the screen and the exit code."""
    for copy in map(RunDir, rescue_folders(run.id)):
        if not _over(run) and _over(copy):
            tell(f"{run.path} could not be written to the end. What is missing there is in {copy.path}", sys.stderr)
            run = copy
    if not run.state_file.is_file():
        tell(f"{run.path} is gone.", sys.stderr)
        return EXIT_CRASHED
    state = run.read_state()
    if state.exit_code is None:
        if killed:
            run.update_state(
                state="stopped", exit_code=EXIT_STOPPED, cause="ended at once by the user", ended=time.time()
            )
            kept = checkpoints.newest(run)
            again = f" Its last full state is that of step {kept.step}: --resume goes on from there." if kept else ""
            tell(f"Ended at once. What had been saved is in {run.path}.{again}")
            return EXIT_STOPPED
        tell(f"The trainer died without a word. Its last lines in {run.console}:", sys.stderr)
        tell("\n".join(f"  {line}" for line in last_lines(run)), sys.stderr)
        return EXIT_CRASHED
    report = preflight.load(run.path) if state.kind == "preflight" else None
    if report is not None:
        Terminal().print(preflight_table(report))
        tell(f"Report: {run.path / preflight.HTML_FILE}")
        return state.exit_code
    if state.exit_code not in (EXIT_DONE, EXIT_STOPPED):
        _tell_failure(run, state, seen)
    if state.kind in adapter_tasks.TOOLS:
        _tell_of_tool(run, state)
        return state.exit_code
    _tell_results(run, state, seen)
    return state.exit_code


def _tell_of_tool(run: RunDir, state: RunState) -> None:
    """What an adapter tool found or made."""
    result = adapter_tasks.load_result(run.path)
    for line in tool_results.lines(result) if result is not None else [state.cause]:
        tell(line)


def _tell_failure(run: RunDir, state: RunState, seen: list[Event]) -> None:
    problems = [line for event in seen if isinstance(event, Failed) for line in event.problems]
    tell(f"Failed: {state.cause}", sys.stderr)
    for line in problems if len(problems) > 1 else []:
        tell(f"  {line}", sys.stderr)
    tell(f"The whole story is in {run.console}", sys.stderr)


def _tell_results(run: RunDir, state: RunState, seen: list[Event]) -> None:
    """Where the adapter, the pictures and the run folder are."""
    if state.kind == "preflight":
        tell(f"Run folder: {run.path}")
        return
    if state.exit_code == EXIT_STOPPED:
        freed = ": everything is saved and the device is free" if state.state == "paused" else ""
        tell(f"{state.state.capitalize()} after step {state.step} of {state.total_steps}{freed}.")
        if not state.engine:
            tell(f'To go on: python launch.py --resume "{run.path}"')
    saved = [event for event in seen if isinstance(event, Saved)]
    files = {event.file: event for event in saved if event.what in ADAPTERS}
    for name, event in sorted(files.items(), key=lambda pair: ADAPTERS.index(pair[1].what)):
        tell(f"LoRA: {run.path / name} ({size(event.bytes)}{'' if event.what == 'final' else ', ' + event.what})")
    if state.engine and state.adapter and not files:
        tell(f"LoRA: {run.path / state.adapter} (the last that {state.engine} saved)")
    _tell_time(run, seen)
    if run.report.is_file() and state.state != "paused":
        tell(f"Report: {run.report}")
    grid = run.samples / "before-after.png"
    if grid.is_file():
        tell(f"Before and after: {grid}")
    tell(f"Run folder: {run.path}")


def _tell_time(run: RunDir, seen: list[Event]) -> None:
    """Where the time of this process went in a line, and what to do about it in another."""
    split = Split()
    for event in seen:
        if isinstance(event, Timing):
            split.add(event)
    if line := in_a_line(split):
        tell(f"Time: {line}")
    with suppress(OSError, Problems):
        if said := verdict(split, presets.load(run.preset)).text:
            tell(said)


def last_lines(run: RunDir, count: int = 15) -> list[str]:
    """The end of the console log."""
    try:
        with open(run.console, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 20_000))
            return file.read().decode("utf-8", errors="replace").splitlines()[-count:]
    except OSError:
        return []
