"""What is trained, and what the preset says of itself."""

from typing import Annotated, Literal

from .base import PathText, Section, Setting


class About(Section):
    title: Annotated[str, Setting("Preset title", tier="expert")] = ""
    """Name of the preset in lists. It has no effect on training."""

    use: Annotated[str, Setting("What it is for", tier="expert", widget="text")] = ""
    """A sentence or two for the people you share the preset with: for what, for which card, why these values."""

    tested: Annotated[str, Setting("Tested", tier="expert")] = "untested"
    """The run that proved this preset, written by a command only; "untested" where no real run exists."""

    carried: Annotated[dict[str, str], Setting("Carried along", tier="expert", widget="text")] = {}
    """Settings of another program that have no equivalent here, kept as they stood so that an export gives them back.
    They have no effect on training."""


class Model(Section):
    path: Annotated[
        PathText, Setting("Base model", kohya="pretrained_model_name_or_path", tier="basic", widget="path")
    ] = ""
    """The checkpoint that the LoRA is trained on: a .safetensors or .ckpt file, a diffusers folder, or a hub id such as
    "name/model". The LoRA works on that model and its close relatives, poorly across branches, never across families.
    The family is read from the file; nothing in the file is executed."""

    family: Annotated[str, Setting("Model family", tier="expert", choices="families")] = "auto"
    """Which architecture the base model has. "auto" reads it from the file; any other value only insists: a file of
    another family is then refused."""

    vae: Annotated[PathText, Setting("Separate VAE", kohya="vae", tier="expert", widget="path")] = ""
    """Replaces the VAE inside the base model: a .safetensors file or a diffusers folder. Empty uses the model's own,
    which is right nearly always; the VAE only turns images into latents and is never trained."""

    prediction: Annotated[
        Literal["auto", "epsilon", "v"], Setting("Prediction type", kohya="v_parameterization", tier="expert")
    ] = "auto"
    """What the model was trained to predict: the noise (epsilon) or the velocity (v). "auto" reads it from the model;
    a wrong value trains towards the wrong target and the loss stays near 1 instead of about 0.1."""

    zero_snr: Annotated[
        Literal["auto", "on", "off"], Setting("Zero terminal SNR", kohya="zero_terminal_snr", tier="expert")
    ] = "auto"
    """Whether the last step of the noising is pure noise (arXiv 2305.08891), as models such as NoobAI-XL v-pred were
    trained. "auto" reads it from the model; it needs v prediction, since pure noise tells an epsilon model nothing."""

    adapters: Annotated[
        list[str],
        Setting("Adapters under it", kohya="base_weights, base_weights_multiplier", tier="expert", widget="lines"),
    ] = []
    """Adapter files that are added to the base model before training, one a line, each with its strength after an @:
    "style.safetensors @ 0.8". The new LoRA learns only what they lack, and belongs to be used together with them."""
