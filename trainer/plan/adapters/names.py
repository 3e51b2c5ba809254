"""Names of layers in every layout that adapters and checkpoints of U-Net models come in, as one: part and dotted path.

A layer is `Place("unet", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q")`: diffusers' path, without
`text_model.` for text encoders. Kohya's keys are the same paths with underscores, or the original layout's
(`input_blocks_4_1_...`); which underscore is a dot is known from the words that module names are made of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from trainer.contract.families.base import Header
from trainer.contract.families.model_parts import parts_of
from trainer.contract.families.unet_names import to_diffusers, to_original

PARTS = ("unet", "te1", "te2")


@dataclass(frozen=True, order=True)
class Place:
    """A layer of a model: `part` "unet", "te1" or "te2"; `path`: in diffusers' names."""

    part: str
    path: str

    @property
    def of_text(self) -> bool:
        """Whether it belongs to a text encoder."""
        return self.part != "unet"


_WORDS = (
    "down_blocks", "up_blocks", "mid_block", "attentions", "resnets", "downsamplers", "upsamplers",
    "transformer_blocks", "attn1", "attn2", "to_q", "to_k", "to_v", "to_out", "ff", "net", "proj", "proj_in",
    "proj_out", "conv", "conv1", "conv2", "conv_in", "conv_out", "conv_shortcut", "conv_norm_out", "time_emb_proj",
    "time_embedding", "add_embedding", "linear_1", "linear_2", "norm", "norm1", "norm2", "norm3", "input_blocks",
    "middle_block", "output_blocks", "in_layers", "emb_layers", "out_layers", "skip_connection", "op", "label_emb",
    "time_embed", "out", "text_model", "encoder", "layers", "self_attn", "q_proj", "k_proj", "v_proj", "out_proj",
    "mlp", "fc1", "fc2", "layer_norm1", "layer_norm2", "final_layer_norm", "embeddings", "token_embedding",
    "position_embedding", "text_projection",
)  # fmt: skip
"""What module names of U-Nets and text encoders are made of, with their underscores."""

_WORD = "|".join(sorted(_WORDS, key=len, reverse=True)) + r"|\d+"
_OUTSIDE = (
    "conv_in", "conv_out", "conv_norm_out", "time_embedding.linear_1", "time_embedding.linear_2",
    "add_embedding.linear_1", "add_embedding.linear_2",
)  # fmt: skip
"""Modules of a U-Net that are in no block."""

_TOKENS = re.compile(rf"(?:{_WORD})(?:_(?:{_WORD}))*")
_TOKEN = re.compile(rf"({_WORD})(?:_|$)")


def dotted(underscored: str) -> str | None:
    """`down_blocks_0_attentions_1_proj_in` with dots; None where a word is of no module that we know."""
    if not _TOKENS.fullmatch(underscored):
        return None
    found, at = [], 0
    while at < len(underscored):
        token = _TOKEN.match(underscored, at)
        if token is None:
            return None
        found.append(token[1])
        at = token.end()
    return ".".join(found)


def _in_diffusers(path: str) -> str:
    """A U-Net module's path in diffusers' names, whichever of the two it is in."""
    try:
        return to_diffusers(path)
    except ValueError:
        return path


_PREFIXES = (
    ("lora_unet_", "unet", "_"), ("lycoris_", "unet", "_"), ("lora_te1_", "te1", "_"), ("lora_te2_", "te2", "_"),
    ("lora_te_", "te1", "_"), ("unet.", "unet", "."), ("text_encoder_2.", "te2", "."), ("text_encoder.", "te1", "."),
    ("base_model.model.", "", "."), ("diffusion_model.", "unet", "."),
)  # fmt: skip
"""Beginning of a layer's name, part, what separates its words."""


def place_of(name: str) -> Place | None:
    """Where a layer of an adapter belongs, whatever layout its name is in; None for a name of no layer known here."""
    prefix, part, separator = next((row for row in _PREFIXES if name.startswith(row[0])), ("", "", "."))
    rest = name[len(prefix) :].replace(".processor.", ".")
    path = dotted(rest) if separator == "_" else rest
    if not path or not re.fullmatch(r"\w+(\.\w+)*", path):
        return None
    if not part:
        part = "te1" if re.match(r"(text_model\.)?encoder\.layers\.", path) else "unet"
    if part != "unet":
        path = path.removeprefix("text_model.")
        return Place(part, path) if path.startswith(("encoder.", "text_projection", "final_", "embeddings")) else None
    path = _in_diffusers(path)
    path += ".0" if path.endswith(".to_out") else ""  # diffusers' old attention processors
    known = path.startswith(("down_blocks.", "up_blocks.", "mid_block.")) or path in _OUTSIDE
    return Place(part, path) if known else None


def kohya_name(place: Place, two_encoders: bool, original: bool) -> str:
    """The layer's key in Kohya's layout. `two_encoders`: the model has two, so that the first is `lora_te1_`;
    `original`: its U-Net's keys have the original checkpoints' names, as sd-scripts writes them for some families."""
    if place.part == "unet":
        return f"lora_unet_{(to_original(place.path) if original else place.path).replace('.', '_')}"
    encoder = {"te1": "lora_te1" if two_encoders else "lora_te", "te2": "lora_te2"}[place.part]
    path = place.path if place.path == "text_projection" else f"text_model.{place.path}"
    return f"{encoder}_{path.replace('.', '_')}"


def diffusers_name(place: Place) -> str:
    """The layer in a file of diffusers' own: `unet.<path>`, `text_encoder.text_model.<path>`."""
    if place.part == "unet":
        return f"unet.{place.path}"
    encoder = {"te1": "text_encoder", "te2": "text_encoder_2"}[place.part]
    return f"{encoder}.{place.path}" if place.path == "text_projection" else f"{encoder}.text_model.{place.path}"


def lycoris_name(place: Place) -> str | None:
    """The layer as the LyCORIS library names it on a U-Net; None for text encoders, for which it has no name."""
    return f"lycoris_{place.path.replace('.', '_')}" if place.part == "unet" else None


def weights_of(header: Header) -> dict[Place, tuple[str, int | None]]:
    """Where a checkpoint (single file, or folder with each part's name in front) holds each layer's weight: the tensor,
    and which third of its rows is the layer's (OpenCLIP's fused q, k, v), None for all of them."""
    found: dict[Place, tuple[str, int | None]] = {}
    for name, shape in header.items():
        parts = parts_of({name: shape})
        for part in PARTS:
            own = [inner for inner in parts[part] if inner.endswith(".weight")]
            for number, inner in enumerate(own):
                place = Place(part, inner.removesuffix(".weight"))
                found.setdefault(place, (name, number if len(own) > 1 else None))
    return found
