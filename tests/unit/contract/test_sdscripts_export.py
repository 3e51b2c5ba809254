"""Presets for sd-scripts: its parser knows every flag, what is written is read back, what it cannot do is told."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from trainer.contract import catalog, preset
from trainer.contract.exporters.sdscripts import Around, Exported, export
from trainer.contract.families import by_name
from trainer.contract.importers import recipe
from trainer.contract.importers.flags import parser, recorded
from trainer.contract.importers.read import read_file
from trainer.contract.importers.sdscripts import from_config
from trainer.contract.preset import value_at, why_off, with_values
from trainer.contract.settings import BY_PATH, Preset

FOLDERS = [{"path": "/pictures/cat", "repeats": 4}]


def resolved(changes: dict[str, Any] | None = None, family: str = "SD 1.x") -> Preset:
    known = {"dataset.folders": FOLDERS, "model.family": family, "model.prediction": "epsilon", "model.zero_snr": "off"}
    given = with_values(Preset(), {**known, **(changes or {})})
    return preset.resolve(given, by_name(family))


def back(out: Exported) -> Preset:
    config, dataset = tomllib.loads(out.config_toml), tomllib.loads(out.dataset_toml)
    return from_config(config, dataset, out.script.removesuffix(".py")).preset


AROUND = Around(prediction="epsilon", output_dir="/out", logging_dir="/out/logs")


def check_flags(out: Exported) -> None:
    """Every flag is one that the real parser has, of its type, one of its choices; the same for the dataset file."""
    known = parser(out.script.removesuffix(".py"))
    for flag, value in tomllib.loads(out.config_toml).items():
        assert flag in known, flag
        row = known[flag]
        if "nargs" in row:
            assert isinstance(value, list), flag
        elif row["type"] == "flag":
            assert isinstance(value, bool), flag
        elif row["type"] in ("int", "float", "int_or_float"):
            assert isinstance(value, int if row["type"] == "int" else (int, float)), flag
        else:
            assert isinstance(value, str), flag
        assert "choices" not in row or value in row["choices"], flag
    data = tomllib.loads(out.dataset_toml)
    levels = recorded()["dataset"]
    assert set(data["general"]) <= set(levels["dataset"])
    for dataset in data.get("datasets", []):
        assert set(dataset) <= set(levels["dataset"])
        for subset in dataset["subsets"]:
            level = levels["masked subset"] if "conditioning_data_dir" in subset else levels["subset"]
            assert set(subset) <= set(level)


@pytest.mark.parametrize("family", ["SD 1.x", "SD 2.x", "SDXL"])
def test_the_default_preset_is_written_with_flags_that_the_parser_knows(family: str) -> None:
    out = export(resolved(family=family), AROUND)
    check_flags(out)
    assert out.script == ("sdxl_train_network.py" if family == "SDXL" else "train_network.py")
    assert out.refused == () and any("No images are held out" in note for note in out.notes)
    assert "high quality" in out.prompts_txt and "--w " in out.prompts_txt


EXACT = sorted({path for link in recipe.LINKS if link.exact for path in link.paths})
"""Settings that both programs have, written and read back as they were."""

ELSEWHERE = {
    "dataset.folders": "rows are compared apart",
    "dataset.balance": "only one of its values can be written",
    "sampling.prompts": "they stand in a file of their own",
    "sampling.prompts_file": "it becomes the file that is written",
    "saving.state_every": "sd-scripts saves states only together with files",
    "network.layers": "rules cannot be written",
    "network.args": "compared where the type has arguments",
}


def values_of(path: str) -> st.SearchStrategy[Any]:
    """Values that both programs can have."""
    item = BY_PATH[path]
    if path in SPECIAL:
        return SPECIAL[path]
    if item.setting.choices:
        return st.sampled_from(catalog.names(item.setting.choices))
    if item.options:
        return st.sampled_from(item.options)
    low, high = item.bound("ge"), item.bound("le")
    if item.type is int:
        return st.integers(low if low is not None else 1, min(high, 5000))
    if item.type is float:
        above = item.bound("gt")
        start = low if low is not None else (above or 0) + 0.01
        end = high if high is not None else item.bound("lt") - 0.01
        return st.floats(max(start, -50), min(end, 50)).map(lambda number: max(round(number, 4), start))
    return {bool: st.booleans(), str: TEXT}[item.type]


TEXT = st.text("abcdefgh ,.-'\"\\äß猫", max_size=12).map(str.strip)
EVERY = st.one_of(
    st.just("never"), st.builds("{} {}".format, st.integers(2, 999), st.sampled_from(["steps", "epochs"]))
)
BLOCKS = st.one_of(st.just([]), st.lists(st.integers(0, 64), min_size=25, max_size=25))
RATES = st.sampled_from(["", "cosine+.25", "1,0.5,0", "zeros"])
SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "training.length": st.builds("{} {}".format, st.integers(2, 9999), st.sampled_from(["steps", "epochs"])),
    "model.adapters": st.lists(st.builds("/l/{}.safetensors @ 0.{}".format, st.integers(1, 9), st.integers(1, 9))),
    "model.prediction": st.sampled_from(["epsilon", "v"]),
    "model.zero_snr": st.sampled_from(["on", "off"]),
    "sampling.every": EVERY,
    "saving.every": EVERY,
    "saving.name": st.text("abc_-", min_size=1, max_size=9),
    "validation.split": st.sampled_from(["off", "10 %", "12.5 %", "90 %"]),
    "validation.every": EVERY.filter(lambda text: text != "never"),
    "network.block_ranks": BLOCKS,
    "network.block_conv_ranks": BLOCKS,
    "network.block_alphas": BLOCKS.map(lambda found: [max(number, 1) / 4 for number in found]),
    "network.block_conv_alphas": BLOCKS.map(lambda found: [max(number, 1) / 4 for number in found]),
    "network.down_rates": RATES,
    "network.mid_rates": RATES,
    "network.up_rates": RATES,
    "network.args": st.just({}),
    "network.conv_alpha": st.floats(0.25, 64),
    "optimizer.args": st.sampled_from([{}, {"betas": [0.9, 0.95]}]),
    "optimizer.learning_rate": st.floats(1e-7, 10),
    "optimizer.unet_learning_rate": st.floats(1e-7, 10),
    "optimizer.text_encoder_learning_rate": st.floats(1e-7, 10),
    "schedule.minimum": st.just(0.0),
    "captions.lines": st.just("first"),
    "captions.wildcards": st.just(False),
    "captions.extension": st.sampled_from([".txt", ".caption", ".tags"]),
    "captions.separator": st.sampled_from([",", ";", "|"]),
    "captions.prefix": TEXT,
    "captions.trigger": st.sampled_from(["", "sks", "sks man", "a, b"]),
    "captions.keep_separator": st.sampled_from(["", "|||"]),
    "captions.secondary_separator": st.sampled_from(["", ";;;"]),
    "captions.mode": st.sampled_from(["files", "folder name", "none"]),
    "logging.project": st.text("abc", min_size=1, max_size=5),
    "training.seed": st.integers(0, 2**32 - 1),
    "dataset.masks": st.sampled_from(["none", "alpha"]),
}  # fmt: skip


def test_every_setting_that_both_have_is_in_the_property_below() -> None:
    assert set(ELSEWHERE) <= set(EXACT)
    assert len(set(EXACT) - set(ELSEWHERE)) > 85


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data())
def test_what_is_written_is_read_back_as_it_was(data: st.DataObject) -> None:
    paths = data.draw(
        st.lists(st.sampled_from([p for p in EXACT if p not in ELSEWHERE]), min_size=3, max_size=25, unique=True)
    )
    family = data.draw(st.sampled_from(["SD 1.x", "SDXL"]))
    changes = {path: data.draw(values_of(path), label=path) for path in paths}
    first = resolved(changes, family)
    out = export(first, AROUND)
    assume(first.network.unet or first.network.text_encoder)
    refused = {problem.path for problem in out.refused}
    check_flags(out)
    second = preset.resolve(back(out), by_name(family))
    for path in sorted(set(EXACT) - set(ELSEWHERE) - refused):
        if why_off(first, BY_PATH[path]) or not both_have(first, path):
            continue
        before, after = value_at(first, path), value_at(second, path)
        if isinstance(before, float):
            assert after == pytest.approx(before, rel=1e-6, abs=1e-7), path
        else:
            assert after == before, path


def both_have(first: Preset, path: str) -> bool:
    """Whether a setting's value means something beside the others, so that it is written."""
    only_if = {
        "captions.clip_skip": first.model.family != "SDXL",
        "captions.extension": first.captions.mode == "files",
        "captions.prefix": first.captions.mode == "files",
        "captions.keep_tokens": first.captions.mode == "files",
        "captions.trigger": first.captions.mode == "files",
        "saving.keep_last": first.saving.every != "never",
        "validation.split": first.validation.split != "auto",
        "validation.every": first.validation.every != "auto" and first.validation.split not in ("auto", "off"),
    }
    return only_if.get(path, True)


def test_rows_and_arguments_are_read_back(tmp_path: Path) -> None:
    rows = [
        {"path": "/a/cat", "repeats": 3, "mask": "/a/masks"},
        {"path": "/a/dog", "repeats": 1},
    ]
    first = resolved({"dataset.folders": rows, "dataset.masks": "folders", "dataset.regularisation_weight": 0.5})
    out = export(first, AROUND)
    check_flags(out)
    assert len(tomllib.loads(out.dataset_toml)["datasets"]) == 2
    second = back(out)
    key = lambda row: row.path  # noqa: E731
    assert sorted(second.dataset.folders, key=key) == sorted(first.dataset.folders, key=key)
    assert second.dataset.masks == "folders" and second.dataset.regularisation_weight == 0.5
    rows = [{"path": "/a/cat", "repeats": 3}, {"path": "/a/reg", "repeats": 2, "regularisation": True}]
    third = resolved({"dataset.folders": rows})
    assert back(export(third, AROUND)).dataset.folders == third.dataset.folders
    for args in ({}, {"wd_on_output": True}):
        out = export(resolved({"network.dora": True, "network.args": args}), AROUND)
        assert f"wd_on_output={bool(args)}" in tomllib.loads(out.config_toml)["network_args"]
        assert (back(out).network.dora, back(out).network.args) == (True, args)
    lokr = resolved({"network.type": "LoKr", "network.args": {"factor": 8, "full_matrix": True}, "network.dora": True})
    again = back(export(lokr, AROUND)).network
    assert (again.type, again.args, again.dora, again.conv_rank) == (
        "LoKr",
        {"factor": 8, "full_matrix": True},
        True,
        0,
    )


def test_the_files_in_a_folder_are_read_back_together(tmp_path: Path) -> None:
    first = resolved({"sampling.prompts": ["a cat", "a {trigger} --w 640"], "captions.trigger": "sks"}, "SDXL")
    out = export(first, AROUND)
    names = {"config.toml": out.config_toml, "dataset.toml": out.dataset_toml, "prompts.txt": out.prompts_txt}
    for name, text in names.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_file(tmp_path / "config.toml").preset
    assert found.model.family == "SDXL" and found.dataset.folders == first.dataset.folders
    assert found.sampling.prompts == out.prompts_txt.splitlines() and found.captions.trigger == "sks"
    assert [line.split(" --")[0] for line in found.sampling.prompts] == ["a cat", "a sks"]


def test_a_parent_of_numbered_folders_is_written_as_its_folders(tmp_path: Path) -> None:
    for name in ("10_cat", "2_dog", "notes"):
        (tmp_path / name).mkdir()
    out = export(resolved({"dataset.folders": [{"path": str(tmp_path)}]}))
    subsets = tomllib.loads(out.dataset_toml)["datasets"][0]["subsets"]
    assert [(Path(row["image_dir"]).name, row["num_repeats"]) for row in subsets] == [("10_cat", 10), ("2_dog", 2)]


def test_the_trigger_goes_first_and_is_kept() -> None:
    changes = {"captions.trigger": "sks", "captions.prefix": "photo of", "captions.keep_tokens": 2}
    subset = tomllib.loads(export(resolved(changes)).dataset_toml)["datasets"][0]["subsets"][0]
    assert subset["caption_prefix"] == "sks, photo of" and subset["keep_tokens"] == 3


REG = {"path": "/r", "regularisation": True}
TEXT_ENCODER = {"network.text_encoder": True}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({**TEXT_ENCODER, "optimizer.text_encoder_2_learning_rate": 1e-6}, "optimizer.text_encoder_2_learning_rate"),
        ({"network.text_encoder": True, "optimizer.text_encoder_stop": 50}, "optimizer.text_encoder_stop"),
        ({"network.ema": 0.99}, "network.ema"),
        ({"network.layers": [{"match": "attn", "rank": 4}]}, "network.layers"),
        ({"network.dora": True, "network.down_rates": "zeros"}, "network.down_rates"),
        ({"optimizer.name": "amos"}, "optimizer.name"),
        ({"schedule.name": "linear", "schedule.minimum": 0.1}, "schedule.minimum"),
        ({"optimizer.name": "ScheduleFreeAdamW"}, "schedule.name"),
        ({"noise.timesteps": "mode"}, "noise.timesteps"),
        ({"sampling.every": "10 minutes"}, "sampling.every"),
        ({"saving.every": "10 minutes"}, "saving.every"),
        ({"dataset.balance": "weights"}, "dataset.balance"),
        ({"dataset.masks": "alpha", "dataset.mask_outside": 0.2}, "dataset.mask_outside"),
        ({"dataset.masks": "alpha", "dataset.mask_normalise": "area"}, "dataset.mask_normalise"),
        ({"dataset.masks": "folders", "dataset.folders": [{"path": "/a"}, REG]}, "dataset.masks"),
        ({"dataset.rotate": 3}, "dataset.rotate"),
        ({"dataset.bucket_step": 8}, "dataset.bucket_step"),
        ({"captions.lines": "all"}, "captions.lines"),
        ({"validation.folder": "/held"}, "validation.folder"),
        ({"validation.split": "4 images"}, "validation.split"),
        ({"validation.each_step": True}, "validation.each_step"),
        ({"validation.split": "10 %", "validation.stop": "stop"}, "validation.stop"),
    ],
)  # fmt: skip
def test_what_sd_scripts_cannot_do_is_told_with_a_way_out(changes: dict[str, Any], path: str) -> None:
    first = resolved(changes, "SDXL")
    refused = {problem.path: problem for problem in export(first, AROUND).refused}
    assert list(refused) == [path] and refused[path].fix
    again = preset.resolve(with_values(first, dict(refused[path].change)), by_name("SDXL"))
    assert export(again, AROUND).refused == ()


def test_a_network_of_the_library_is_refused_where_it_is_missing() -> None:
    out = export(resolved({"network.dora": True}), Around(lycoris=False))
    assert [problem.path for problem in out.refused] == ["network.dora"]


def test_carried_settings_are_given_back() -> None:
    carried = {"full_bf16": "True", "max_data_loader_n_workers": "2", "metadata_tags": "a, b", "full_fp16": "True"}
    carried |= {"network_args.bypass_mode": "True", "network_multiplier": "0.5", "resize_interpolation": "area"}
    out = export(resolved({"about.carried": carried}), AROUND)
    check_flags(out)
    config = tomllib.loads(out.config_toml)
    assert config["full_bf16"] is True and config["max_data_loader_n_workers"] == 2
    assert config["metadata_tags"] == "a, b" and config["network_args"] == ["bypass_mode=True"]
    assert tomllib.loads(out.dataset_toml)["general"]["network_multiplier"] == 0.5
    assert "full_fp16" not in config and any("full_fp16 is left out" in note for note in out.notes)
    assert back(out).about.carried == {flag: text for flag, text in carried.items() if flag != "full_fp16"}


def test_optimizer_arguments_are_words_that_python_reads() -> None:
    args = {"betas": [0.9, 0.99], "d_coef": 2.0, "weight_decouple": True}
    out = export(resolved({"optimizer.name": "Prodigy", "optimizer.args": args}), AROUND)
    words = dict(word.split("=") for word in tomllib.loads(out.config_toml)["optimizer_args"])
    assert {name: ast.literal_eval(text) for name, text in words.items()} == {
        "betas": (0.9, 0.99),
        "d_coef": 2.0,
        "decouple": True,
        "weight_decay": 0.01,
    }
