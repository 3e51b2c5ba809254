"""Models from the Hugging Face hub: the local hub cache first, then the network; offline is one clear error."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from trainer.contract.families.folders import part_files, read_json
from trainer.contract.families.recognise import cached_snapshot
from trainer.contract.problems import Problems

from .loading import model_problem

_WEIGHTS = ("unet", "vae", "text_encoder", "text_encoder_2")
_PARTS = (*_WEIGHTS, "tokenizer", "tokenizer_2", "scheduler")
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
_SMALL = ["model_index.json", *(f"{part}/*.{ending}" for part in _PARTS for ending in ("json", "txt"))]


def snapshot(hub_id: str) -> Path:
    """The folder of a hub model with all that training needs, downloaded if it is not there yet."""
    cached = cached_snapshot(hub_id)
    if cached and _whole(cached):
        return cached
    from huggingface_hub import list_repo_files, snapshot_download

    try:
        ask_hub()
        wanted = _smallest_set(list_repo_files(hub_id))
        return Path(snapshot_download(hub_id, allow_patterns=[*_SMALL, *wanted]))
    except Exception as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise model_problem(
            "model.path",
            f"{hub_id} is not in the local hub cache and cannot be fetched from the hub ({why[:160]})",
            "check the name and the network, or choose a model file on this machine",
        ) from None


def weights_folder(hub_id: str) -> Path:
    """The folder of a hub model that is no pipeline: its configuration and safetensors and nothing else, downloaded if
    it is not there yet. OSError where it cannot be had."""
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors"]
    with contextlib.suppress(Exception):  # not in the cache, or not whole
        cached = Path(snapshot_download(hub_id, allow_patterns=wanted, local_files_only=True))
        if any(cached.glob("*.safetensors")):
            return cached
    try:
        ask_hub()
        return Path(snapshot_download(hub_id, allow_patterns=wanted))
    except Exception as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise OSError(f"{hub_id} is not in the local hub cache and cannot be fetched from the hub ({why})") from None


def ask_hub() -> None:
    """Raise at once where the hub cannot be reached: its client tries again for half a minute otherwise."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        raise OSError("HF_HUB_OFFLINE is set")
    get_session().head(constants.ENDPOINT, timeout=8)


def _whole(folder: Path) -> bool:
    """Whether all parts that a model lists have their weights."""
    listed = read_json(folder / "model_index.json")
    wanted = [part for part in _WEIGHTS if part in listed or (not listed and part != "text_encoder_2")]
    try:
        return all(part_files(folder / part) for part in wanted)
    except Problems:
        return False


def _smallest_set(files: list[str]) -> list[str]:
    """One weights file a part, or its shards: safetensors before pickles, the plain one before variants."""
    chosen = []
    for part in _WEIGHTS:
        weights = [f for f in files if f.startswith(f"{part}/") and f.endswith((".safetensors", ".bin"))]
        weights = [f for f in weights if "non_ema" not in f and "flax" not in f and "openvino" not in f]
        ranked = sorted(weights, key=lambda f: (not f.endswith(".safetensors"), f.count("."), f))
        shards = [f for f in ranked if _SHARD.search(f) and f.count(".") == ranked[0].count(".")]
        chosen += shards if ranked and ranked[0] in shards else ranked[:1]
    return chosen
