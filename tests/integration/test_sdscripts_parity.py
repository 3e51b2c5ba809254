"""The same step here and in the real sd-scripts: losses and adapter gradients, for every loss and noise that both have.

What sd-scripts said is in `tests/golden/parity` (see `record.py` there for its commit and how). The tiny models, their
inputs and the random numbers are made from their names on both sides (`tests/parity_cases.py`); here the model goes
through the single-file loader, and the step through the very functions that train.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import original_layout
import parity_cases as given
import pytest
import tiny_models
import torch
from parity_cases import CASES, STALE_SNR, Case
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer.contract.families import recognise
from trainer.contract.settings import Noise
from trainer.families.sd1 import StableDiffusion1
from trainer.families.sdxl import StableDiffusionXL
from trainer.networks.lora import LoRA
from trainer.noise import loss
from trainer.noise.draws import layer_sizes
from trainer.noise.making import Drawn, combine
from trainer.noise.objective import Objective
from trainer.noise.process import Tables
from trainer.noise.weighting import chosen_weights
from trainer.parallel import Ranks
from trainer.parts import BatchFacts, DiscreteProcess, LoadPlan, ModelFiles
from trainer.update import Clipping, Update

GOLDEN = Path(__file__).parents[1] / "golden" / "parity"
CLOSE = 1e-5
"""All gradients together, relative to their norm."""
LAYER = 1e-4
"""One layer's, relative to its own: those of queries and keys are small differences of large numbers. At most 5e-5 is
seen, 2e-6 on the usual layer; the two compute attention in another order."""

ROWS = {"sd15": "SD 1.x", "sdxl": "SDXL"}
CLASSES = {"sd15": StableDiffusion1, "sdxl": StableDiffusionXL}
STARTS = {
    "sd15": {"te1": "cond_stage_model.transformer."},
    "sdxl": {"te1": "conditioner.embedders.0.transformer.", "te2": "conditioner.embedders.1.model."},
}
FOLDERS = {"te1": "text_encoder", "te2": "text_encoder_2"}


@dataclass(frozen=True)
class Side:
    """One of our models with an adapter on it, and what sd-scripts said of the same."""

    kind: str
    family: Any
    network: LoRA
    tensors: dict[str, Tensor]
    layers: list[str]


def load(kind: str, folder: Path, prediction: str, zero_snr: bool, clip_skip: int) -> Any:
    """The narrow model as a single file in the original layout, read as users' files are; its VAE is that of the usual
    tiny model and takes no part."""
    from diffusers.models import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.device("meta"):
        shapes = UNet2DConditionModel.from_config(given.UNETS[kind]).state_dict()
    unet = given.weights({name: value.shape for name, value in original_layout.unet(shapes).items()})
    texts = {}
    for part, start in STARTS[kind].items():
        config = CLIPTextConfig(**given.ENCODERS[kind][part])
        with torch.device("meta"):
            encoder = (CLIPTextModel if part == "te1" else CLIPTextModelWithProjection)(config).state_dict()
        own = given.text_weights(part, {name: value.shape for name, value in encoder.items()})
        texts |= (original_layout.text if part == "te1" else original_layout.open_clip)(own, start)
    row = tiny_models.Row(ROWS[kind], prediction, zero_snr)
    file = tiny_models.single_file(row, tiny_models.build(row, folder / "usual"), folder / "tiny.safetensors")
    ours = ("model.diffusion_model.", *STARTS[kind].values())
    others = {name: value for name, value in load_file(file).items() if not name.startswith(ours)}
    save_file({**others, **unet, **texts}, file)
    (folder / "tiny" / "unet" / "config.json").write_text(json.dumps(given.UNETS[kind]))
    for part, config in given.ENCODERS[kind].items():
        place = folder / "tiny" / FOLDERS[part] / "config.json"
        place.write_text(json.dumps({**json.loads(place.read_text()), **config}))
    family = CLASSES[kind]()
    plan = LoadPlan(torch.device("cpu"), torch.float32, torch.float32, clip_skip=clip_skip)
    family.load(ModelFiles(str(file), recognise(str(file))), plan)
    return family


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Case], Side]:
    """By kind, prediction and zero terminal SNR, each made when first asked for."""
    torch.set_num_threads(1)

    @cache
    def made(kind: str, prediction: str, zero_snr: bool, clip_skip: int) -> Side:
        family = load(kind, tmp_path_factory.mktemp(kind), prediction, zero_snr, clip_skip)
        targets = family.targets(True, ["unet", *given.ENCODERS[kind]])
        network = LoRA(targets, given.RANK, given.ALPHA, given.CONV_RANK, given.CONV_ALPHA)
        shapes = {name: value.shape for name, value in network.tensors().items() if not name.endswith("alpha")}
        network.load_tensors(network.tensors() | given.adapter(shapes))
        network.attach()
        network.training(True)
        layers = json.loads((GOLDEN / f"{kind}.json").read_text(encoding="utf-8"))["layers"]
        return Side(kind, family, network, load_file(GOLDEN / f"{kind}.safetensors"), layers)

    return lambda kind, case: made(kind, case.prediction, case.zero_snr, case.clip_skip)


def drawn(case: Case) -> Drawn:
    """The numbers that sd-scripts was given, in the order in which it asked for them."""
    noise, images = Noise(**case.ours), case.batch
    normal, uniform = count(), count()

    def take(*shape: int) -> Tensor:
        return given.values(f"normal {next(normal)}", (images, *shape))

    def strength(most: float, at_random: bool) -> Tensor:
        share = given.share(f"uniform {next(uniform)}") if at_random else 1.0
        return torch.full((images, 1, 1, 1), most * share)

    channels, height, width = given.LATENT
    numbers: dict[str, Any] = {"noise_BCHW": take(*given.LATENT)}
    if noise.noise_offset:
        numbers["shift_strengths_B111"] = strength(noise.noise_offset, noise.noise_offset_random)
        numbers["shifts_BC11"] = take(channels, 1, 1)
    if noise.multires_iterations:
        shares = [given.share(f"uniform {place}") for place in range(noise.multires_iterations)]
        numbers["layers"] = [[take(channels, *size)[0] for size in layer_sizes(height, width, shares)]]
    if noise.perturbation:
        numbers["second_strengths_B111"] = strength(noise.perturbation, noise.perturbation_random)
        numbers["second_BCHW"] = take(*given.LATENT)
    return Drawn(**numbers)


def our_step(case: Case, side: Side, ratios: DiscreteProcess | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of each image, and the adapter's values with gradients of their mean. `ratios`: the process whose weights by
    timestep are taken."""
    noise, tables = Noise(**case.ours), Tables(side.family.process)
    objective = Objective(getattr(loss, noise.loss), noise, chosen_weights(noise))
    optimizer = torch.optim.SGD(side.network.parameters("unet"))
    update = Update(side.family, tables, objective, optimizer, Clipping(), Ranks())
    latents, timesteps = case.latents(), torch.tensor(case.timesteps)
    sizes = case.sizes()
    facts = BatchFacts(*(sizes[name].flip(1) for name in ("original", "corner", "target")))  # ours: width or x first
    noises = combine(noise, latents, drawn(case))
    conditioning = {"text": case.text(), **({"pooled": case.pooled()} if side.kind == "sdxl" else {})}
    if case.words:
        conditioning = side.family.encode_captions(given.CAPTIONS[: case.batch], train=True)
    mask = case.weights_of_places() if case.mask else None
    losses = update.distances(latents, noises, timesteps, conditioning, facts, mask)
    losses = objective.weighted(Tables(ratios) if ratios else tables, losses, timesteps)
    for layer in side.network.layers.values():
        layer.zero_grad(set_to_none=True)
    losses.mean().backward()
    trained = {}
    for key, layer in side.network.layers.items():
        trained |= {f"{key}.lora_down.weight": layer.down, f"{key}.lora_up.weight": layer.up}
    return losses.detach(), trained


def assert_same(case: Case, ours: tuple[Tensor, dict[str, Tensor]], side: Side) -> None:
    losses, trained = ours
    torch.testing.assert_close(losses, side.tensors[f"{case.name}.loss"], rtol=case.close, atol=0)
    rows = given.projected(trained)
    assert list(rows) == side.layers
    mine, theirs = torch.tensor(list(rows.values())), side.tensors[f"{case.name}.gradient"]
    norms = theirs[:, 1:]
    assert ((mine - theirs).norm(dim=0) / norms.norm()).max() < CLOSE
    apart = ((mine - theirs).abs() / norms.clamp(min=1e-30)).amax(dim=1)  # 0 where neither has a gradient
    assert apart.max() < LAYER, f"{side.layers[int(apart.argmax())]} is {float(apart.max()):.2g} apart"


Sides = Callable[[str, Case], Side]

SAME = [(kind, case) for kind in ROWS for case in given.cases(kind) if case.name not in STALE_SNR]


@pytest.mark.parametrize(("kind", "case"), SAME, ids=[f"{kind}-{case.name}" for kind, case in SAME])
def test_losses_and_gradients_are_those_of_sd_scripts(kind: str, case: Case, sides: Sides) -> None:
    side = sides(kind, case)
    assert_same(case, our_step(case, side), side)


@pytest.mark.parametrize("kind", ROWS)
def test_whole_gradients_value_by_value(kind: str, sides: Sides) -> None:
    """Of a few layers, so that the comparison does not hang on one direction and the norm alone."""
    case = CASES[0]
    side = sides(kind, case)
    _, trained = our_step(case, side)
    start = f"{case.name}.whole."
    whole = {name.removeprefix(start): value for name, value in side.tensors.items() if name.startswith(start)}
    assert len(whole) == 6
    for name, theirs in whole.items():
        assert (trained[name].grad - theirs).norm() < CLOSE * theirs.norm(), name


@pytest.mark.parametrize("case", [case for case in CASES if case.name in STALE_SNR], ids=lambda case: case.name)
@pytest.mark.parametrize("kind", ROWS)
def test_weights_at_zero_terminal_snr_are_those_of_the_noise_that_is_used(kind: str, case: Case, sides: Sides) -> None:
    """sd-scripts takes its signal-to-noise ratios from before it changes the schedule: with those, we say what it says.
    Ours are of the changed schedule; in pure noise, where min-SNR for v is 0, the two differ."""
    side, unchanged = sides(kind, case), sides(kind, replace(case, zero_snr=False))
    assert_same(case, our_step(case, side, unchanged.family.process), side)
    losses, _ = our_step(case, side)
    assert float(losses[1]) == 0 < float(side.tensors[f"{case.name}.loss"][1])
