"""The linter, on folders of pictures that are made to have each fault; and what its fixes do to files and settings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from trainer.contract.families import default_family
from trainer.contract.preset import resolve, with_values
from trainer.contract.settings import Folder, Preset
from trainer.plan import captionfiles
from trainer.plan.lint import deeds, image_checks
from trainer.plan.lint.finding import Finding
from trainer.plan.lint.lint import Report, lint, serious
from trainer.plan.lint.looks import look
from trainer.plan.lint.sharpness import BLURRED_BELOW
from trainer.plan.lint.tokens import counter
from trainer.plan.plan import make_plan
from trainer.plan.scan import ASIDE, scan

Picture = Callable[..., Image.Image]


def picture(seed: int, size: tuple[int, int] = (320, 320), blur: float = 0.0) -> Image.Image:
    """Sharp shapes on a soft ground, another for each seed."""
    draw = np.random.default_rng(seed)
    ground = Image.fromarray(draw.integers(0, 255, (5, 5, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    for _ in range(40):
        edge = draw.integers(8, 60, 2)
        place = draw.integers(0, (size[0] - edge[0], size[1] - edge[1]))
        ground.paste(tuple(draw.integers(0, 255, 3).tolist()), (*place.tolist(), *(place + edge).tolist()))
    return ground.filter(ImageFilter.GaussianBlur(blur)) if blur else ground


def preset_of(*folders: Path, **changes: object) -> Preset:
    rows = {"dataset.folders": [{"path": str(folder)} for folder in folders], "dataset.resolution": 256}
    fixed = {"validation.split": "off", "training.batch_size": 1}
    return resolve(with_values(Preset(), rows | fixed | changes), default_family())


def report(preset: Preset, cache: Path) -> Report:
    *_, last = lint(preset, cache)
    assert last.whole
    return last


def only(found: Report, kind: str) -> Finding:
    [finding] = [finding for finding in found.findings if finding.kind == kind]
    return finding


def kinds(found: Report) -> set[str]:
    return {finding.kind for finding in found.findings}


def names(finding: Finding) -> list[str]:
    return [path.name for path in finding.images]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Sixteen sharp, different pictures, captioned."""
    folder = tmp_path / "good"
    folder.mkdir()
    for index in range(16):
        picture(index).save(folder / f"{index:02d}.png")
        (folder / f"{index:02d}.txt").write_text(f"a thing {index}, place {index % 7}\n", encoding="utf-8")
    return folder


def test_a_good_folder_has_no_finding(good: Path, tmp_path: Path) -> None:
    assert report(preset_of(good), tmp_path / "cache").findings == ()


def test_pixels(good: Path, tmp_path: Path) -> None:
    picture(3, blur=4.0).resize((320, 320)).save(good / "soft.png")
    picture(4).resize((500, 500)).save(good / "copy.jpg", quality=70)
    whole = (good / "00.png").read_bytes()
    (good / "cut.png").write_bytes(whole[: len(whole) // 2])
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(50, (300, 420)).save(good / "lying.jpg", exif=exif, quality=95)
    picture(51, (100, 100)).save(good / "tiny.png")
    found = report(preset_of(good), tmp_path / "cache")
    assert names(only(found, "broken")) == ["cut.png"]
    assert only(found, "broken").severity == "serious" and found.findings[0].kind == "broken"
    assert names(only(found, "blurred")) == ["soft.png"]
    assert names(only(found, "EXIF-rotated")) == ["lying.jpg"]
    assert names(only(found, "too small")) == ["tiny.png"]
    doubles = only(found, "near-duplicates")
    assert {"04.png", "copy.jpg", "03.png", "soft.png"} == set(names(doubles))
    [fix] = doubles.fixes
    assert {path.name for path in fix.files} >= {
        "04.png"
    } and good / "copy.jpg" not in fix.files  # the larger one stays


def test_broken_pictures_are_read_once_and_remembered(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    first = report(preset_of(good), cache)
    monkeypatch.setattr("trainer.plan.lint.looks.look", lambda *_: pytest.fail("decoded again"))
    assert report(preset_of(good), cache).findings == first.findings
    assert list((cache / "looks").glob("*.json"))


def test_reading_stops_when_asked(good: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    reports = lint(preset_of(good, **{"dataset.resolution": 320}), tmp_path / "other", stop)
    assert not next(reports).whole
    stop.set()
    began = time.monotonic()
    assert not any(each.whole for each in reports) and time.monotonic() - began < 5


@pytest.mark.parametrize("radius", [3.0, 5.0])
def test_blur_is_told_at_any_size(tmp_path: Path, radius: float) -> None:
    for size in ((256, 256), (512, 400)):
        sharp, soft = picture(9, size), picture(9, size, radius)
        sharp.save(tmp_path / "sharp.png")
        soft.save(tmp_path / "soft.png")
        seen = look(tmp_path / "sharp.png", 512).sharp, look(tmp_path / "soft.png", 512).sharp
        assert seen[0] is not None and seen[1] is not None and seen[1] < BLURRED_BELOW < seen[0]


def test_a_sharp_subject_on_a_blurred_ground_is_sharp(tmp_path: Path) -> None:
    scene = picture(9, (512, 512), 8.0)
    scene.paste(picture(10, (180, 180)), (160, 160))
    scene.save(tmp_path / "portrait.png")
    sharp = look(tmp_path / "portrait.png", 512).sharp
    assert sharp is not None and sharp > BLURRED_BELOW
    Image.new("RGB", (512, 512), "grey").save(tmp_path / "even.png")
    assert look(tmp_path / "even.png", 512).sharp is None


def test_captions(good: Path, tmp_path: Path) -> None:
    for index in range(16):
        (good / f"{index:02d}.txt").write_text(f"zwx, solo, thing {index}\n", encoding="utf-8")
    (good / "00.txt").unlink()
    (good / "01.txt").write_text("\n", encoding="utf-8")
    (good / "02.txt").write_text(" ".join(["word"] * 80), encoding="utf-8")
    found = report(preset_of(good), tmp_path / "cache")
    assert names(only(found, "no caption")) == ["00.png"] and only(found, "no caption").severity == "serious"
    assert names(only(found, "empty caption")) == ["01.png"]
    over = only(found, "over the token limit")
    assert names(over) == ["02.png"] and over.fixes[0].change == (("captions.max_tokens", 150),)
    assert "80 tokens or more" in over.why
    assert only(found, "trigger missing").fixes[0].change == (("captions.trigger", "zwx"),)
    tag = only(found, "one tag nearly everywhere")
    assert "'solo' is in 13 of 14" in tag.sentence and len(tag.fixes[0].files) == 13
    quiet = report(preset_of(good, **{"captions.mode": "none"}), tmp_path / "cache")
    assert not kinds(quiet) & {"no caption", "empty caption", "trigger missing", "one tag nearly everywhere"}


def test_with_a_trigger_the_files_that_lack_it_are_a_note(good: Path, tmp_path: Path) -> None:
    found = report(preset_of(good, **{"captions.trigger": "zwx"}), tmp_path / "cache")
    missing = only(found, "trigger missing")
    assert missing.severity == "note" and len(missing.images) == 16
    fix = missing.fixes[0]
    history = tmp_path / "history.jsonl"
    rules = preset_of(good).captions
    deeds.add_to_captions(good, fix.files, fix.text, rules, history)
    assert (good / "03.txt").read_text(encoding="utf-8") == "zwx, a thing 3, place 3\n"
    assert "trigger missing" not in kinds(report(preset_of(good, **{"captions.trigger": "zwx"}), tmp_path / "cache"))
    captionfiles.undo(good, history)
    assert (good / "03.txt").read_text(encoding="utf-8") == "a thing 3, place 3\n"


def test_settings(tmp_path: Path) -> None:
    many, few = tmp_path / "many", tmp_path / "few"
    for folder, count in ((many, 12), (few, 3)):
        folder.mkdir()
        for index in range(count):
            size = (340, 340) if folder == many else [(560, 340), (340, 560), (340, 340)][index]
            picture(100 + index + count, size).save(folder / f"{index:02d}.png")
    changes = {
        "training.batch_size": 4,
        "captions.mode": "none",
        "training.length": "4000 steps",
        "dataset.resolution": 320,
    }
    found = report(preset_of(many, few, **changes), tmp_path / "cache")
    balance = only(found, "class imbalance")
    assert len(balance.images) == 3
    [(path, rows)] = balance.fixes[0].change
    assert path == "dataset.folders" and [row.repeats for row in rows][1] == 4
    lonely = only(found, "single-image buckets")
    assert set(lonely.images) == {few / "00.png", few / "01.png"}
    assert "class imbalance" not in kinds(
        report(preset_of(many, few, **changes, **dict(balance.fixes[0].change)), tmp_path / "cache")
    )


def test_too_few_images_offers_a_length(tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    for index in range(5):
        picture(index).save(folder / f"{index}.png")
    preset = preset_of(folder, **{"captions.mode": "none", "training.length": "2000 steps"})
    few = only(report(preset, tmp_path / "cache"), "too few images")
    assert few.fixes[0].change == (("training.length", "500 steps"),) and "400 times" in few.why
    after = with_values(preset, dict(few.fixes[0].change))
    assert only(report(after, tmp_path / "cache"), "too few images").fixes == ()


def test_leaks_into_the_held_out_folder(good: Path, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.mkdir()
    picture(5).resize((400, 400)).save(held / "seen.jpg", quality=80)
    picture(77).save(held / "new.png")
    preset = preset_of(good, **{"validation.folder": str(held), "captions.mode": "none"})
    leak = only(report(preset, tmp_path / "cache"), "train / validation leak")
    assert leak.severity == "serious" and set(names(leak)) == {"05.png", "seen.jpg"}
    assert [path.name for path in leak.fixes[0].files] == ["05.png"]


def test_too_small_offers_a_resolution_that_enlarges_none(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    for index in range(4):
        picture(index, (420, 420)).save(folder / f"{index}.png")
    preset = preset_of(folder, **{"dataset.resolution": 512, "captions.mode": "none"})
    small = only(report(preset, tmp_path / "cache"), "too small")
    changes = [fix.change for fix in small.fixes if fix.deed == "settings"]
    assert (("dataset.resolution", 384),) in changes and (("dataset.enlarge", False),) in changes
    for change in changes:
        assert "too small" not in kinds(report(with_values(preset, dict(change)), tmp_path / "cache"))


def test_set_aside_and_put_back(good: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in good.iterdir()}
    said = deeds.set_aside([good / "00.png", good / "07.png"], ".txt")
    assert said.startswith("2 images moved")
    assert sorted(path.name for path in (good / ASIDE).iterdir()) == ["00.png", "00.txt", "07.png", "07.txt"]
    found = scan([Folder(path=str(good))])
    assert len(found.images) == 14 and found.notes == ()
    (good / "07.png").write_bytes(b"another one came")
    assert "could not be moved" in deeds.put_back([good], ".txt")
    assert (good / "07.png").read_bytes() == b"another one came"
    (good / "07.png").unlink()
    deeds.put_back([good], ".txt")
    assert {path.name: path.read_bytes() for path in good.iterdir()} == before


def test_a_name_that_is_taken_aside_is_not_written_over(good: Path) -> None:
    first = (good / "00.png").read_bytes()
    deeds.set_aside([good / "00.png"], ".txt")
    picture(200).save(good / "00.png")
    deeds.set_aside([good / "00.png"], ".txt")
    assert (good / ASIDE / "00.png").read_bytes() == first and (good / ASIDE / "00 (2).png").is_file()


def test_a_caption_shared_by_two_pictures_stays(good: Path) -> None:
    picture(300).save(good / "00.jpg")
    deeds.set_aside([good / "00.png"], ".txt")
    assert (good / "00.txt").is_file() and (good / ASIDE / "00.png").is_file()


def test_removing_a_tag_keeps_the_rest(good: Path, tmp_path: Path) -> None:
    (good / "00.txt").write_text("a, Solo, b\nsolo, c\n", encoding="utf-8")
    deeds.remove_tag(good, [good / "00.txt", good / "01.txt"], "solo", preset_of(good).captions, tmp_path / "h")
    assert (good / "00.txt").read_text(encoding="utf-8") == "a, b\nc\n"
    assert (good / "01.txt").read_text(encoding="utf-8") == "a thing 1, place 1\n"


def test_tokens_are_counted_as_the_trainer_counts(tmp_path: Path) -> None:
    """Against transformers' own CLIPTokenizer, on the demo's vocabulary in both layouts."""
    import json

    from transformers import CLIPTokenizer

    demo = Path(__file__).parents[3] / "presets" / "demo" / "model"
    theirs = CLIPTokenizer.from_pretrained(str(demo / "tokenizer"))
    kept = json.loads((demo / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    pair = tmp_path / "model" / "tokenizer"
    pair.mkdir(parents=True)
    (pair / "vocab.json").write_text(json.dumps(kept["vocab"]), encoding="utf-8")
    merges = [" ".join(merge) if isinstance(merge, list) else merge for merge in kept["merges"]]
    (pair / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    ours, paired, atleast = counter(str(demo)), counter(str(pair.parent)), counter(str(tmp_path / "none.safetensors"))
    assert ours.exact and paired.exact and not atleast.exact
    for text in (
        "a red badge on a desk",
        "Ringbadge, it's 2 o'clock!!",
        "",
        "  spaces   and\ttabs ",
        "x" * 40,
        "1girl, (best:1.2)",
    ):
        wanted = len(theirs(text, add_special_tokens=False).input_ids)
        assert ours.count(text) == paired.count(text) == wanted
        assert atleast.count(text) <= wanted


def test_what_check_says_needs_no_pixels(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(16):
        (good / f"{index:02d}.txt").write_text(f"thing {index}, solo\n", encoding="utf-8")
    plan = make_plan(preset_of(good))
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("a picture was opened"))
    assert serious(plan) == ["The tag 'solo' is in 16 of 16 captions."]


def test_the_numbers_told_are_those_of_the_settings() -> None:
    from trainer.contract.settings import BY_PATH

    images, length = BY_PATH["dataset.folders"].help, BY_PATH["training.length"].help
    assert image_checks.SUBJECT in images and image_checks.STYLE in images
    assert image_checks.SUBJECT.startswith(str(image_checks.FEWEST)) and f"-{image_checks.MOST_LOOKS} suit" in length
