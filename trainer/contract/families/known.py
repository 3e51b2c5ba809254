"""Families and kinds of files that are known by sight but not trained, so that an error can name them.

Fingerprints of single files are tensor names of the original layouts, as in diffusers'
`loaders/single_file_utils.py` (CHECKPOINT_KEY_NAMES) and ComfyUI's `comfy/model_detection.py`; those of folders are the
class names of their `model_index.json`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .base import Header

_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "net.")


@dataclass(frozen=True)
class Fingerprint:
    """A family whose files hold all of `names`; `width`: the last dimension of the first of them, if that decides."""

    family: str
    prediction: str
    names: tuple[str, ...]
    width: int = 0


# The first row that fits wins: what is built on another family's blocks stands before it.
KNOWN: tuple[Fingerprint, ...] = (
    Fingerprint("SDXL refiner", "epsilon", ("conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias",)),
    Fingerprint("SDXL refiner", "epsilon", ("input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",), 1280),
    Fingerprint("Playground v2.5", "EDM", ("edm_mean", "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight")),
    Fingerprint("SD x4 upscaler", "v", ("input_blocks.10.0.skip_connection.bias", "label_emb.weight")),
    Fingerprint("SD 3 / 3.5", "flow", ("joint_blocks.0.context_block.attn.qkv.weight",)),
    Fingerprint("SD 3 / 3.5", "flow", ("joint_blocks.0.context_block.adaLN_modulation.1.bias",)),
    Fingerprint("Chroma", "flow", ("distilled_guidance_layer.in_proj.bias",)),
    Fingerprint("Chroma", "flow", ("distilled_guidance_layer.0.norms.0.scale",)),
    Fingerprint("Flux.2", "flow", ("single_stream_modulation.lin.weight",)),
    Fingerprint("HunyuanVideo", "flow", ("txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias",)),
    Fingerprint("HunyuanImage", "flow", ("byt5_in.fc1.weight", "double_blocks.0.img_attn_qkv.weight")),
    Fingerprint("Flux.1", "flow", ("double_blocks.0.img_attn.norm.key_norm.scale",)),
    Fingerprint("Z-Image", "flow", ("cap_pad_token", "cap_embedder.1.weight")),
    Fingerprint("Lumina-Image 2", "flow", ("cap_embedder.0.weight", "noise_refiner.0.attention.qkv.weight")),
    Fingerprint("Z-Image", "flow", ("layers.0.adaLN_modulation.0.weight",)),
    Fingerprint("Qwen-Image", "flow", ("txt_norm.weight", "transformer_blocks.0.img_mod.1.weight")),
    Fingerprint("Qwen-Image 2.1", "flow", ("txt_in.text_norm.weight",)),
    Fingerprint("Krea 2", "flow", ("txtfusion.projector.weight",)),
    Fingerprint("AuraFlow", "flow", ("cond_seq_linear.weight", "t_embedder.mlp.0.weight")),
    Fingerprint("HiDream", "flow", ("double_stream_blocks.0.block.adaLN_modulation.1.bias",)),
    Fingerprint("Sana", "flow", ("blocks.0.cross_attn.q_linear.weight", "y_norm.weight")),
    Fingerprint("Sana", "flow", ("blocks.0.cross_attn.q_linear.weight", "attention_y_norm.weight")),
    Fingerprint("PixArt", "epsilon", ("blocks.0.cross_attn.q_linear.weight", "y_embedder.y_proj.fc1.weight")),
    Fingerprint(
        "PixArt",
        "epsilon",
        ("adaln_single.emb.timestep_embedder.linear_1.weight", "caption_projection.linear_1.weight"),
    ),
    Fingerprint("LTX-Video", "flow", ("patchify_proj.weight",)),
    Fingerprint("Wan", "flow", ("head.modulation",)),
    Fingerprint("Anima", "flow", ("llm_adapter.blocks.0.cross_attn.q_proj.weight",)),
    Fingerprint("Cosmos", "flow", ("x_embedder.proj.1.weight",)),
    Fingerprint("Mochi", "flow", ("blocks.0.attn.qkv_x.weight",)),
    Fingerprint("Stable Cascade", "epsilon", ("clip_txt_mapper.weight",)),
    Fingerprint("Stable Cascade", "epsilon", ("down_blocks.1.0.channelwise.0.weight",)),
)

# `_class_name` of a diffusers folder, by what it begins with; longer names first.
PIPELINES: tuple[tuple[str, str, str], ...] = (
    ("StableDiffusion3", "SD 3 / 3.5", "flow"),
    ("Flux2", "Flux.2", "flow"),
    ("Flux", "Flux.1", "flow"),
    ("Chroma", "Chroma", "flow"),
    ("QwenImage", "Qwen-Image", "flow"),
    ("ZImage", "Z-Image", "flow"),
    ("Lumina2", "Lumina-Image 2", "flow"),
    ("Lumina", "Lumina-Next", "flow"),
    ("PixArt", "PixArt", "epsilon"),
    ("Sana", "Sana", "flow"),
    ("AuraFlow", "AuraFlow", "flow"),
    ("HiDream", "HiDream", "flow"),
    ("HunyuanImage", "HunyuanImage", "flow"),
    ("HunyuanVideo", "HunyuanVideo", "flow"),
    ("HunyuanDiT", "HunyuanDiT", "v"),
    ("Kolors", "Kolors", "epsilon"),
    ("Kandinsky", "Kandinsky", "epsilon"),
    ("StableCascade", "Stable Cascade", "epsilon"),
    ("CogView", "CogView", "v"),
    ("Wan", "Wan", "flow"),
    ("LTX", "LTX-Video", "flow"),
    ("Cosmos", "Cosmos", "flow"),
    ("Krea2", "Krea 2", "flow"),
    ("Bria", "Bria", "flow"),
    ("OmniGen", "OmniGen", "flow"),
    ("DeepFloyd", "DeepFloyd IF", "epsilon"),
    ("IF", "DeepFloyd IF", "epsilon"),
)

_ADAPTER = re.compile(r"\.(lora_(down|up|A|B|mid)|hada_w1_a|lokr_w[12]|oft_blocks|dora_scale)(\.|$)|^lora_|^lycoris_")


def family_of(header: Header, metadata: Mapping[str, str]) -> tuple[str, str] | None:
    """(family, prediction) of a single file that we know by sight, or None."""
    bare = {_bare(name): shape for name, shape in header.items()}
    for row in KNOWN:
        if all(name in bare for name in row.names):
            shape = bare[row.names[0]]
            if not row.width or (shape and shape[-1] == row.width):
                marked = "v_pred" in header or metadata.get("modelspec.prediction_type", "").startswith("v")
                return row.family, "v" if marked else row.prediction
    return None


def _bare(name: str) -> str:
    prefix = next((p for p in _PREFIXES if name.startswith(p)), "")
    return name[len(prefix) :]


def pipeline_of(class_name: str) -> tuple[str, str] | None:
    """(family, prediction) of a diffusers folder by its pipeline's class name, or None."""
    return next(((family, kind) for start, family, kind in PIPELINES if class_name.startswith(start)), None)


def other_kind(header: Header) -> str:
    """What a file is if it is no base model ("a LoRA"), or ""."""
    names = list(header)
    if any(_ADAPTER.search(name) for name in names):
        return "a LoRA or a similar adapter"
    if any("control_model." in n or "controlnet_cond_embedding." in n or n.startswith("input_hint") for n in names):
        return "a ControlNet"
    if any(n in ("emb_params", "clip_l", "clip_g", "string_to_param", "*") for n in names) and len(names) < 5:
        return "a textual-inversion embedding"
    if any(n.endswith(("decoder.conv_in.weight", "decoder.conv1.weight")) for n in names):
        without_vae = [n for n in names if not n.startswith(("first_stage_model.", "encoder.", "decoder.", "vae."))]
        if len(without_vae) < 12:
            return "a VAE"
    if any(n.endswith(("token_embedding.weight", "embed_tokens.weight", "shared.weight")) for n in names) and not any(
        "diffusion_model" in n for n in names
    ):
        return "a text encoder"
    if any("motion_modules." in n for n in names):
        return "an AnimateDiff motion module"
    return ""
