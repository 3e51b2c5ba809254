"""What holds for every kind of model, on tiny random models of the true classes (`tiny_models`): it is recognised, and
read, asked and drawn as diffusers does.

Random models do not notice a wrong latent scale or sign by looking bad: pictures, steps and texts are therefore
compared with diffusers' own pipelines."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from model_kits import CAPTIONS, CPU, Kit, asked_by, encoded_by, kit_of, load, noisy, predicted
from tiny_models import ROWS

from trainer.contract import catalog
from trainer.contract.families import of, recognise
from trainer.noise.process import Tables, add_noise, target
from trainer.run import resolve
from trainer.sampling.denoise import draw
from trainer.sampling.prompts import Prompt


@pytest.fixture(scope="module", params=ROWS, ids=lambda row: row.id)
def kit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return kit_of(request.param, tmp_path_factory.mktemp("models"))


def test_it_is_recognised_with_its_defaults(kit: Kit) -> None:
    for place in (kit.folder, kit.file):
        found = recognise(str(place))
        assert (found.family, found.prediction, found.zero_snr) == (
            kit.row.family,
            kit.row.prediction,
            kit.row.zero_snr,
        )
    side = {"SD 1.x": 512, "SD 2.x": 768 if kit.row.prediction == "v" else 512, "SDXL": 1024}[kit.row.family]
    assert of(found).base_resolution == of(found).defaults["dataset.resolution"] == side
    assert catalog.find("samplers", of(found).defaults["sampling.sampler"])
    assert kit.family.process.prediction == kit.row.prediction


def test_the_single_file_is_the_folder(kit: Kit) -> None:
    single, generator = load(kit.file), torch.Generator().manual_seed(0)
    pixels = torch.rand(1, 3, 48, 64, generator=generator) * 2 - 1
    for part, module in kit.family.parts.items():
        mine, other = module.state_dict(), single.parts[part].state_dict()
        assert mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine), part
    assert torch.equal(predicted(kit.family), predicted(single))
    assert torch.equal(kit.family.encode_images(pixels, [1]), single.encode_images(pixels, [1]))
    assert torch.equal(kit.family.decode(noisy()), single.decode(noisy()))
    assert (kit.family.process, kit.family.sampling) == (single.process, single.sampling)
    assert kit.family.vocabulary == single.vocabulary


def test_texts_are_the_pipelines(kit: Kit) -> None:
    mine = kit.family.encode_captions([*CAPTIONS, ""])
    for ours, theirs in zip(mine.values(), encoded_by(kit, [*CAPTIONS, ""]), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def sdscripts_pieces(ids: Sequence[int], max_tokens: int, begin: int, end: int, pad: int) -> list[list[int]]:
    """Token ids as sd-scripts' `_get_input_ids` cuts them (library/strategy_base.py), in its own words: one long text
    with marks and padding is cut into windows, whose ends are then put right. For padding that is the end mark every
    window just gets one."""
    whole = [begin, *ids[:max_tokens], end] + [pad] * max_tokens
    whole = whole[: max_tokens + 2]
    whole[-1] = end if len(ids) >= max_tokens else whole[-1]
    found = []
    for start in range(1, max_tokens, 75):
        piece = [whole[0], *whole[start : start + 75], whole[-1] if pad != end else end]
        if pad != end and piece[-2] not in (end, pad):
            piece[-1] = end
        if pad != end and piece[1] == pad:
            piece[1] = end
        found.append(piece)
    return found


@pytest.mark.parametrize("words", [3, 74, 75, 76, 149, 150, 200, 300])
def test_long_captions_are_cut_as_sd_scripts_cuts_them(kit: Kit, words: int) -> None:
    from trainer.families.clip import pieces, token_ids

    caption = " ".join(["circle"] * words)
    for part, tokenizer in kit.family._tokenizers.items():
        open_clip = part == "te2" or kit.row.family == "SD 2.x"
        pad = 0 if open_clip else tokenizer.eos_token_id
        marks = (tokenizer.bos_token_id, tokenizer.eos_token_id, pad)
        ids = token_ids(tokenizer, caption)
        assert len(ids) == words
        for most in (75, 150, 225):
            mine = pieces(tokenizer, [caption], most, pad)[0].tolist()
            assert mine == sdscripts_pieces(ids, most, *marks)


def test_a_prediction_is_the_pipelines(kit: Kit) -> None:
    assert torch.allclose(predicted(kit.family), asked_by(kit), atol=1e-5)


def test_noise_targets_and_steps_are_the_schedulers(kit: Kit) -> None:
    """What the noise room makes of latents is what diffusers' training scheduler makes of them; a prediction that is
    right takes the sampling scheduler back to the latents in one step."""
    from diffusers import DDIMScheduler, DDPMScheduler

    trained: Any = DDPMScheduler.from_config(kit.pipeline.scheduler.config)
    tables = Tables(kit.family.process)
    times, latents, noise = torch.tensor([0, 300, 700, 999]), torch.randn(4, 4, 6, 8), torch.randn(4, 4, 6, 8)
    mixed = add_noise(tables, latents, noise, times)
    assert torch.allclose(mixed, trained.add_noise(latents, noise, times), atol=1e-5)
    wanted = trained.get_velocity(latents, noise, times) if kit.row.prediction == "v" else noise
    right = target(tables, latents, noise, times)
    assert torch.allclose(right, wanted, atol=1e-5)
    assert (float(tables.snr_T[-1]) == 0.0) == kit.row.zero_snr
    sampler: Any = DDIMScheduler(**known_to(DDIMScheduler, kit.family.sampling.scheduler))
    sampler.set_timesteps(1000)
    for row, time in enumerate(times[:3]):
        back = sampler.step(right[row : row + 1], int(time), mixed[row : row + 1]).pred_original_sample
        assert torch.allclose(back, latents[row : row + 1], atol=2e-2), int(time)


def known_to(kind: type, values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in inspect.signature(kind).parameters}


@pytest.mark.parametrize("negative", ["", "a green square"])
def test_a_whole_picture_is_the_pipelines(kit: Kit, negative: str) -> None:
    """Our denoising with the family's default sampler draws what diffusers' pipeline draws with the scheduler of its
    own folder, which is the same: this holds the latent scale, the betas and spacing, the prediction, the sizes and
    their order, and what stands against the prompt where nothing is said."""
    prompt = Prompt(CAPTIONS[0], negative, 96, 64, 3, 4, 3.0)
    name = of(recognise(str(kit.folder))).defaults["sampling.sampler"]
    scheduler = resolve("samplers", name)
    config = dict(kit.family.sampling.scheduler)
    assert type(kit.pipeline.scheduler) is scheduler
    theirs = kit.pipeline(
        prompt.text,
        negative_prompt=negative or None,
        width=96,
        height=64,
        num_inference_steps=4,
        guidance_scale=3.0,
        output_type="pt",
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    text, other = (kit.family.encode_captions([one]) for one in (prompt.text, negative))
    ours = draw(kit.family, scheduler.from_config(config), prompt, text, other, CPU)
    assert (ours - theirs).abs().max() < 2e-3 and ours.std() > 0.01
