"""What can be done with a run as it is now, as a table for the page's buttons. No Gradio in it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from gui import jobs
from gui.runs import trash
from gui.runs.watch import preset_of
from trainer.contract import checkpoints
from trainer.contract.rundir import RunDir, RunState
from trainer.plan.timetable import draws_samples

ENDED_EARLY = ("interrupted", "stopped", "paused", "failed")


@dataclass(frozen=True)
class Now:
    """A run at this moment. `asked`: requests that the trainer has not taken yet."""

    run: RunDir
    state: RunState
    asked: Collection[str] = ()

    @property
    def alive(self) -> bool:
        """Whether it takes requests."""
        return self.state.state in jobs.AT_WORK

    @property
    def trains(self) -> bool:
        """Whether our own trainer makes an adapter: a preflight only measures, another program can only be stopped."""
        return self.state.kind == "training" and not self.state.engine

    @property
    def open(self) -> bool:
        """Whether it ended before its last step and was not given up."""
        return self.trains and self.state.state in ENDED_EARLY and self.state.cause != jobs.DISCARDED


@dataclass(frozen=True)
class Action:
    """`label`: what the button says now, "" where there is nothing to do. `do(run, text)`: Problems where it cannot be
    done. `sure`: what is asked before, "" for nothing. `look`: Gradio's variant of the button. `takes`: the box whose
    content is `text`."""

    name: str
    label: Callable[[Now], str]
    do: Callable[[RunDir, str], object]
    look: Literal["primary", "secondary", "stop"] = "secondary"
    sure: str = ""
    takes: Literal["", "length", "prompt"] = ""


def _while_alive(text: str, others_too: bool = False) -> Callable[[Now], str]:
    return lambda now: text if now.alive and (now.trains or others_too) else ""


def _sample_label(now: Now) -> str:
    """A run that draws no samples by itself has let go of what draws them."""
    preset = preset_of(now.run)
    draws = preset is None or draws_samples(preset)
    return "Sample now" if now.alive and now.trains and draws else ""


def _resume_label(now: Now) -> str:
    if not now.open:
        return ""
    found = checkpoints.newest(now.run)
    return f"Continue from step {found.step:,}" if found else "Start again from step 0: no state was saved"


def _extend_label(now: Now) -> str:
    done = now.trains and now.state.state == "done" and checkpoints.newest(now.run) is not None
    return "Train on, up to" if done else ""


def _discard_label(now: Now) -> str:
    return "Discard" if now.open and (now.state.state == "interrupted" or checkpoints.newest(now.run)) else ""


def one_line(text: str) -> str:
    """A prompt as the trainer takes it; line breaks end none."""
    return " ".join(text.split())


ACTIONS = (
    Action("stop", _while_alive("Stop", others_too=True), lambda run, _: jobs.ask(run, "stop"), look="stop"),
    Action("pause", _while_alive("Pause"), lambda run, _: jobs.ask(run, "pause")),
    Action("save", _while_alive("Save now"), lambda run, _: jobs.ask(run, "save")),
    Action("sample", _sample_label, lambda run, prompt: jobs.ask(run, "sample", one_line(prompt)), takes="prompt"),
    Action(
        "end",
        lambda now: "End at once, lose the step in hand" if now.alive and {"stop", "pause"} & set(now.asked) else "",
        lambda run, _: jobs.kill(run),
        look="stop",
    ),
    Action("resume", _resume_label, lambda run, _: jobs.resume(run), look="primary"),
    Action("extend", _extend_label, lambda run, length: jobs.extend(run, length), takes="length"),
    Action(
        "discard",
        _discard_label,
        lambda run, _: jobs.discard(run),
        sure="Discard the full state of this run? It cannot go on then. Its LoRA files, samples and curves stay.",
    ),
    Action("delete", lambda now: "" if now.alive else "Delete", lambda run, _: trash.throw_away(run)),
)
"""In the order of the page."""

BY_NAME = {action.name: action for action in ACTIONS}


def possible(now: Now) -> dict[str, str]:
    """Label of every action by name, "" for those that are hidden."""
    return {action.name: action.label(now) for action in ACTIONS}


def longer(state: RunState) -> str:
    """The length that is proposed for training on: half as long again."""
    return f"{max(state.total_steps * 3 // 2, state.total_steps + 1)} steps"
