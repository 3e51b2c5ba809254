"""Numbers, switches and choices that a file has as text mean just what they mean as numbers, in every key."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from trainer.contract.importers import flags, kohya_keys, recipe
from trainer.contract.importers.base import Imported
from trainer.contract.importers.kohya_json import from_json
from trainer.contract.importers.sdscripts import from_config, from_dataset

NUMBERS: dict[str, list[Any]] = {
    "int": [0, 1, 2, 8, 64, 75, 150, 225, 512, 1000],
    "float": [0.0, 0.1, 0.5, 1.0, 1e-4, 5],
    "flag": [True, False],
}
TEXTS: tuple[Callable[[Any], str], ...] = (str, json.dumps, lambda value: f" {value} ")
ROWS = {flag: row for rows in flags.recorded()["scripts"].values() for flag, row in rows.items()}
TYPES = ("Standard", "Kohya LoCon", "LyCORIS/LoCon", "LyCORIS/LoKr", "LyCORIS/LoHa", "Flux1")


def values(flag: str, usual: Any = None) -> list[Any]:
    """Values that a key may have."""
    row = ROWS.get(flag, {})
    if isinstance(usual, bool):
        return NUMBERS["flag"]
    if row.get("type") in NUMBERS:
        return NUMBERS[row["type"]]
    if "choices" in row:
        return [word for word in row["choices"] if word is not None]
    return [*NUMBERS["int"], *NUMBERS["float"]] if isinstance(usual, (int, float)) else [usual]


def as_text(given: dict[str, Any], text: Callable[[Any], str]) -> dict[str, Any]:
    return {key: text(value) if isinstance(value, (bool, int, float)) else value for key, value in given.items()}


def told(found: Imported) -> dict[str, tuple[str, str, str, bool]]:
    """What became of each key. Quotes that a reason puts around a text apart."""
    return {key.name: (key.fate, key.setting, key.reason.replace("'", ""), key.changed) for key in found.keys}


def same(found: Imported, other: Imported) -> None:
    assert told(other) == told(found)
    assert other.preset == found.preset


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("sdxl", [False, True])
def test_every_key_of_kohya_ss_says_the_same_as_text(kind: str, sdxl: bool) -> None:
    draw = Random(f"{kind}{sdxl}")
    for text in TEXTS:
        given = {
            key: draw.choice(values(kohya_keys.flag_of(key), usual)) for key, usual in kohya_keys.defaults().items()
        }
        given |= dict.fromkeys(kohya_keys.FAMILIES, False)
        given |= {"LoRA_type": kind, "sdxl": sdxl, "additional_parameters": ""}
        same(from_json(given), from_json(as_text(given, text)))


@pytest.mark.parametrize("script", flags.recorded()["scripts"])
def test_every_number_of_a_configuration_says_the_same_as_text(script: str) -> None:
    draw = Random(script)
    plain = [flag for flag, row in flags.parser(script).items() if row["type"] in NUMBERS and not row.get("nargs")]
    for text in TEXTS:
        given = {flag: draw.choice(values(flag)) for flag in draw.sample(plain, len(plain) // 2)}
        same(from_config(given, script=script), from_config(as_text(given, text), script=script))


@pytest.mark.parametrize(("given", "wanted"), [("75", 75), ("150", 150), (" 225 ", 225), ("", 75), (225, 225)])
def test_a_caption_length_in_text_is_mapped(given: Any, wanted: int) -> None:
    for found in (from_json({"max_token_length": given}), from_config({"max_token_length": given, "seed": 1})):
        assert found.preset.captions.max_tokens == wanted
        assert [key.fate for key in found.keys if key.name == "max_token_length"] == ["mapped"]


def test_what_is_no_number_is_told() -> None:
    (line,) = from_json({"max_token_length": "long"}).keys
    assert line.fate == "dropped" and "not understood" in line.reason


def test_a_number_kept_for_an_export_is_a_number_however_it_was_given() -> None:
    assert recipe.carried_of(flags.Flags({"validation_seed": "7"})) == recipe.carried_of(
        flags.Flags({"validation_seed": 7})
    )
    assert flags.Flags({"blocks_to_swap": "3", "full_fp16": "true"}).given == {"blocks_to_swap": 3, "full_fp16": True}


def test_a_dataset_file_with_texts_says_the_same() -> None:
    subset = {"image_dir": "a", "num_repeats": 3, "keep_tokens": 2, "class_tokens": "zwx", "caption_prefix": "zwx, red"}
    other = {"image_dir": "b", "is_reg": True, "keep_tokens": 2, "caption_prefix": ""}
    for text in TEXTS:
        rows = [{"subsets": [subset, other]}, {"subsets": [as_text(subset, text), as_text(other, text)]}]
        first, second = (from_dataset({"general": {"shuffle_caption": True}, "datasets": [row]}) for row in rows)
        assert first.preset == second.preset and len(first.preset.dataset.folders) == 2


def test_a_subset_that_says_false_in_text_is_no_regularisation() -> None:
    found = from_dataset({"datasets": [{"subsets": [{"image_dir": "a", "is_reg": "false", "flip_aug": "true"}]}]})
    assert found.preset.dataset.flip and not found.preset.dataset.folders[0].regularisation


def test_the_check_box_that_xformers_once_was_counts_as_text_too() -> None:
    assert from_json({"xformers": "True"}).preset == from_json({"xformers": True}).preset
    assert from_json({"xformers": "false"}).preset == from_json({"xformers": False}).preset


def test_arguments_of_a_network_in_words_of_json() -> None:
    given = ["algo=lokr", "decompose_both=true", "use_tucker=false"]
    found = from_config({"network_module": "lycoris.kohya", "network_args": given})
    assert found.preset.network.args["decompose_both"] is True and "use_tucker" not in found.preset.network.args
