"""How gradients become updates."""

from typing import Annotated

from pydantic import Field

from .base import Needs, SameAs, Section, Setting

_TE = Needs("network.text_encoder", (True,), "the text encoder is not trained")
_UNET = Needs("network.unet", (True,), "the U-Net is not trained")


class Optimizer(Section):
    name: Annotated[str, Setting("Optimizer", kohya="optimizer_type", tier="basic", choices="optimizers")] = "AdamW"
    """How gradients become updates. AdamW is the safe default; AdamW8bit keeps its two running averages in 8 bits,
    which saves little for a LoRA; Prodigy finds the rate itself with learning rate 1. Changing it offers that
    optimizer's usual rate."""

    learning_rate: Annotated[
        float, Field(gt=0, le=100), Setting("Learning rate", kohya="learning_rate", tier="basic")
    ] = 1e-4
    """How far each step moves the LoRA. For AdamW 5e-5 to 5e-4 is usual, start at 1e-4; Lion wants 3-10 times less,
    Prodigy and D-Adaptation 1. Too low: nothing changes after several hundred steps; too high: burnt colours, broken
    anatomy, a loss that jumps."""

    unet_learning_rate: Annotated[
        float | SameAs,
        Field(ge=0, le=100),
        Setting("Learning rate, U-Net", kohya="unet_lr", tier="expert", needs=_UNET),
    ] = SameAs("optimizer.learning_rate")
    """Learning rate of the U-Net's adapters alone. Empty: the learning rate above."""

    text_encoder_learning_rate: Annotated[
        float | SameAs,
        Field(ge=0, le=100),
        Setting("Learning rate, text encoder", kohya="text_encoder_lr", tier="advanced", needs=_TE),
    ] = SameAs("optimizer.learning_rate")
    """Learning rate of the text encoder's adapters alone; 1e-5 to 5e-5 is usual with AdamW, lower than the U-Net's.
    Empty: the learning rate above."""

    text_encoder_2_learning_rate: Annotated[
        float | SameAs,
        Field(ge=0, le=100),
        Setting("Learning rate, second text encoder", kohya="text_encoder_lr", tier="expert", needs=_TE),
    ] = SameAs("optimizer.text_encoder_learning_rate")
    """Learning rate of the second text encoder's adapters, where the model has two (SDXL). 0 leaves it frozen. Empty:
    the text encoder's rate."""

    text_encoder_stop: Annotated[
        float,
        Field(ge=0, le=100),
        Setting("Stop the text encoder after", tier="expert", unit="% of steps", needs=_TE),
    ] = 100.0
    """Share of the steps after which the text encoder's adapters stay as they are; the U-Net's go on. 100 trains them
    to the end; 30-50 is usual where the words are learnt sooner than the picture."""

    text_encoder_2_stop: Annotated[
        float | SameAs,
        Field(ge=0, le=100),
        Setting("Stop the second text encoder after", tier="expert", unit="% of steps", needs=_TE),
    ] = SameAs("optimizer.text_encoder_stop")
    """The same for the second text encoder. Empty: as the first."""

    loraplus: Annotated[
        float, Field(ge=1, le=100), Setting("LoRA+ ratio", kohya="loraplus_lr_ratio", tier="expert")
    ] = 1.0
    """Factor on the learning rate of the up matrices, which start at zero (arXiv 2402.12354). 1 is off; the paper uses
    16, 2-8 is a cautious beginning with a lower learning rate."""

    loraplus_text_encoder: Annotated[
        float | SameAs,
        Field(ge=1, le=100),
        Setting("LoRA+ ratio, text encoder", kohya="loraplus_text_encoder_lr_ratio", tier="expert", needs=_TE),
    ] = SameAs("optimizer.loraplus")
    """The same factor for the text encoders' adapters. Empty: as above."""

    weight_decay: Annotated[float, Field(ge=0, le=10), Setting("Weight decay", kohya="optimizer_args")] = 0.01
    """Pulls the LoRA towards "no effect", by about learning rate x decay x steps over the run: 1e-4 x 0.01 x 2000 =
    0.2 %. Usual 0-0.1. It will not rescue an overfitted LoRA; fewer steps will. Plain Adam and SGD add it to the
    gradient instead."""

    max_grad_norm: Annotated[
        float, Field(ge=0, le=1000), Setting("Gradient clipping", kohya="max_grad_norm", tier="advanced")
    ] = 1.0
    """Largest norm of the whole gradient; a larger one is scaled down to it, so that one odd batch cannot throw the
    LoRA off. 1 is usual; 0 turns it off, as Prodigy and Adafactor like it."""

    args: Annotated[
        dict[str, bool | int | float | str | list[float]],
        Setting("Optimizer arguments", kohya="optimizer_args", tier="expert", widget="text"),
    ] = {}
    """Further arguments of the optimizer, as name = value: betas = [0.9, 0.99], eps = 1e-8, d_coef = 2. A name that
    the optimizer does not know is refused before the start."""
