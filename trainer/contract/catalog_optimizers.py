"""The catalog's optimizers: what each is good for, its usual rates, what it keeps and takes."""

from __future__ import annotations

from .catalog_rows import Optimizer

OPTIMIZERS: tuple[Optimizer, ...] = (
    Optimizer(
        "AdamW",
        "torch.optim:AdamW",
        "The safe default: steps scaled by recent gradient size, decay kept apart.",
        fixed={"fused": True},
    ),
    Optimizer(
        "AdamW8bit",
        "bitsandbytes.optim:AdamW8bit",
        "AdamW with its two running averages in 8 bits; for a LoRA that saves little, and can be slower.",
        state_bytes=2.0,
        waits=True,
    ),
    Optimizer(
        "PagedAdamW8bit",
        "bitsandbytes.optim:PagedAdamW8bit",
        "AdamW8bit whose averages move to main memory when the card is full.",
        state_bytes=2.0,
        waits=True,
    ),
    Optimizer(
        "Adam",
        "torch.optim:Adam",
        "AdamW's ancestor: weight decay is added to the gradient and scaled with it.",
        fixed={"fused": True},
    ),
    Optimizer(
        "SGD",
        "torch.optim:SGD",
        "Plain gradient steps without per-weight scaling: a LoRA needs a rate larger by orders of magnitude and there "
        "is no agreed value. For learning and comparison.",
        low=1e-2,
        high=10.0,
        rate=1e-1,
        state_bytes=4.0,
        fixed={"momentum": 0.9, "fused": True},
    ),
    Optimizer(
        "Adagrad",
        "torch.optim:Adagrad",
        "Its steps only ever shrink, since all past gradients are summed: it starts high and later stands still. "
        "Rarely used for a LoRA.",
        low=1e-3,
        high=1e-2,
        rate=5e-3,
        state_bytes=4.0,
    ),
    Optimizer(
        "Lion",
        "pytorch_optimizer:Lion",
        "Steps of equal size in the direction of the averaged gradient's sign; wants 3-10 times less than AdamW.",
        low=1e-5,
        high=1e-4,
        rate=3e-5,
        state_bytes=4.0,
    ),
    Optimizer(
        "Lion8bit",
        "bitsandbytes.optim:Lion8bit",
        "Lion with its running average in 8 bits.",
        low=1e-5,
        high=1e-4,
        rate=3e-5,
        state_bytes=1.0,
        waits=True,
    ),
    Optimizer(
        "Adafactor",
        "pytorch_optimizer:AdaFactor",
        "Keeps row and column sums instead of full averages; here with a fixed rate, as AdamW.",
        state_bytes=0.3,
        fixed={"relative_step": False, "scale_parameter": False, "warmup_init": False, "betas": (None, 0.999)},
    ),
    Optimizer(
        "Prodigy",
        "pytorch_optimizer:Prodigy",
        "Estimates the rate itself; the learning rate is a multiplier, 1. Use constant or cosine without warmup.",
        low=0.5,
        high=2.0,
        rate=1.0,
        warmup=0.0,
        state_bytes=16.0,
        finds_rate=True,
        waits=True,
    ),
    Optimizer(
        "DAdaptAdam",
        "pytorch_optimizer:DAdaptAdam",
        "Prodigy's forerunner: estimates the rate itself, more slowly; the learning rate is a multiplier, 1.",
        low=0.5,
        high=2.0,
        rate=1.0,
        warmup=0.0,
        state_bytes=12.0,
        finds_rate=True,
        waits=True,
    ),
    Optimizer(
        "CAME",
        "pytorch_optimizer:CAME",
        "Adafactor with a confidence that damps unsteady updates. Its averages start at zero uncorrected, so its first "
        "steps are large: keep the warmup.",
        state_bytes=4.5,
    ),
    Optimizer(
        "ScheduleFreeAdamW",
        "pytorch_optimizer:ScheduleFreeAdamW",
        "Averages its own path instead of following a schedule: use it with the constant schedule.",
        low=1e-4,
        high=2e-3,
        rate=5e-4,
        eval_mode=True,
    ),
)
