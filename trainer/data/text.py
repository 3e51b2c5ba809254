"""Where a batch's conditioning comes from: captions encoded beforehand, or by the loaded text encoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch

from trainer.contract.problems import Problem, Problems
from trainer.data.cache import Cache, finite
from trainer.data.latents import Progress
from trainer.parts import Conditioning, Family
from trainer.timing.stopwatch import SILENT, Stopwatch


class Text(Protocol):
    """A source of conditioning."""

    def take(self, captions: Sequence[str]) -> Conditioning:
        """Of these captions, in their order."""
        ...


class CachedText:
    """Conditioning of every caption of the run, in memory, each distinct one once."""

    def __init__(self, held: dict[str, Conditioning]) -> None:
        self._held = held

    def take(self, captions: Sequence[str]) -> Conditioning:
        """Joined from memory. KeyError for a caption that was not prepared: nothing is replaced silently."""
        rows = [self._held[caption] for caption in captions]
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    def __len__(self) -> int:
        return len(self._held)


class LiveText:
    """Encodes captions as they come; with gradients through the encoder where `train`, which is then part of the
    forward pass."""

    def __init__(self, family: Family, train: bool = False, watch: Stopwatch = SILENT) -> None:
        self._family, self._train, self._watch = family, train, watch

    def take(self, captions: Sequence[str]) -> Conditioning:
        """Encoded now."""
        with self._watch.part("forward" if self._train else "data/text"):
            return self._family.encode_captions(list(captions), train=self._train)


def prepare_text(captions: Iterable[str], family: Family, cache: Cache, progress: Progress | None = None) -> CachedText:
    """Every distinct caption encoded once, from the cache where it is there.

    `cache` carries the encoder's fingerprint with layer and length. One caption at a time: in a batch the last bits
    would depend on its neighbours, and with them on what was cached before."""
    wanted = sorted(set(captions))
    held: dict[str, Conditioning] = {}
    for done, caption in enumerate(wanted, start=1):
        key = cache.key(caption)
        found = cache.get(key)
        if found is None:
            with torch.no_grad():
                encoded = family.encode_captions([caption])
            found = {name: values.detach().cpu() for name, values in encoded.items()}
            if not finite(found):
                why = f'the text encoder gives values that are no numbers for the caption "{caption[:80]}"'
                raise Problems([Problem("precision.compute", why, "choose float", "model")])
            cache.put(key, found)
        held[caption] = found
        if progress:
            progress("encoding captions", done, len(wanted))
    return CachedText(held)
