"""Names of layers in every layout that adapters and checkpoints of U-Net models come in, as one: part and dotted path.

A layer is `Place("unet", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q")`: diffusers' path, without
`text_model.` for text encoders. Kohya's keys are the same paths with underscores, or the original layout's
(`input_blocks_4_1_...`); which underscore is a dot is known from the words that module names are made of.

Block numbers of the original layout: `ldm/modules/diffusionmodules/openaimodel.py` of CompVis, two residual blocks a
level; OpenCLIP's names: `open_clip/transformer.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

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


_WORDS = """
down_blocks up_blocks mid_block attentions resnets downsamplers upsamplers transformer_blocks attn1 attn2 to_q to_k
to_v to_out ff net proj proj_in proj_out conv conv1 conv2 conv_in conv_out conv_shortcut conv_norm_out time_emb_proj
time_embedding add_embedding linear_1 linear_2 norm norm1 norm2 norm3
input_blocks middle_block output_blocks in_layers emb_layers out_layers skip_connection op label_emb time_embed out
text_model encoder layers self_attn q_proj k_proj v_proj out_proj mlp fc1 fc2 layer_norm1 layer_norm2 final_layer_norm
embeddings token_embedding position_embedding text_projection
""".split()
_WORD = "|".join(sorted(_WORDS, key=len, reverse=True)) + r"|\d+"
_TOKENS = re.compile(rf"(?:{_WORD})(?:_(?:{_WORD}))*")
_TOKEN = re.compile(rf"({_WORD})(?:_|$)")

_INSIDE = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_OUTSIDE = {
    "conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2", "conv_norm_out": "out.0",
    "conv_out": "out.2",
}  # fmt: skip
_INSIDE_BACK = {new: old for old, new in _INSIDE.items()}
_OUTSIDE_BACK = {new: old for old, new in _OUTSIDE.items()}
_MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}
_OPENCLIP = {
    "self_attn.q_proj": ("attn.in_proj_weight", 0), "self_attn.k_proj": ("attn.in_proj_weight", 1),
    "self_attn.v_proj": ("attn.in_proj_weight", 2), "self_attn.out_proj": ("attn.out_proj.weight", None),
    "mlp.fc1": ("mlp.c_fc.weight", None), "mlp.fc2": ("mlp.c_proj.weight", None),
}  # fmt: skip


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


def from_original(path: str) -> str | None:
    """Diffusers' path of a U-Net module named in the original layout; None where it is none."""
    if path in _OUTSIDE_BACK:
        return _OUTSIDE_BACK[path]
    found = re.fullmatch(r"(input_blocks|middle_block|output_blocks)\.(\d+)\.(.+)", path)
    if found is None:
        return None
    room, number, rest = found[1], int(found[2]), found[3]
    if room == "middle_block":
        return _in_block(f"mid_block.{_MIDDLE[found[2]]}", rest) if found[2] in _MIDDLE else None
    slot, _, inner = rest.partition(".")
    level, index = divmod(number - 1, 3) if room == "input_blocks" else divmod(number, 3)
    block = f"{'down' if room == 'input_blocks' else 'up'}_blocks.{level}"
    if inner == "op" and room == "input_blocks" and slot == "0":
        return f"{block}.downsamplers.0.conv"
    if inner == "conv" and room == "output_blocks":
        return f"{block}.upsamplers.0.conv"
    if room == "input_blocks" and (number == 0 or index == 2) or slot not in ("0", "1"):
        return None
    return _in_block(f"{block}.{'resnets' if slot == '0' else 'attentions'}.{index}", inner)


def _in_block(at: str, inner: str) -> str | None:
    if ".resnets." in at:
        return f"{at}.{_INSIDE_BACK[inner]}" if inner in _INSIDE_BACK else None
    return f"{at}.{inner}"


def to_original(path: str) -> Iterator[str]:
    """What a U-Net module may be called in the original layout: the place of an upsampler depends on whether its block
    has attention, so that there are two names for it."""
    if path in _OUTSIDE:
        yield _OUTSIDE[path]
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", path)
    if found is not None:
        side, level, kind, index, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        at = f"input_blocks.{1 + 3 * level + index}" if side == "down" else f"output_blocks.{3 * level + index}"
        if kind == "resnets" and rest in _INSIDE:
            yield f"{at}.0.{_INSIDE[rest]}"
        elif kind == "attentions":
            yield f"{at}.1.{rest}"
        elif kind == "downsamplers":
            yield f"input_blocks.{3 * (level + 1)}.0.op"
        elif kind == "upsamplers":
            yield from (f"output_blocks.{3 * level + 2}.{slot}.conv" for slot in (2, 1))
    middle = re.fullmatch(r"mid_block\.(\w+\.\d)\.(.+)", path)
    if middle is not None:
        slot = next((slot for slot, name in _MIDDLE.items() if name == middle[1]), None)
        if slot is not None:
            yield f"middle_block.{slot}.{_INSIDE.get(middle[2], middle[2])}"


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
    path = from_original(path) or path
    path += ".0" if path.endswith(".to_out") else ""  # diffusers' old attention processors
    known = path.startswith(("down_blocks.", "up_blocks.", "mid_block.")) or path in _OUTSIDE
    return Place(part, path) if known else None


def kohya_names(place: Place, two_encoders: bool) -> list[str]:
    """What the layer may be called in Kohya's layout, diffusers' names before the original ones. `two_encoders`: the
    model has two, so that the first is `lora_te1_` (the second tells so by itself)."""
    if place.part == "unet":
        return [f"lora_unet_{path.replace('.', '_')}" for path in (place.path, *to_original(place.path))]
    encoder = {"te1": "lora_te1" if two_encoders else "lora_te", "te2": "lora_te2"}[place.part]
    path = place.path if place.path == "text_projection" else f"text_model.{place.path}"
    return [f"{encoder}_{path.replace('.', '_')}"]


def diffusers_name(place: Place) -> str:
    """The layer in a file of diffusers' own: `unet.<path>`, `text_encoder.text_model.<path>`."""
    if place.part == "unet":
        return f"unet.{place.path}"
    encoder = {"te1": "text_encoder", "te2": "text_encoder_2"}[place.part]
    return f"{encoder}.{place.path}" if place.path == "text_projection" else f"{encoder}.text_model.{place.path}"


def lycoris_name(place: Place) -> str | None:
    """The layer as the LyCORIS library names it on a U-Net; None for text encoders, for which it has no name."""
    return f"lycoris_{place.path.replace('.', '_')}" if place.part == "unet" else None


def weight_names(place: Place) -> Iterator[tuple[str, int | None]]:
    """Names under which a checkpoint may hold the layer's weight, and which third of its rows is the layer's (None:
    all): a diffusers folder's, with the part's folder in front, then those of single files."""
    path = place.path
    if place.part == "unet":
        yield f"unet.{path}.weight", None
        for name in to_original(path):
            yield f"model.diffusion_model.{name}.weight", None
        return
    folder = {"te1": "text_encoder", "te2": "text_encoder_2"}[place.part]
    yield f"{folder}.text_model.{path}.weight", None
    yield f"{folder}.{path}.weight", None
    homes = {
        "te1": ("cond_stage_model.transformer", "conditioner.embedders.0.transformer"),
        "te2": ("conditioner.embedders.1.transformer",),
    }[place.part]
    for home in homes:
        yield f"{home}.text_model.{path}.weight", None
        yield f"{home}.{path}.weight", None
    layer = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", path)
    if layer is not None and layer[2] in _OPENCLIP:
        name, third = _OPENCLIP[layer[2]]
        home = {"te1": "cond_stage_model.model", "te2": "conditioner.embedders.1.model"}[place.part]
        yield f"{home}.transformer.resblocks.{layer[1]}.{name}", third
