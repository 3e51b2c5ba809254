"""Pixels as the families take them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_tensor(image: Image.Image) -> Tensor:
    """CHW float32 in [-1, 1]."""
    values_HWC = torch.from_numpy(np.array(image, dtype=np.uint8))
    return values_HWC.permute(2, 0, 1).float().div_(127.5).sub_(1.0)
