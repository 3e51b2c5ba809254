"""What the page shows beside the fields after each edit, as JSON for form.js. No Gradio in here.

Told of all fields at once, from settings alone: a few milliseconds. What only the plan knows comes from the last one
that was made (`gui/form/planned.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gui.form import blocks, fixes, layer_rules, offers
from gui.form.fixes import field_id
from gui.form.missing import missing
from gui.form.session import TESTED, Draft, family_of, model_of
from gui.form.summaries import summaries
from gui.form.values import number_text, show
from trainer.contract import advice, catalog, rules
from trainer.contract.families import Family, Recognised
from trainer.contract.families.base import Header
from trainer.contract.preset import value_at, why_off
from trainer.contract.settings import BY_PATH, ITEMS, ByFamily, Preset, Rule, SameAs, UsualPrompts
from trainer.plan.describe import size_text
from trainer.plan.plan import adapter_of

Told = dict[str, Any]

STANDARD: Header = {}
"""The header that stands for a model of the family's usual size."""


def live(draft: Draft, full: Preset, root: Path, gpu: bool = True) -> str:
    """Problems and advice with their buttons, why fields are off, what blank ones mean, what is offered, what differs
    from what was loaded, what each group holds, what stands in the way of a start.

    `full` is the draft's preset, resolved. `gpu`: whether this computer has an NVIDIA GPU."""
    family, model = family_of(draft.preset, root), model_of(draft.preset, root)
    layers = family.layers(model.header if model is not None and model.trained else STANDARD)
    problems = _problems(draft, full, family, model)
    offered = (*draft.offers, *offers.of_computer(full, gpu))
    return json.dumps(
        {
            "draft": draft.id,
            "edits": draft.edits,
            "problems": problems,
            "advice": _advice(full, {offer.path for offer in offered}),
            "off": {field_id(path): why for path, why in {**off(full), **off_by_model(full, family, model)}.items()},
            "hints": {field_id(path): text for path, text in hints(full, family).items()},
            "facts": {field_id(TESTED): draft.preset.about.tested},
            "offers": {field_id(offer.path): offer.told() for offer in offered},
            "changed": _changed(draft),
            "groups": summaries(full),
            "now": {field_id(path): text for path, text in {**_now(full, model), **draft.planned.notes}.items()},
            "missing": missing(draft.preset, full, model, root, problems),
            "blocks": blocks.told(full, family, layers),
            "rules": layer_rules.told(full, layers),
            "captions": draft.planned.captions and draft.planned.captions.told(draft.phrase),
            "done": draft.done,
        },
        ensure_ascii=False,
    )


def _problems(draft: Draft, full: Preset, family: Family, model: Recognised | None) -> dict[str, list[Told]]:
    told: dict[str, list[Told]] = {}
    faults = [fault for faults in draft.faults.values() for fault in faults]
    of_model = rules.check_model(full, model) if model is not None else []
    for problem in [*faults, *rules.check(full, family), *of_model]:
        told.setdefault(field_id(problem.path), []).append(fixes.told(problem))
    return told


def _advice(full: Preset, offered: set[str]) -> dict[str, list[Told]]:
    """What stops nothing; a preset that a run has proved is not second-guessed."""
    told: dict[str, list[Told]] = {}
    for note in advice.notes(full) if full.about.tested == Preset().about.tested else ():
        if note.path not in offered:
            told.setdefault(field_id(note.path), []).append(fixes.told(note))
    return told


def _changed(draft: Draft) -> Told:
    """Fields that differ from the preset that was loaded, or from the defaults: what stood there."""
    changed = {}
    for item in ITEMS:
        if item.path == TESTED:
            continue
        before = value_at(draft.base, item.path)
        if item.path in draft.faults or value_at(draft.preset, item.path) != before:
            changed[field_id(item.path)] = {"path": item.path, "was": _was(item.path, before)}
    return changed


def _was(path: str, value: Any) -> str:
    shown = show(BY_PATH[path], value)
    if isinstance(value, Rule) or shown in ("", [], None):
        return "empty"
    if isinstance(shown, bool):
        return "on" if shown else "off"
    text = (
        ", ".join(str(row.get("path") or row.get("match") or "") for row in shown)
        if isinstance(shown, list)
        else str(shown)
    )
    return text if len(text) <= 60 else text[:57] + "..."


def _now(full: Preset, model: Recognised | None) -> dict[str, str]:
    """What a value comes to, in figures, where the settings and the model's header tell it."""
    network, row = full.network, catalog.optimizer(full.optimizer.name)
    adapter = adapter_of(full, model)
    alpha = float(network.alpha)  # type: ignore[arg-type]
    noted = {
        "network.alpha": f"{number_text(alpha)} / {network.rank} = {alpha / network.rank:.4g}",
        "network.rank": f"{adapter.parameters:,} values, a file of about {size_text(adapter.bytes)}",
        "optimizer.name": f"keeps about {size_text(adapter.parameters * row.state_bytes)} beside the adapter",
        "optimizer.learning_rate": f"usual with {row.name}: {number_text(row.low)} to {number_text(row.high)}",
    }
    if network.conv_rank:
        conv = float(network.conv_alpha)  # type: ignore[arg-type]
        noted["network.conv_alpha"] = f"{number_text(conv)} / {network.conv_rank} = {conv / network.conv_rank:.4g}"
    return noted


def off(preset: Preset) -> dict[str, str]:
    """Setting path -> why it has no effect now."""
    return {item.path: why for item in ITEMS if (why := why_off(preset, item))}


def off_by_model(full: Preset, family: Family, model: Recognised | None) -> dict[str, str]:
    """Setting path -> why it has no effect on the chosen model, as far as its header tells."""
    told = {}
    if not family.takes_clip_skip:
        told["captions.clip_skip"] = f"{family.name} always takes the last layer but one"
    if "te2" not in family.parts:
        told |= dict.fromkeys((item.path for item in ITEMS if "_encoder_2_" in item.path), _ONE_ENCODER)
    prediction = full.model.prediction if full.model.prediction != "auto" else model.prediction if model else ""
    if prediction == "epsilon":
        told["noise.scale_v_like_noise"] = "the model predicts the noise"
    elif prediction == "v":
        told["noise.v_like"] = "the model predicts v"
    return told


_ONE_ENCODER = "the model has one text encoder"


def hints(full: Preset, family: Family) -> dict[str, str]:
    """Setting path -> what a blank field means now, for settings that follow a rule."""
    texts = {}
    for item in ITEMS:
        rule, value = item.default, value_at(full, item.path)
        if isinstance(rule, SameAs):
            followed = value_at(full, rule.path)
            texts[item.path] = f"{_plain(followed)}, same as {BY_PATH[rule.path].setting.label.partition(' (')[0]}"
        elif isinstance(rule, ByFamily):
            texts[item.path] = f"{_plain(family.defaults[item.path])}, usual for {family.name}"
        elif isinstance(rule, UsualPrompts):
            texts[item.path] = "\n".join(value)
        elif isinstance(rule, Rule):
            known = f"{value}, " if full.dataset.folders else ""
            texts[item.path] = f"{known}the first folder's name"
    return texts


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return number_text(value) if isinstance(value, float) else str(value)
