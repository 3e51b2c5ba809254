"""Names inside CLIP's text encoders: those of transformers, and those of OpenCLIP, which SD 2.x and the second encoder
of SDXL have in single files.

The correspondence is that of diffusers' `loaders/single_file_utils.py` (`convert_open_clip_checkpoint`).
"""

from __future__ import annotations

import re

_WHOLE = {
    "positional_embedding": "embeddings.position_embedding.weight",
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
    "text_projection": "text_projection.weight",
    "text_projection.weight": "text_projection.weight",
}
_INSIDE = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)[._](weight|bias)")


def from_open_clip(name: str) -> tuple[str, ...]:
    """The names that a tensor of OpenCLIP's text encoder has in transformers: three for the fused q, k, v, whose rows
    follow each other; none for what transformers has no place for. `text_projection` without ".weight" is transposed
    there."""
    if name in _WHOLE:
        return (_WHOLE[name],)
    found = _LAYER.fullmatch(name)
    if found is None:
        return ()
    at, inside, kind = f"encoder.layers.{found[1]}", found[2], found[3]
    if inside == "attn.in_proj":
        return tuple(f"{at}.self_attn.{one}_proj.{kind}" for one in "qkv")
    return (f"{at}.{_INSIDE[inside]}.{kind}",) if inside in _INSIDE else ()
