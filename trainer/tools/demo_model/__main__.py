"""`python -m trainer.tools.demo_model --out DIR`: makes the demo model from nothing, stage by stage.

Each stage leaves its result under DIR/work, so that stages can be run one by one; the model ends up in DIR/model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from trainer.tools.demo_model.pace import Pace
from trainer.tools.demo_model.stages import STAGES, Job

SEED = 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m trainer.tools.demo_model", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and intermediate results")
    parser.add_argument("--stage", choices=["all", *STAGES], default="all", help="run one stage only")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=65.0, help="training time: of all stages, or of --stage")
    length.add_argument("--steps", type=int, help="with --stage: number of steps, for a repeatable result")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.steps is not None and options.stage == "all":
        parser.error("--steps needs --stage: one number does not fit all stages")
    return options


def main() -> None:
    """Runs the stages that were asked for, in order."""
    options = parse()
    torch.set_num_threads(options.threads)
    (options.out / "work").mkdir(parents=True, exist_ok=True)
    for name in STAGES if options.stage == "all" else [options.stage]:
        run, share = STAGES[name]
        minutes = options.minutes * share if options.stage == "all" else options.minutes
        pace = Pace(steps=options.steps) if options.steps is not None else Pace(minutes=minutes)
        run(Job(options.out, pace, SEED, lambda line: print(line, flush=True)))


if __name__ == "__main__":
    main()
