"""How like the held-out images the sample pictures are: cosines between an embedding model's vectors.

The mean over all pairs of a picture and an image, as DINO and CLIP-I scores are defined (DreamBooth, arXiv 2208.12242,
section 4.1). Names carry shapes: N pictures, M images, K values of a vector.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

BATCH = 8

Embed = Callable[[Sequence[Image.Image]], Tensor]
"""Pictures -> NK unit vectors, float32 on the CPU."""


def load_embedder(folder: Path) -> Embed:
    """The embedding model in a folder: CLIP and its kin by their image features, DINOv2 and its kin by their pooled
    output.

    It runs on the CPU: samples are few, and the device's memory belongs to the training. Safetensors only, and no code
    that lies beside the weights is run. OSError or ValueError where the folder holds no such model."""
    from transformers import AutoImageProcessor, AutoModel

    own_code = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("auto_map")
    if own_code:
        raise ValueError(f"{folder.name} needs code of its own, which is never run")
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)
    model = AutoModel.from_pretrained(
        folder, use_safetensors=True, trust_remote_code=False, local_files_only=True, dtype=torch.float32
    ).eval()
    if not _sees(model):
        raise ValueError(f"{folder.name} holds a {model.config.model_type} model, which embeds no images")

    @torch.no_grad()
    def embed(pictures: Sequence[Image.Image]) -> Tensor:
        rows = []
        for at in range(0, len(pictures), BATCH):
            batch = [picture.convert("RGB") for picture in pictures[at : at + BATCH]]
            rows.append(_vectors(model, processor(images=batch, return_tensors="pt")["pixel_values"]))
        return torch.nn.functional.normalize(torch.cat(rows).float(), dim=-1)

    return embed


def _sees(model: Any) -> bool:
    return hasattr(model, "get_image_features") or model.main_input_name == "pixel_values"


def _vectors(model: Any, pixels_NCHW: Tensor) -> Tensor:
    """NK, not yet of unit length. Where a model pools nothing, its first token (CLS) stands for the picture."""
    of = model.get_image_features if hasattr(model, "get_image_features") else model
    found = of(pixel_values=pixels_NCHW)
    if isinstance(found, Tensor):
        return found
    pooled = getattr(found, "pooler_output", None)
    return (found.last_hidden_state[:, 0] if pooled is None else pooled).flatten(1)


def likenesses(pictures_NK: Tensor, images_MK: Tensor) -> list[float]:
    """Of each picture the mean cosine with all images, -1 to 1."""
    values: list[float] = (pictures_NK @ images_MK.T).mean(dim=1).tolist()
    return values
