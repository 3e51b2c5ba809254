"""bfloat16 for training where the CPU has matrix units for it (AMX), float32 elsewhere: there bf16 would be slower."""

from __future__ import annotations

import torch


def bf16_where_fast() -> torch.autocast:
    """A context that computes convolutions and matrix products in bf16 on CPUs with AMX; a no-op on others."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_amx_tile_supported())
