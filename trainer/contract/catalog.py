"""Tables of what can be chosen by name: text for the page, "module:attribute" for `run.py`, which alone resolves it.

A name in a preset is looked up here and nowhere else; nothing is ever imported because a preset says so.
"""

from __future__ import annotations

from .catalog_optimizers import OPTIMIZERS
from .catalog_rows import Argument, Entry, Network, Optimizer, Sampler

__all__ = [
    "FAMILIES",
    "LOSSES",
    "NETWORKS",
    "OPTIMIZERS",
    "SAMPLERS",
    "SCHEDULES",
    "SINKS",
    "TABLES",
    "TOOLS",
    "Argument",
    "Entry",
    "Network",
    "Optimizer",
    "Sampler",
    "find",
    "names",
    "network",
    "optimizer",
]

FAMILIES: tuple[Entry, ...] = (
    Entry(
        "SD 1.x", "trainer.families.sd1:StableDiffusion1", "Stable Diffusion 1.4, 1.5 and all models made from them."
    ),
    Entry(
        "SD 2.x", "trainer.families.sd2:StableDiffusion2", "Stable Diffusion 2.0, 2.1 and all models made from them."
    ),
    Entry("SDXL", "trainer.families.sdxl:StableDiffusionXL", "SDXL, Pony, Illustrious, NoobAI and their like."),
)

_TUCKER = Argument(bool, "Splits the 3x3 convolutions in three matrices instead of two: smaller at the same rank.")
_BY_OUTPUT = Argument(bool, "DoRA learns sizes of a layer's outputs, as diffusers and PEFT read them, not inputs.")
_ROTATION = {
    "constraint": Argument(float, "Largest rotation, as share of the outputs' number; 0 does not limit it.", 0, 100),
    "rescaled": Argument(bool, "Learns a size for every output beside the rotation."),
}

NETWORKS: tuple[Network, ...] = (
    Network(
        "LoRA",
        "trainer.networks.lora:make",
        "Low-rank update of linear layers, and of convolutions where asked for (then Kohya's LoCon).",
        algo="locon",
        dora=True,
        diffusers=True,
        arguments={"wd_on_output": _BY_OUTPUT},
    ),
    Network(
        "LoHa",
        "trainer.networks.lycoris:loha",
        "Product, value by value, of two low-rank updates: rank r holds what rank r x r would, at twice the size of a "
        "LoRA of rank r. Usual rank 4-8.",
        algo="loha",
        dora=True,
        arguments={"use_tucker": _TUCKER, "wd_on_output": _BY_OUTPUT},
    ),
    Network(
        "LoKr",
        "trainer.networks.lycoris:lokr",
        "Kronecker product of a small matrix and a larger one, which is split by rank: the smallest files. A rank too "
        "large for a layer leaves its larger matrix whole.",
        algo="lokr",
        dora=True,
        tells_rank=False,
        arguments={
            "factor": Argument(int, "Size of the small matrix; -1 makes both as equal as can be.", -1, 1024),
            "decompose_both": Argument(bool, "Splits the small matrix by rank too."),
            "full_matrix": Argument(bool, "Leaves the larger matrix whole: the rank then has no effect."),
            "unbalanced_factorization": Argument(bool, "Swaps which matrix has the larger share of the outputs."),
            "use_tucker": _TUCKER,
            "wd_on_output": _BY_OUTPUT,
        },
    ),
    Network(
        "DyLoRA",
        "trainer.networks.lycoris:dylora",
        "A LoRA whose first ranks work alone too: each step trains one piece of the ranks on those before it "
        "(arXiv 2210.07558). Its file is a plain LoRA, which can be cut to fewer ranks; it learns more slowly.",
        algo="dylora",
        arguments={
            "block_size": Argument(int, "Ranks in a piece; the rank is a multiple of it. 4 where not given.", 1)
        },
    ),
    Network(
        "GLoRA",
        "trainer.networks.lycoris:glora",
        "Low-rank update that depends on the layer's own weight besides (arXiv 2306.07967); about twice a LoRA's size.",
        algo="glora",
    ),
    Network(
        "IA3",
        "trainer.networks.lycoris:ia3",
        "One factor for every output of a layer, (IA)3 of arXiv 2205.05638: tiny files, little can be learnt, and "
        "rates of 1e-3 and more are usual. Rank and alpha have no effect. A1111 reads it, ComfyUI does not.",
        algo="ia3",
        ranked=False,
        scaled=False,
        paired=False,
        tells_rank=False,
        arguments={"train_on_input": Argument(bool, "A factor for every input instead.")},
    ),
    Network(
        "OFT",
        "trainer.networks.lycoris:oft",
        "Rotates groups of outputs and leaves their lengths alone (arXiv 2306.07280). The rank is the size of a group, "
        "or of their number; alpha has no effect.",
        algo="diag-oft",
        scaled=False,
        normed=False,
        paired=False,
        tells_rank=False,
        arguments=_ROTATION,
    ),
    Network(
        "BOFT",
        "trainer.networks.lycoris:boft",
        "OFT whose groups are mixed in several passes (arXiv 2311.06243): slow, a pass over each weight for every "
        "factor. The rank is the largest size of a group; alpha has no effect.",
        algo="boft",
        scaled=False,
        normed=False,
        paired=False,
        tells_rank=False,
        arguments=_ROTATION,
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
    Sampler("pndm", "diffusers:PNDMScheduler", "Stable Diffusion 1.x's first sampler.", "PLMS", zero_snr=False),
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


def network(name: str) -> Network:
    """The network type's row. KeyError where there is none."""
    found = find("networks", name)
    if not isinstance(found, Network):
        raise KeyError(name)
    return found


def optimizer(name: str) -> Optimizer:
    """The optimizer's row; for one that only pytorch-optimizer knows, a row with AdamW's usual values."""
    found = find("optimizers", name)
    if isinstance(found, Optimizer):
        return found
    target = f"trainer.optim.registry:{name.strip().lower()}"
    return Optimizer(name, target, "One of pytorch-optimizer, by its registry name; untried here.")
