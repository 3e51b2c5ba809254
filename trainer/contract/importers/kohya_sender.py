"""What kohya_ss hands to sd-scripts for a preset of its LoRA tab, as its own code does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import kohya_keys as keys
from . import loose, recipe
from .base import Fate
from .flags import MEMBERS

_LYCORIS = {
    "locon": "locon",
    "loha": "loha",
    "lokr": "lokr",
    "dylora": "dylora",
    "glora": "glora",
    "ia3": "ia3",
    "boft": "boft",
    "diag-oft": "diag-oft",
    "native fine-tuning": "full",
}
_MODULES = {
    "standard": "networks.lora",
    "kohya locon": "networks.lora",
    "kohya dylora": "networks.dylora",
    "lora-fa": "networks.lora_fa",
    "kohya loha": "networks.loha",
    "kohya lokr": "networks.lokr",
    "flux1": "networks.lora_flux",
    "flux1 oft": "networks.oft_flux",
    "hunyuanimage-2.1": "networks.lora_hunyuan_image",
    "anima": "networks.lora_anima",
    "lumina": "networks.lora_lumina",
}
_CONV, _DROPOUTS = ["conv_dim", "conv_alpha"], ["rank_dropout", "module_dropout"]
_LIBRARY = ["LyCORIS_preset", *_CONV, *_DROPOUTS, "rank_dropout_scale", "train_norm", "use_tucker"]
_SENT: dict[str, list[str]] = {
    "standard": [*keys.BLOCKS, *_DROPOUTS],
    "kohya locon": [*_CONV, *keys.BLOCKS, *_DROPOUTS],
    "lora-fa": [*keys.BLOCKS, *_DROPOUTS],
    "kohya dylora": [*_CONV, *keys.BLOCKS, *_DROPOUTS, "unit"],
    "kohya loha": [*_CONV, *_DROPOUTS, "use_tucker"],
    "kohya lokr": [*_CONV, *_DROPOUTS, "use_tucker", "factor"],
    "lycoris/locon": [*_LIBRARY, "bypass_mode", "dora_wd", "use_scalar"],
    "lycoris/loha": [*_LIBRARY, "bypass_mode", "dora_wd", "use_scalar"],
    "lycoris/lokr": [*_LIBRARY, "bypass_mode", "dora_wd", "use_scalar", "factor", "use_cp", "decompose_both"],
    "lycoris/dylora": [*_LIBRARY, "unit"],
    "lycoris/glora": _LIBRARY,
    "lycoris/ia3": ["LyCORIS_preset", *_CONV, "train_on_input"],
    "lycoris/boft": _LIBRARY,
    "lycoris/diag-oft": [*_LIBRARY, "constrain", "rescaled"],
    "lycoris/native fine-tuning": ["LyCORIS_preset", *_DROPOUTS, "rank_dropout_scale", "train_norm"],
}
"""LoRA type -> the keys that kohya_ss hands on as network arguments with it."""

_LORAPLUS = ["loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio"]


def fate_of(key: str) -> tuple[Fate, str]:
    """What becomes of a key of kohya_ss's LoRA tab (or an older one), whatever its value, and why."""
    if key in keys.FAMILIES or key in ("additional_parameters", "lr_warmup", "xformers", *keys.LEGACY):
        return "mapped", ""
    if key in ("epoch", "noise_offset_type"):
        return "mapped", ""
    if key in keys.DROPPED:
        return "dropped", keys.DROPPED[key]
    if key in keys.CARRIED:
        return "carried", keys.CARRIED[key]
    flag = keys.flag_of(key)
    if flag == "cache_text_encoder_outputs_to_disk" or (keys.owner_of(key) not in ("", "sdxl", "sd3_checkbox")):
        fate, reason = recipe.fate_of(flag)
        return ("carried", "of a model family that cannot be trained here yet") if fate == "mapped" else (fate, reason)
    return recipe.fate_of(flag)


class Sender:
    """What kohya_ss hands to sd-scripts for a preset: `given` flags, `origin` flag -> key; `unsent` keys that it keeps
    to itself, with why; `changed` keys that it hands on as something else than they say; `words` the flags in its
    additional parameters."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        box = next((box for box in keys.FAMILIES if self._on(box)), "")
        self.box = box
        self.script, self.family = keys.FAMILIES.get(box, ("train_network", "SD"))
        self.type = str(data.get("LoRA_type") or "Standard").strip()
        self.type = "LyCORIS/LoCon" if self.type == "LoCon" else self.type
        self.given: dict[str, Any] = {}
        self.origin: dict[str, str] = {}
        self.unsent: dict[str, str] = {}
        self.changed: dict[str, str] = {}
        self.words: dict[str, Any] = {}
        self.notes: list[str] = []

    def send(self) -> dict[str, Any]:
        """The flags, as `--config_file` and the words behind it would give them."""
        for key, value in self.data.items():
            self._plain(key, value)
        self._network()
        self._rates()
        self._warmup()
        self._length()
        self._noise()
        self._switches()
        self._additional()
        return self.given

    def _on(self, key: str) -> bool:
        return loose.quiet_flag(self.data.get(key))

    def _number(self, key: str) -> float:
        """A number as kohya_ss reads it: what is none is 0."""
        try:
            return loose.number(self.data.get(key)) or 0.0
        except ValueError:
            self.changed[key] = "it is no number: kohya_ss takes it for 0"
            return 0.0

    def _put(self, key: str, flag: str, value: Any) -> None:
        self.given[flag] = value
        self.origin[flag] = key

    def _plain(self, key: str, value: Any) -> None:
        """A key that is handed on as it stands."""
        if fate_of(key)[0] == "dropped" or key in _SPECIAL or key in keys.NETWORK_MEMBERS or loose.is_empty(value):
            return
        owner = keys.owner_of(key)
        if owner and owner != self.box:
            self.unsent[key] = f"it counts for {keys.FAMILIES[owner][1]} only, which is not chosen"
            return
        if key in keys.ZERO_IS_UNSET and not isinstance(value, bool) and _is_zero(value):
            return
        if key in keys.ZERO_IS_LOST and not isinstance(value, bool) and _is_zero(value):
            self.changed[key] = "kohya_ss forgets a 0 here and takes sd-scripts' default; 0 is put there as it says"
        if fate_of(key)[0] == "carried" and not owner and _same(value, keys.defaults().get(key)):
            return  # as the form has it anyway
        self._put(key, keys.flag_of(key), value)

    def _network(self) -> None:
        kind = self.type.lower()
        if kind.startswith("lycoris/"):
            self._put("LoRA_type", "network_module", "lycoris.kohya")
            self._put("LoRA_type", "network_args.algo", _LYCORIS.get(kind.removeprefix("lycoris/"), kind[8:]))
        else:
            self._put("LoRA_type", "network_module", _MODULES.get(kind, self.type))
        sent = {*_SENT.get(kind, [] if self.box not in ("", "sdxl") else [*_CONV, *_DROPOUTS]), *_LORAPLUS}
        if kind in ("flux1", "flux1 oft", "anima", "lumina", "hunyuanimage-2.1"):
            off = {"enable_all_linear"} if kind == "flux1" else set()
            off |= set() if self._on("train_lora_ggpo") else {"ggpo_sigma", "ggpo_beta"}
            off |= set() if self._on("split_mode") else {"train_blocks"}
            sent |= {key for key in keys.NETWORK_MEMBERS if keys.owner_of(key) == self.box} - off | {*_DROPOUTS}
        for key in (*keys.NETWORK_MEMBERS, "LyCORIS_preset", "constrain"):
            value = self.data.get(key)
            self.given.pop(keys.flag_of(key), None)
            if key not in sent:
                self.unsent[key] = f"it does not count for networks of type {self.type}"
            elif (
                not loose.is_empty(value)
                and value is not False
                and not (_is_zero(value) and not key.startswith("conv"))
            ):
                self._put(key, keys.flag_of(key), value)

    def _rates(self) -> None:
        text, unet = self._number("text_encoder_lr"), self._number("unet_lr")
        self.given.pop("text_encoder_lr", None)
        self.given.pop("unet_lr", None)
        if text > 0:
            self._put("text_encoder_lr", "text_encoder_lr", [text])
        if unet:
            self._put("unet_lr", "unet_lr", unet)
        self._put(
            "text_encoder_lr", "network_train_unet_only", self.box.startswith("hunyuan") or (not text and unet != 0)
        )
        self._put("unet_lr", "network_train_text_encoder_only", text != 0 and not unet)

    def _warmup(self) -> None:
        self.given.pop("lr_warmup_steps", None)
        steps, percent = self._number("lr_warmup_steps"), self._number("lr_warmup")
        if steps > 0:
            self._put("lr_warmup_steps", "lr_warmup_steps", int(steps))
            self.unsent["lr_warmup"] = "the number of steps goes before it" if percent else ""
        else:
            self._put("lr_warmup", "lr_warmup_steps", percent / 100 if percent else 0)

    def _length(self) -> None:
        for key in ("max_train_epochs", "max_train_steps"):
            self.given.pop(key, None)
            if int(self._number(key)) > 0:
                self._put(key, key, int(self._number(key)))
        if "max_train_epochs" in self.given or "max_train_steps" in self.given:
            self.unsent["epoch"] = "it counts only where neither max_train_steps nor max_train_epochs is set"
        elif loose.is_empty(self.data.get("dataset_config")):
            self._put("epoch", "max_train_epochs", max(int(self._number("epoch")), 1))

    def _noise(self) -> None:
        multires = str(self.data.get("noise_offset_type") or "Original").strip().lower() == "multires"
        off = ["noise_offset", "noise_offset_random_strength", "adaptive_noise_scale"]
        off = off if multires else ["multires_noise_iterations", "multires_noise_discount"]
        for key in off:
            if self.given.pop(key, None) is not None:
                self.unsent[key] = f"the noise offset type is {'Multires' if multires else 'Original'}"

    def _switches(self) -> None:
        attention = self.data.get("xformers")
        if isinstance(attention, bool) or str(attention).strip().lower() in ("true", "false"):  # a check box once
            attention = "xformers" if loose.flag(attention) else "none"
        attention = str(attention or "").strip()
        self.given.pop("xformers", None)
        if attention in ("xformers", "sdpa"):
            self._put("xformers", attention, True)
        prompts = self.data.get("sample_prompts")
        self.given.pop("sample_prompts", None)
        if isinstance(prompts, str) and prompts.strip():
            self._put("sample_prompts", "sample_prompts", prompts.splitlines())

    def _additional(self) -> None:
        text = self.data.get("additional_parameters")
        if not isinstance(text, str) or not text.strip():
            return
        self.words = loose.command_line(text)
        if not self.words:
            self.notes.append("The additional parameters hold no flag: they are left out.")
        for flag in self.words:
            if flag in MEMBERS:
                for name in [
                    name for name in self.given if name.startswith(f"{flag}.") and name != "network_args.algo"
                ]:
                    del self.given[name]
        for flag, value in recipe.members(self.words).items():
            if recipe.fate_of(flag)[0] != "dropped":
                self._put("additional_parameters", flag, value)


_SPECIAL = frozenset(
    [
        "LoRA_type",
        "LyCORIS_preset",
        "constrain",
        "lr_warmup",
        "lr_warmup_steps",
        "epoch",
        "additional_parameters",
        "xformers",
        "noise_offset_type",
        "sample_prompts",
        "train_lora_ggpo",
        "t5xxl_lr",
    ]
) | frozenset(keys.FAMILIES)
"""Keys that are not handed on one by one."""


def _says(value: Any) -> bool:
    return not loose.is_empty(value) and value is not False and not _is_zero(value)


def _same(value: Any, other: Any) -> bool:
    """Whether two values say the same, text or not."""
    return str(value).strip().lower() == str(other).strip().lower()


def _is_zero(value: Any) -> bool:
    try:
        return loose.number(value) == 0
    except ValueError:
        return False
