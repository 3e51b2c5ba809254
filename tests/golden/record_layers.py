"""Records `sdscripts-layers.json` from a checkout of sd-scripts: `python tests/golden/record_layers.py FOLDER`.

Its own classes name the layers, on the meta device; what it imports besides (torchvision, OpenCV) is not needed here
and left out."""

from __future__ import annotations

import json
import sys
import types
from hashlib import blake2b
from pathlib import Path
from typing import Any

import diffusers.schedulers.scheduling_euler_ancestral_discrete  # noqa: F401 - before torchvision is left out
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler  # noqa: F401
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

FILE = Path(__file__).with_name("sdscripts-layers.json")
UNET, SECOND = "model.diffusion_model.", "conditioner.embedders.1.model."


class Wrapped(nn.Module):
    """transformers before 5, which sd-scripts pins, had the text model one level down."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.text_model = model


def encoder(width: int, layers: int, heads: int, kind: Any = CLIPTextModel) -> nn.Module:
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "projection_dim": width}
    model: nn.Module = kind(CLIPTextConfig(intermediate_size=4 * width, vocab_size=49408, **sizes))
    return model if kind is CLIPTextModelWithProjection else Wrapped(model)


def layers(lora: Any, encoders: Any, unet: nn.Module, xl: bool, conv: int | None) -> dict[str, list[int]]:
    """Key -> block, then the shape of the layer's weight."""
    lora.LoRANetwork.UNET_TARGET_REPLACE_MODULE = ["Transformer2DModel"]  # it adds to its own list
    made = lora.LoRANetwork(encoders, unet, lora_dim=4, alpha=4, conv_lora_dim=conv, conv_alpha=conv, is_sdxl=xl)
    found = {}
    for one in [*made.text_encoder_loras, *made.unet_loras]:
        block = lora.get_block_index(one.lora_name, xl)
        found[one.lora_name] = [block, one.lora_up.weight.shape[0], *one.lora_down.weight.shape[1:]]
    return found


def digest(tensors: dict[str, Tensor], start: str) -> list[Any]:
    rows = sorted(f"{start}{name} {tuple(value.shape)}" for name, value in tensors.items())
    return [len(rows), blake2b("\n".join(rows).encode(), digest_size=16).hexdigest()]


def main(folder: str) -> None:
    sys.path.insert(0, folder)
    for name in ("torchvision", "torchvision.transforms", "cv2"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]  # type: ignore[attr-defined]
    from library import model_util, sdxl_model_util  # type: ignore[import-not-found]
    from library.original_unet import UNet2DConditionModel  # type: ignore[import-not-found]
    from library.sdxl_original_unet import SdxlUNet2DConditionModel  # type: ignore[import-not-found]
    from networks import lora  # type: ignore[import-not-found]

    found: dict[str, Any] = {"note": json.loads(FILE.read_text(encoding="utf-8"))["note"], "single_files": {}}
    with torch.device("meta"):
        second = encoder(1280, 32, 20, CLIPTextModelWithProjection)
        models = {
            "SD 1.x": (encoder(768, 12, 12), UNet2DConditionModel(64, 8, 768, False, False)),
            "SD 2.x": (encoder(1024, 23, 16), UNet2DConditionModel(96, [5, 10, 20, 20], 1024, True, True)),
            "SDXL": ([encoder(768, 12, 12), second], SdxlUNet2DConditionModel()),
        }
        for name, (encoders, unet) in models.items():
            xl, state = name == "SDXL", dict(unet.state_dict())
            state = state if xl else model_util.convert_unet_state_dict_to_sd(name == "SD 2.x", state)
            found["single_files"][name] = {"unet": digest(state, UNET)}
            linear, both = (layers(lora, encoders, unet, xl, conv) for conv in (None, 4))
            found[name] = {"linear": linear, "conv": {key: row for key, row in both.items() if key not in linear}}
        state = sdxl_model_util.convert_text_encoder_2_state_dict_to_sdxl(second.state_dict(), torch.empty(()))
        found["single_files"]["SDXL"]["te2"] = digest(state, SECOND)
    FILE.write_text(json.dumps(found, separators=(",", ":")).replace('],"', ']\n,"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
