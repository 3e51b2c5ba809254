"""CLIP's tokenizer and text encoder as Stable Diffusion uses them: pieces of 75 tokens, clip skip.

Legend: B captions, P pieces of a caption, X all pieces, T tokens (77 a piece), D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .hub import ask_hub
from .loading import model_problem

PIECE = 75
# Repositories that hold CLIP-L's vocabulary, the folder in them, the smallest first.
_VOCABULARIES = (
    ("openai/clip-vit-large-patch14", ""),
    ("stable-diffusion-v1-5/stable-diffusion-v1-5", "tokenizer"),
    ("CompVis/stable-diffusion-v1-4", "tokenizer"),
    ("runwayml/stable-diffusion-v1-5", "tokenizer"),
)
_USER_FOLDER = Path(__file__).parents[2] / "presets" / "user" / "tokenizer"


def load_tokenizer(folders: Sequence[Path]) -> Any:
    """CLIP's tokenizer from the first of `folders` that holds one, else presets/user/tokenizer, else the local hub
    cache, else the hub. Problems names the files and where to put them."""
    from transformers import CLIPTokenizer

    place = next((f for f in (*folders, _USER_FOLDER) if holds_vocabulary(f)), None) or _cached() or _fetched()
    if place is None:
        raise model_problem(
            "model.path",
            "the tokenizer's vocabulary is neither beside the model nor in the local hub cache, and the hub cannot be "
            "reached",
            f"put vocab.json and merges.txt of {_VOCABULARIES[0][0]} (or a tokenizer.json) in "
            f"{folders[0] if folders else _USER_FOLDER} or {_USER_FOLDER}",
        )
    return CLIPTokenizer.from_pretrained(str(place), local_files_only=True)


def holds_vocabulary(folder: Path) -> bool:
    """Whether a tokenizer can be loaded from a folder."""
    pair = (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    return pair or (folder / "tokenizer.json").is_file()


def _cached() -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for repository, folder in _VOCABULARIES:
        found = try_to_load_from_cache(repository, f"{folder}/vocab.json".lstrip("/"))
        if isinstance(found, str) and holds_vocabulary(Path(found).parent):
            return Path(found).parent
    return None


def _fetched() -> Path | None:
    from huggingface_hub import hf_hub_download

    repository = _VOCABULARIES[0][0]
    try:
        ask_hub()
        files = [hf_hub_download(repository, name) for name in ("vocab.json", "merges.txt")]
    except Exception:
        return None
    return Path(files[0]).parent


def vocabulary_hash(tokenizer: Any) -> str:
    """16 bytes in hex over all tokens and their numbers."""
    return blake2b(repr(sorted(tokenizer.get_vocab().items())).encode(), digest_size=16).hexdigest()


def token_ids(tokenizer: Any, caption: str) -> list[int]:
    """A caption's tokens without begin and end marks, not cut."""
    ids: list[int] = tokenizer(caption, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    return ids


def pieces(tokenizer: Any, captions: Sequence[str], max_tokens: int, pad: int | None = None) -> Tensor:
    """Token ids [B, P, 77]: each piece of 75 between a begin mark and an end, filled with `pad` (None: the tokenizer's
    own padding token, which in CLIP-L is the end mark).

    What is longer than `max_tokens` is cut. As sd-scripts does: a caption's own end mark follows its last token; a
    piece that is not full ends with padding, one that has nothing of the caption begins with an end mark."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    fill = tokenizer.pad_token_id if pad is None else pad
    rows = []
    for caption in captions:
        ids = token_ids(tokenizer, caption)[:max_tokens]
        row = []
        for first in range(0, max_tokens, PIECE):
            own = ids[first : first + PIECE]
            inner = (own + [end] + [fill] * PIECE)[:PIECE]
            row.append([begin, *inner, end if len(own) == PIECE else fill])
        rows.append(row)
    return torch.tensor(rows)


def encode(encoder: nn.Module, ids_BPT: Tensor, clip_skip: int) -> Tensor:
    """Hidden states [B, 75 P + 2, D] of CLIP's text model, the pieces joined.

    `clip_skip` 1 is the last layer, n the n-th from the end; the final layer norm is applied to either (as Kohya and
    diffusers do)."""
    flat = ids_BPT.flatten(0, 1)
    if clip_skip == 1:
        return joined(encoder(flat).last_hidden_state, ids_BPT)
    states = encoder(flat, output_hidden_states=True).hidden_states
    return joined(encoder.final_layer_norm(states[-clip_skip]), ids_BPT)  # type: ignore[operator]


def joined(hidden_XTD: Tensor, ids_BPT: Tensor) -> Tensor:
    """The hidden states of all pieces [B P, 77, D] as one text each [B, 75 P + 2, D]: the first begin mark, what stands
    between the marks, the last end."""
    batch, count, length = ids_BPT.shape
    if count == 1:
        return hidden_XTD
    hidden = hidden_XTD.reshape(batch, count, length, -1)
    inner = hidden[:, :, 1:-1].flatten(1, 2)
    return torch.cat([hidden[:, 0, :1], inner, hidden[:, -1, -1:]], dim=1)


def pooled(last_XTD: Tensor, ids_BPT: Tensor, end: int) -> Tensor:
    """What the last layer says at the first end mark of each text's first piece [B, D]."""
    batch, count, length = ids_BPT.shape
    first = last_XTD.reshape(batch, count, length, -1)[:, 0]
    at_B = (ids_BPT[:, 0] == end).int().argmax(dim=1)
    return first[torch.arange(batch, device=first.device), at_B]
