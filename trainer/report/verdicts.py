"""Where a run's time went, summed from its events, and one sentence on it with the setting to change."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from trainer.contract.events import Timing
from trainer.contract.settings import Preset
from trainer.plan import timetable

from .words import duration, percent

WORDS = {
    "data": "waiting for data",
    "transfer": "transfer",
    "forward": "forward",
    "backward": "backward",
    "optimizer": "optimizer",
    "validation": "validation",
    "sampling": "samples",
    "saving": "saving",
    "other": "other",
}
"""What the parts are called."""

LIMITS = {
    "data": 0.15,
    "transfer": 0.15,
    "optimizer": 0.30,
    "validation": 0.25,
    "sampling": 0.35,
    "saving": 0.15,
    "other": 0.25,
}
"""Share of the time from which a part is worth a sentence. Forward and backward have none: they are the work itself."""

WORTH_S = 1.0
"""A part that took less than this in all is no trouble, whatever its share."""

YOUNG_STEPS = 5
"""Before so many steps nothing is said: the first ones are slow."""

SEEN = 0.2
"""Share of the run's steps from which its moments are judged: before, those of the beginning are most of them."""

IDLE = 0.6
"""A device that computed less of the time than this while nothing kept it waiting has too little to do at once."""

ROOMY = 0.5
"""Share of the device's memory below which there is room for something faster."""


@dataclass
class Split:
    """The time of a run by part; add its `Timing` events in order. `inside`, `memory`: see `Timing`."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    inside: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    wall_s: float = 0.0
    steps: int = 0
    images: int = 0
    memory: dict[str, float] = field(default_factory=dict)
    _used_s: float = 0.0
    _known_s: float = 0.0

    def add(self, event: Timing) -> None:
        """Take one event in. Of the device's peak the highest stays, of other bytes the newest."""
        for sums, values in ((self.seconds, event.seconds), (self.inside, event.inside)):
            for name, value in values.items():
                sums[name] += value
        self.wall_s += event.wall_s
        self.steps += event.steps
        self.images += event.images
        peak = max(self.memory.get("device_peak", 0.0), event.memory.get("device_peak", 0.0))
        self.memory = {**event.memory, **({"device_peak": peak} if peak else {})}
        if event.device_use is not None:
            self._used_s += event.device_use * event.wall_s
            self._known_s += event.wall_s

    def share(self, *parts: str) -> float:
        """What of the time parts took, 0 to 1."""
        return sum(self.seconds[part] for part in parts) / self.wall_s if self.wall_s > 0 else 0.0

    @property
    def training_s(self) -> float:
        """Seconds of the steps themselves, without checks, samples and saves."""
        return self.wall_s - sum(self.seconds[part] for part in Timing.MOMENTS)

    @property
    def images_per_second(self) -> float | None:
        """Images in a second of training."""
        return self.images / self.training_s if self.images and self.training_s > 0 else None

    @property
    def device_use(self) -> float | None:
        """Share of the time in which the device computed, over the whole run."""
        return self._used_s / self._known_s if self._known_s > 0 else None


@dataclass(frozen=True)
class Verdict:
    """One sentence, and the setting to change; "" where nothing is to be said or changed."""

    text: str = ""
    setting: str = ""


def verdict(split: Split, preset: Preset | None = None, done: float = 1.0) -> Verdict:
    """What to say of a run's time. Of the parts over their limit the largest is named; else the work itself is judged.

    `preset`: what the run is made of, as far as known. `done`: share of its steps that are behind it."""
    if split.steps < YOUNG_STEPS or split.wall_s <= 0:
        return Verdict()
    judged = [part for part in LIMITS if done >= SEEN or part not in Timing.MOMENTS]
    heavy = [part for part in judged if split.share(part) >= LIMITS[part] and split.seconds[part] >= WORTH_S]
    if not heavy:
        return _at_work(split, preset)
    part = max(heavy, key=lambda name: split.seconds[name])
    cause = _HINTS[part](split, preset)
    return Verdict(f"{percent(split.share(part))} of the time {_VERBS[part]}: {cause.text}.", cause.setting)


_VERBS = {
    "data": "waits for data",
    "transfer": "goes into moving data between devices",
    "optimizer": "goes into the optimizer",
    "validation": "goes into validation",
    "sampling": "goes into sample pictures",
    "saving": "goes into saving",
    "other": "goes into none of the parts of the work",
}


def _data(split: Split, preset: Preset | None) -> Verdict:
    """The cache where it can be had; else what keeps it away, or that it is the computer."""
    waiting = split.seconds["data"] - split.inside["vae"] - split.inside["text"]
    if split.inside["text"] > max(waiting, split.inside["vae"]):
        return _text(preset)
    live = split.inside["vae"] + split.inside["read"] + split.inside["decode"] > 0
    if not live:
        return Verdict("everything is cached, so it is the computer: full main memory, or busy processors")
    slow, moving = _slowest(split, waiting), _moving(preset) if preset else ""
    if moving:
        text = f"{slow}, and {moving} keeps the latent cache off: set it back, or make the image files smaller"
        return Verdict(text, moving)
    return Verdict(f"{slow}: turn on the latent cache (memory.cache_latents)", "memory.cache_latents")


def _slowest(split: Split, waiting: float) -> str:
    """What the wait for images is made of."""
    if split.inside["vae"] > waiting:
        return "the VAE encodes each image anew"
    if split.inside["read"] > split.inside["decode"]:
        return "reading image files is slow (a slow disk, a network drive)"
    return "decoding and resizing images is slow (large files, few processor cores)"


def _moving(preset: Preset) -> str:
    """The setting that gives every look of an image another picture; "" without one."""
    if timetable.fixed_pictures(preset):
        return ""
    if preset.dataset.crop != "centre":
        return "dataset.crop"
    return "dataset.rotate" if preset.dataset.rotate else "dataset.jitter"


def _text(preset: Preset | None) -> Verdict:
    if preset is None or not preset.memory.cache_text:
        text = "captions are encoded at each look: turn on the caption cache (memory.cache_text)"
        return Verdict(text, "memory.cache_text")
    return Verdict(
        "captions vary and are encoded at each look: set a number of variants (memory.caption_variants)",
        "memory.caption_variants",
    )


def _transfer(split: Split, preset: Preset | None) -> Verdict:
    if preset is not None and "," in preset.hardware.gpus:
        text = "several GPUs wait for each other: accumulate more between updates (training.accumulate), or use one"
        return Verdict(text, "training.accumulate")
    return Verdict("the bus to the card is slow or another program uses it; no setting changes that")


def _optimizer(split: Split, preset: Preset | None) -> Verdict:
    eight = preset is not None and "8bit" in preset.optimizer.name
    name = "one without 8 bits works faster (optimizer.name), or " if eight else ""
    setting = "optimizer.name" if eight else "training.batch_size"
    return Verdict(f"{name}raise training.batch_size: an update costs the same for more images", setting)


def _validation(split: Split, preset: Preset | None) -> Verdict:
    if preset is not None and preset.validation.each_step:
        text = "a little of it at each step is dear: turn validation.each_step off"
        return Verdict(text, "validation.each_step")
    if preset is not None and preset.validation.every == "auto":
        text = "the run is short for the checks before and after it: measure fewer timesteps (validation.timesteps)"
        return Verdict(text, "validation.timesteps")
    return Verdict('write validation.every = "auto", which keeps to a share of the time', "validation.every")


def _sampling(split: Split, preset: Preset | None) -> Verdict:
    return Verdict("draw less often (sampling.every), fewer prompts, or fewer steps (sampling.steps)", "sampling.every")


def _saving(split: Split, preset: Preset | None) -> Verdict:
    text = "save less often (saving.every, saving.state_every), or put the runs folder on a faster disk"
    setting = "saving.state_every" if preset is not None and preset.saving.every == "never" else "saving.every"
    return Verdict(text, setting)


def _other(split: Split, preset: Preset | None) -> Verdict:
    return Verdict("other programs keep the processor busy, or steps are so small that their bookkeeping shows")


_HINTS = {
    "data": _data,
    "transfer": _transfer,
    "optimizer": _optimizer,
    "validation": _validation,
    "sampling": _sampling,
    "saving": _saving,
    "other": _other,
}


def _at_work(split: Split, preset: Preset | None) -> Verdict:
    """Nothing is in the way: what the device could still do better."""
    busy = f"{percent(split.share('forward', 'backward'))} of the time is forward and backward"
    memory, use = split.memory, split.device_use
    if not {"device_peak", "device_total"} & set(memory):
        return Verdict(f"{busy}: the processor is at work, that is how it should be.")
    total = memory.get("device_total", 0.0)
    used = max(memory.get("device_used", 0.0), memory.get("device_peak", 0.0)) / total if total else 1.0
    if preset is not None and preset.memory.gradient_checkpointing and used < ROOMY:
        text = f"{busy}, and {percent(1 - used)} of the card's memory is free: turn memory.gradient_checkpointing off"
        return Verdict(f"{text}, steps get faster.", "memory.gradient_checkpointing")
    if use is not None and use < IDLE and used < ROOMY:
        text = f"{busy}, but the GPU computes only {percent(use)} of it and {percent(1 - used)} of its memory is free"
        text += ": a higher training.batch_size gives more images in the same time."
        return Verdict(text, "training.batch_size")
    return Verdict(f"{busy}: the GPU is busy, that is how it should be.")


def in_a_line(split: Split) -> str:
    """ "forward 40 %, backward 38 %, waiting for data 12 % (of 12:30)": the largest first, small ones left out."""
    parts = sorted(split.seconds, key=lambda part: -split.seconds[part])
    told = [f"{WORDS.get(part, part)} {percent(split.share(part))}" for part in parts if split.share(part) >= 0.01]
    return f"{', '.join(told)} (of {duration(split.wall_s)})" if told else ""
