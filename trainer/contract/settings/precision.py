"""Number formats."""

from typing import Annotated, Literal

from .base import SameAs, Section, Setting

Format = Literal["float", "fp16", "bf16"]


class Precision(Section):
    compute: Annotated[Format, Setting("Precision", kohya="mixed_precision", tier="basic")] = "bf16"
    """Number format of the computation; the LoRA itself is trained in float whatever you choose. bf16 on RTX 30xx and
    newer, fp16 on RTX 20xx, float for GTX 16xx cards that give NaN and for the CPU. fp16 and bf16 are equally fast;
    fp16 can overflow: such a step is skipped and counted. The VAE always computes in float, so that its overflow in
    fp16, known as black pictures, cannot happen."""

    base: Annotated[Format | SameAs, Setting("Base weights", kohya="full_fp16, full_bf16", tier="expert")] = SameAs(
        "precision.compute"
    )
    """Number format in which the frozen base model is kept. Same as the computation is right; float doubles its memory
    for a difference that is hard to see."""

    save: Annotated[Format, Setting("Saved file", kohya="save_precision", tier="advanced")] = "fp16"
    """Number format of the LoRA file. fp16 is read everywhere at half the size of float; float keeps every bit, for
    training on from it."""
