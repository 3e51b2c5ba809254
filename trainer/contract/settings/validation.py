"""Images held out, and what is done with their loss."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Every, Needs, Section, Setting

_SPLIT = Needs("validation.split", unless=("off",), why="no images are held out")


class Validation(Section):
    stop: Annotated[
        Literal["report only", "stop", "stop and keep the lowest"],
        Setting("Early stopping", tier="basic", needs=_SPLIT),
    ] = "report only"
    """What to do when the loss of the held-out images has not fallen for several checks in a row: say so, or end the
    run. "keep the lowest" also makes the adapter with the lowest validation loss the final file. With few images it is
    a hint; its minimum often comes before the likeness you want, so the samples decide."""

    split: Annotated[str, Setting("Held-out images", kohya="validation_split", tier="advanced")] = "auto"
    """Which part of the images is never trained on, only measured: "10 %", "4 images" or "off". "auto" is 10 %, at
    least 2, where there are 20 images or more, else off. Whole images are held out, chosen by their content, so that
    the choice stays when images are added."""

    every: Annotated[
        Every, Setting("Validate every", kohya="validate_every_n_steps", tier="advanced", needs=_SPLIT)
    ] = "50 steps"
    """How often the held-out images are measured: "50 steps", "1 epoch", "never". A check costs about half a training
    step per image and timestep. It changes nothing in training."""

    timesteps: Annotated[int, Field(ge=1, le=100), Setting("Timesteps per image", tier="expert", needs=_SPLIT)] = 8
    """Number of fixed noise levels, evenly spread, at which each held-out image is measured. More makes the curve
    steadier and a check dearer."""

    patience: Annotated[
        int, Field(ge=1, le=1000), Setting("Patience", tier="advanced", unit="checks", needs=_SPLIT)
    ] = 4
    """Checks in a row without a new lowest loss before early stopping speaks."""

    min_improvement: Annotated[
        float, Field(ge=0, le=100), Setting("Minimum improvement", tier="expert", unit="%", needs=_SPLIT)
    ] = 0.0
    """By how much a loss must fall below the lowest so far to count as lower."""
