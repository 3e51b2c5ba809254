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
