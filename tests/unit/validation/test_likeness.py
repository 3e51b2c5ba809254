"""Likeness by tiny CLIP and DINOv2 models of random weights, made on the spot: what must hold whatever the weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from embedders import make_clip, make_dino
from PIL import Image

from trainer.validation.likeness import Embed, likenesses, load_embedder


@pytest.fixture(scope="module", params=["clip", "dino"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make = {"clip": make_clip, "dino": make_dino}[request.param]
    return make(tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture(scope="module")
def embed(folder: Path) -> Embed:
    return load_embedder(folder)


def picture(seed: int, size: tuple[int, int] = (40, 32)) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def plain(colour: str) -> Image.Image:
    return Image.new("RGB", (40, 40), colour)


def test_the_same_picture_is_wholly_alike(embed: Embed) -> None:
    vectors_NK = embed([picture(1), picture(2)])
    assert vectors_NK.norm(dim=1).tolist() == pytest.approx([1.0, 1.0])
    assert likenesses(vectors_NK[:1], vectors_NK[:1]) == pytest.approx([1.0])


def test_a_nearly_equal_picture_is_more_alike_than_another(embed: Embed) -> None:
    red = embed([plain("red")])
    near, far = likenesses(embed([plain("#f00808"), picture(3)]), red)
    assert far < near <= 1.0 + 1e-6


def test_pictures_keep_their_order_over_batches(embed: Embed) -> None:
    pictures = [picture(seed) for seed in range(11)]
    together, alone = embed(pictures), torch.cat([embed([one]) for one in pictures])
    assert torch.allclose(together, alone, atol=1e-5)
    values = likenesses(together, alone[4:5])
    assert values.index(max(values)) == 4 and len(values) == 11


def test_it_is_the_mean_over_all_images(embed: Embed) -> None:
    one, images = embed([picture(1)]), embed([picture(seed) for seed in (2, 3, 4)])
    assert likenesses(one, images) == pytest.approx([sum(likenesses(one, images[i : i + 1])[0] for i in range(3)) / 3])


def test_no_generator_is_touched(folder: Path) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    load_embedder(folder)([picture(1)])
    assert torch.equal(state, torch.get_rng_state())


def test_weights_that_could_run_code_are_not_opened(tmp_path: Path) -> None:
    made = make_dino(tmp_path / "pickled")
    (made / "model.safetensors").unlink()
    torch.save({}, made / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"safetensors"):
        load_embedder(made)


def test_code_beside_the_weights_is_not_run(tmp_path: Path) -> None:
    made = make_dino(tmp_path / "coded")
    config = json.loads((made / "config.json").read_text())
    config |= {"auto_map": {"AutoModel": "evil.Evil", "AutoConfig": "evil.EvilConfig"}, "model_type": "evil"}
    (made / "config.json").write_text(json.dumps(config))
    mark = tmp_path / "ran"
    (made / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    with pytest.raises(ValueError, match="needs code of its own, which is never run"):
        load_embedder(made)
    assert not mark.exists()


def test_a_model_that_sees_nothing_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    made = make_dino(tmp_path / "blind")
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
    BertModel(config).save_pretrained(made)
    with pytest.raises(ValueError, match="embeds no images"):
        load_embedder(made)
