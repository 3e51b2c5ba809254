"""What is minimised: one value, put together from the settings of the loss and the noise.

Names carry shapes: B looks of a batch, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from trainer.contract.settings import Noise

from .loss import SCHEDULED, THRESHOLDS, Distance, per_image
from .process import Tables
from .weighting import Weight


@dataclass(frozen=True)
class Objective:
    """`distance` of prediction and target, value by value; `noise`: the settings of its threshold, and of how noise and
    timesteps are drawn; `weights`: factors by timestep; `seed`: the run's, for dropout."""

    distance: Distance
    noise: Noise = field(default_factory=Noise)
    weights: tuple[Weight, ...] = ()
    seed: int = 0

    @property
    def varies(self) -> bool:
        """Whether the same error counts differently at another timestep."""
        return bool(self.weights) or (self.noise.loss in SCHEDULED and self.noise.huber_schedule != "constant")

    def losses(
        self,
        tables: Tables,
        answer_BCHW: Tensor,
        wanted_BCHW: Tensor,
        timesteps_B: Tensor,
        mask_B1HW: Tensor | None = None,
    ) -> Tensor:
        """The loss of each image, not weighted by timestep: [B]."""
        noise = self.noise
        threshold_B = THRESHOLDS[noise.huber_schedule](tables, timesteps_B, noise.huber_c, noise.huber_scale)
        return per_image(self.distance(answer_BCHW, wanted_BCHW, threshold_B.view(-1, 1, 1, 1)), mask_B1HW)

    def weighted(self, tables: Tables, losses_B: Tensor, timesteps_B: Tensor) -> Tensor:
        """Losses times all factors by timestep."""
        for weight in self.weights:
            losses_B = losses_B * weight(tables, timesteps_B)
        return losses_B
