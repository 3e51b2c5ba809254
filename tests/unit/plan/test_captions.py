"""Captions: order of the rules, what is kept, what is drawn."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.settings import Captions
from trainer.plan.buckets import Size
from trainer.plan.captions import Source, compose, expand_wildcards, read_lines, read_sources
from trainer.plan.scan import ImageFile


def said(text: str, trigger: str = "", seed: int | None = None, progress: float = 1.0, **rules: object) -> str:
    dice = None if seed is None else random.Random(seed)
    return compose(Source(tuple(text.split("\n")), trigger, "file"), Captions(**rules), dice, progress)


@pytest.mark.parametrize(
    ("text", "trigger", "rules", "wanted"),
    [
        ("a cat on a mat", "ohwx", {}, "ohwx, a cat on a mat"),
        ("ohwx cat on a mat", "ohwx", {}, "ohwx cat on a mat"),
        ("1girl, ohwx, hat", "ohwx", {}, "ohwx, 1girl, hat"),
        ("ohwxy, hat", "ohwx", {}, "ohwx, ohwxy, hat"),
        ("", "ohwx", {}, "ohwx"),
        ("a cat", "", {"prefix": "photo of", "suffix": ", sharp"}, "photo of a cat, sharp"),
        ("a cat", "ohwx", {"prefix": "photo of"}, "ohwx, photo of a cat"),
        ("one\ntwo", "", {"lines": "first"}, "one"),
        ("one\ntwo,\nthree.\nfour", "", {"lines": "all"}, "one, two, three. four"),
        ("a {red|blue} hat, {{x}}", "", {"wildcards": True}, "a red hat, {x}"),
        ("a {red|blue} hat", "", {}, "a {red|blue} hat"),
        ("{{{a|b}}} {c|{d|e}}", "", {"wildcards": True}, "{a} c"),
        ("a ||| b, c", "", {"keep_separator": "|||"}, "a, b, c"),
        ("a, b;;;c", "", {"secondary_separator": ";;;"}, "a, b, c"),
        ("a; b", "ohwx", {"separator": ";"}, "ohwx; a; b"),
    ],
)
def test_the_plain_form(text: str, trigger: str, rules: dict[str, object], wanted: str) -> None:
    assert said(text, trigger, **rules) == wanted


TAGS = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=1, max_size=8)


@given(TAGS, st.integers(0, 4), st.integers(0, 1000))
def test_shuffling_keeps_the_tags_and_the_first_ones_in_place(tags: list[str], keep: int, seed: int) -> None:
    shown = said(", ".join(tags), "zz", seed, shuffle=True, keep_tokens=keep).split(", ")
    assert shown[0] == "zz"
    assert shown[1 : 1 + keep] == tags[:keep]
    assert sorted(shown[1:]) == sorted(tags)


def test_kept_parts_before_and_after_the_mark_stay() -> None:
    seen = {said("a, b ||| c, d, e ||| f", "", seed, shuffle=True, keep_separator="|||") for seed in range(40)}
    assert len(seen) == 6
    assert all(text.startswith("a, b, ") and text.endswith(", f") for text in seen)


def test_groups_move_as_one() -> None:
    seen = {said("a;;;b, c", "", seed, shuffle=True, secondary_separator=";;;") for seed in range(20)}
    assert seen == {"a, b, c", "c, a, b"}


def test_tag_dropout_never_drops_kept_tags_or_the_trigger() -> None:
    shown = [said("a, b, c, d", "zz", seed, tag_dropout=0.5, keep_tokens=1) for seed in range(400)]
    assert all(text.startswith("zz, a") for text in shown)
    share = sum(", d" in text for text in shown) / len(shown)
    assert 0.4 < share < 0.6
    assert said("a, b", "zz", 1, tag_dropout=1.0) == "zz"


def test_tag_warmup_grows_to_all_tags() -> None:
    rules = {"tag_warmup": 50.0, "tag_warmup_min": 1, "keep_tokens": 1}
    counts = [len(said("k, a, b, c, d, e", "", 0, progress, **rules).split(", ")) for progress in (0, 0.2, 0.4, 0.5, 1)]
    assert counts == [2, 3, 5, 6, 6]


def test_one_of_several_lines_is_drawn() -> None:
    assert {said("one\ntwo", "", seed, lines="one at random") for seed in range(30)} == {"one", "two"}


def test_wildcards_nest_and_are_drawn_evenly() -> None:
    drawn = [expand_wildcards("{a|{b|c}}", random.Random(seed)) for seed in range(600)]
    assert 0.4 < drawn.count("a") / 600 < 0.6
    assert 0.15 < drawn.count("b") / 600 < 0.35


def image(path: Path, caption: Path | None) -> ImageFile:
    return ImageFile(path, path.name, Size(64, 64), 0, "my cat", 1, caption, 1, 0.0)


def test_where_texts_come_from(tmp_path: Path) -> None:
    caption = tmp_path / "a.txt"
    caption.write_bytes("\ufeffein Hütchen\r\n\r\nzweite Zeile\r\n".encode())
    assert read_lines(caption) == ["ein Hütchen", "zweite Zeile"]
    images = [image(tmp_path / "a.png", caption), image(tmp_path / "b.png", None)]

    def shown(mode: str) -> list[str]:
        rules = Captions(mode=mode)  # type: ignore[arg-type]
        return [compose(source, rules) for source in read_sources(images, rules, ["zz"])[0]]

    assert shown("files") == ["zz, ein Hütchen", "zz"]
    assert shown("folder name") == ["zz, my cat"] * 2
    assert shown("trigger word") == ["zz"] * 2
    assert shown("none") == [""] * 2


@pytest.mark.parametrize("data", [b"caf\xe9", "cat".encode("utf-16")])
def test_a_caption_that_is_not_utf8_is_named(tmp_path: Path, data: bytes) -> None:
    caption = tmp_path / "wrong.txt"
    caption.write_bytes(data)
    _, (problem,) = read_sources([image(tmp_path / "a.png", caption)], Captions(), [""])
    assert "wrong.txt" in problem.why and "UTF-8" in problem.fix and problem.kind == "data"
