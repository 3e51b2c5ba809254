"""How many tokens a caption has, without torch: by CLIP's own vocabulary where it lies on this computer.

Without it only a lower bound is known: CLIP cuts a text into words, digits and marks first, and each becomes one token
or more. So a caption with more pieces than the limit is certainly too long; one with fewer may be.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_USER_FOLDER = Path(__file__).parents[3] / "presets" / "user" / "tokenizer"
_PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|[^\s\w]+|_+")
"""CLIP's cut (OpenAI's simple_tokenizer.py), with Python's words for its classes of letters and digits."""
_CLIP_CUT = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


@dataclass(frozen=True)
class Counter:
    """`count` gives the tokens of a caption, without begin and end marks. `exact`: by the vocabulary, else at least."""

    count: Callable[[str], int]
    exact: bool


def counter(model: str) -> Counter:
    """The counter for captions of a model: its own vocabulary, the user's, or that of the local hub cache."""
    for folder in (*_beside(model), _USER_FOLDER):
        found = _from_folder(folder, _changed(folder))
        if found is not None:
            return Counter(lambda text, found=found: len(found.encode(text, add_special_tokens=False).ids), True)  # type: ignore[misc]
    return Counter(lambda text: len(_PIECES.findall(text.lower())), False)


def _beside(model: str) -> list[Path]:
    """Where the trainer looks: within a model folder, or beside a file."""
    if not model:
        return []
    path = Path(model)
    if path.is_dir():
        return [path / "tokenizer", path.parent / "tokenizer"]
    return [path.with_suffix("") / "tokenizer", path.parent / "tokenizer"]


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


@functools.lru_cache(maxsize=8)
def _from_folder(folder: Path, changed: float) -> Any:
    if not changed:
        return None
    from tokenizers import Tokenizer

    whole, vocabulary, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    try:
        if whole.is_file():
            made = Tokenizer.from_file(str(whole))
            made.no_truncation()
            made.no_padding()
            return made
        return _from_pair(vocabulary, merges) if vocabulary.is_file() and merges.is_file() else None
    except Exception:  # the library raises plain Exception for a file that is none of its own
        return None


def _from_pair(vocabulary: Path, merges: Path) -> Any:
    """CLIP's tokenizer from the two files of the old layout, put together as transformers does."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    model = models.BPE.from_file(str(vocabulary), str(merges), end_of_word_suffix="</w>", unk_token="<|endoftext|>")
    made = Tokenizer(model)
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    cut = pre_tokenizers.Split(Regex(_CLIP_CUT), behavior="removed", invert=True)
    made.pre_tokenizer = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return made
