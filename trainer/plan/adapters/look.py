"""What an adapter file is, from its header and its alphas: kinds, layers, ranks, layout, and which family it is for.

Tensor names of the kinds: sd-scripts' `networks/lora.py`, the LyCORIS library's `modules/*.py`, PEFT's and diffusers'
state dicts. Nothing is guessed: what is in none of these lists is told as an unknown tensor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from pathlib import Path

from trainer.contract import catalog, families
from trainer.contract.families.base import Family

from .names import Place, place_of
from .tensorfile import Stored, TensorFile, open_file

ROLES = {
    "lora_down.weight": "down", "lora_up.weight": "up", "lora_mid.weight": "mid", "alpha": "alpha",
    "dora_scale": "dora", "lora_A.weight": "down", "lora_B.weight": "up", "lora_A.default.weight": "down",
    "lora_B.default.weight": "up", "lora_magnitude_vector": "dora", "lora_magnitude_vector.weight": "dora",
    "lora_magnitude_vector.default.weight": "dora", "lora.down.weight": "down", "lora.up.weight": "up",
    "lora_linear_layer.down.weight": "down", "lora_linear_layer.up.weight": "up",
    **{name: name for name in (
        "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2", "lokr_w1", "lokr_w1_a", "lokr_w1_b",
        "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2", "oft_blocks", "oft_diag", "rescale", "a1.weight", "a2.weight",
        "b1.weight", "b2.weight", "bm.weight", "on_input", "diff", "diff_b", "w_norm", "b_norm", "scalar", "weight",
    )},
}  # fmt: skip
"""How a tensor's name ends -> what it is to its layer."""

_ENDINGS = sorted(ROLES, key=len, reverse=True)

_KINDS = (
    ("LoHa", {"hada_w1_a"}), ("LoKr", {"lokr_w1"}), ("LoKr", {"lokr_w1_a"}), ("GLoRA", {"a1.weight", "b1.weight"}),
    ("(IA)3", {"on_input"}), ("LoRA", {"down", "up"}), ("full difference", {"diff"}), ("norm", {"w_norm"}),
)  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One layer of an adapter file. `name`: as the file has it, without the tensors' endings; `tensors`: role -> name
    of the tensor; `kind`: "LoRA", "LoCon", "DoRA", "LoHa" ...; `place`: where in a model, None where it cannot be told;
    `rank`: 0 where the kind has none; `size`: outputs and inputs (times kernel area) of the weight it changes."""

    name: str
    tensors: Mapping[str, str]
    kind: str
    place: Place | None
    rank: int = 0
    alpha: float | None = None
    size: tuple[int, int] | None = None
    wide: bool = False


@dataclass(frozen=True)
class Look:
    """An adapter file as its header tells it. `family`: None where no family's layers fit; `unknown`: tensors of no
    kind that we know; `layout`: how its layers are named."""

    file: TensorFile
    layers: tuple[Layer, ...]
    unknown: tuple[str, ...]
    layout: str
    family: Family | None
    kinds: Mapping[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind of most of its layers, "nothing" without any."""
        return max(self.kinds, key=lambda kind: self.kinds[kind], default="nothing")

    def by_place(self) -> dict[Place, Layer]:
        """Its layers whose place is known."""
        return {layer.place: layer for layer in self.layers if layer.place is not None}


def look(path: str | Path, setting: str = "adapter") -> Look:
    """Read an adapter's header. Problems where the file is none."""
    return judge(open_file(path, setting))


def judge(file: TensorFile) -> Look:
    """What the tensors of an opened file make."""
    grouped, unknown = _grouped(file.tensors)
    layers = tuple(_layer(name, roles, file) for name, roles in grouped.items())
    known = tuple(layer for layer in layers if layer.kind)
    lost = [tensor for layer in layers if not layer.kind for tensor in layer.tensors.values()]
    kinds = Counter(layer.kind for layer in known)
    return Look(file, known, (*unknown, *lost), layout_of(known), family_of(known, file.metadata), dict(kinds))


def _grouped(names: Iterable[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Layer -> role -> tensor; and the tensors of no role."""
    grouped: dict[str, dict[str, str]] = {}
    unknown = []
    for name in names:
        ending = next(
            (each for each in _ENDINGS if name.endswith(each) and name[-len(each) - 1 : -len(each)] in "._"), ""
        )
        if not ending or len(name) <= len(ending) + 1:
            unknown.append(name)
            continue
        layer = name[: -len(ending) - 1]
        grouped.setdefault(layer, {})[ROLES[ending]] = name
    return grouped, unknown


def _layer(name: str, roles: dict[str, str], file: TensorFile) -> Layer:
    shapes = {role: file.tensors[tensor].shape for role, tensor in roles.items()}
    kind = _kind(shapes)
    alpha = file.number(roles["alpha"]) if "alpha" in roles and file.tensors[roles["alpha"]].count == 1 else None
    wide = any(len(shape) == 4 and max(shape[2:]) > 1 for shape in shapes.values())
    return Layer(name, roles, kind, place_of(name), _rank(shapes), alpha, _size(shapes), wide)


def _kind(shapes: Mapping[str, tuple[int, ...]]) -> str:
    kind = next((kind for kind, needed in _KINDS if needed <= set(shapes)), "")
    if "oft_blocks" in shapes or "oft_diag" in shapes:
        return "BOFT" if len(shapes.get("oft_blocks", ())) == 4 else "OFT"
    if kind == "LoRA" and "dora" in shapes:
        return "DoRA"
    if kind == "LoRA" and ("mid" in shapes or (len(shapes["down"]) == 4 and max(shapes["down"][2:]) > 1)):
        return "LoCon"
    return f"{kind} with DoRA" if kind in ("LoHa", "LoKr") and "dora" in shapes else kind


def _rank(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """R. A middle tensor (Tucker) has it too."""
    for role, side in (("down", 0), ("hada_w1_b", 0), ("lokr_w2_b", 0), ("lokr_w1_b", 0), ("a2.weight", 0)):
        if shapes.get(role):
            return shapes[role][side]
    return 0


def _size(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int] | None:
    """Outputs and inputs x kernel area of the changed weight, None where the tensors do not tell."""
    if {"down", "up"} <= set(shapes):
        area = prod(shapes["mid"][2:]) if "mid" in shapes else 1
        return shapes["up"][0], prod(shapes["down"][1:]) * area
    if "hada_w1_a" in shapes and "hada_t1" not in shapes:
        return shapes["hada_w1_a"][0], prod(shapes["hada_w1_b"][1:])
    if shapes.get("diff"):
        return shapes["diff"][0], prod(shapes["diff"][1:])
    return None


def layout_of(layers: Iterable[Layer]) -> str:
    """How layers are named: "Kohya", "LyCORIS", "diffusers", "PEFT", several of them, or "unknown"."""
    found = dict.fromkeys(_layout(layer) for layer in layers)
    if "LyCORIS" in found:  # it has no names of its own for text encoders
        found.pop("Kohya", None)
    return " and ".join(found) or "unknown"


def _layout(layer: Layer) -> str:
    if layer.name.startswith("lycoris_"):
        return "LyCORIS"
    if layer.name.startswith("lora_"):
        return "Kohya"
    if layer.name.startswith("base_model.model."):
        return "PEFT"
    return "diffusers" if layer.name.startswith(("unet.", "text_encoder")) else "unknown"


def standard(family: Family) -> Mapping[Place, tuple[str, tuple[int, ...]]]:
    """The layers of a family's standard size: place -> Kohya's key, shape of the weight."""
    return _standard(family.name)


@lru_cache(maxsize=16)
def _standard(name: str) -> Mapping[Place, tuple[str, tuple[int, ...]]]:
    found = {}
    for layer in families.by_name(name).layers({}):
        place = place_of(layer.key)
        if place is not None:
            found[place] = (layer.key, layer.shape)
    return found


def all_families() -> list[Family]:
    """The families that are trained."""
    return [families.by_name(name) for name in catalog.names("families")]


def family_of(layers: Iterable[Layer], metadata: Mapping[str, str]) -> Family | None:
    """The family whose layers these are, by names and sizes; of several, or of none, the one that the metadata tell."""
    told = _told(metadata)
    scores = {family.name: _fitting(family, layers) for family in all_families()}
    best = max(scores.values(), default=0.0)
    if best >= ENOUGH:
        fitting = [family for family in all_families() if scores[family.name] == best]
        return told if told in fitting else fitting[0]
    return told


ENOUGH = 0.9
"""Share of an adapter's layers that must be in a family, in the right size."""


def _fitting(family: Family, layers: Iterable[Layer]) -> float:
    known, right, count = standard(family), 0, 0
    for layer in layers:
        if layer.kind in ("norm", ""):
            continue
        count += 1
        there = known.get(layer.place) if layer.place is not None else None
        if there is not None and (layer.size is None or layer.size == flat(there[1])):
            right += 1
    return right / count if count else 0.0


def flat(shape: tuple[int, ...]) -> tuple[int, int]:
    """Outputs, and inputs x kernel area, of a weight."""
    return shape[0], prod(shape[1:])


def _told(metadata: Mapping[str, str]) -> Family | None:
    version = metadata.get("ss_base_model_version", "").lower()
    architecture = metadata.get("modelspec.architecture", "").lower()
    for family in all_families():
        if (version and version.startswith(family.version)) or architecture.startswith(f"{family.architecture}/"):
            return family
    return None


def ranks(layers: Iterable[Layer]) -> dict[int, int]:
    """How many layers have which rank, the commonest first; without those that have none."""
    return dict(Counter(layer.rank for layer in layers if layer.rank).most_common())


def alphas(layers: Iterable[Layer]) -> dict[float, int]:
    """How many layers have which alpha, the commonest first."""
    return dict(Counter(layer.alpha for layer in layers if layer.alpha is not None).most_common())


def block_name(layer: Layer, family: Family | None) -> str:
    """The block of the U-Net, or the text encoder, that a layer is in: by the family's own count where it is known."""
    if layer.place is None:
        return "elsewhere"
    if layer.place.of_text:
        return {"te1": "text encoder", "te2": "text encoder 2"}[layer.place.part]
    there = standard(family).get(layer.place) if family is not None else None
    number = family.block_of(there[0]) if family is not None and there is not None else -1
    if family is not None and number >= 0:
        return family.blocks[number]
    words = layer.place.path.split(".")
    return " ".join(words[:2]) if words[0] != "mid_block" else words[0]


def parameters(file: TensorFile, layers: Iterable[Layer]) -> int:
    """Trained values: all but the alphas."""
    stored: list[Stored] = [
        file.tensors[name] for layer in layers for role, name in layer.tensors.items() if role != "alpha"
    ]
    return sum(one.count for one in stored)
