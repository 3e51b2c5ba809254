"""Links of several flags with several settings: which model, how long, how fast."""

from __future__ import annotations

from ..adapter_lines import is_line, make_line, parse_line
from ..settings import Preset, parse_length
from . import loose
from .flags import Flags, interval
from .links import Link, Values
from .optimizers import OPTIMIZER

# ---- the model ------------------------------------------------------------------------------------------------------


def _family(flags: Flags) -> Values:
    if loose.flag(flags["v2"]):
        return {"model.family": "SD 2.x"}
    return {"model.family": {"sdxl_train_network": "SDXL", "train_network": "SD 1.x"}.get(flags.script, "auto")}


def _prediction(flags: Flags) -> Values:
    return {
        "model.prediction": "v" if loose.flag(flags["v_parameterization"]) else "epsilon",
        "model.zero_snr": "on" if loose.flag(flags["zero_terminal_snr"]) else "off",
    }


def _write_prediction(preset: Preset) -> Values:
    return {
        "v_parameterization": {"v": True, "epsilon": False}.get(preset.model.prediction),
        "zero_terminal_snr": {"on": True, "off": False}.get(preset.model.zero_snr),
    }


def _adapters(flags: Flags) -> Values:
    given = flags["base_weights"]
    files = [given] if isinstance(given, str) else loose.words(given)
    strengths = loose.numbers(flags["base_weights_multiplier"])
    strong = [*strengths, *[1.0] * len(files)]
    return {"model.adapters": [make_line(file, strength) for file, strength in zip(files, strong) if file]}


def _write_adapters(preset: Preset) -> Values:
    rows = [parse_line(line) for line in preset.model.adapters if is_line(line)]
    if not rows:
        return {"base_weights": None, "base_weights_multiplier": None}
    return {"base_weights": [file for file, _ in rows], "base_weights_multiplier": [strength for _, strength in rows]}


def _clip_skip(flags: Flags) -> Values:
    given = loose.whole(flags["clip_skip"]) or 1
    if flags.sdxl and given != 1:
        flags.change(
            "clip_skip", "sd-scripts ignores it for SDXL, whose text is always taken from the layer before last"
        )
        given = 1
    return {"captions.clip_skip": given}


MODEL = (
    Link(("v2",), ("model.family",), _family, lambda preset: {"v2": preset.model.family == "SD 2.x"}, exact=False),
    Link(
        ("v_parameterization", "zero_terminal_snr"),
        ("model.prediction", "model.zero_snr"),
        _prediction,
        _write_prediction,
    ),
    Link(("base_weights", "base_weights_multiplier"), ("model.adapters",), _adapters, _write_adapters),
    Link(
        ("clip_skip",),
        ("captions.clip_skip",),
        _clip_skip,
        lambda preset: {"clip_skip": None if preset.captions.clip_skip == 1 else preset.captions.clip_skip},
    ),
)

# ---- length and rates -----------------------------------------------------------------------------------------------


def _length(flags: Flags) -> Values:
    return {"training.length": interval(flags["max_train_steps"], flags["max_train_epochs"], True) or "1600 steps"}


def _write_length(preset: Preset) -> Values:
    length = parse_length(preset.training.length)
    in_epochs = length.unit == "epoch"
    return {
        "max_train_epochs": length.count if in_epochs else None,
        "max_train_steps": None if in_epochs else length.count,
    }


def _seed(flags: Flags) -> Values:
    seed = loose.whole(flags["seed"])
    return {} if seed is None else {"training.seed": seed % 2**32}


def _rates(flags: Flags) -> Values:
    rate = loose.number(flags["learning_rate"])
    unet = loose.number(flags["unet_lr"])
    given = flags["text_encoder_lr"]
    several = loose.numbers(given)
    text = several[0] if several else None
    if flags.sdxl and len(set(several)) > 1:
        flags.change("text_encoder_lr", "sd-scripts takes the first rate for both text encoders, and so is it here")
    if not rate:
        rate = unet or text or rate
    unet_on = not loose.flag(flags["network_train_text_encoder_only"]) and unet != 0
    text_on = not loose.flag(flags["network_train_unet_only"]) and text != 0
    text_on = text_on and loose.text(flags["network_args.preset"]) not in _WITHOUT_TEXT
    values: Values = {"network.unet": unet_on, "network.text_encoder": text_on}
    if rate is not None:
        values["optimizer.learning_rate"] = rate
        if unet_on:
            values["optimizer.unet_learning_rate"] = rate if unet is None else unet
        if text_on:
            values["optimizer.text_encoder_learning_rate"] = rate if text is None else text
    return values


_WITHOUT_TEXT = ("unet-only", "unet-transformer-only", "unet-convblock-only")
"""LyCORIS's presets that leave the text encoder alone."""


def _write_rates(preset: Preset) -> Values:
    network, rates = preset.network, preset.optimizer
    return {
        "learning_rate": rates.learning_rate,
        "unet_lr": rates.unet_learning_rate if network.unet else None,
        "text_encoder_lr": [rates.text_encoder_learning_rate] if network.text_encoder else None,
        "network_train_unet_only": network.unet and not network.text_encoder,
        "network_train_text_encoder_only": network.text_encoder and not network.unet,
    }


LENGTH = (
    Link(("max_train_steps", "max_train_epochs"), ("training.length",), _length, _write_length),
    Link(("seed",), ("training.seed",), _seed, lambda preset: {"seed": preset.training.seed}),
    Link(
        (
            "learning_rate",
            "unet_lr",
            "text_encoder_lr",
            "network_train_unet_only",
            "network_train_text_encoder_only",
        ),
        (
            "optimizer.learning_rate",
            "optimizer.unet_learning_rate",
            "optimizer.text_encoder_learning_rate",
            "network.unet",
            "network.text_encoder",
        ),
        _rates,
        _write_rates,
    ),
)

# ---- the schedule ---------------------------------------------------------------------------------------------------

SCHEDULES = {
    "constant": "constant",
    "constant_with_warmup": "constant",
    "linear": "linear",
    "cosine": "cosine",
    "cosine_with_min_lr": "cosine",
    "cosine_with_restarts": "cosine with restarts",
    "polynomial": "polynomial",
    "inverse_sqrt": "inverse sqrt",
    "warmup_stable_decay": "warmup stable decay",
}
"""sd-scripts' schedules -> ours; the first of several is written."""

_CLASSES = {
    "cosineannealinglr": "cosine",
    "cosineannealingwarmrestarts": "cosine with restarts",
    "linearlr": "linear",
    "polynomiallr": "polynomial",
    "onecyclelr": "cosine",
    "constantlr": "constant",
}
"""torch's classes (`--lr_scheduler_type`) -> the schedule that comes closest."""


def _schedule(flags: Flags) -> Values:
    name = loose.text(flags["lr_scheduler"]).lower()
    kind = loose.text(flags["lr_scheduler_type"])
    if kind:
        ours = _CLASSES.get(kind.rpartition(".")[2].lower(), "cosine" if "cos" in kind.lower() else "constant")
        flags.change("lr_scheduler_type", f"a class of Python is not offered here: {ours} is put there")
    elif name.partition(":")[0] in ("adafactor", "piecewise_constant") or name not in SCHEDULES:
        ours = "constant"
        flags.change("lr_scheduler", f"{name[:40]} is not offered here: constant is put there")
    else:
        ours = SCHEDULES[name]
    if loose.text(flags["optimizer_type"]).lower().endswith("schedulefree") and ours != "constant":
        ours = "constant"
        flags.change("lr_scheduler", "sd-scripts runs schedule-free optimizers at a constant rate, and so is it here")
    values: Values = {"schedule.name": ours}
    warmup = flags.share("lr_warmup_steps")
    if warmup is not None:
        values["schedule.warmup"] = min(warmup, 100.0)
    else:
        flags.change(
            "lr_warmup_steps", "it counts steps, and how many there will be is not known: 5 % of the steps is put there"
        )
    if ours == "warmup stable decay":
        decay = flags.share("lr_decay_steps")
        values["schedule.decay"] = 0.0 if decay is None else min(decay, 100.0)
    elif ours == "cosine with restarts":
        values["schedule.restarts"] = loose.whole(flags["lr_scheduler_num_cycles"]) or 1
    elif ours == "polynomial":
        values["schedule.power"] = loose.number(flags["lr_scheduler_power"]) or 1.0
    values["schedule.minimum"] = loose.number(flags["lr_scheduler_min_lr_ratio"]) or 0.0
    return values


def _write_schedule(preset: Preset) -> Values:
    schedule = preset.schedule
    name = next((theirs for theirs, ours in SCHEDULES.items() if ours == schedule.name), None)
    if schedule.name == "constant" and schedule.warmup > 0:
        name = "constant_with_warmup"
    if schedule.name == "cosine" and schedule.minimum > 0:
        name = "cosine_with_min_lr"
    return {
        "lr_scheduler": name,
        "lr_warmup_steps": round(schedule.warmup / 100, 8) if schedule.warmup else 0,
        "lr_decay_steps": round(schedule.decay / 100, 8) if name == "warmup_stable_decay" else None,
        "lr_scheduler_num_cycles": schedule.restarts if name == "cosine_with_restarts" else None,
        "lr_scheduler_power": schedule.power if name == "polynomial" else None,
        "lr_scheduler_min_lr_ratio": schedule.minimum or None,
    }


SCHEDULE = (
    OPTIMIZER,
    Link(
        (
            "lr_scheduler",
            "lr_scheduler_type",
            "lr_warmup_steps",
            "lr_decay_steps",
            "lr_scheduler_num_cycles",
            "lr_scheduler_power",
            "lr_scheduler_min_lr_ratio",
        ),
        (
            "schedule.name",
            "schedule.warmup",
            "schedule.decay",
            "schedule.restarts",
            "schedule.power",
            "schedule.minimum",
        ),
        _schedule,
        _write_schedule,
    ),
)
