"""One run of another trainer: `python -m gui.engine.runner <run folder> <folder to start in> -- <argument list>`.

It starts the other program, hears what it prints, writes it into the run's console log and as events into the run
folder, obeys a request to stop, and writes down how it ended. The argument list is its own, never a file's.
"""

from __future__ import annotations

import os
import queue
import re
import sys
import threading
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

from gui import processes
from gui.engine.checkout import NAME
from gui.engine.said import Listener, Progress, Splitter
from gui.engine.scalars import Follower
from gui.engine.teller import Recipe, Teller
from trainer.awake import kept_awake
from trainer.contract import preset as presets
from trainer.contract.events import Event, Failed, Finished, Noted, Warned, Writer
from trainer.contract.interrupts import Interrupts
from trainer.contract.parse import parse_gpus
from trainer.contract.rundir import EXIT_CRASHED, EXIT_DONE, EXIT_STOPPED, RunDir, State, process_start
from trainer.contract.settings import Preset
from trainer.report.causes import cause_of, ran_out
from trainer.report.report import write as write_report

LOOK_S = 0.3
"""Seconds between two looks at requests and figures."""

BAR_S = 1.0
"""Seconds between two states of a progress bar in the console log."""

ENDING_S = 10.0
"""How long the other program may take to end once it was asked to."""

LONGEST_CAUSE = 400
"""Characters of an error that are told; console.log has all of it."""

FIGURES = "tensorboard"
"""The folder in the run folder where the other program writes its figures."""

FOLDER, PROMPTS, NOTES = "engine", "prompts.txt", "notes.txt"
"""The folder in the run folder with the other program's settings, the file of sample prompts in it, and what that
program does otherwise, a sentence a line."""

MEANS = (
    "It can be stopped, but not paused, asked for a sample or gone on with; its validation losses are of images and "
    "timesteps of its own, and cannot be compared with those of runs by Loratory."
)

STOPPED = f"stopped by the user; {NAME} saves nothing when it is stopped"


@dataclass(frozen=True)
class End:
    """How the run ended."""

    state: State
    exit_code: int
    cause: str = ""


class Runner:
    """The run, from its start to its end."""

    def __init__(self, run: RunDir, preset: Preset) -> None:
        self.run, self.preset = run, preset
        self._writer = Writer(run.events)
        self._teller = Teller(run, recipe_of(run, preset), self.emit, preset.hardware.gpus)
        self._listener, self._splitter = Listener(), Splitter()
        self._follower = Follower(run.path / FIGURES)
        self._pieces: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._asked = False
        self._next_bar = 0.0
        self._interrupts = Interrupts(lambda: None, lambda: None)

    def emit(self, event: Event) -> None:
        """Write an event, stamped with the time."""
        step = max(event.step, self._teller.step) if isinstance(event, Warned) else event.step
        self._writer.write(replace(event, time=event.time or time.time(), step=step))

    def work(self, argv: list[str], folder: Path) -> End:
        """Run the other program to its end."""
        self._interrupts.listen()
        with kept_awake(self.preset.hardware.keep_awake, self.emit):
            self._introduce()
            process = processes.start_piped(argv, folder, os.environ)
            threading.Thread(target=self._pump, args=(process,), daemon=True).start()
            while self._hear():
                if not self._asked and self._is_to_stop():
                    self._asked = True
                    processes.end(process, ENDING_S)
            code = process.wait()
        self._teller.figures(self._follower.new())
        self._teller.finish()
        return self._end(code)

    def _introduce(self) -> None:
        """Say once who trains, and what that means for what the page shows."""
        version = self.run.read_state().versions.get(NAME, "")
        self.emit(Noted(text=f"Trained by your own {NAME} {version}. {MEANS}".replace("  ", " ")))
        for line in lines_of(self.run.path / FOLDER / NOTES):
            self.emit(Noted(text=line))

    def _pump(self, process: processes.Piped) -> None:
        """Read the pipe in a thread of its own: Windows cannot wait for a pipe and a clock at once."""
        assert process.stdout is not None
        while data := process.stdout.read1(65536):  # type: ignore[attr-defined]
            self._pieces.put(data)
        self._pieces.put(None)

    def _hear(self) -> bool:
        """Take in what came; False once nothing more can come."""
        try:
            data = self._pieces.get(timeout=LOOK_S)
        except queue.Empty:
            data = b""
        if data:
            for line, stays in self._splitter.feed(data):
                self._line(line, stays)
        if data is None:
            self._line(self._splitter.rest(), True)
        self._teller.figures(self._follower.new())
        self._teller.look()
        self._note_plan()
        return data is not None

    def _line(self, line: str, stays: bool) -> None:
        for fact in self._listener.hear(line):
            if isinstance(fact, Progress) and not self._teller.decided:
                self._teller.figures(self._follower.new())
            self._teller.take(fact)
        if stays or time.monotonic() >= self._next_bar:
            self._next_bar = self._next_bar if stays else time.monotonic() + BAR_S
            print(line, end="\n" if stays else "\r", flush=True)

    def _note_plan(self) -> None:
        if self._teller.total_steps and not self.run.read_state().total_steps:
            self.run.update_state(total_steps=self._teller.total_steps)

    def _is_to_stop(self) -> bool:
        return self._interrupts.count > 0 or self.run.take("stop") is not None

    def _end(self, code: int) -> End:
        if self._asked:
            return End("stopped", EXIT_STOPPED, STOPPED)
        if code == 0 and self._teller.saved:
            return End("done", EXIT_DONE)
        told = self._listener.failure
        if code == 0 and not told:
            return End(
                "failed", EXIT_CRASHED, f"{NAME} ended without saving an adapter: console.log has its last words"
            )
        return End("failed", EXIT_CRASHED, cause_in(told) or f"{NAME} ended with code {code}: see console.log")

    def close(self, end: End, began: float) -> None:
        """Tell how it ended, in the events, the report and `run.json`."""
        step, saved = self._teller.step, self._teller.saved
        seconds = time.time() - began
        if end.state == "failed":
            self.emit(Failed(step=step, cause=end.cause, problems=[end.cause], exit_code=end.exit_code))
        else:
            self.emit(Finished(step=step, how=end.state, file=saved, seconds=seconds))
        state = replace(
            self.run.read_state(), state=end.state, exit_code=end.exit_code, cause=end.cause, step=step, adapter=saved,
            ended=time.time(),
        )  # fmt: skip
        try:
            write_report(self.run, state)
        except Exception as error:  # whatever it is, the run itself is over
            traceback.print_exc()
            self.emit(Warned(step=step, text=f"the report could not be written: {cause_of(error)}"))
        self.run.write_state(state)
        self._writer.flush(sync=True)
        self._writer.close()


def recipe_of(run: RunDir, preset: Preset) -> Recipe:
    """What the teller needs of the run's preset."""
    batch, count = preset.training.batch_size, len(parse_gpus(preset.hardware.gpus))
    per_step = preset.training.accumulate * count * batch if isinstance(batch, int) else 0
    written = lines_of(run.path / FOLDER / PROMPTS)
    plain = [line.partition(" --")[0] for line in written if not line.startswith("#")]
    return Recipe(str(preset.saving.name), per_step, tuple(plain))


def lines_of(path: Path) -> list[str]:
    """The lines of a file that hold something; none where there is no file."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError:
        return []


def cause_in(told: str) -> str:
    """An error's last line in words: memory by name, a missing package with what to do."""
    kind, _, text = told.partition(": ")
    if kind.endswith("ModuleNotFoundError"):
        return f"the Python of {NAME} lacks a package ({text}): install its requirements.txt there"
    error = RuntimeError(told)
    if ran_out(error):
        return cause_of(error)
    if "huggingface" in told and re.search(r"connection|offline|resolve|LocalEntryNotFound", told, re.IGNORECASE):
        return f"{NAME} could not reach huggingface.co, where it gets its tokenizers the first time: {told[:200]}"
    return told[:LONGEST_CAUSE]


def main(argv: list[str]) -> int:
    """Run and write down how it ended; returns the exit code."""
    run, folder, command = RunDir(Path(argv[1])), Path(argv[2]), argv[4:]
    began = time.time()
    run.update_state(state="running", pid=os.getpid(), process_started=process_start(os.getpid()), started=began)
    runner = Runner(run, presets.load(run.preset))
    try:
        end = runner.work(command, folder)
    except Exception as error:
        traceback.print_exc()
        end = End("failed", EXIT_CRASHED, cause_of(error))
    runner.close(end, began)
    return end.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
