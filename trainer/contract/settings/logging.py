"""Where the curves go beside the page."""

from typing import Annotated

from .base import Needs, Section, Setting


class Logging(Section):
    tensorboard: Annotated[bool, Setting("TensorBoard", kohya="log_with", tier="advanced")] = True
    """Writes TensorBoard event files into the run folder. The page shows the same curves without it."""

    wandb: Annotated[bool, Setting("Weights & Biases", kohya="log_with", tier="expert")] = False
    """Sends the curves to Weights & Biases, if its package is installed. The key comes from its own login or from the
    WANDB_API_KEY environment variable, never from a preset."""

    project: Annotated[
        str,
        Setting(
            "Tracker project",
            kohya="log_tracker_name",
            tier="expert",
            needs=Needs("logging.wandb", (True,), "nothing is sent to Weights & Biases"),
        ),
    ] = "loratory"
    """Project name at Weights & Biases."""
