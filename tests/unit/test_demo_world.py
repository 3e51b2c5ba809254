"""The drawn world of the demo model, its ring badge, and the measures that later tests and the evaluation rely on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.tools.demo_model import badge, captions, draw, measure


def scenes(count: int, seed: int = 5) -> list[draw.Scene]:
    rng = np.random.default_rng(seed)
    return [draw.random_scene(rng) for _ in range(count)]


def same(first: Image.Image, second: Image.Image) -> bool:
    return np.array_equal(np.asarray(first), np.asarray(second))


def test_the_same_seed_draws_the_same_images() -> None:
    for scene in scenes(8):
        assert same(draw.draw(scene, np.random.default_rng(3)), draw.draw(scene, np.random.default_rng(3)))
        assert not same(draw.draw(scene, np.random.default_rng(3)), draw.draw(scene, np.random.default_rng(4)))


def test_objects_stay_inside_the_image() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        (x, y), radius = draw.random_place(rng)
        assert radius >= 24
        assert radius <= min(x, y) and max(x, y) + radius <= draw.IMAGE_PX


def test_edges_are_anti_aliased() -> None:
    covered = draw.coverage(draw.OUTLINES["circle"], (64.0, 64.0), 30.0)
    assert covered.min() == 0 and covered.max() == 1
    assert ((covered > 0.05) & (covered < 0.95)).sum() > 50
    assert covered.sum() == pytest.approx(np.pi * (0.95 * 30) ** 2, rel=0.02)


def test_the_measure_reads_real_drawings_right() -> None:
    drawn = scenes(150)
    rng = np.random.default_rng(1)
    readings = [measure.read_image(draw.draw(scene, rng)) for scene in drawn]
    for name in measure.ATTRIBUTES:
        right = sum(reading.matches(scene)[name] for scene, reading in zip(drawn, readings))
        assert right >= 148, f"{name}: {right} of 150"
    assert min(reading.shape_iou for reading in readings) > 0.85


def test_the_measure_reads_every_shape_and_texture() -> None:
    for shape in draw.SHAPES:
        for texture in draw.TEXTURES:
            scene = draw.Scene(shape, "green", texture, "pink")
            assert all(measure.read_image(draw.draw(scene)).matches(scene).values()), scene


def test_the_measure_sees_no_object_in_an_empty_image() -> None:
    reading = measure.read_image(Image.new("RGB", (128, 128), draw.COLOURS["blue"]))
    assert (reading.shape, reading.background) == ("none", "blue")


def test_the_badge_is_no_concept_of_the_world() -> None:
    unknown = {badge.TRIGGER, "badge", "ring", "rings", "target", "roundel"}
    assert not unknown & set(draw.CONCEPTS)
    rng = np.random.default_rng(2)
    words = {word.strip(",") for scene in scenes(2000) for word in captions.caption(scene, rng)[0].split()}
    assert not unknown & words


def test_real_badges_score_high_and_other_shapes_low() -> None:
    assert min(badge.ring_score(image) for image, _ in badge.training_set() + badge.held_out()) > 0.8
    rng = np.random.default_rng(6)
    assert max(badge.ring_score(draw.draw(scene, rng)) for scene in scenes(150)) < 0.2
    for colour in ("red", "white", "blue"):
        for background in badge.BACKGROUNDS:
            scene = draw.Scene("circle", colour, "plain", background)
            assert badge.ring_score(draw.draw(scene)) < 0.2
    assert badge.ring_score(Image.new("RGB", (128, 128), "green")) == 0.0


def test_half_a_badge_scores_in_between() -> None:
    image = badge.draw_badge("green", (64, 64), 36)
    image.paste(draw.COLOURS["white"], (52, 52, 76, 76))
    assert 0.4 < badge.ring_score(image) < 0.8


def test_held_out_badges_are_none_of_the_training_images() -> None:
    training = {image.tobytes() for image, _ in badge.training_set()}
    held_out = {image.tobytes() for image, _ in badge.held_out()}
    assert len(training) == len(held_out) == 16
    assert not training & held_out
    assert all(badge.TRIGGER in text for _, text in badge.training_set() + badge.held_out())


def test_captions_state_what_is_drawn() -> None:
    rng = np.random.default_rng(9)
    for scene in scenes(300):
        text, stated = captions.caption(scene, rng)
        for name, value in stated.items():
            spoken = value == captions.UNSTATED or value == "plain" or value in text.replace(",", "").split()
            assert spoken, (name, text)


def test_unstated_attributes_are_not_in_the_caption() -> None:
    rng = np.random.default_rng(10)
    open_texts = [
        text
        for text, stated in (captions.caption(scene, rng) for scene in scenes(500))
        if stated["shape"] == captions.UNSTATED
    ]
    assert 40 < len(open_texts) < 110
    assert not any(shape in text.split() for text in open_texts for shape in draw.SHAPES)


def test_the_evaluation_prompts_are_fixed_and_balanced() -> None:
    asked = captions.evaluation_scenes()
    assert asked == captions.evaluation_scenes()
    assert len(asked) == 100
    for name, table in (("shape", draw.SHAPES), ("texture", draw.TEXTURES)):
        counts = [sum(getattr(scene, name) == value for scene in asked) for value in table]
        assert min(counts) >= 100 // len(table) - 8, (name, counts)
    assert captions.evaluation_prompt(draw.Scene("square", "orange", "striped", "yellow"), 0) == (
        "a striped orange square on a yellow background"
    )


def test_shipped_images_are_the_training_set() -> None:
    folder = Path(__file__).parents[2] / "presets" / "demo" / "images"
    for i, (image, text) in enumerate(badge.training_set(), start=1):
        assert same(Image.open(folder / f"badge_{i:02}.png"), image)
        assert (folder / f"badge_{i:02}.txt").read_text(encoding="utf-8").strip() == text
