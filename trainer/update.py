"""One optimizer update: looks in, losses, gradients of all processes summed, clipped, applied.

Names carry shapes: B looks of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainer.noise.draws import draw_noise, draw_timesteps, send
from trainer.noise.making import Noises, make_noise
from trainer.noise.objective import Objective
from trainer.noise.process import Tables, add_noise, target
from trainer.optim.guard import Guard
from trainer.parts import BatchFacts, Conditioning, Family
from trainer.plan.draws import number
from trainer.timing.stopwatch import SILENT, Stopwatch

from .parallel import Ranks


@dataclass(frozen=True)
class Clipping:
    """`scaler`: loss scaling for fp16, else None. `max_norm` 0: gradients are measured, not clipped. `on_device`:
    whether a gradient is a number at all is decided there, so that the device never waits for us."""

    max_norm: float = 0.0
    scaler: torch.amp.GradScaler | None = None
    on_device: bool = False


@dataclass(frozen=True)
class Outcome:
    """Mean loss of the step's looks, and the gradient's norm before clipping: on the device, not yet read. `looks`:
    how many there were, over all processes. `validation_loss`: of one held-out image after the update, where asked.
    `adapter_norm`: after the update, in the steps that tell it."""

    loss: Tensor
    grad_norm: Tensor
    looks: int
    validation_loss: Tensor | None = None
    adapter_norm: Tensor | None = None


After = Callable[[int, Tensor], None]


class LossNotFinite(Exception):
    """Loss or gradient of `step` became infinite or not a number; nothing can be learnt from then on. The step changed
    nothing: the adapter is that of the step before."""

    def __init__(self, step: int, loss: float, grad_norm: float) -> None:
        what = f"the loss of step {step} is {loss}" if not math.isfinite(loss) else ""
        super().__init__(what or f"the gradient of step {step} is {grad_norm}")
        self.step, self.loss, self.grad_norm = step, loss, grad_norm


class Update:
    """Called once a step with the micro-batches of this process.

    The loss of every look weighs the same, however the looks are spread over micro-batches and processes: a batch's
    weights are 1 / looks of the step. So accumulation and data parallel give the gradient of the one large batch.
    `after(step, fine)`: is done to the weights after each update; `fine` (0-dim, on the device): it was done.
    `random`: something draws from torch's generator in the forward pass (dropout), which is then seeded anew for each
    step and process. A step whose loss or gradient is no number changes neither weights nor the optimizer's state.

    `done`: the last step that this process has done; `whole`: not in the midst of changing weights."""

    def __init__(
        self,
        family: Family,
        tables: Tables,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        clipping: Clipping,
        ranks: Ranks,
        random: bool = False,
        watch: Stopwatch = SILENT,
        after: After | None = None,
    ) -> None:
        self._family, self._tables, self._objective, self._watch = family, tables, objective, watch
        self._optimizer, self._clipping, self._ranks, self._random = optimizer, clipping, ranks, random
        self._guard, self._after = Guard(optimizer, clipping.on_device), after
        self.done, self.whole = 0, True
        self._parameters: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"]]

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """The loss scaling, whose scale changes from step to step."""
        return self._clipping.scaler

    def __call__(self, step: int, batches: Sequence[Any], looks: int) -> Outcome:
        """Do the update. `batches`: this process's `data.loader.Batch`es; `looks`: those of all processes."""
        self.seed_dropout(step, self._ranks.rank)
        self._optimizer.zero_grad(set_to_none=True)
        total: Tensor | None = None
        for batch in batches:
            with self._watch.part("forward"):
                loss = (self.losses(batch) * batch.weights_B).sum()
            with self._watch.part("backward"):
                self._backward(loss)
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None, "a step has at least one batch"
        with self._watch.part("transfer"):
            total = self._ranks.sum_gradients(self._parameters, total)
        with self._watch.part("optimizer"):
            self.whole = False
            norm = self._apply(step, total)
            if self._after:
                self._after(step, torch.isfinite(norm) & torch.isfinite(total))
            self.done, self.whole = step, True
        return Outcome(total, norm, looks)

    def seed_dropout(self, step: int, rank: int) -> None:
        """Let what is drawn in the forward pass be that of a step and process."""
        if self._random:
            torch.manual_seed(number(self._objective.seed, step, rank, "dropout"))

    def settle(self, step: int) -> None:
        """Step `step` had no finite loss or gradient: everything is as it was before it, and its gradients are gone."""
        self._guard.settle(step)
        self._optimizer.zero_grad(set_to_none=True)

    def timesteps(self, seeds: Sequence[int]) -> Tensor:
        """Of each look, on the CPU."""
        return draw_timesteps(seeds, self._tables.steps, self._objective.noise)

    def losses(self, batch: Any) -> Tensor:
        """One loss a look, with the mask and the weights by timestep."""
        objective, tables, latents_BCHW = self._objective, self._tables, batch.latents_BCHW
        timesteps_B = send(self.timesteps(batch.seeds), latents_BCHW.device)
        noises = make_noise(objective.noise, latents_BCHW, batch.seeds)
        given = batch.conditioning, batch.facts, batch.mask_B1HW
        losses_B = self.distances(latents_BCHW, noises, timesteps_B, *given)
        return objective.weighted(tables, losses_B, timesteps_B)

    def blank_loss(self) -> float:
        """The loss of a model that predicts nothing at all, where the whole picture counts; infinite where the timestep
        makes that a curve."""
        objective = self._objective
        if objective.varies:
            return math.inf
        latents_BCHW = torch.zeros((1, 4, 64, 64))
        wanted_BCHW = make_noise(objective.noise, latents_BCHW, [0]).wanted_BCHW
        return float(objective.losses(self._tables, latents_BCHW, wanted_BCHW, torch.zeros(1, dtype=torch.int64)))

    def measure(
        self,
        latents_BCHW: Tensor,
        timesteps: Sequence[int],
        seeds: Sequence[int],
        conditioning: Conditioning,
        facts: BatchFacts,
    ) -> Tensor:
        """The unweighted loss of each image, of all of it, with plain noise of its seed: what validation compares over
        time, and between runs of other settings."""
        device = latents_BCHW.device
        timesteps_B = torch.tensor(list(timesteps), dtype=torch.int64).to(device)
        noise_BCHW = draw_noise(latents_BCHW.shape[1:], seeds, device=device)
        return self.distances(latents_BCHW, Noises(noise_BCHW, noise_BCHW), timesteps_B, conditioning, facts)

    def distances(
        self,
        latents_BCHW: Tensor,
        noises: Noises,
        timesteps_B: Tensor,
        conditioning: Conditioning,
        facts: BatchFacts,
        mask_B1HW: Tensor | None = None,
    ) -> Tensor:
        """The unweighted loss of each image with this noise at these timesteps."""
        noisy_BCHW = add_noise(self._tables, latents_BCHW, noises.seen_BCHW, timesteps_B)
        answer_BCHW = self._family.predict(noisy_BCHW, timesteps_B, conditioning, facts)
        wanted_BCHW = target(self._tables, latents_BCHW, noises.wanted_BCHW, timesteps_B)
        return self._objective.losses(self._tables, answer_BCHW, wanted_BCHW, timesteps_B, mask_B1HW)

    def _backward(self, loss: Tensor) -> None:
        scaler = self._clipping.scaler
        (scaler.scale(loss) if scaler else loss).backward()

    def _apply(self, step: int, loss: Tensor) -> Tensor:
        """Clip and update; returns the norm before clipping. Where fp16 overflowed the scaler skips the update."""
        scaler, max_norm = self._clipping.scaler, self._clipping.max_norm
        if scaler:
            scaler.unscale_(self._optimizer)
        norm = nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        if max_norm:
            nn.utils.clip_grads_with_norm_(self._parameters, max_norm, norm)
        if scaler:
            scaler.step(self._optimizer)
            scaler.update()
        else:
            self._guard.step(step, torch.isfinite(norm) & torch.isfinite(loss))
        return norm
