"""Every network type: no effect at the start, one result however it is applied, files that LyCORIS reads the same."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from tests.adapter_kinds import CASES, X, build, library_prefix, size, small, targets, with_values
from trainer.contract import catalog
from trainer.contract.problems import Problems
from trainer.networks.applied import Applied, fit, merge_into
from trainer.networks.base import Drops
from trainer.networks.updates import update_of
from trainer.parts import Target
from trainer.plan.adapter_size import count

EVERY = pytest.mark.parametrize("case", CASES)


@EVERY
def test_no_effect_at_the_start(case: str) -> None:
    model = small()
    before = model(X)
    network = build(case, model)
    network.attach()
    torch.testing.assert_close(model(X), before, rtol=1e-5, atol=1e-6)
    assert network.norm() < 1e-5
    network.detach()
    assert torch.equal(model(X), before)


@EVERY
def test_the_start_is_a_function_of_seed_and_key(case: str) -> None:
    one = build(case, small(), seed=3)
    torch.manual_seed(99)
    two, other = build(case, small(), seed=3), build(case, small(), seed=4)
    names = [name for name, value in one.tensors().items() if value.any() and value.dim()]
    assert all(torch.equal(one.tensors()[name], value) for name, value in two.tensors().items())
    if case.split()[0] not in ("IA3", "OFT", "BOFT"):
        assert any(not torch.equal(one.tensors()[name], other.tensors()[name]) for name in names)


@EVERY
def test_merged_applied_and_drawn_are_one(case: str) -> None:
    model = small()
    before = model(X)
    network = with_values(build(case, model))
    network.attach()
    trained = model(X)
    assert (trained - before).abs().max() > 1e-2, "the adapter does something"
    network.detach()
    loaded = fit("file", network.tensors(), targets(model))
    assert loaded.unused == 0
    for strength in (1.0, 0.5, 0.0):
        with Applied([(loaded, strength)]):
            drawn = model(X)
        merged = copy.deepcopy(model)
        merge_into(targets(merged), network.tensors(), strength)
        torch.testing.assert_close(merged(X), drawn, rtol=1e-4, atol=1e-5)
        if strength == 1.0:
            torch.testing.assert_close(drawn, trained, rtol=1e-4, atol=1e-5)
        if strength == 0.0:
            assert torch.equal(drawn, before)
    assert torch.equal(model(X), before), "and gone without a trace"


@EVERY
def test_saved_and_loaded_is_the_same(case: str) -> None:
    model = small()
    network, other = with_values(build(case, model)), build(case, model, seed=7)
    other.load_tensors(network.tensors())
    for name, value in network.tensors().items():
        torch.testing.assert_close(other.tensors()[name], value, rtol=1e-6, atol=1e-7)
    network.attach()
    before = model(X)
    network.detach()
    other.attach()
    assert torch.equal(model(X), before) or "constraint" in CASES[case][1]
    broken = {name: value for name, value in network.tensors().items() if "lora_unet_linear" not in name}
    with pytest.raises(Problems, match="does not fit"):
        other.load_tensors(broken)


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][2].get("dora")])
def test_dora_starts_from_a_plain_file_with_its_effect_and_not_from_sizes_of_the_other_side(case: str) -> None:
    model = small()
    network = with_values(build(case, model))
    sizes = {name: value for name, value in network.tensors().items() if "dora_scale" in name}
    plain = {name: value for name, value in network.tensors().items() if name not in sizes}
    for target in targets(model):
        outputs, inputs = target.module.weight.shape[:2]  # type: ignore[index,union-attr]
        found = sizes[f"{target.key}.dora_scale"].shape
        assert tuple(found[:2]) == ((outputs, 1) if "by output" in case else (1, inputs))
    begun = build(case, model)
    begun.begin(plain)
    for target in targets(model):
        layer = begun.layers[target.key]
        values = {name.partition(".")[2]: value for name, value in plain.items() if name.startswith(f"{target.key}.")}
        torch.testing.assert_close(layer.update(), update_of(values, layer.weight), rtol=1e-4, atol=1e-5)
    other = {"DoRA": "DoRA by output", "DoRA by output": "DoRA"}
    wrong = next(theirs for end, theirs in other.items() if case.endswith(end))
    with pytest.raises(Problems, match="dora_scale is"):
        build(case.replace("DoRA by output", "DoRA").replace("DoRA", wrong), model).load_tensors(network.tensors())


@EVERY
def test_a_full_state_holds_the_trained_values_themselves(case: str) -> None:
    """`saving.state` takes and gives back what `state_dict` names: the parameters, not products of them."""
    for layer in build(case, small()).layers.values():
        held = layer.state_dict(keep_vars=True).values()
        assert {id(value) for value in held} == {id(value) for value in layer.parameters()}


@EVERY
def test_the_count_is_that_of_the_network(case: str) -> None:
    kind, arguments, chosen = CASES[case]
    model = small()
    network = build(case, model)
    counted = 0
    for target in targets(model):
        one: Any = chosen.get("size_of") or size(target.key, target.path == "conv")
        weight: Any = target.module.weight
        counted += count(kind, tuple(weight.shape), one.rank, bool(chosen.get("dora")), arguments)
    assert counted == sum(value.numel() for value in network.parameters("unet"))


@EVERY
def test_gradients_reach_every_value_and_no_weight(case: str) -> None:
    model = small()
    network = with_values(build(case, model))
    network.attach()
    if case != "DyLoRA":  # which trains one piece in each step
        network.training(True)
    model(X).square().sum().backward()
    assert all(value.grad is not None and value.grad.any() for value in network.parameters("unet"))
    assert not any(value.requires_grad for value in model.parameters())
    factors = {piece.rate for piece in network.pieces("unet")}
    assert factors == ({1.0} if "size_of" in CASES[case][2] else {1.0, 0.5})


@EVERY
@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_half_precision_is_near_float(case: str, dtype: torch.dtype) -> None:
    model = small()
    network = with_values(build(case, model))
    network.attach()
    exact = model(X)
    network.detach()
    half = small().to(dtype)
    other = build(case, half)
    other.load_tensors(network.tensors())
    other.attach()
    near = half(X.to(dtype))
    assert near.dtype == dtype and (near.float() - exact).norm() < 0.03 * exact.norm()
    near.float().square().sum().backward()
    values = [value for value in other.parameters("unet") if value.grad is not None]
    assert values and {value.grad.dtype for value in values} == {torch.float32}  # type: ignore[union-attr]


@EVERY
def test_autocast_over_a_float_base_is_near_float(case: str) -> None:
    model = small()
    network = with_values(build(case, model))
    network.attach()
    exact = model(X)
    with torch.autocast("cpu", torch.bfloat16):
        near = model(X)
    assert near.dtype == torch.bfloat16 and (near.float() - exact).norm() < 0.02 * exact.norm()


@EVERY
@pytest.mark.parametrize("drops", [Drops(0.5), Drops(ranks=0.5), Drops(layers=0.5)], ids=["values", "ranks", "layers"])
def test_dropout_is_in_training_only_and_right_on_average(case: str, drops: Drops) -> None:
    model = small()
    network = with_values(build(case, model, drops=drops))
    network.attach()
    with torch.no_grad():
        quiet = model.project(torch.ones(1, 24, 3, 3))
        network.training(True)
        torch.manual_seed(5)
        one, two = model(X), model(X)
        torch.manual_seed(5)
        assert torch.equal(model(X), one), "drawn from torch's generator, which is seeded for each step"
        tries = [model.project(torch.ones(1, 24, 3, 3)) for _ in range(100)]
        network.training(False)
        assert torch.equal(model.project(torch.ones(1, 24, 3, 3)), quiet)
    assert not torch.equal(one, two)
    network.detach()
    base = model.project(torch.ones(1, 24, 3, 3))
    off = drops.layers if drops.layers else 0.0
    if "DoRA" not in case and case != "DyLoRA":  # its other matrices have a size of their own
        expected = base + (1 - off) * (quiet - base)
        spread = torch.stack(tries).std(0).max() / 100**0.5
        assert (torch.stack(tries).mean(0) - expected).abs().max() < 6 * spread + 1e-5


@pytest.mark.parametrize("case", [case for case in CASES if catalog.network(CASES[case][0]).normed])
def test_max_norm_scales_down_what_is_larger(case: str) -> None:
    """Of all but rotations, which have no norm to limit."""
    network = with_values(build(case, small()))
    layer = network.layers["lora_unet_conv"]
    before, own = layer.free_squared_norm().sqrt(), network.tensors()
    network.shrink(float(before) * 2, torch.tensor(True))
    assert all(torch.equal(value, own[name]) for name, value in network.tensors().items() if "conv" in name)
    network.shrink(float(before) / 2, torch.tensor(False))
    assert torch.equal(layer.free_squared_norm().sqrt(), before), "after a step that changed nothing"
    network.shrink(float(before) / 2, torch.tensor(True))
    torch.testing.assert_close(layer.free_squared_norm().sqrt(), before / 2, rtol=1e-4, atol=1e-6)


BY_INPUT = ("DoRA", "LoHa DoRA", "LoKr DoRA")
UNREADABLE = ("LoKr split", "LoKr tucker", "LoKr unbalanced", "IA3", "IA3 inputs", *BY_INPUT)
"""Files that lycoris-lora 4.1.3 writes itself but whose loader fails: it guesses LoKr's factor, calls (IA)3's
constructor with too much, and takes DoRA's sizes for those of outputs."""


@EVERY
def test_lycoris_reads_the_file_as_we_do(case: str) -> None:
    """`create_lycoris_from_weights` of lycoris-lora over the same model gives the same output."""
    from lycoris.wrapper import create_lycoris_from_weights

    model = small()
    network = with_values(build(case, model))
    network.attach()
    ours = model(X)
    network.detach()
    with library_prefix("lora_unet"), torch.no_grad():
        if case in UNREADABLE:
            with pytest.raises((RuntimeError, TypeError, AttributeError)):
                create_lycoris_from_weights(1.0, "", model, weights_sd=network.tensors())
            modules = [library_module(case, target, network.tensors()) for target in targets(model)]
        else:
            modules = create_lycoris_from_weights(1.0, "", model, weights_sd=network.tensors())[0].loras
        assert len(modules) == 3
        for module in modules:
            module.apply_to()
        got = model(X)
        for module in modules:
            module.org_module[0].__dict__.pop("forward", None)
    torch.testing.assert_close(got, ours, rtol=1e-4, atol=1e-5)


def library_module(case: str, target: Target, tensors: dict[str, torch.Tensor]) -> Any:
    """The library's own module of a layer with the file's values."""
    from lycoris.modules.locon import LoConModule

    from trainer.networks.lycoris import module_class

    kind, arguments, chosen = CASES[case]
    decomposed = {"weight_decompose": True, "wd_on_out": False} if case in BY_INPUT else {}
    one = chosen.get("size_of") or size(target.key, target.path == "conv")
    library: Any = LoConModule if kind == "LoRA" else module_class(catalog.network(kind).algo)
    made = library(target.key, target.module, 1.0, lora_dim=one.rank, alpha=one.alpha, **arguments, **decomposed)
    for name, value in made.named_parameters():
        value.copy_(tensors[f"{target.key}.{name}"])
    return made
