"""Words for scenes: varied but simple captions, and the prompts of the evaluation.

A caption without a texture word means plain. Some captions leave the object open and some carry a made-up word: a
user's trigger word is unknown to the model too, and must neither upset it nor be taken for a shape.
"""

from __future__ import annotations

import numpy as np

from trainer.tools.demo_model.draw import COLOURS, CONCEPTS, SHAPES, TEXTURES, Scene

FULL = (
    "{object} on {a_background} background",
    "{a_object} on {a_background} background",
    "{object} on {background}",
    "{a_object} on {background}",
    "{object}, {background} background",
)
MADE_UP_SHARE = 0.3
OPEN_SHARE = 0.2
UNSTATED = "unstated"
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


def with_article(words: str) -> str:
    """`a` or `an` by the first letter."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def made_up_word(rng: np.random.Generator) -> str:
    """Three to seven random letters that are none of the model's own words."""
    word = "".join(rng.choice(_LETTERS, int(rng.integers(3, 8))))
    return word if word not in CONCEPTS else made_up_word(rng)


def object_words(scene: Scene, say_plain: bool = False) -> str:
    """`striped green square`; plain objects say so only on request."""
    texture = scene.texture if scene.texture != "plain" or say_plain else ""
    return f"{texture} {scene.colour} {scene.shape}".strip()


def caption(scene: Scene, rng: np.random.Generator) -> tuple[str, dict[str, str]]:
    """A random caption and what it states about shape, colour, texture and background (or UNSTATED)."""
    stated = {
        "shape": scene.shape,
        "colour": scene.colour,
        "texture": scene.texture,
        "background": scene.background,
    }
    words = object_words(scene, say_plain=rng.random() < 0.25)
    template = str(rng.choice(FULL))
    made_up = rng.random() < MADE_UP_SHARE
    if rng.random() < OPEN_SHARE:
        words, template, stated = _left_open(scene, rng, words, template, stated)
    elif made_up:
        words = f"{made_up_word(rng)} {words}"
    return fill(template, words, scene.background), stated


def _left_open(
    scene: Scene, rng: np.random.Generator, words: str, template: str, stated: dict[str, str]
) -> tuple[str, str, dict[str, str]]:
    """Leaves out the background, or says nothing of the object but a made-up word or `something`."""
    if rng.random() < 0.3:
        return words, str(rng.choice(["{object}", "{a_object}"])), {**stated, "background": UNSTATED}
    open_object = made_up_word(rng) if rng.random() < 0.7 else "something"
    kept = dict.fromkeys(stated, UNSTATED) | {"background": scene.background}
    return open_object, template, kept


def fill(template: str, words: str, background: str) -> str:
    """A template with the object's words and the background's colour in it."""
    return template.format(
        object=words, a_object=with_article(words), background=background, a_background=with_article(background)
    )


def evaluation_scenes(count: int = 100, seed: int = 2026) -> list[Scene]:
    """The fixed scenes that the evaluation asks for: shapes and textures in turn, colours drawn by `seed`."""
    rng = np.random.default_rng(seed)
    scenes = []
    for i in range(count):
        colour, background = rng.choice(list(COLOURS), 2, replace=False)
        texture = TEXTURES[i // len(SHAPES) % len(TEXTURES)]
        scenes.append(Scene(SHAPES[i % len(SHAPES)], str(colour), texture, str(background)))
    return scenes


def evaluation_prompt(scene: Scene, index: int) -> str:
    """The prompt for one evaluation scene; two wordings in turn."""
    return fill(FULL[1] if index % 2 == 0 else FULL[3], object_words(scene), scene.background)
