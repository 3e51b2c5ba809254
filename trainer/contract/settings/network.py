"""The adapter: what is trained and how wide it is."""

from typing import Annotated

from pydantic import Field

from .base import Needs, PathText, SameAs, Section, Setting

_CONV = Needs("network.conv_rank", unless=(0,), why="convolutions are not trained: convolution rank is 0")
_BLOCK_RANKS = Needs("network.block_ranks", unless=([],), why="no ranks of blocks are given")
_NO_DORA = "only LoRA, LoHa and LoKr can be trained as DoRA"


class LayerRule(Section):
    """One `[[network.layers]]` row."""

    match: Annotated[str, Setting("Layers", tier="expert")] = ""
    """A regular expression that is searched in the layer's key in the file ("attn2", "output_blocks_1_.*to_v")."""

    rank: Annotated[int | None, Field(ge=0, le=1024), Setting("Rank", tier="expert")] = None
    """Rank of these layers; 0 leaves them out. Empty: as elsewhere."""

    alpha: Annotated[float | None, Field(gt=0, le=4096), Setting("Alpha", tier="expert")] = None
    """Alpha of these layers. Empty: as elsewhere, or the rank where the rule gives one."""

    rate: Annotated[float | None, Field(ge=0, le=1000), Setting("Rate factor", tier="expert")] = None
    """Factor on the learning rate of these layers; 0 leaves them out. Empty: as elsewhere."""

    def __str__(self) -> str:
        """As people read it: "attn2: rank 4, rate 0.5"."""
        given = ((name, getattr(self, name)) for name in ("rank", "alpha", "rate"))
        told = ", ".join(f"{name} {value:g}" for name, value in given if value is not None)
        return f"{self.match or 'all layers'}: {told or 'as elsewhere'}"


class Network(Section):
    type: Annotated[str, Setting("Network type", kohya="network_module", choices="networks")] = "LoRA"
    """The kind of adapter that is trained. LoRA adds a low-rank update to each chosen layer and is read by every
    generator; with a convolution rank it is what Kohya calls LoCon. The others come from the LyCORIS library and cost
    more time a step; A1111 and ComfyUI read them (ComfyUI not IA3), diffusers only DyLoRA, whose file is a LoRA's."""

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
    """Share of the adapter's inner values set to zero at random in each training step (of other types than LoRA, of
    what it adds to the layer's output). A mild brake on overfitting: 0, or 0.05-0.3 for few images; it slows learning.
    It is off in samples and validation."""

    rank_dropout: Annotated[float, Field(ge=0, lt=1), Setting("Rank dropout", kohya="rank_dropout", tier="expert")] = (
        0.0
    )
    """Share of the ranks left out at random for each image in training, the others made up for it; of other types than
    LoRA, the layer's outputs instead of ranks. 0, or 0.1-0.3; it is off in samples and validation."""

    module_dropout: Annotated[
        float, Field(ge=0, lt=1), Setting("Module dropout", kohya="module_dropout", tier="expert")
    ] = 0.0
    """Chance of each layer's adapter to be left out of a training step altogether. 0, or 0.05-0.2; it is off in samples
    and validation."""

    max_norm: Annotated[
        float, Field(ge=0, le=100), Setting("Largest norm", kohya="scale_weight_norms", tier="expert")
    ] = 0.0
    """Largest norm of each layer's update: a larger one is scaled down to it after every step, so that no layer runs
    away and several LoRAs mix better. 1 is usual where it is used; 0 is off."""

    dora: Annotated[
        bool,
        Setting(
            "DoRA", kohya="dora_wd", tier="advanced", needs=Needs("network.type", ("LoRA", "LoHa", "LoKr"), _NO_DORA)
        ),
    ] = False
    """Learns direction and size of each layer's weights apart (arXiv 2402.09353): closer to full training at low ranks,
    for more time a step and more memory. Sizes are of a layer's inputs, as in the paper: ComfyUI and A1111 give exactly
    what was trained. The network argument wd_on_output = true makes them sizes of outputs, the only ones that
    diffusers and PEFT read, from the diffusers copy; ComfyUI then draws nearly the same, A1111 wrongly."""

    rank_stabilised: Annotated[bool, Setting("Rank-stabilised scale", kohya="rs_lora", tier="expert")] = False
    """Multiplies the update by alpha / sqrt(rank) instead of alpha / rank (arXiv 2312.03732), so that high ranks learn
    as fast as low ones. The file's alpha is written so that every reader gets the right strength."""

    args: Annotated[
        dict[str, bool | int | float | str],
        Setting("Network arguments", kohya="network_args", tier="expert", widget="text"),
    ] = {}
    """Further arguments of the network type, as name = value: factor = 8 (LoKr), block_size = 4 (DyLoRA), constraint =
    0.001 (OFT, BOFT), use_tucker = true, wd_on_output = true (DoRA). A name that the type does not know is refused
    before the start."""

    layers: Annotated[
        list[LayerRule], Setting("Layer rules", kohya="network_reg_dims, network_reg_lrs", tier="expert", widget="rows")
    ] = []
    """Ranks, alphas and rates of layers by name, a rule a row; the first that fits counts, and it goes before the
    blocks below."""

    block_ranks: Annotated[
        list[int], Setting("Rank of each block", kohya="block_dims", tier="expert", widget="text")
    ] = []
    """Rank of each block of the U-Net, from its input to its output: 25 values for SD 1.x and 2.x, 23 for SDXL, as
    sd-scripts counts them. 0 leaves a block out. Empty: the network rank everywhere."""

    block_alphas: Annotated[
        list[float],
        Setting("Alpha of each block", kohya="block_alphas", tier="expert", widget="text", needs=_BLOCK_RANKS),
    ] = []
    """Alpha of each block, as many values as ranks. Empty: the network alpha everywhere."""

    block_conv_ranks: Annotated[
        list[int],
        Setting("Convolution rank of each block", kohya="conv_block_dims", tier="expert", widget="text"),
    ] = []
    """Convolution rank of each block, as many values as above. Empty: the convolution rank everywhere."""

    block_conv_alphas: Annotated[
        list[float], Setting("Convolution alpha of each block", kohya="conv_block_alphas", tier="expert", widget="text")
    ] = []
    """Convolution alpha of each block, as many values as above. Empty: the convolution alpha everywhere."""

    down_rates: Annotated[str, Setting("Rates on the way down", kohya="down_lr_weight", tier="expert")] = ""
    """Factors on the learning rate of the blocks from the input inwards, 12 for SD 1.x and 2.x, 9 for SDXL: numbers
    with commas between them, or cosine, sine, linear, reverse_linear or zeros, with a base added by +: "cosine+0.25".
    What is missing at the end of a list is 1. Empty: 1 everywhere."""

    mid_rates: Annotated[str, Setting("Rates in the middle", kohya="mid_lr_weight", tier="expert")] = ""
    """Factors on the learning rate of the middle: 1 number for SD 1.x and 2.x, 3 for SDXL. Empty: 1."""

    up_rates: Annotated[str, Setting("Rates on the way up", kohya="up_lr_weight", tier="expert")] = ""
    """Factors on the learning rate of the blocks from the middle to the output, written as on the way down."""

    rates_zero: Annotated[
        float, Field(ge=0, le=10), Setting("Rates that count as zero", kohya="block_lr_zero_threshold", tier="expert")
    ] = 0.0
    """A block whose factor is at or below this is not trained at all: no gradient, nothing in the file."""

    start: Annotated[
        PathText, Setting("Start from adapter", kohya="network_weights", tier="advanced", widget="path")
    ] = ""
    """An adapter file whose values training begins with, instead of from nothing. Its layers and ranks must be those of
    this network."""

    start_ranks: Annotated[
        bool,
        Setting(
            "Take over its ranks",
            kohya="dim_from_weights",
            tier="expert",
            needs=Needs("network.start", unless=("",), why="training does not start from an adapter"),
        ),
    ] = False
    """Gives each layer the rank and alpha that it has in the adapter above, whatever the ranks say here."""

    ema: Annotated[float, Field(ge=0, lt=1), Setting("Moving average (EMA)", tier="expert")] = 0.0
    """Keeps a moving average of the adapter's values, with which samples and checks are made and which is saved: 0.99
    averages about the last 100 steps, 0.999 the last 1000. It evens out late noise; 0 is off."""

    unet: Annotated[bool, Setting("Train the U-Net", kohya="network_train_text_encoder_only")] = True
    """Trains adapters in the network that draws. Leave it on; off trains the text encoder alone."""

    text_encoder: Annotated[bool, Setting("Train the text encoder", kohya="network_train_unet_only")] = False
    """Trains adapters in the text encoder too. It can tie a trigger word faster but spoils how other words are
    understood sooner, needs a lower rate of its own, and captions can no longer be encoded once and for all."""
