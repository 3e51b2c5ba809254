"""What makes a run need less memory on its device, ordered by what it costs in speed, then in the result."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.contract.settings import Preset

from . import timetable


@dataclass(frozen=True)
class Relief:
    """One change: which setting, and in words what to do with it and what it costs."""

    setting: str
    text: str


def memory_relief(preset: Preset, device: str = "cuda") -> list[Relief]:
    """What this preset has left to save memory, the cheapest first: what makes it faster as well, what costs some time,
    what costs the LoRA something. `device`: "cuda", "cpu" …; the CPU only emulates the small formats."""
    memory, training, precision = preset.memory, preset.training, preset.precision
    cached = timetable.latents_cached(preset)
    half = max(1, training.batch_size // 2) if isinstance(training.batch_size, int) else 1
    live_text = timetable.text_mode(preset) == "live" and not preset.network.text_encoder
    rows = [
        (
            precision.compute == "float" and device != "cpu",
            Relief("precision.compute", 'write "bf16" (fp16 before RTX 30xx): half the memory, and faster'),
        ),
        (
            precision.base == "float" != precision.compute,
            Relief("precision.base", f'write "{precision.compute}": half the base model\'s memory, at the same speed'),
        ),
        (
            not cached and memory.cache_latents,
            Relief("dataset", "no random crops, rotation or jitter: the VAE leaves the card, and steps get faster"),
        ),
        (
            not memory.cache_latents,
            Relief("memory.cache_latents", "turn it on: the VAE leaves the card, and steps get faster"),
        ),
        (
            live_text and not memory.cache_text,
            Relief("memory.cache_text", "turn it on: the text encoder leaves the card, and steps get faster"),
        ),
        (
            live_text and memory.cache_text,
            Relief("memory.caption_variants", "8: the text encoder leaves the card, and steps get faster"),
        ),
        (
            training.batch_size != 1,
            Relief(
                "training.batch_size",
                f"{half} with training.accumulate = {2 * training.accumulate}: nearly the same result, somewhat slower",
            ),
        ),
        (
            not memory.gradient_checkpointing,
            Relief(
                "memory.gradient_checkpointing",
                "turn it on: a third to a half more time per step for much less memory, the same result",
            ),
        ),
        (
            cached and preset.sampling.every != "never",
            Relief("sampling.every", '"never", with sampling.at_start off: the VAE leaves the card; no pictures'),
        ),
        (
            preset.optimizer.name in ("Adam", "AdamW"),
            Relief("optimizer.name", "AdamW8bit: its averages in 8 bits; saves little for a LoRA, can be slower"),
        ),
        (
            preset.network.text_encoder and preset.network.unet,
            Relief("network.text_encoder", "turn it off: faster, and many LoRAs do without"),
        ),
        (preset.network.rank > 8, Relief("network.rank", "a lower one: saves little, and holds less detail")),
        (
            int(preset.dataset.resolution) > 512,  # type: ignore[arg-type]
            Relief("dataset.resolution", "a lower one: faster, and the LoRA learns less detail"),
        ),
    ]
    return [relief for wanted, relief in rows if wanted]


def in_words(reliefs: list[Relief], most: int = 3) -> str:
    """The first few as one text: "training.batch_size (2 with …); memory.gradient_checkpointing (…)"."""
    return "; ".join(f"{relief.setting} ({relief.text})" for relief in reliefs[:most])
