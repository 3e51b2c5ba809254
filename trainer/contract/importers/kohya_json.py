"""kohya_ss's presets (JSON of its LoRA tab): first what it would hand to sd-scripts, then what that means here.

An absent key has the value that kohya_ss's form begins with, never ours. Numbers may be text, "" and null are nothing.
Words in "Additional parameters" go before everything else, as they do there.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import kohya_keys as keys
from . import loose, recipe
from .base import Imported, KeyReport, shown
from .flags import TRAINED, Flags
from .kohya_sender import Sender, fate_of
from .report import Translation, assemble, line, translate

KIND = "kohya_ss preset"


def from_json(content: Mapping[str, Any]) -> Imported:
    """The recipe of a kohya_ss preset. Nothing raises: what does not fit is told."""
    data, former = _current(content)
    form = {key: value for key, value in keys.defaults().items() if key not in keys.NO_DEFAULT}
    sender = Sender({**form, **keys.ON_LOADING, **data})
    flags = Flags(sender.send(), sender.script)
    done = translate(flags)
    notes = sender.notes
    if sender.script not in TRAINED:
        notes.append(f"It is for {sender.family}, which cannot be trained here yet; what has a setting was taken over.")
    lines = [_line(former.get(key, key), key, data[key], sender, done) for key in data]
    lines += [
        line(f"--{flag}", value, flag, done, *recipe.fate_of(flag))
        for flag, value in recipe.members(sender.words).items()
    ]
    return assemble(KIND, done, lines, notes)


def _line(name: str, key: str, value: Any, sender: Sender, done: Translation) -> KeyReport:
    """What became of a key."""
    fate, reason = fate_of(key)
    if key not in keys.defaults() and key not in keys.DROPPED:
        close = difflib.get_close_matches(key, list(keys.defaults()), 1, 0.75)
        reason = "kohya_ss's LoRA tab has no such key" + (f"; did you mean {close[0]}?" if close else "")
        return KeyReport(name, shown(key, value), "dropped", "", reason)
    if key == "additional_parameters":
        return KeyReport(name, " ".join(f"--{flag} ..." for flag in sender.words), fate, "", "see its own lines")
    if fate == "mapped" and key in sender.unsent:
        why = f"it has no effect in kohya_ss either: {sender.unsent[key]}"
        return KeyReport(name, shown(key, value), "dropped", "", why, idle=True)
    if key in keys.FAMILIES:
        return KeyReport(name, shown(key, value), fate, "model.family")
    flag = next((flag for flag, owner in sender.origin.items() if owner == key), keys.flag_of(key))
    found = line(name, value, flag, done, fate, reason)
    if found.fate == "mapped" and key in sender.changed:
        return replace(found, reason=sender.changed[key], changed=True)
    if found.fate == "mapped" and key == "epoch":
        return replace(found, setting="training.length")
    return found


def _as_in_form(key: str, value: Any) -> Any:
    """A number or a truth value that was saved as text, as the form has it."""
    usual = keys.defaults().get(key)
    if not isinstance(usual, (bool, int, float)):
        return value
    return loose.said_as("flag" if isinstance(usual, bool) else "number", value)


def _current(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys under today's names, null left out, and the names that some of them had."""
    data = {str(key): _as_in_form(str(key), value) for key, value in content.items() if value is not None}
    renamed: dict[str, str] = {}
    for old, new in keys.LEGACY.items():
        if old not in data:
            continue
        value = data.pop(old)
        if old == "use_8bit_adam":
            value = "AdamW8bit" if loose.quiet_flag(value) else "AdamW"
        elif old == "use_wandb":
            value = "wandb" if loose.quiet_flag(value) else ""
        if loose.is_empty(data.get(new)):
            data[new], renamed[new] = value, old
    return data, renamed


__all__ = ["KIND", "fate_of", "from_json"]
