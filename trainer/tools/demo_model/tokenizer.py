"""A CLIP tokenizer with a vocabulary of its own: every byte, and the merges that make each known word one token.

A trigger word that it has never seen falls apart into letters, as it does in the large models.
"""

from __future__ import annotations

import itertools
from collections import Counter

from transformers import CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from trainer.tools.demo_model.draw import CONCEPTS

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
MAX_TOKENS = 77
OTHER_WORDS = ("a", "an", "on", "background", "something")


def learn_merges(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until every word is one token (Sennrich et al., 2016)."""
    spellings = [[*word[:-1], word[-1] + WORD_END] for word in words]
    merges: list[tuple[str, str]] = []
    while any(len(parts) > 1 for parts in spellings):
        pairs = Counter(pair for parts in spellings for pair in itertools.pairwise(parts))
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        spellings = [_merged(parts, best) for parts in spellings]
    return merges


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """One spelling with every occurrence of `pair` joined."""
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def build_tokenizer() -> CLIPTokenizer:
    """The tokenizer: 512 byte tokens (inside and at the end of a word), the merges, start and end."""
    letters = list(bytes_to_unicode().values())
    merges = learn_merges((*CONCEPTS, *OTHER_WORDS))
    tokens = [*letters, *(letter + WORD_END for letter in letters)]
    tokens += [merged for merged in dict.fromkeys(a + b for a, b in merges) if merged not in set(tokens)]
    tokens += [START, END]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)  # type: ignore[arg-type]
