"""The recipe in an adapter file's metadata: the `ss_*` pairs that sd-scripts, Loratory and others write.

All values are text, as Python prints them ("None", "(512, 512)", "True"). Most pairs have the name of the flag that
they come from, so that the table of flags reads them too; only what is told is taken over. Nothing raises.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from . import loose, optimizers, recipe
from .base import Imported, KeyReport, shown
from .flags import Flags
from .links_network import BY_OUTPUT
from .report import Translation, assemble, line, translate

KIND = "adapter file"

LARGEST = 20_000
"""Characters of a value beyond which it is no setting."""

OWN_RULES = "loratory.layers"
"""Where our files have their rules of layers, as JSON of what each row gives: sd-scripts has no word for them."""

_OFF = ("none", "", "false", "0", "0.0", "null", "{}", "[]")

_FACTS = (
    "session_id training_started_at training_finished_at output_name steps epoch num_epochs num_batches_per_epoch "
    "num_train_images num_validation_images num_reg_images total_batch_size base_model_version sd_model_name "
    "sd_model_hash new_sd_model_hash vae_name vae_hash new_vae_hash bucket_info dataset_dirs reg_dataset_dirs "
    "tag_frequency sd_scripts_commit_hash validation_seed validate_every_n_steps validate_every_n_epochs "
    "max_validation_steps validation_split lowram cache_latents training_comment"
)
FACTS = frozenset(_FACTS.split())
"""`ss_*` names that tell what was, or belong to the model and the computer, and are no choice of the recipe's."""

_RENAMED = {"batch_size_per_device": "train_batch_size", "debiased_estimation": "debiased_estimation_loss"}
_IN_DATASETS = [
    "batch_size_per_device",
    "resolution",
    "enable_bucket",
    "min_bucket_reso",
    "max_bucket_reso",
    "bucket_no_upscale",
    "bucket_reso_steps",
    "color_aug",
    "flip_aug",
    "random_crop",
    "shuffle_caption",
    "keep_tokens",
    "keep_tokens_separator",
    "secondary_separator",
    "enable_wildcard",
    "caption_prefix",
    "caption_suffix",
    "caption_dropout_rate",
    "caption_tag_dropout_rate",
    "token_warmup_min",
    "token_warmup_step",
]
"""Keys of `ss_datasets`, which stands for the plain pairs where a dataset file was used."""

_SCRIPTS = (("sdxl", "sdxl_train_network"), ("sd_v", "train_network"))
_TYPES = (("hada_w1_a", "LoHa"), ("lokr_w", "LoKr"), ("oft_blocks", "OFT"), ("on_input", "IA3"), ("lora_", "LoRA"))


def from_metadata(metadata: Mapping[str, str], header: Mapping[str, tuple[int, ...]] | None = None) -> Imported:
    """The recipe that an adapter's metadata tells. `header`: its tensors' shapes, which tell rank and kind where the
    metadata does not."""
    told = {str(name)[3:]: str(text) for name, text in metadata.items() if str(name).startswith("ss_")}
    told = {name: text for name, text in told.items() if len(text) <= LARGEST or name in FACTS | {"datasets"}}
    version = told.get("base_model_version", "")
    script = next((script for start, script in _SCRIPTS if version.startswith(start)), "")
    flags = Flags(_flags(metadata, told), script)
    extra = from_tensors(header or {}) if "network_dim" not in told else None
    rules = _rules(metadata.get(OWN_RULES, ""))
    done = translate(flags, extra, only_given=True, over={"network.layers": rules} if rules else None)
    lines = [found for name, text in told.items() for found in _lines(name, text, done)]
    lines += [_rules_line(metadata[OWN_RULES], bool(rules), done)] if OWN_RULES in metadata else []
    found = assemble(KIND, done, lines, _about(metadata, told))
    left = [(line.name, line.value) for line in lines if line.fate != "mapped" and not _is_off(line.value)]
    left = [(name, value) for name, value in left if name.removeprefix("ss_") not in FACTS]
    return Imported(found.preset, found.taken, found.notes, tuple(sorted(left)), KIND, found.keys)


def _is_off(text: str) -> bool:
    return text.strip().lower() in _OFF


def _flags(metadata: Mapping[str, str], told: Mapping[str, str]) -> dict[str, Any]:
    """The pairs as flags of sd-scripts."""
    given: dict[str, Any] = {}
    for name, value in {**_in_datasets(told.get("datasets", "")), **told}.items():
        if name in FACTS or name == "datasets" or loose.is_empty(value):
            continue
        if name == "optimizer":
            given |= _optimizer(str(value))
        elif name == "network_args":
            given |= recipe.members({"network_args": _table(str(value))})
        else:
            given[_RENAMED.get(name, name)] = value
    given |= _parts(told)
    version = told.get("base_model_version", "")
    if version.startswith(tuple(start for start, _ in _SCRIPTS)):
        given["v2"] = version.startswith("sd_v2")
    kind = metadata.get("modelspec.prediction_type", "")
    if version.endswith("_v") or kind.startswith("v"):
        given["v_parameterization"] = True
    elif kind.startswith("eps"):
        given["v_parameterization"] = False
    return given


def _in_datasets(text: str) -> dict[str, Any]:
    """What the first dataset of `ss_datasets` and its first subset say."""
    try:
        dataset = json.loads(text)[0]
        subset = (dataset.get("subsets") or [{}])[0]
        return {name: table[name] for table in (subset, dataset) for name in _IN_DATASETS if name in table}
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
        return {}


def _table(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    plain = (str, int, float, bool)
    return (
        {str(key): value for key, value in found.items() if isinstance(value, plain)} if isinstance(found, dict) else {}
    )


def _optimizer(text: str) -> dict[str, Any]:
    """ "torch.optim.adamw.AdamW(weight_decay=0.1,betas=(0.9, 0.99))" -> its name and arguments."""
    name, _, rest = text.strip().partition("(")
    if optimizers.find(name) is None:
        return {}
    try:
        call = ast.parse(f"f({rest}" if rest else "f()", mode="eval").body
        words = call.keywords if isinstance(call, ast.Call) else []
        args = {word.arg: repr(ast.literal_eval(word.value)) for word in words if word.arg}
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        args = {}
    return {"optimizer_type": name, "optimizer_args": [f"{key}={value}" for key, value in args.items()]}


def _parts(told: Mapping[str, str]) -> dict[str, Any]:
    """Which parts were trained: those that have a learning rate."""
    with_rate = set()
    for part, name in (("unet", "unet_lr"), ("text", "text_encoder_lr")):
        found = re.search(r"[\d.]+(?:[eE][+-]?\d+)?", told.get(name, "None"))
        try:
            if found and float(found[0]) > 0:
                with_rate.add(part)
        except ValueError:
            continue
    if len(with_rate) != 1:
        return {}
    only = "network_train_unet_only" if with_rate == {"unet"} else "network_train_text_encoder_only"
    return {only: True}


def from_tensors(header: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Rank and kind of network by the tensors' names and shapes."""
    kind = next((kind for part, kind in _TYPES if any(part in name for name in header)), "")
    if not kind:
        return {}
    downs = [shape for name, shape in header.items() if name.endswith(("lora_down.weight", "lora_A.weight")) and shape]
    wide = [shape[0] for shape in downs if len(shape) == 4 and shape[-1] > 1]
    plain = [shape[0] for shape in downs if not (len(shape) == 4 and shape[-1] > 1)]
    ranks = {"network.rank": _usual(plain), "network.conv_rank": _usual(wide)}
    values: dict[str, Any] = {path: rank for path, rank in ranks.items() if rank and rank <= 1024}
    values["network.type"] = kind
    if kind in ("LoRA", "LoHa", "LoKr"):
        sizes = [shape for name, shape in header.items() if name.endswith("dora_scale")]
        values["network.dora"] = bool(sizes)
        if any(shape[:1] != (1,) for shape in sizes):
            values["network.args"] = {BY_OUTPUT: True}
    return values


def _rules(text: str) -> list[dict[str, Any]]:
    """The rules of layers that a file of ours tells; none where it tells nothing that can be understood."""
    try:
        found = json.loads(str(text)[:LARGEST])
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) and all(isinstance(row, dict) for row in found) else []


def _rules_line(text: str, understood: bool, done: Translation) -> KeyReport:
    path = "network.layers"
    if path in done.refused or not understood:
        why = done.refused.get(path, "its value is not understood")
        return KeyReport(OWN_RULES, shown(OWN_RULES, text), "dropped", "", why)
    return KeyReport(OWN_RULES, shown(OWN_RULES, text), "mapped", path)


def _usual(ranks: list[int]) -> int:
    return Counter(ranks).most_common(1)[0][0] if ranks else 0


def _lines(name: str, text: str, done: Translation) -> list[KeyReport]:
    """What became of a pair."""
    full = f"ss_{name}"
    if name in FACTS:
        return [KeyReport(full, shown(full, text), "dropped", "", "it tells what was, and is no choice", idle=True)]
    if name == "datasets":
        return [KeyReport(full, "", "mapped", "", "see the images' and captions' settings")]
    if name == "network_args":
        found = recipe.members({name: _table(text)})
        return [line(f"{full}: {key[13:]}", value, key, done, *recipe.fate_of(key)) for key, value in found.items()]
    if name == "optimizer":
        if "optimizer_type" not in done.flags and not loose.is_empty(text):
            return [KeyReport(full, shown(full, text), "dropped", "", "no optimizer of this name is offered here")]
        return [line(full, text, "optimizer_type", done, "mapped", "")]
    flag = _RENAMED.get(name, name)
    fate, reason = recipe.fate_of(flag)
    if "no such" in reason:
        reason = "no setting here says it"
    return [line(full, text, flag, done, fate, reason)]


def _about(metadata: Mapping[str, str], told: Mapping[str, str]) -> list[str]:
    """What the recipe does not hold and a person has to give: the model, the images."""
    notes = []
    if not told:
        return ["This file says nothing of how it was trained."]
    model, family = told.get("sd_model_name", ""), told.get("base_model_version", "")
    if model or family:
        named = f"on {model}" if model not in ("", "None") else "on a base model that is not named"
        notes.append(f"It was trained {named}" + (f" ({family})" if family else "") + ": choose the base model.")
    if family and not family.startswith(tuple(start for start, _ in _SCRIPTS)):
        notes.append("Models of that family cannot be trained here yet; what has a setting was taken over.")
    trigger = metadata.get("modelspec.trigger_phrase", "")
    notes += [f"Its trigger phrase is {trigger[:200]!r}."] if trigger else []
    notes.append("Image folders are not in the file: give your own.")
    return notes
