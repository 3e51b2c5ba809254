"""The autopsy of a step that had no finite loss or gradient: it is computed again, with eyes on every layer.

That can be done exactly: what a step draws is a function of seed and step, and the step changed nothing.
Names carry shapes: B looks of a batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from trainer.data.loader import Batch, Loader
from trainer.parts import Family, Network
from trainer.plan.draws import rank_slice
from trainer.plan.plan import Plan
from trainer.report.remedies import Found, Look, Where, image_names

from .update import Update


@dataclass(frozen=True)
class Body:
    """What is examined: all that the step was computed with. `processes`: how many shared it."""

    plan: Plan
    family: Family
    network: Network
    update: Update
    loader: Loader
    processes: int = 1


def examine(body: Body, step: int) -> tuple[Found, list[Look]]:
    """The first value of step `step` that was not finite, and all looks of the step.

    The weights must be those before the step. Whatever the examination itself runs into is "unknown"."""
    looks: list[Look] = []
    try:
        body.network.training(True)
        with torch.enable_grad():
            found = _weights(body) or _batches(body, step, looks) or _gradients(body.network)
    except Exception as error:
        found = Found("unknown", f"{str(error).strip() or type(error).__name__}")
    for module in body.network.modules.values():
        module.zero_grad(set_to_none=True)
    return found or Found("nowhere"), looks


def _weights(body: Body) -> Found | None:
    """Values that were no numbers before anything was computed."""
    parts: list[tuple[Where, Mapping[str, nn.Module]]] = [
        ("adapter", body.network.modules),
        ("base model", body.family.parts),
    ]
    for where, modules in parts:
        for key, module in modules.items():
            for name, value in module.named_parameters():
                if not _finite(value):
                    return Found(where, f"{key}.{name}", _name(value.dtype))
    return None


def _batches(body: Body, step: int, looks: list[Look]) -> Found | None:
    """Every micro-batch of every process, in order; their gradients add up as in the step."""
    for process in range(body.processes):
        body.update.seed_dropout(step, process)
        for number, whole in enumerate(body.plan.step_draws(step), start=1):
            batch = body.loader.fixed(rank_slice(whole, process, body.processes))
            own = _looks_of(body, batch, number, process)
            looks += own
            found = _inputs(batch, own) or _passes(body, batch, own, looks)
            if found is not None:
                return found
    return None


def _looks_of(body: Body, batch: Batch, number: int, process: int) -> list[Look]:
    timesteps = body.update.timesteps(batch.seeds).tolist()
    names = [body.plan.images[draw.image].path.name for draw in batch.draws]
    return [Look(*row, number, process) for row in zip(names, timesteps, batch.captions)]


def _inputs(batch: Batch, own: Sequence[Look]) -> Found | None:
    """Latents and captions, before the model has seen them."""
    bad = [look for look, values in zip(own, batch.latents_BCHW) if not _finite(values)]
    if bad:
        return Found("latents", image_names(bad), _name(batch.latents_BCHW.dtype), looks=bad)
    for values_B in batch.conditioning.values():
        bad = [look for look, values in zip(own, values_B) if not _finite(values)]
        if bad:
            return Found("caption", image_names(bad), _name(values_B.dtype), looks=bad)
    return None


def _passes(body: Body, batch: Batch, own: list[Look], looks: list[Look]) -> Found | None:
    """Forward and backward with eyes on every layer. Replaces the batch's looks by ones that know their loss."""
    watch = Watch()
    scaler = body.update.scaler
    with watch.over(body.family.parts):
        losses_B = body.update.losses(batch)
        told = [replace(look, loss=float(loss)) for look, loss in zip(own, losses_B.detach())]
        looks[-len(own) :] = told
        if watch.found is None:
            (losses_B * batch.weights_B).sum().mul(scaler.get_scale() if scaler else 1.0).backward()
    if watch.found is None and not _finite(losses_B):
        watch.found = Found("forward", "the loss itself", _name(losses_B.dtype))
    bad = [look for look in told if look.loss is not None and not abs(look.loss) < float("inf")]
    return replace(watch.found, looks=bad or told) if watch.found else None


def _gradients(network: Network) -> Found | None:
    for key, module in network.modules.items():
        for name, value in module.named_parameters():
            if value.grad is not None and not _finite(value.grad):
                return Found("gradient", f"{key}.{name}", _name(value.grad.dtype))
    return None


class Watch:
    """Looks at what goes into and comes out of every innermost module, forwards and backwards; keeps the first find.

    Waits for the device at each: for a step that is computed once."""

    def __init__(self) -> None:
        self.found: Found | None = None

    @contextmanager
    def over(self, parts: Mapping[str, nn.Module]) -> Iterator[None]:
        """While this lasts, the modules in `parts` (part's name -> module) are watched."""
        handles = []
        for part, root in parts.items():
            for path, module in root.named_modules():
                if next(module.children(), None) is None:
                    handles.append(module.register_forward_hook(self._hook(f"{part}.{path}")))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, layer: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(module: nn.Module, given: Any, answer: Any) -> None:
            if self.found is not None or not isinstance(answer, Tensor):
                return
            inputs = [value for value in given if isinstance(value, Tensor) and value.is_floating_point()]
            before = f"what was computed just before {layer}"
            if any(not _finite(value) for value in inputs):
                self.found = Found("forward", before, _name(inputs[0].dtype))
            elif not _finite(answer):
                largest = max((float(value.detach().abs().max()) for value in inputs), default=None)
                self.found = Found("forward", layer, _name(answer.dtype), largest)
            elif answer.requires_grad:
                answer.register_hook(lambda gradient: self._back(layer, gradient))

        return look

    def _back(self, layer: str, gradient: Tensor) -> None:
        if self.found is None and not _finite(gradient):
            self.found = Found("backward", layer, _name(gradient.dtype))


def _finite(values: Tensor) -> bool:
    return not values.is_floating_point() or bool(torch.isfinite(values).all())


def _name(dtype: torch.dtype) -> str:
    return {torch.float32: "float", torch.float16: "fp16", torch.bfloat16: "bf16"}.get(dtype, str(dtype))
