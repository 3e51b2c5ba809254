"""The command line's words: `launch.py` reads them before anything is installed, so standard library only.

Every value goes on as it is, in a list, never through a shell. A value that begins with a dash is written with an
equals sign (`--name=-x`); behind `section.key=` it needs nothing (`--set captions.prefix=-x`).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

OF_A_RUN = ("stop", "pause", "save", "sample", "resume", "discard", "report")
"""Options that name a run and do something with it."""

INSTEAD = ("check", "preflight", "prove_resume", "export")
"""Options that go with --preset and do something else than train."""

ENGINES = ("sd-scripts",)
"""Other programs of the user's that a preset can be trained with or written for."""

EXTRAS = ("taggers", "wandb", "xformers")
"""Groups of optional packages in pyproject.toml that a user may ask for."""

DONE, CRASHED, BAD_SETTINGS, BAD_DATA, STOPPED = 0, 1, 2, 3, 130

EPILOG = """\
without --preset, --test or an option that names a run the web page opens at http://127.0.0.1:7860 (or the next free
port).

examples:
  python launch.py                                            the web page
  python launch.py --preset presets/demo.toml                 train the demo
  python launch.py --preset my.toml --set network.rank=8 training.seed=7 --name try-2
  python launch.py --preset my.toml --check                   what would be trained, without training
  python launch.py --preset my.toml --preflight               whether it can learn, before hours are spent
  python launch.py --import my_kohya_preset.json              make a preset of it, and say what became of each key
  python launch.py --preset my.toml --export sd-scripts       write its config.toml and dataset.toml
  python launch.py --preset my.toml --engine sd-scripts       train it with your own sd-scripts
  python launch.py --pause latest                             free the GPU; --resume latest goes on exactly
  python launch.py --resume latest                            go on with the newest run, from its last full state
  python launch.py --tool resize my.safetensors --rank 8      a LoRA at another rank
  python launch.py --queue a.toml b.toml folder/              one after the other; a failed one stops nothing
  python launch.py --queue folder/ --engine sd-scripts        the same, trained by your own sd-scripts
  python launch.py --queue                                    go on with what waits, after a restart say
  python launch.py --help network.rank                        what a setting does

a value that begins with a dash is written with an equals sign: --name=-x
exit codes: 0 done, 1 crashed, 2 bad settings or arguments, 3 bad data or model, 4 red preflight, 130 stopped or paused
by the user
"""


class _Parser(argparse.ArgumentParser):
    """argparse with the one hint that it lacks: how to give a value that begins with a dash."""

    def error(self, message: str) -> NoReturn:
        hint = ""
        if "expected one argument" in message or "expected at least one argument" in message:
            option = message.partition(":")[0].removeprefix("argument ").split("/")[0]
            hint = f" (a value that begins with a dash is written {option}=-x)"
        self.exit(BAD_SETTINGS, f"launch.py: {message}{hint}\nAll options: python launch.py --help\n")


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="launch.py",
        description="Loratory trains LoRA adapters for Stable-Diffusion-family models on your own GPU.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    train = parser.add_argument_group("train without the page")
    train.add_argument("--preset", metavar="FILE", help="train with this preset (a TOML file)")
    train.add_argument(
        "--set",
        metavar="section.key=value",
        action="extend",
        nargs="+",
        default=[],
        type=_change,
        help="change settings of the preset; values are read as TOML, or as text where they are none",
    )
    train.add_argument("--check", action="store_true", help="check everything and print the plan; trains nothing")
    train.add_argument(
        "--preflight",
        action="store_true",
        help="climb the ladder first: one image, a few, the base model, the learning rate, speed; about a minute",
    )
    train.add_argument(
        "--prove-resume",
        action="store_true",
        help="train 8 steps twice, once left alone and once interrupted and resumed, and compare every bit",
    )
    train.add_argument(
        "--engine",
        choices=ENGINES,
        help="with --preset or --queue FILE: train with your own sd-scripts instead, which presets/user/machine.toml "
        "names (sd_scripts)",
    )
    train.add_argument(
        "--leave-out",
        action="store_true",
        help="with --engine or --export: go on without what the other program cannot do, where that is harmless",
    )
    train.add_argument("--name", help="name of the adapter and the run")
    train.add_argument(
        "--queue",
        metavar="FILE",
        nargs="*",
        help="let these presets (or all in a folder) wait for their turn on each GPU, and follow them; Ctrl-C leaves "
        "the queue at work. Without files: go on with what waits",
    )
    train.add_argument(
        "--queue-hold", action="store_true", help="let the queue start nothing more; --queue lets it go on"
    )
    exchange = parser.add_argument_group("settings from and for other programs")
    exchange.add_argument(
        "--import",
        dest="import_",
        metavar="PATH",
        type=_named,
        help="make a preset of a kohya_ss .json, an sd-scripts .toml, a OneTrainer .json or a LoRA file; of a folder, "
        "one of each file in it. Says what was taken over, changed, carried along and left out",
    )
    exchange.add_argument(
        "--export",
        metavar="PROGRAM",
        choices=ENGINES,
        help="with --preset: write the settings for sd-scripts, and print the command that trains with them",
    )
    exchange.add_argument(
        "--out",
        metavar="PATH",
        help="where --import (default: presets/user) and --export (default: a folder called after the preset) write",
    )
    of_a_run = parser.add_argument_group(
        "a run that is there", "RUN is its folder, its name, the beginning of it, or latest."
    )
    of_a_run.add_argument("--stop", metavar="RUN", help="end it after the step in hand, with everything saved")
    of_a_run.add_argument("--pause", metavar="RUN", help="save everything and free the GPU; --resume goes on")
    of_a_run.add_argument("--save", metavar="RUN", help="save the LoRA and the full state now")
    of_a_run.add_argument("--sample", metavar="RUN", help="draw the sample pictures now")
    of_a_run.add_argument("--prompt", metavar="TEXT", default="", help="with --sample: draw this prompt instead")
    of_a_run.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with one that was paused, stopped or interrupted, from its last full state; with --set, by other "
        'settings: --set training.length="400 steps" extends one that is done',
    )
    of_a_run.add_argument(
        "--discard", metavar="RUN", help="give one up: its full states go, its LoRAs and samples stay"
    )
    of_a_run.add_argument("--report", metavar="RUN", help="write its report.html again, or that of one that crashed")
    train.add_argument("--runs", metavar="DIR", help="folder of the runs (default: runs beside launch.py)")
    tools = parser.add_argument_group("adapter files")
    tools.add_argument(
        "--tool",
        metavar="NAME",
        nargs=argparse.REMAINDER,
        help="inspect, merge, merge-into, extract, resize, convert, metadata, verify or upload adapter files; what "
        "follows belongs to the tool. --tool --help lists them, --tool NAME --help tells a tool's options",
    )
    page = parser.add_argument_group("the page")
    page.add_argument(
        "--listen",
        metavar="HOST",
        default="127.0.0.1",
        help="address to serve; off this computer a password is required",
    )
    page.add_argument("--port", metavar="N", type=_port, help="port (default: 7860, or the next free one)")
    page.add_argument("--no-browser", action="store_true", help="do not open the browser")
    setup = parser.add_argument_group("installation and development")
    setup.add_argument("--update", action="store_true", help="update Loratory and its packages; presets and runs stay")
    setup.add_argument(
        "--with",
        dest="extras",
        metavar="NAME",
        action="extend",
        nargs="+",
        default=[],
        choices=EXTRAS,
        help="install optional packages too, now and with each update: " + ", ".join(EXTRAS),
    )
    setup.add_argument(
        "--torch",
        metavar="BUILD",
        type=_torch,
        help="build of PyTorch instead of the one chosen for this machine: cpu, cu126, cu130, rocm7.2, default",
    )
    setup.add_argument(
        "--test", nargs=argparse.REMAINDER, help="check the code and run the tests; what follows goes to pytest"
    )
    setup.add_argument("-h", "--help", metavar="SETTING", nargs="?", const="", help="this help, or a setting's")
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Options of launch.py. Contradictions and unknown words end with exit code 2 and a sentence.

    `set` is a list of "section.key=value"; `help` is None or a setting's path; `test` is None or pytest's arguments.
    """
    parser = build_parser()
    options = parser.parse_args(list(argv))
    named = ("preset", "queue", "import_", *OF_A_RUN, "tool", "test")
    actions = [name.rstrip("_") for name in named if getattr(options, name) is not None]
    actions += ["queue-hold"] if options.queue_hold else []
    if len(actions) > 1:
        parser.error(f"--{actions[0]} and --{actions[1]} cannot be used together")
    if options.preset is None:
        for name in (*INSTEAD, "name"):
            if getattr(options, name) and not (name == "name" and len(options.queue or ()) == 1):
                parser.error(f"--{name.replace('_', '-')} needs --preset FILE")
        if options.engine and not options.queue:
            parser.error("--engine needs --preset FILE or --queue FILE")
        if options.set and options.resume is None and not options.queue:
            parser.error("--set needs --preset FILE, --queue FILE or --resume RUN")
    if options.out and options.import_ is None and options.export is None:
        parser.error("--out needs --import PATH or --export PROGRAM")
    if options.leave_out and options.engine is None and options.export is None:
        parser.error("--leave-out needs --engine or --export")
    if options.prompt and options.sample is None:
        parser.error("--prompt needs --sample RUN")
    instead = [f"--{name.replace('_', '-')}" for name in INSTEAD if getattr(options, name)]
    instead += ["--engine"] if instead and options.engine else []
    if len(instead) > 1:
        parser.error(f"{instead[0]} and {instead[1]} cannot be used together")
    if options.help == "":
        parser.print_help(sys.stdout)
        parser.exit(DONE)
    return options


def instead_of_training(options: argparse.Namespace) -> str | None:
    """The option that goes with --preset and does something else with it, if one is given."""
    return next((name for name in INSTEAD if getattr(options, name)), None)


def of_the_queue(options: argparse.Namespace) -> bool:
    """Whether something is to be done with the queue."""
    return options.queue is not None or bool(options.queue_hold)


def of_a_run(options: argparse.Namespace) -> str | None:
    """The option that names a run, if one is given."""
    return next((name for name in OF_A_RUN if getattr(options, name) is not None), None)


def _change(text: str) -> str:
    path, equals, _ = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w-]*(\.[\w-]+)+", path.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form section.key=value")
    return text


def _named(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it names nothing")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a number from 1 to 65535")
    return int(text)


def _torch(text: str) -> str:
    if not re.fullmatch(r"default|cpu|xpu|cu\d{3}|rocm\d+(\.\d+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a build of PyTorch: cpu, cu126, cu130, rocm7.2, default")
    return text
