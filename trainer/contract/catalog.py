"""Tables of what can be chosen by name: text for the page, "module:attribute" for `run.py`, which alone resolves it.

A name in a preset is looked up here and nowhere else; nothing is ever imported because a preset says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A row: the name that users choose, where its code stands, and what is said of it."""

    name: str
    target: str
    help: str


@dataclass(frozen=True)
class Optimizer(Entry):
    """`low`-`high`: usual learning rates for a LoRA, `rate` the one to start at; `warmup` the usual warmup in percent
    of steps; `state_bytes` per trained value at rank 16; `decay` the name of its weight-decay argument, "" if it has
    none; `fixed` arguments that are always passed; `eval_mode` for optimizers that keep other weights for use than for
    training; `finds_rate` for those whose learning rate only multiplies a rate of their own, one for all groups;
    `waits` for those whose step waits for the device by itself."""

    low: float = 5e-5
    high: float = 5e-4
    rate: float = 1e-4
    warmup: float = 5.0
    state_bytes: float = 8.0
    decay: str = "weight_decay"
    fixed: dict[str, Any] = field(default_factory=dict)
    eval_mode: bool = False
    finds_rate: bool = False
    waits: bool = False


@dataclass(frozen=True)
class Sampler(Entry):
    """What the same sampler is called in A1111's web UI and in ComfyUI; "" where it is not to be had."""

    a1111: str = ""
    comfyui: str = ""


FAMILIES: tuple[Entry, ...] = (
    Entry(
        "SD 1.x", "trainer.families.sd1:StableDiffusion1", "Stable Diffusion 1.4, 1.5 and all models made from them."
    ),
    Entry(
        "SD 2.x", "trainer.families.sd2:StableDiffusion2", "Stable Diffusion 2.0, 2.1 and all models made from them."
    ),
    Entry(
        "SDXL",
        "trainer.families.sdxl:StableDiffusionXL",
        "Stable Diffusion XL and all models made from it: Pony, Illustrious, NoobAI and others.",
    ),
)

NETWORKS: tuple[Entry, ...] = (
    Entry(
        "LoRA", "trainer.networks.lora:LoRA", "Low-rank update of linear layers, and of convolutions where asked for."
    ),
)

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

SCHEDULES: tuple[Entry, ...] = (
    Entry("constant", "trainer.plan.curve:constant", "The peak rate to the end."),
    Entry("linear", "trainer.plan.curve:linear", "Straight down to the minimum: half of constant's learning."),
    Entry("cosine", "trainer.plan.curve:cosine", "Slow, fast, slow down to the minimum: half of constant's learning."),
    Entry(
        "cosine with restarts", "trainer.plan.curve:cosine_with_restarts", "Cosine cycles that jump back to the peak."
    ),
    Entry("polynomial", "trainer.plan.curve:polynomial", "Down as a power of what is left."),
    Entry("inverse sqrt", "trainer.plan.curve:inverse_sqrt", "Falls with the square root of the steps done."),
    Entry("warmup stable decay", "trainer.plan.curve:warmup_stable_decay", "Constant, then down over the last share."),
)

LOSSES: tuple[Entry, ...] = (
    Entry("l2", "trainer.noise.loss:l2", "Squared error, what the models were trained with."),
    Entry("l1", "trainer.noise.loss:l1", "Absolute error: large errors weigh less."),
    Entry("huber", "trainer.noise.loss:huber", "Squared for small errors, absolute for large ones."),
    Entry("smooth_l1", "trainer.noise.loss:smooth_l1", "Huber, scaled so that its far slope is 1."),
)

SAMPLERS: tuple[Sampler, ...] = (
    Sampler("ddim", "diffusers:DDIMScheduler", "Deterministic, steady at 20-50 steps.", "DDIM", "ddim"),
    Sampler(
        "euler", "diffusers:EulerDiscreteScheduler", "Deterministic, the usual one in generators.", "Euler", "euler"
    ),
    Sampler(
        "euler_a",
        "diffusers:EulerAncestralDiscreteScheduler",
        "Adds noise at each step; varies with the steps.",
        "Euler a",
        "euler_ancestral",
    ),
    Sampler(
        "dpm++ 2m",
        "diffusers:DPMSolverMultistepScheduler",
        "Deterministic, good at 15-25 steps.",
        "DPM++ 2M",
        "dpmpp_2m",
    ),
    Sampler("pndm", "diffusers:PNDMScheduler", "Stable Diffusion 1.x's first sampler.", "PLMS"),
)

SINKS: tuple[Entry, ...] = (
    Entry("tensorboard", "trainer.sinks.tensorboard:TensorBoard", "TensorBoard event files in the run folder."),
    Entry("wandb", "trainer.sinks.wandb:WeightsAndBiases", "Weights & Biases, through its own package and login."),
)

TOOLS: tuple[Entry, ...] = (
    Entry("captioning", "trainer.tools.captioning:work", "Captions for images, by a local model."),
    Entry("generating", "trainer.tools.generating:work", "Pictures with an adapter, beside the base model."),
    Entry(
        "inspect", "trainer.tools.adapters.inspecting:work", "What an adapter file is, and how strong in each block."
    ),
    Entry("merge", "trainer.tools.adapters.merging:work", "Several adapters as one."),
    Entry("merge-into", "trainer.tools.adapters.merging_into:work", "Adapters made part of a checkpoint."),
    Entry("extract", "trainer.tools.adapters.extracting:work", "The difference of two checkpoints as a LoRA."),
    Entry("resize", "trainer.tools.adapters.resizing:work", "A LoRA at another rank."),
    Entry("convert", "trainer.tools.adapters.converting:work", "An adapter under another program's names."),
    Entry("metadata", "trainer.tools.adapters.editing:work", "Change or remove what an adapter tells of its training."),
    Entry("verify", "trainer.tools.adapters.verifying:work", "Whether an adapter file is whole and fits a model."),
    Entry("upload", "trainer.tools.adapters.uploading:work", "An adapter to the Hugging Face hub."),
)
"""Name: the kind of run whose task it does (`contract/tasks.py`)."""

TABLES: dict[str, tuple[Entry, ...]] = {
    "families": FAMILIES,
    "networks": NETWORKS,
    "optimizers": OPTIMIZERS,
    "schedules": SCHEDULES,
    "losses": LOSSES,
    "samplers": SAMPLERS,
    "sinks": SINKS,
    "tools": TOOLS,
}


def names(table: str) -> tuple[str, ...]:
    """The names that `table` offers, in its order."""
    return tuple(entry.name for entry in TABLES[table])


def find(table: str, name: str) -> Entry | None:
    """The row called `name`, letter case aside, or None."""
    return next((entry for entry in TABLES[table] if entry.name.lower() == name.strip().lower()), None)


def optimizer(name: str) -> Optimizer:
    """The optimizer's row; for one that only pytorch-optimizer knows, a row with AdamW's usual values."""
    found = find("optimizers", name)
    if isinstance(found, Optimizer):
        return found
    target = f"trainer.optim.registry:{name.strip().lower()}"
    return Optimizer(name, target, "One of pytorch-optimizer, by its registry name; untried here.")
