"""Stable Diffusion 2.x: its fingerprint, sizes and defaults. The base models (512 px) predict the noise, the others
(768 px) predict v."""

from __future__ import annotations

from types import MappingProxyType

from . import sd1
from .facts import UNetFacts
from .model_parts import Parts
from .sizes import Size

SD2 = UNetFacts(
    name="SD 2.x",
    version="sd_v2",
    architecture="stable-diffusion-v2-512",
    base_resolution=512,
    defaults=sd1.SD1.defaults,
    size=Size((320, 640, 1280, 1280), (1, 1, 1, 0), 1, 1024, True, (("te1", 1024, 23),)),
    prefixes=sd1.SD1.prefixes,
    both_predictions=True,
    metadata=MappingProxyType({"ss_v2": "True"}),
    where_v=MappingProxyType(
        {
            "version": "sd_v2_v",
            "architecture": "stable-diffusion-v2-768-v",
            "base_resolution": 768,
            "defaults": MappingProxyType(
                {
                    **sd1.SD1.defaults,
                    "dataset.resolution": 768,
                    "dataset.bucket_min": 384,
                    "dataset.bucket_max": 1536,
                    "training.batch_size": 1,
                }
            ),
        }
    ),
)


def match(parts: Parts) -> str:
    """ "" if the tensors are not of this family, else what the U-Net is for: built like SD 1.x, but with linear
    projections in its attention."""
    use = sd1.use_of(parts)
    if not use or len(parts["unet"][sd1.PROJECTION]) != 2:
        return ""
    classes = any(name.startswith(("class_embedding.", "add_embedding.")) for name in parts["unet"])
    return "image variations (unCLIP)" if classes else use.replace("5 channels", "depth to image")
