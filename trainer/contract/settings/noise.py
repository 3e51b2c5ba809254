"""The loss and the noise."""

from typing import Annotated

from pydantic import Field

from .base import Needs, Section, Setting


class Noise(Section):
    loss: Annotated[str, Setting("Loss", kohya="loss_type", tier="expert", choices="losses")] = "l2"
    """How the distance between prediction and target is counted. l2 (squared error) is what the models were trained
    with; l1, huber and smooth_l1 give less weight to large errors, so that odd images or captions spoil less."""

    huber_c: Annotated[
        float,
        Field(gt=0, le=10),
        Setting(
            "Huber threshold",
            kohya="huber_c",
            tier="expert",
            needs=Needs("noise.loss", ("huber", "smooth_l1"), "only for huber and smooth_l1"),
        ),
    ] = 0.1
    """Where huber and smooth_l1 change from squared to absolute error. Smaller is closer to l1."""

    min_snr_gamma: Annotated[
        float, Field(ge=0, le=100), Setting("Min-SNR gamma", kohya="min_snr_gamma", tier="advanced")
    ] = 0.0
    """Limits the weight of nearly clean timesteps to gamma / SNR, which evens out the pull of the timesteps and often
    learns a little faster (arXiv 2303.09556). 5 is usual; 0 is off. Losses with and without it cannot be compared."""

    noise_offset: Annotated[
        float, Field(ge=0, le=1), Setting("Noise offset", kohya="noise_offset", tier="advanced")
    ] = 0.0
    """Adds a constant of its own to the noise of each channel, so that the LoRA can learn very dark and very bright
    pictures. 0.03-0.1 if you need those; 0 is off. It shifts the brightness of everything."""
