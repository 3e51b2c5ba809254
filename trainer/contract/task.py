"""What every task has: values that do not change once it is asked for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Task(BaseModel):
    """Immutable, closed to unknown names. `gpus`: as `hardware.gpus`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    gpus: str = "auto"
