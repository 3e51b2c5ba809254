"""Changes of captions, one or many: pure functions on their text. A tag is what stands between two separators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from trainer.plan.captions import joiner


def tags_of(text: str, separator: str = ",") -> list[str]:
    """The tags of a caption in order; a sentence without a separator is one tag."""
    return [tag for part in text.split(separator) for line in part.splitlines() if (tag := line.strip())]


def joined(tags: Iterable[str], separator: str = ",") -> str:
    """A caption out of tags."""
    return joiner(separator).join(tags)


def counted(texts: Iterable[str], separator: str = ",") -> Counter[str]:
    """Tag -> number of captions that have it."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(tags_of(text, separator)))
    return counts


@dataclass(frozen=True)
class Deed:
    """One change to make in many captions. `kind`: a key of `DEEDS`. `what`: the tag or text that it is about; `by`:
    what replaces it. Tags are compared without regard to case."""

    kind: str
    what: str = ""
    by: str = ""
    separator: str = ","

    @property
    def named(self) -> list[str]:
        """The tags that `what` names."""
        return tags_of(self.what, self.separator)


Change = Callable[[list[str], Deed, Mapping[str, int]], list[str]]
"""Tags of one caption, the deed, how many captions have each tag -> its tags afterwards."""


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _without(tags: Sequence[str], gone: Sequence[str]) -> list[str]:
    return [tag for tag in tags if not any(_same(tag, each) for each in gone)]


def _add_front(tags: list[str], deed: Deed, counts: Mapping[str, int]) -> list[str]:
    return [*(new for new in deed.named if not any(_same(new, tag) for tag in tags)), *tags]


def _add_end(tags: list[str], deed: Deed, counts: Mapping[str, int]) -> list[str]:
    return [*tags, *(new for new in deed.named if not any(_same(new, tag) for tag in tags))]


def _trigger_first(tags: list[str], deed: Deed, counts: Mapping[str, int]) -> list[str]:
    return [deed.what, *_without(tags, [deed.what])]


def _remove(tags: list[str], deed: Deed, counts: Mapping[str, int]) -> list[str]:
    return _without(tags, deed.named)


def _replace_tag(tags: list[str], deed: Deed, counts: Mapping[str, int]) -> list[str]:
    return [new for tag in tags for new in ([deed.by] if _same(tag, deed.what) else [tag]) if new]


def _by_frequency(tags: list[str], deed: Deed, counts: Mapping[str, int]) -> list[str]:
    return sorted(tags, key=lambda tag: -counts.get(tag, 0))  # stable: equal ones stay in their order


def _without_doubles(tags: list[str], deed: Deed, counts: Mapping[str, int]) -> list[str]:
    kept: dict[str, str] = {}
    for tag in tags:
        kept.setdefault(tag.casefold(), tag)
    return list(kept.values())


DEEDS: dict[str, Change] = {
    "add_front": _add_front,
    "add_end": _add_end,
    "trigger": _trigger_first,
    "remove": _remove,
    "replace_tag": _replace_tag,
    "sort": _by_frequency,
    "doubles": _without_doubles,
}
"""Changes of tags; "replace_text" beside them changes plain text wherever it stands."""

NEED_TEXT = frozenset({"add_front", "add_end", "trigger", "remove", "replace_tag", "replace_text"})


def changed(text: str, deed: Deed, counts: Mapping[str, int]) -> str:
    """One caption after a deed: only its first line's tags change, other lines stay as they are, and a caption that
    the deed does not concern keeps its very characters. `counts`: for sorting, over the folder."""
    if deed.kind == "replace_text":
        return text.replace(deed.what, deed.by)
    first, end, rest = text.partition("\n")
    before = tags_of(first, deed.separator)
    after = DEEDS[deed.kind](before, deed, counts)
    return text if after == before else joined(after, deed.separator) + end + rest


def words(deed: Deed, count: int) -> str:
    """The deed as the history names it."""
    said = {
        "add_front": f"put “{deed.what}” in front of",
        "add_end": f"put “{deed.what}” at the end of",
        "trigger": f"put the trigger word “{deed.what}” first in",
        "remove": f"removed “{deed.what}” from",
        "replace_tag": f"replaced the tag “{deed.what}” by “{deed.by}” in",
        "replace_text": f"replaced the text “{deed.what}” by “{deed.by}” in",
        "sort": "sorted the tags by frequency in",
        "doubles": "removed doubled tags from",
    }[deed.kind]
    return f"{said} {count} caption" + ("" if count == 1 else "s")
