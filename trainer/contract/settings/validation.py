"""Images held out, and what is done with their loss."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .base import Needs, PathText, Section, Setting, parse_interval

_SPLIT = Needs("validation.split", unless=("off",), why="no images are held out", or_set="validation.folder")
_NO_FOLDER = Needs("validation.folder", ("",), why="a folder of held-out images is given")
_AUTO = Needs("validation.every", ("auto",), why="images are measured at a fixed interval")


def _auto_or_interval(text: str) -> str:
    """ "auto" or an interval, normalised; ValueError says what is allowed."""
    if text.strip().lower() == "auto":
        return "auto"
    try:
        return str(parse_interval(text))
    except ValueError as error:
        raise ValueError(str(error).replace("write it as", 'write it as "auto",')) from None


EveryOrAuto = Annotated[str, AfterValidator(_auto_or_interval)]
"""An interval as people say it, or "auto"."""


class Validation(Section):
    stop: Annotated[
        Literal["report only", "stop", "stop and keep the lowest"],
        Setting("Early stopping", tier="basic", needs=_SPLIT),
    ] = "report only"
    """What to do when the loss of the held-out images has not fallen for several checks in a row: say so, or end the
    run. "keep the lowest" also makes the adapter with the lowest validation loss the final file; that adapter is kept
    in a file of its own in any case. With few images it is a hint; its minimum often comes before the likeness you
    want, so the samples decide."""

    split: Annotated[str, Setting("Held-out images", kohya="validation_split", tier="advanced", needs=_NO_FOLDER)] = (
        "auto"
    )
    """Which part of the images is never trained on, only measured: "10 %", "4 images" or "off". "auto" is 10 %, at
    least 2, where there are 20 images or more, else off. Chosen by the images' content alone; near-duplicates (other
    size, quality or format, mirrored) stay together. This computer remembers the sides of runs that were started, by
    folder and by what stands here: images that are added later move none of the others. With different words, or once
    the cache folder is emptied, the choice is made anew."""

    folder: Annotated[PathText, Setting("Folder of held-out images", tier="advanced", widget="path")] = ""
    """A folder of images of its own that is held out as a whole and never trained on, instead of a part of the others.
    Captions are looked for in the same way. Choose pictures like those that you want to make, in other scenes than the
    training images: near-duplicates among those are told, and make the loss look better than it is. Empty: none."""

    every: Annotated[
        EveryOrAuto, Setting("Validate every", kohya="validate_every_n_steps", tier="advanced", needs=_SPLIT)
    ] = "auto"
    """How often the held-out images are measured, with as many training images beside them: "auto" measures the time
    of a check and of a step and stays within the budget below; else "50 steps", "1 epoch", "never". Always also before
    the first step and after the last. It changes nothing in training. Under "auto" which steps are checked depends on
    the machine's pace: choose a fixed interval where early stopping must be exactly repeatable."""

    budget: Annotated[
        float, Field(gt=0, le=90), Setting("Time for validation", tier="advanced", unit="%", needs=_AUTO)
    ] = 10.0
    """The share of the run's time that checks may take while their interval is "auto". More gives a finer curve and a
    slower run. The checks before the first step and after the last are done even where they alone take more."""

    each_step: Annotated[bool, Setting("Validate a little at each step", tier="advanced", needs=_SPLIT)] = False
    """After every step also measures one held-out image at one noise level, both drawn by seed and step: a second
    curve as fine and as noisy as the training loss. It makes a step 18-35 % longer (measured at batch sizes 4 and 1),
    outside the budget, and changes nothing in training. Early stopping does not look at it."""

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

    likeness_model: Annotated[PathText, Setting("Likeness model", tier="advanced", widget="path")] = ""
    """An embedding model that says how like the held-out images the sample pictures are: a folder or hub id of a CLIP
    or DINOv2 model in safetensors, such as "facebook/dinov2-small". Each picture is compared with each image (cosine)
    after every sampling, on the CPU (about 0.1 s a picture on one core with small models, and the model's size in main
    memory); without held-out images it is compared with training images, where learning by heart raises it too.
    It may still climb where the validation loss has turned: look at the pictures. Empty: off."""
