"""Sample prompts: Kohya's flags, what is wrong with them, files that change under us."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.sampling.prompts import Prompt, parse_prompt, parse_prompts, read_prompts

USUAL = Prompt("", "ugly", 512, 768, 42, 25, 7.5)


def test_all_flags_as_kohya_writes_them() -> None:
    line = "a cat, sitting --n blurry, low quality --w 640 --h 512 --d 7 --s 30 --l 6.5"
    prompt, faults = parse_prompt(line, USUAL)
    assert prompt == Prompt("a cat, sitting", "blurry, low quality", 640, 512, 7, 30, 6.5)
    assert faults == []


def test_what_is_not_said_is_usual_and_order_does_not_matter() -> None:
    prompt, faults = parse_prompt("--d 3 --w 256", USUAL)
    assert (prompt.text, prompt.seed, prompt.width) == ("", 3, 256)
    assert (prompt.negative, prompt.height, prompt.steps, prompt.guidance) == ("ugly", 768, 25, 7.5)
    assert not faults


@pytest.mark.parametrize("line", ["a well--known cat", "cat -- dog", "1girl, -w 3", "a --_- b"])
def test_dashes_in_the_text_stay_text(line: str) -> None:
    assert parse_prompt(line, USUAL) == (parse_prompt(line, USUAL)[0], [])
    assert parse_prompt(line, USUAL)[0].text == line


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--w 100", "multiple of 8"),
        ("--w 32", "64 to 4096"),
        ("--h tall", "not a number"),
        ("--d -1", "0 to 4294967295"),
        ("--d 4294967296", "0 to 4294967295"),
        ("--s 0", "1 to 500"),
        ("--s 2.5", "not a number"),
        ("--l nan", "0 to 50"),
        ("--l 51", "0 to 50"),
        ("--cn picture.png", "not known"),
    ],
)
def test_a_bad_value_is_reported_and_the_usual_one_is_taken(flag: str, words: str) -> None:
    prompt, faults = parse_prompt(f"a cat {flag}", USUAL)
    assert len(faults) == 1 and words in faults[0] and flag.split()[0] in faults[0]
    assert prompt == Prompt("a cat", "ugly", 512, 768, 42, 25, 7.5)


def test_an_empty_negative_prompt_is_a_choice() -> None:
    assert parse_prompt("a cat --n --s 5", USUAL)[0].negative == ""


def test_seeds_count_up_and_comments_are_skipped() -> None:
    prompts, faults = parse_prompts(["# mine", "a", "", "b --d 9", "c --s x"], USUAL)
    assert [prompt.seed for prompt in prompts] == [42, 9, 44]
    assert [prompt.text for prompt in prompts] == ["a", "b", "c"]
    assert len(faults) == 1 and faults[0].startswith("prompt 5:")


def test_seeds_wrap_where_the_last_one_is_the_usual() -> None:
    prompts, _ = parse_prompts(["a", "b"], Prompt("", seed=2**32 - 1))
    assert [prompt.seed for prompt in prompts] == [2**32 - 1, 0]


def test_a_file_is_read_anew_and_replaces_the_lines(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes("\ufeffa ü cat\r\n# no\r\n".encode())
    assert [p.text for p in read_prompts(str(file), ["other"], USUAL)[0]] == ["a ü cat"]
    file.write_text("a dog\n", encoding="utf-8")
    assert [p.text for p in read_prompts(str(file), ["other"], USUAL)[0]] == ["a dog"]
    file.unlink()
    prompts, faults = read_prompts(str(file), ["other"], USUAL)
    assert prompts == [] and "cannot be read" in faults[0]
