"""How the folders of images share an epoch: by repeats, or by weights.

By weights an epoch has as many looks as images times repeats in all, each folder its part of them. Where that is no
multiple of the folder's images, some are shown once more than the others, and who they are goes round: that depends on
seed and epoch alone, so that any epoch can be asked for at once, and after any number of epochs two images of a folder
differ by one look at most.

The buckets' parts of an epoch differ a little then, from epoch to epoch, and the number of batches must not: steps are
counted from it. So it is the number that the fullest epoch needs; in another one the fullest batches are halved until
there are as many.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from .buckets import Size


@dataclass(frozen=True, slots=True)
class Turns:
    """How often an image is shown: `each` times in every epoch, and once more whenever its turn comes. `of` images take
    turns, `extra` of them in an epoch, in the order of their `place` (from 0)."""

    each: int
    extra: int = 0
    of: int = 1
    place: int = 0

    def before(self, epoch: int) -> int:
        """Looks in all epochs before this one (from 1)."""
        done = epoch - 1
        return done * self.each + (done * self.extra + self.of - 1 - self.place) // self.of

    def within(self, epoch: int) -> int:
        """Looks in this epoch (from 1)."""
        return self.before(epoch + 1) - self.before(epoch)

    @property
    def mean(self) -> float:
        """Looks per epoch on average."""
        return self.each + self.extra / self.of


class Member(NamedTuple):
    """What balancing needs of an image: the row of its folder, its key, its bucket."""

    row: int
    key: str
    bucket: Size


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Whole parts of `total` in proportion to `weights` (largest remainder), none of them 0. `total` is at least as
    large as there are weights."""
    shares = [total * weight / sum(weights) for weight in weights]
    counts = [max(1, int(share)) for share in shares]
    while (left := total - sum(counts)) != 0:
        places = [place for place in range(len(counts)) if left > 0 or counts[place] > 1]
        far = max(places, key=lambda place: (shares[place] - counts[place]) * (1 if left > 0 else -1))
        counts[far] += 1 if left > 0 else -1
    return counts


def by_weights(members: Sequence[Member], weights: Sequence[float], total: int, seed: int) -> list[Turns]:
    """How often each image is shown. `weights`: of each row; `total`: looks in an epoch."""
    rows: dict[int, list[int]] = {}
    for index, member in enumerate(members):
        rows.setdefault(member.row, []).append(index)
    found = [Turns(0)] * len(members)
    for indices, looks in zip(rows.values(), apportion(total, [weights[row] for row in rows])):
        each, extra = divmod(looks, len(indices))
        for place, index in enumerate(_round(indices, members, seed)):
            found[index] = Turns(each, extra, len(indices), place) if extra else Turns(each)
    return found


def _round(indices: Sequence[int], members: Sequence[Member], seed: int) -> list[int]:
    """The order in which images take turns: by hash, those of each bucket spread evenly, so that a bucket's part of an
    epoch hardly changes."""
    buckets: dict[Size, list[tuple[bytes, int]]] = {}
    for index in indices:
        mark = blake2b(f"{seed}\x1f{members[index].key}\x1fturn".encode("utf-8", "surrogatepass"), digest_size=16)
        buckets.setdefault(members[index].bucket, []).append((mark.digest(), index))
    spread = []
    for group in buckets.values():
        group.sort()
        start = int.from_bytes(group[0][0][:4], "big") / 2**32
        spread += [((place + start) / len(group), mark, index) for place, (mark, index) in enumerate(group)]
    return [index for _, _, index in sorted(spread)]


def most_batches(members: Sequence[Member], turns: Sequence[Turns], batch: int) -> int:
    """Batches in an epoch: as many as are needed where each bucket has the most looks that its images' turns can bring
    together. 0 where nobody takes turns and every epoch has the same."""
    if not any(turn.extra for turn in turns):
        return 0
    most: Counter[Size] = Counter()
    rounds: dict[int, list[tuple[int, Size, int]]] = {}
    for member, turn in zip(members, turns):
        most[member.bucket] += turn.each
        if turn.extra:
            rounds.setdefault(member.row, []).append((turn.place, member.bucket, turn.extra))
    for taking in rounds.values():
        most.update(_densest([bucket for _, bucket, _ in sorted(taking)], taking[0][2]))
    total = sum(turn.each for turn in turns) + sum(taking[0][2] for taking in rounds.values())
    return min(total, sum(math.ceil(looks / batch) for looks in most.values()))


def _densest(ring: Sequence[Size], length: int) -> Counter[Size]:
    """How often each bucket stands among `length` neighbours of a ring at most."""
    now = Counter(ring[:length])
    most = Counter(now)
    for at, gone in enumerate(ring):
        come = ring[(at + length) % len(ring)]
        now[gone] -= 1
        now[come] += 1
        most[come] = max(most[come], now[come])
    return most


def halved(cuts: dict[Size, list[list[tuple[int, int]]]], batches: int) -> None:
    """Halve the fullest batches until there are so many."""
    for _ in range(batches - sum(map(len, cuts.values()))):
        _, bucket, place = max(
            (len(cut), bucket, -place) for bucket, row in cuts.items() for place, cut in enumerate(row)
        )
        cut = cuts[bucket][-place]
        middle = (len(cut) + 1) // 2
        cuts[bucket][-place] = cut[:middle]
        cuts[bucket].append(cut[middle:])
