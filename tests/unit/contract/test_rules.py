"""Rules across settings: one row a rule, each with the setting it names and the fix it offers."""

import typing
from dataclasses import replace
from typing import Any

import pytest

from trainer.contract import advice, catalog, families, optimizer_table, preset, rules, rules_network
from trainer.contract.families import Recognised
from trainer.contract.parse import parse_gpus
from trainer.contract.settings import Preset

FAMILY = families.default_family()


def resolved(changes: dict[str, Any]) -> Preset:
    return preset.resolve(preset.with_values(preset.build({}), changes), FAMILY)


TABLE: list[tuple[dict[str, Any], str, str]] = [
    ({"validation.split": "a few"}, "validation.split", "4 images"),
    ({"hardware.gpus": "0,0"}, "hardware.gpus", "0,1"),
    ({"hardware.gpus": "first"}, "hardware.gpus", "auto"),
    ({"captions.separator": ""}, "captions.separator", ","),
    ({"captions.keep_separator": ","}, "captions.keep_separator", "|||"),
    (
        {"captions.keep_separator": "|", "captions.secondary_separator": "|"},
        "captions.secondary_separator",
        "|||",
    ),
    ({"captions.extension": "/../../x"}, "captions.extension", ".txt"),
    ({"captions.extension": "txt"}, "captions.extension", ".txt"),
    ({"captions.extension": ".png"}, "captions.extension", ".txt"),
    ({"dataset.bucket_min": 640}, "dataset.bucket_min", "512"),
    ({"dataset.bucket_max": 448}, "dataset.bucket_max", "512"),
    (
        {"dataset.resolution": 256, "dataset.bucket_min": 256, "dataset.bucket_step": 512},
        "dataset.bucket_step",
        "256",
    ),
    ({"dataset.bucket_step": 60}, "dataset.bucket_step", "64"),
    ({"dataset.buckets": False, "dataset.resolution": 1001}, "dataset.resolution", "1000"),
    ({"sampling.width": 515}, "sampling.width", "512"),
    ({"sampling.height": 516}, "sampling.height", "512"),
    ({"network.unet": False}, "network.unet", "turn one on"),
    ({"optimizer.unet_learning_rate": 0}, "optimizer.unet_learning_rate", "raise"),
    ({"network.conv_rank": 4, "network.conv_alpha": 0}, "network.conv_alpha", "4"),
    ({"network.type": "LoRa2"}, "network.type", "LoRA"),
    ({"schedule.name": "cosin"}, "schedule.name", "did you mean cosine?"),
    ({"noise.loss": "hubr"}, "noise.loss", "did you mean huber?"),
    ({"sampling.sampler": "eulr"}, "sampling.sampler", "did you mean euler?"),
    ({"model.family": "SD 1.5"}, "model.family", "SD 1.x"),
    ({"optimizer.name": "AdamWW"}, "optimizer.name", "did you mean AdamW?"),
    ({"optimizer.name": "os.system"}, "optimizer.name", ""),
    ({"optimizer.args": {"beta": [0.9, 0.99]}}, "optimizer.args", "did you mean betas?"),
    ({"optimizer.args": {"lr": 1.0}}, "optimizer.args", "optimizer.learning_rate"),
    ({"optimizer.args": {"weight_decay": 0.1}}, "optimizer.args", "optimizer.weight_decay"),
    (
        {"optimizer.name": "Prodigy", "network.text_encoder": True, "optimizer.text_encoder_learning_rate": 0.5},
        "optimizer.text_encoder_learning_rate",
        "empty",
    ),
    (
        {"schedule.name": "warmup stable decay", "schedule.warmup": 50, "schedule.decay": 60},
        "schedule.decay",
        "at most 50",
    ),
    ({"captions.tag_warmup": 10, "memory.caption_variants": 4}, "memory.caption_variants", "0"),
    ({"noise.noise_offset": 0.1, "noise.multires_iterations": 6}, "noise.multires_iterations", "one of the two"),
    ({"noise.min_snr_gamma": 5, "noise.debiased": True}, "noise.debiased", "min_snr_gamma to 0"),
    ({"noise.adaptive_noise_scale": 0.01}, "noise.adaptive_noise_scale", "set it to 0"),
    ({"noise.timestep_min": 500, "noise.timestep_max": 500}, "noise.timestep_min", "below noise.timestep_max"),
    ({"dataset.masks": "folders", "dataset.folders": [{"path": "x"}]}, "dataset.masks", "use no masks"),
    ({"saving.name": "a/b"}, "saving.name", "a-b"),
    ({"saving.name": "con"}, "saving.name", "_con"),
    ({"saving.name": "cat.safetensors"}, "saving.name", "write cat"),
]


@pytest.mark.parametrize(("changes", "path", "fix"), TABLE)
def test_one_wrong_thing_is_one_problem(changes: dict[str, Any], path: str, fix: str) -> None:
    (problem,) = rules.check(resolved(changes), FAMILY)
    assert problem.path == path and fix in problem.fix and problem.why
    if problem.change:  # what the button does, solves it
        assert rules.check(resolved({**changes, **dict(problem.change)}), FAMILY) == []


def test_every_rule_has_a_row() -> None:
    found = set()
    for changes, _, _ in TABLE:
        chosen = resolved(changes)
        found |= {rule for rule in (*rules.FOR_THE_PLAN, *rules.SETTINGS) if rule(chosen)}
        found |= {rule for rule in rules.FAMILY if rule(chosen, FAMILY)}
    elsewhere = {*rules_network.SETTINGS, *rules_network.FAMILY}
    assert found | elsewhere | {rules._resolved} == {*rules.FOR_THE_PLAN, *rules.SETTINGS, *rules.FAMILY}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dataset.enlarge": False, "dataset.bucket_min": 1024},
        {"dataset.buckets": False, "dataset.bucket_min": 4096},
        {"optimizer.name": "prodigy", "optimizer.args": {"d_coef": 2.0, "betas": [0.9, 0.99]}},
        {"optimizer.name": "adabelief"},
        {"schedule.name": "Cosine"},
        {"saving.name": "мой кот"},
        {"validation.split": "12.5 %", "hardware.gpus": "0, 2"},
    ],
)
def test_what_is_right_passes(changes: dict[str, Any]) -> None:
    assert rules.check(resolved(changes), FAMILY) == []


def test_all_problems_are_collected() -> None:
    found = rules.check(resolved({"network.unet": False, "schedule.name": "x", "saving.name": "a:b"}), FAMILY)
    assert {problem.path for problem in found} == {"network.unet", "schedule.name", "saving.name"}


def test_an_unresolved_preset_is_the_programs_fault() -> None:
    with pytest.raises(ValueError, match="not resolved"):
        rules.check(preset.build({}), FAMILY)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"optimizer.learning_rate": 0.1}, "optimizer.learning_rate"),
        ({"optimizer.name": "Prodigy", "optimizer.learning_rate": 1.0}, "schedule.warmup"),
        ({"optimizer.name": "ScheduleFreeAdamW", "optimizer.learning_rate": 5e-4}, "schedule.name"),
        ({"hardware.gpus": "cpu", "precision.compute": "fp16"}, "precision.compute"),
        ({"validation.stop": "stop", "validation.split": "off"}, "validation.stop"),
        ({"dataset.buckets": False, "dataset.enlarge": False}, "dataset.enlarge"),
        ({"captions.mode": "none", "captions.trigger": "zz"}, "captions.trigger"),
    ],
)
def test_what_is_told_but_does_not_stop(changes: dict[str, Any], path: str) -> None:
    chosen = resolved(changes)
    assert rules.check(chosen, FAMILY) == []
    (note,) = advice.notes(chosen)
    assert note.path == path
    if note.change:
        changed = resolved({**changes, **dict(note.change)})
        assert note.why not in {left.why for left in advice.notes(changed)}
    assert advice.notes(resolved({})) == []


def test_the_model_must_be_of_a_family_that_is_trained_and_wanted() -> None:
    flux = Recognised("Flux.1", "flow", "single file", trained=False)
    (problem,) = rules.check_model(resolved({"model.path": "x/big.safetensors"}), flux)
    assert "Flux.1, flow: not trained yet" in problem.why and problem.kind == "model"
    assert rules.check_model(resolved({}), KNOWN) == []
    assert rules.check_model(resolved({"model.family": "sd 1.x"}), KNOWN) == []
    (problem,) = rules.check_model(resolved({"model.family": "SDXL"}), KNOWN)
    assert problem.path == "model.family"
    not_here_yet = replace(KNOWN, header={})
    assert rules.check_model(resolved({"model.family": "SDXL"}), not_here_yet) == []


ALL = frozenset({"unet", "te1", "te2", "vae"})
KNOWN = Recognised("SD 1.x", "epsilon", "single file", True, {"x": (1,)}, contents=ALL)


@pytest.mark.parametrize(
    ("changes", "facts", "path", "said"),
    [
        ({"model.prediction": "v"}, {"certain": True}, "model.prediction", "says that it predicts the noise"),
        (
            {"model.prediction": "epsilon"},
            {"prediction": "v", "certain": True},
            "model.prediction",
            "says that it predicts the velocity",
        ),
        ({"model.prediction": "v"}, {}, "", ""),
        ({"model.zero_snr": "on"}, {}, "model.zero_snr", "learns nothing from pure noise"),
        ({"model.zero_snr": "on"}, {"prediction": "v"}, "", ""),
        ({}, {"zero_snr": True}, "model.zero_snr", "learns nothing from pure noise"),
        ({"model.zero_snr": "off"}, {"zero_snr": True}, "", ""),
        ({"model.prediction": "epsilon"}, {"prediction": "v", "zero_snr": True}, "model.zero_snr", "pure noise"),
        ({"noise.scale_v_like_noise": True}, {}, "noise.scale_v_like_noise", "models that predict v"),
        ({"noise.scale_v_like_noise": True}, {"prediction": "v"}, "", ""),
        ({"noise.v_like": 0.5}, {"prediction": "v"}, "noise.v_like", "this one predicts v"),
        ({"noise.v_like": 0.5, "model.prediction": "v"}, {}, "noise.v_like", "this one predicts v"),
        ({"noise.v_like": 0.5}, {}, "", ""),
        ({}, {"contents": ALL - {"vae"}}, "model.vae", "m.safetensors holds no VAE"),
        ({"model.vae": "v.safetensors"}, {"contents": ALL - {"vae"}}, "", ""),
        ({}, {"contents": ALL - {"te1"}}, "model.path", "m.safetensors holds no text encoder"),
        ({}, {"family": "SDXL", "contents": ALL - {"te1", "te2"}}, "model.path", "holds no text encoder"),
        ({}, {"family": "SDXL", "contents": ALL - {"te2"}}, "model.path", "only one of its two text encoders"),
    ],
)
def test_what_a_model_says_of_itself_goes_before_the_settings(
    changes: dict[str, object], facts: dict[str, Any], path: str, said: str
) -> None:
    found = rules.check_model(resolved({"model.path": "x/m.safetensors", **changes}), replace(KNOWN, **facts))
    assert [problem.path for problem in found] == ([path] if path else [])
    assert said in " ".join(problem.why for problem in found)
    for problem in found:
        repaired = {"model.path": "x/m.safetensors", **changes, **dict(problem.change)}
        assert not problem.change or rules.check_model(resolved(repaired), replace(KNOWN, **facts)) == []


def test_gpus() -> None:
    assert [parse_gpus(text) for text in ("auto", "CPU", "3", "0, 1", "cpu,cpu")] == [
        ("auto",),
        ("cpu",),
        ("3",),
        ("0", "1"),
        ("cpu", "cpu"),
    ]


def test_the_table_of_optimizers_is_that_of_the_installed_libraries() -> None:
    pytorch_optimizer = pytest.importorskip("pytorch_optimizer")
    from trainer.tools.optimizer_table import arguments, catalog_kind

    table = optimizer_table.table()
    assert list(table)[: len(catalog.OPTIMIZERS)] == [entry.name for entry in catalog.OPTIMIZERS]
    for entry in catalog.OPTIMIZERS:
        assert list(table[entry.name]) == arguments(catalog_kind(entry)), entry.name
        assert set(entry.fixed) <= set(table[entry.name])
    supported = set(pytorch_optimizer.get_supported_optimizers())
    for name in list(table)[len(catalog.OPTIMIZERS) :]:
        assert name in supported
        assert list(table[name]) == arguments(typing.cast(type, pytorch_optimizer.load_optimizer(name))), name


def test_a_proved_rate_is_not_called_unusual() -> None:
    high = {"optimizer.learning_rate": 3e-3}
    assert [note.path for note in advice.notes(resolved(high))] == ["optimizer.learning_rate"]
    assert advice.notes(resolved({**high, "about.tested": "a run"})) == []
