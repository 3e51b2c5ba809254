"""`--tool NAME ...`: adapter tools on the terminal. Options derive from the fields of the tool's task."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import Any, NoReturn, get_args

from trainer.contract.adapter_tasks import TITLES, TOOLS, Input, Shown, Tool, shown
from trainer.contract.rundir import EXIT_DONE, EXIT_SETTINGS, Kind
from trainer.contract.task import Task

FILES: tuple[Input, ...] = ("adapter", "adapters", "model", "out")
_MANY: tuple[Input, ...] = ("adapters", "numbers", "lines")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_SETTINGS, f"{self.prog}: {message}\nIts options: python {self.prog} --help\n")


def main(options: argparse.Namespace) -> int:
    """Do what the words behind `--tool` say, and wait; the exit code of the tool's run."""
    words = list(options.tool)
    if not words or words[0] in ("-h", "--help"):
        print(listing())
        return EXIT_DONE
    name = next((each for each in TOOLS if each == words[0].lower()), None)
    if name is None:
        print(f"There is no tool {words[0]!r}.\n{listing()}", file=sys.stderr)
        return EXIT_SETTINGS
    given = vars(parser(name).parse_args(words[1:]))
    runs = given.pop("runs") or options.runs
    return _start(name, given, Path(runs) if runs else None)


def _start(name: Kind, given: dict[str, Any], runs: Path | None) -> int:
    """Start the tool's run and follow it. What that needs is imported here: help is told without."""
    from trainer.contract import tasks

    from . import jobs
    from .follow import follow
    from .headless import told_on_stderr

    with told_on_stderr() as outcome:
        task = tasks.make(name, made_absolute(name, given))
        run = jobs.start_task(task, f"{name}-{_stem(task)}", runs)
        return follow(run)
    return outcome[0]


def listing() -> str:
    """All tools, a line each, and how to ask further."""
    rows = [f"  {name:<11} {(tool.__doc__ or '').split('.')[0].strip()}" for name, tool in TOOLS.items()]
    return "\n".join(
        ["python launch.py --tool NAME ...", "", *rows, "", "python launch.py --tool NAME --help: its options"]
    )


def parser(name: Kind) -> argparse.ArgumentParser:
    """The options of a tool: what must be given stands without a dash."""
    tool = TOOLS[name]
    made = _Parser(
        prog=f"launch.py --tool {name}",
        description=" ".join((tool.__doc__ or TITLES[name]).split()),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    for field, (how, about) in shown(tool).items():
        needed = about.is_required()
        names = [field] if needed else [f"--{field.replace('_', '-')}"]
        made.add_argument(*names, **_option(how, about, needed))
    made.add_argument("--gpus", default="auto", metavar="ID", help="device: auto, cpu or the number of a GPU")
    made.add_argument("--runs", default=None, metavar="DIR", help="folder in which the tool's own run folder is made")
    return made


def _option(how: Shown, about: Any, needed: bool) -> dict[str, Any]:
    text = textwrap.shorten(" ".join((about.description or "").split()), 400).replace("%", "%%")
    option: dict[str, Any] = {"help": text if needed else f"{text} (default: {_default(about.default)})"}
    if how.input == "switch":
        return option | {"action": argparse.BooleanOptionalAction}
    option["metavar"] = {"number": "N", "numbers": "N", "lines": "TEXT", "text": "TEXT"}.get(how.input, "FILE")
    if how.input in _MANY:
        option["nargs"] = "+"
    if how.input in ("number", "numbers"):
        option["type"] = int if about.annotation is int else float
    if how.input == "choice":
        option |= {"choices": get_args(about.annotation), "metavar": None}
    return option


def _default(value: Any) -> str:
    return "none" if value in ("", ()) else str(value).replace("%", "%%")


def made_absolute(name: Kind, given: dict[str, Any]) -> dict[str, Any]:
    """The values with whole paths: the run has another working folder."""
    fields = shown(TOOLS[name])
    return {field: _whole(value) if field in fields and fields[field][0].input in FILES else value
            for field, value in given.items()}  # fmt: skip


def _whole(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_whole(each) for each in value]
    return str(Path(value).expanduser().absolute()) if value else value


def _stem(task: Task) -> str:
    """What the run is called after: the first file that the task names."""
    assert isinstance(task, Tool)
    for field, (how, _) in shown(type(task)).items():
        value = getattr(task, field)
        if how.input in FILES and value:
            return Path(value if isinstance(value, str) else value[0]).stem
    return "adapter"
