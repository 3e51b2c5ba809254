"""The adapter: what is trained and how wide it is."""

from typing import Annotated

from pydantic import Field

from .base import Needs, SameAs, Section, Setting

_CONV = Needs("network.conv_rank", unless=(0,), why="convolutions are not trained: convolution rank is 0")


class Network(Section):
    type: Annotated[str, Setting("Network type", kohya="network_module", choices="networks")] = "LoRA"
    """The kind of adapter that is trained. LoRA adds a low-rank update to each chosen layer and is read by every
    generator; with a convolution rank it is what Kohya calls LoCon."""

    rank: Annotated[
        int, Field(ge=1, le=1024), Setting("Network rank (dimension)", kohya="network_dim", tier="basic")
    ] = 16
    """Width of the low-rank update: parameters, file size and the detail it can hold grow in proportion to it, and so
    does overfitting on few images. 4-16 for a character or object, 16-32 for a style; 64 and more mostly buy file
    size. Rank does not make the LoRA stronger, alpha and learning rate do."""

    alpha: Annotated[
        float | SameAs, Field(gt=0, le=4096), Setting("Network alpha", kohya="network_alpha", tier="basic")
    ] = SameAs("network.rank")
    """The update is multiplied by alpha / rank, in training and in use. It is no regularisation, adds no penalty and
    changes no parameter count; under Adam halving it acts much like halving the learning rate. Same as rank keeps the
    scale at 1."""

    conv_rank: Annotated[int, Field(ge=0, le=1024), Setting("Convolution rank", kohya="conv_dim", tier="advanced")] = 0
    """Trains the residual blocks too, their 3x3 convolutions at this rank (their small layers at the network rank); 0
    leaves them alone. It helps where texture or small shapes are the point, and makes the file larger: the plan shows
    how much. Usual: 0, or 4-16."""

    conv_alpha: Annotated[
        float | SameAs,
        Field(ge=0, le=4096),
        Setting("Convolution alpha", kohya="conv_alpha", tier="expert", needs=_CONV),
    ] = SameAs("network.conv_rank")
    """The update of the convolutions is multiplied by this value / convolution rank, as alpha does for the rest."""

    dropout: Annotated[
        float, Field(ge=0, lt=1), Setting("Network dropout", kohya="network_dropout", tier="advanced")
    ] = 0.0
    """Share of the adapter's inner values set to zero at random in each training step. A mild brake on overfitting: 0,
    or 0.05-0.3 for few images; it slows learning. It is off in samples and validation."""

    unet: Annotated[bool, Setting("Train the U-Net", kohya="network_train_text_encoder_only")] = True
    """Trains adapters in the network that draws. Leave it on; off trains the text encoder alone."""

    text_encoder: Annotated[bool, Setting("Train the text encoder", kohya="network_train_unet_only")] = False
    """Trains adapters in the text encoder too. It can tie a trigger word faster but spoils how other words are
    understood sooner, needs a lower rate of its own, and captions can no longer be encoded once and for all."""
