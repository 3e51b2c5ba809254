"""Checkpoints that are a header and no tensors: all that is read of a model before it is loaded."""

from __future__ import annotations

import json
import struct
from pathlib import Path

UNET = "model.diffusion_model."

# Tensors by which a checkpoint is known, at their published sizes (sd-scripts' library/model_util.py and
# library/sdxl_original_unet.py): a file of a header alone is all that `--check` reads of a model.
HEADERS: dict[str, dict[str, list[int]]] = {
    "SD 1.x": {
        f"{UNET}input_blocks.0.0.weight": [320, 4, 3, 3],
        f"{UNET}input_blocks.1.1.proj_in.weight": [320, 320, 1, 1],
        f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": [320, 768],
        f"{UNET}output_blocks.11.0.skip_connection.weight": [320, 640, 1, 1],
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": [49408, 768],
        "first_stage_model.encoder.conv_in.weight": [128, 3, 3, 3],
    },
    "SDXL": {
        f"{UNET}input_blocks.0.0.weight": [320, 4, 3, 3],
        f"{UNET}input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": [640, 2048],
        f"{UNET}label_emb.0.0.weight": [1280, 2816],
        "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight": [49408, 768],
        "conditioner.embedders.1.model.token_embedding.weight": [49408, 1280],
        "first_stage_model.encoder.conv_in.weight": [128, 3, 3, 3],
    },
}


def model_file(file: Path, family: str, prediction: str) -> Path:
    """A checkpoint's header without its tensors."""
    shapes = HEADERS[family] | ({"v_pred": [0], "ztsnr": [0]} if prediction == "v" else {})
    header = json.dumps(
        {name: {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    )
    file.write_bytes(struct.pack("<Q", len(header)) + header.encode())
    return file
