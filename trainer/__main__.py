"""`python -m trainer <run folder>`: train what the run folder's preset says, and write there how it ended.

Whoever started this process may be gone, and `accelerate launch` turns every failure into exit code 1: so the exit code
and its cause are written into `run.json`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trainer.awake import kept_awake, wanted
from trainer.contract import checkpoints, tasks
from trainer.contract.events import Event, Failed, Finished, Resumed, Warned
from trainer.contract.interrupts import EndedAtOnce, Interrupts
from trainer.contract.problems import Problems, RunEnded
from trainer.contract.rundir import (
    EXIT_CRASHED,
    EXIT_DONE,
    EXIT_RED,
    EXIT_SETTINGS,
    EXIT_STOPPED,
    Kind,
    RunDir,
    State,
    process_start,
    write_whole,
)
from trainer.saving.keep import KeptRun
from trainer.sinks.console import ConsoleLines, patient_output
from trainer.sinks.fan import Fan

ENDS: dict[str, tuple[State, int]] = {
    "done": ("done", EXIT_DONE),
    "stopped early": ("done", EXIT_DONE),
    "stopped": ("stopped", EXIT_STOPPED),
    "paused": ("paused", EXIT_STOPPED),
}
"""How the loop ended -> state of the run, exit code."""


@dataclass(frozen=True)
class End:
    """How a run ended, for `run.json` and the last event."""

    state: State
    exit_code: int
    cause: str = ""
    problems: tuple[str, ...] = ()


LAST_WORD = ".failed"
"""In the folder of requests, where names with a dot are none: why a further process failed."""


class StepCounter:
    """A sink that knows the last step done, for a run that ends by an error."""

    def __init__(self) -> None:
        self.step = 0

    def write(self, event: Event) -> None:
        """Take one event."""
        self.step = max(self.step, event.step)

    def close(self) -> None:
        """Nothing to let go."""


def main(argv: list[str]) -> int:
    """Do a run's work; returns the exit code."""
    run = RunDir(Path(argv[1] if len(argv) == 2 else "").resolve())
    if not run.preset.is_file() and not run.task.is_file():
        print("usage: python -m trainer <run folder with a preset.toml or a task.json>", file=sys.stderr)
        return EXIT_CRASHED
    return _main_process(run) if int(os.environ.get("RANK", "0")) == 0 else _other_process(run)


def _main_process(folder: RunDir) -> int:
    """The process that writes the run folder."""
    began, again, run = time.time(), folder.events_bytes() > 0, KeptRun(folder.path)
    try:
        (folder.control / LAST_WORD).unlink(missing_ok=True)
        step = checkpoints.rewind(folder)
        run.open()
    except (OSError, ValueError) as error:
        print(f"{folder.path} cannot be used: {error}\nMake room or rights there.", file=sys.stderr)
        return EXIT_SETTINGS
    with patient_output():
        return _train(run, began, step, again)


def _train(run: KeptRun, began: float, step: int, again: bool) -> int:
    """Train, tell how it ended, and leave when everything is on the disk. `step`: the one after which it goes on."""
    hurried = False
    run.update_state(state="running", pid=os.getpid(), process_started=process_start(os.getpid()), started=began)
    counter = StepCounter()
    fan = Fan([counter, run.log, ConsoleLines()], run.news)
    before_the_loop = Interrupts(_interrupt, _interrupt).listen()
    if again:
        fan(Resumed(step=step))
    try:
        with kept_awake(wanted(run), fan):
            end, last = WORK[run.read_state().kind](run, fan, began)
    except EndedAtOnce:
        run.patience_s = 0.0
        hurried = True
        end, last = ended_at_once(run, counter.step, time.time() - began)
    except KeyboardInterrupt:
        how: State = "stopped" if run.take("stop") is not None or run.take("pause") is None else "paused"
        end = End(how, EXIT_STOPPED, f"{how} before step {step + 1}" if step else f"{how} before the first step")
        last = Finished(step=step, how=how, seconds=time.time() - began)
        if (word := last_word(run)) is not None:  # the launcher ends us all where one of us fails
            end = replace(end, state="failed", exit_code=EXIT_CRASHED, cause=word)
            last = Failed(step=step, cause=word, exit_code=EXIT_CRASHED)
    except BaseException as error:  # whatever ended the run has to be told
        end = of_another(run, how_it_failed(error))
        last = Failed(step=counter.step, cause=end.cause, problems=list(end.problems), exit_code=end.exit_code)
    try:
        run.settle(lambda event: fan(replace(event, step=counter.step)))
        fan(last)
        if end.state != "paused" and not hurried:
            tell_in_full(run, end, counter.step, fan)
        fan.close()
    finally:  # a logger that waits for its server may be interrupted
        step, cause = counter.step, run.told_of_copy(end.cause)
        run.update_state(state=end.state, exit_code=end.exit_code, cause=cause, step=step, ended=time.time())
        run.close(fan)
        before_the_loop.leave()
    return end.exit_code


def _training(run: KeptRun, fan: Fan, began: float) -> tuple[End, Event]:
    """The run itself."""
    from trainer.run import train

    result = train(run, fan)
    last = Finished(step=result.step, how=result.how, file=result.file, seconds=time.time() - began)
    return End(*ENDS[result.how]), last


def _preflight(run: KeptRun, fan: Fan, began: float) -> tuple[End, Event]:
    """The ladder before a run; red is an exit code of its own."""
    from trainer.preflight.ladder import climb
    from trainer.report.preflight import HTML_FILE

    report = climb(run, fan)
    code = EXIT_RED if report.verdict == "red" else EXIT_DONE
    return End("done", code, report.headline), Finished(how="done", file=HTML_FILE, seconds=time.time() - began)


def _task(run: KeptRun, fan: Fan, began: float) -> tuple[End, Event]:
    """The work of a tool: the folder has a task instead of a preset."""
    from trainer.run import resolve

    kind = run.read_state().kind
    done = resolve("tools", kind)(run, tasks.load(run.task, kind), fan)
    state, code = ENDS[done.how]
    return End(state, code, done.said), Finished(how=done.how, file=done.file, seconds=time.time() - began)


WORK: dict[Kind, Callable[[KeptRun, Fan, float], tuple[End, Event]]] = {
    "training": _training,
    "preflight": _preflight,
    **dict.fromkeys(tasks.TASKS, _task),
}
"""What `run.json` says is to be done -> what does it."""


def _other_process(run: RunDir) -> int:
    """A further process of a run on several devices: it computes, and writes nothing but why it failed."""
    from trainer.run import train

    try:
        return ENDS[train(run, Fan([])).how][1]
    except KeyboardInterrupt:
        return EXIT_STOPPED
    except Exception as error:
        end = how_it_failed(error)
        with contextlib.suppress(OSError):
            write_whole(run.control / LAST_WORD, f"process {os.environ['RANK']}: {end.cause}")
        return end.exit_code


def last_word(run: RunDir) -> str | None:
    """Why a further process failed; None where none did."""
    try:
        return (run.control / LAST_WORD).read_text(encoding="utf-8")
    except OSError:
        return None


def of_another(run: RunDir, end: End) -> End:
    """The end of a run, with the cause that another process told where this one only saw it go."""
    from trainer.report.causes import ANOTHER

    word = last_word(run)
    return replace(end, cause=word) if word and ANOTHER in end.cause and ANOTHER not in word else end


def tell_in_full(run: KeptRun, end: End, step: int, emit: Callable[[Event], None]) -> None:
    """Write the run's report; a warning where that fails."""
    from trainer.report.causes import cause_of
    from trainer.report.report import write

    try:
        state = run.read_state()
        if state.kind == "training":
            ended = replace(state, state=end.state, exit_code=end.exit_code, cause=end.cause, step=step)
            write(run, replace(ended, ended=time.time()))
    except Exception as error:  # whatever it is, the run itself is over and saved
        traceback.print_exc()
        emit(Warned(step=step, text=f"the report could not be written: {cause_of(error)}"))


def _interrupt() -> None:
    """Before the first step there is nothing to save."""
    raise KeyboardInterrupt


def ended_at_once(run: RunDir, step: int, seconds: float) -> tuple[End, Event]:
    """The end that a second signal means: what was saved before is whole, the steps since then are lost."""
    kept = checkpoints.newest(run)
    saved = f"its last full state is that of step {kept.step}" if kept else "no full state had been saved"
    end = End("stopped", EXIT_STOPPED, f"ended at once by the user: {saved}")
    return end, Finished(step=step, how="stopped", seconds=seconds)


def how_it_failed(error: BaseException) -> End:
    """The end that an error means. Its whole story goes to the console log, except for problems, which are whole."""
    if isinstance(error, Problems):
        lines = tuple(str(problem) for problem in error.problems)
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        return End("failed", error.exit_code, lines[0] + more, lines)
    traceback.print_exception(error)
    if isinstance(error, RunEnded):
        return End("failed", EXIT_CRASHED, error.cause, error.lines)
    from trainer.report.causes import cause_of

    return End("failed", EXIT_CRASHED, cause_of(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
