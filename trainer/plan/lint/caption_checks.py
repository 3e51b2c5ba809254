"""Checks of the captions: missing, empty, too long, without the trigger word, with a tag that nearly all have."""

from __future__ import annotations

from collections import Counter as Tally

from ..captions import compose
from ..counting import count_of, verb
from .finding import Finding, Fix
from .material import Material

NEARLY_ALL = 0.8
"""Share of the captions from which a tag is told to be in nearly all."""
_FEWEST_CAPTIONS = 5
"""Below, a tag that most captions have says nothing."""


def missing(found: Material) -> list[Finding]:
    """Images without a caption file, where captions come from files."""
    kept = frozenset(found.plan.regularisation)
    bare = [i for i, source in enumerate(found.plan.sources) if source.origin == "fallback" and i not in kept]
    if not bare:
        return []
    trigger = found.preset.captions.trigger.strip()
    named = all(found.trigger_of[index] for index in bare)
    fixes = []
    if trigger:
        fixes.append(Fix(f"Write {trigger!r} as their caption", "write caption", (), found.paths(bare), trigger))
    if len(bare) == len(found.plan.images):
        fixes.append(Fix("Train without captions", "settings", (("captions.mode", "none"),)))
    why = (
        "They are trained with the trigger word alone: what they show is tied to it, background included."
        if named
        else "They are trained with no text at all, since no trigger word is set: what they show is learnt as what "
        "every picture should look like."
    )
    return [
        Finding(
            "no caption",
            "worth a look" if named else "serious",
            f"{count_of(len(bare), 'image')} {verb(bare, 'has', 'have')} no caption file.",
            why,
            found.paths(bare),
            tuple(fixes),
            "captions.mode",
        )
    ]


def empty(found: Material) -> list[Finding]:
    """Caption files that say nothing."""
    kept, sources = frozenset(found.plan.regularisation), enumerate(found.plan.sources)
    blank = [i for i, source in sources if source.origin == "file" and not source.lines and i not in kept]
    if not blank:
        return []
    trigger = found.preset.captions.trigger.strip()
    fix = Fix(f"Write {trigger!r} as their caption", "write caption", (), found.paths(blank), trigger)
    return [
        Finding(
            "empty caption",
            "worth a look",
            f"{count_of(len(blank), 'caption file')} {verb(blank, 'is', 'are')} empty.",
            "An image without text teaches what every picture should look like, and shifts what guidance (CFG) "
            "compares with.",
            found.paths(blank),
            (fix,) if trigger else (),
            "captions.trigger",
        )
    ]


def too_long(found: Material) -> list[Finding]:
    """Captions of which the end is cut off."""
    rules, count = found.preset.captions, found.counter.count
    lengths = [count(compose(source, rules)) for source in found.plan.sources]
    over = found.where(lambda index: lengths[index] > rules.max_tokens)
    if not over:
        return []
    longest = max(lengths)
    limit = next((tokens for tokens in (150, 225) if tokens >= longest), 225)
    fixes = []
    if limit > rules.max_tokens:
        fixes.append(Fix(f"Use {limit} tokens", "settings", (("captions.max_tokens", limit),)))
    counted = (
        f"The longest has {longest} tokens."
        if found.counter.exact
        else f"The longest has {longest} tokens or more: without the model's vocabulary only a lower bound is known."
    )
    return [
        Finding(
            "over the token limit",
            "worth a look",
            f"{count_of(len(over), 'caption')} {verb(over, 'is', 'are')} longer than {rules.max_tokens} tokens.",
            f"What lies beyond is cut off and never read. {counted}",
            found.paths(sorted(over, key=lambda index: -lengths[index])),
            tuple(fixes),
            "captions.max_tokens",
        )
    ]


def trigger(found: Material) -> list[Finding]:
    """No trigger word though the captions look as if there were one; or captions that other trainers would read without
    it."""
    written = [index for index, tags in enumerate(found.tags) if tags]
    if len(written) < _FEWEST_CAPTIONS:
        return []
    if not any(found.trigger_of):
        return _unset(found, written)
    without = [i for i in written if found.trigger_of[i] and not _says(found, i, found.trigger_of[i])]
    if not without or len({found.trigger_of[index] for index in without}) > 1:
        return []
    word = found.trigger_of[without[0]]
    label = f"Write {word!r} into the files"
    return [
        Finding(
            "trigger missing",
            "note",
            f"{count_of(len(without), 'caption file')} {verb(without, 'does', 'do')} not say the trigger word.",
            "It is put first in training whatever the files say, so nothing is lost here. Other trainers read the "
            "files alone.",
            found.paths(without),
            (Fix(label, "add to captions", (), found.caption_files(without), word),),
            "captions.trigger",
        )
    ]


def _unset(found: Material, written: list[int]) -> list[Finding]:
    word = shared_first(found)
    if not word:
        return []
    without = [index for index in written if found.tags[index][0].lower() != word.lower()]
    begin = len(written) - len(without)
    return [
        Finding(
            "trigger missing",
            "worth a look",
            f"No trigger word is set, though {begin} of {len(written)} captions begin with {word!r}.",
            "As a trigger word it stands first in every caption and is never moved or dropped with the tags. Without "
            "it shuffling scatters the word, and images whose caption lacks it are learnt without it.",
            found.paths(without),
            (Fix(f"Set {word!r} as the trigger word", "settings", (("captions.trigger", word),)),),
            "captions.trigger",
        )
    ]


def shared_first(found: Material) -> str:
    """The tag that nearly all captions begin with, "" for none."""
    firsts = Tally(tags[0].lower() for tags in found.tags if tags)
    word, count = firsts.most_common(1)[0] if firsts else ("", 0)
    return word if firsts.total() >= _FEWEST_CAPTIONS and count > NEARLY_ALL * firsts.total() else ""


def _says(found: Material, index: int, word: str) -> bool:
    return any(word.lower() in line.lower() for line in found.plan.sources[index].lines)


def everywhere(found: Material) -> list[Finding]:
    """Tags that nearly all captions have, the trigger word aside."""
    written = [index for index, tags in enumerate(found.tags) if tags]
    if len(written) < _FEWEST_CAPTIONS:
        return []
    count = Tally(tag for index in written for tag in {tag.lower() for tag in found.tags[index]})
    known = {word.lower() for word in found.trigger_of} | {shared_first(found)}
    common = [tag for tag, times in count.most_common(20) if times > NEARLY_ALL * len(written) and tag not in known]
    return [_common(found, tag, count[tag], len(written)) for tag in common[:5]]


def _common(found: Material, tag: str, times: int, of: int) -> Finding:
    having = found.where(lambda index: tag in {own.lower() for own in found.tags[index]})
    fix = Fix(f"Remove {tag!r} from the captions", "remove tag", (), found.caption_files(having), tag)
    return Finding(
        "one tag nearly everywhere",
        "worth a look",
        f"The tag {tag!r} is in {times} of {of} captions.",
        "A tag that nearly all share competes with the trigger word for what the pictures have in common: your subject "
        "then needs the tag in the prompt too. Keep it where it names something that you want to switch on and off.",
        found.paths(having),
        (fix,),
        "captions.trigger",
    )
