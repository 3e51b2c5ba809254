"""The preview shows what the trainer takes: the same draws, and the very pixels, look by look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gui.context import Context
from gui.studio.desk import Asked, Desk
from gui.studio.preview import Looks
from gui.studio.thumbnails import Thumbnails
from trainer.contract.families import default_family
from trainer.contract.machine import Machine
from trainer.contract.preset import resolve, with_values
from trainer.contract.problems import Problems
from trainer.contract.settings import Folder, Preset
from trainer.data.images import to_tensor
from trainer.data.masks import LiveMasks, Weighing
from trainer.plan.pixels import open_image, seen
from trainer.plan.plan import make_plan

SHAKEN = {
    "dataset.resolution": 64,
    "dataset.bucket_min": 64,
    "dataset.crop": "random",
    "dataset.flip": True,
    "dataset.rotate": 5.0,
    "dataset.jitter": 0.2,
    "captions.shuffle": True,
    "captions.tag_dropout": 0.3,
    "captions.dropout": 0.2,
    "training.length": "11 steps",
    "training.batch_size": 2,
    "validation.split": "1 image",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "3_set"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number, (width, height) in enumerate([(90, 70), (64, 100), (80, 80), (200, 90)]):
        pixels = noise.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("one, two, three, four, five", encoding="utf-8")
    return folder


def preset_of(folder: Path, **values: object) -> Preset:
    given = with_values(Preset(), {**SHAKEN, "dataset.folders": [Folder(path=str(folder))], **values})
    return resolve(given, default_family())


def test_every_look_of_the_run_is_shown_as_the_loader_makes_it(folder: Path, tmp_path: Path) -> None:
    preset = preset_of(folder)
    plan, looks = make_plan(preset), Looks(tmp_path / "cache")
    trained: dict[tuple[int, int], list[tuple[int, object]]] = {}
    for step in range(1, plan.steps.total + 1):
        for draw in (draw for batch in plan.step_draws(step) for draw in batch):
            trained.setdefault((draw.image, draw.epoch), []).append((step, draw))
    compared = 0
    for image in plan.train:
        rows = [
            row
            for (shown, _), drawn in sorted(trained.items())
            if shown == image
            for row in sorted(drawn, key=lambda row: row[1].repeat)
        ]
        for number, (step, draw) in enumerate(rows, 1):
            told = looks.look(preset, folder, plan.images[image].path, number, 0.0)
            assert (told.draw, told.step, told.of) == (draw, step, len(rows))
            expected = to_tensor(seen(open_image(plan.images[image].path), draw))
            assert to_tensor(told.picture).equal(expected)
            compared += 1
    assert compared == sum(map(len, trained.values())) > 15
    [held] = plan.held_out
    told = looks.look(preset, folder, plan.images[held].path, 5, 0.0)
    assert told.step == 0 and told.draw == plan.fixed_draws([held])[0] and told.own


def test_the_mask_over_the_preview_is_the_one_that_trains(folder: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    half = Image.new("L", (90, 70), 0)
    half.paste(255, (0, 0, 45, 70))
    half.save(masks / "0.png")
    rows = [{"path": str(folder), "mask": str(masks), "regularisation": False}]
    values = {"dataset.folders": rows, "dataset.masks": "folders", "dataset.mask_outside": 0.25, "dataset.jitter": 0}
    preset = preset_of(folder, **values, **{"validation.split": "off", "dataset.rotate": 3.0})
    plan, looks = make_plan(preset), Looks(tmp_path / "cache")
    weights = LiveMasks(plan.images, Weighing(8, 0.25))
    for number in range(1, 5):
        told = looks.look(preset, folder, folder / "0.png", number, 0.0)
        taken = weights.take([told.draw])
        assert taken is not None and told.masked is not None and told.masks
        assert told.counts == pytest.approx(float(taken.mean()), abs=1e-4) and 0.25 < told.counts < 1
        counts = np.kron(taken[0, 0].numpy(), np.ones((8, 8)))
        picture, masked = (np.asarray(each, dtype=np.float32) for each in (told.picture, told.masked))
        assert np.array_equal(picture[counts == 1], masked[counts == 1])
        assert np.abs(picture - masked)[counts < 0.3].mean() > 20
        whole = looks.look(preset, folder, folder / "1.png", number, 0.0)
        assert whole.masks and whole.masked is None and whole.counts == 1
    hidden = Looks(tmp_path / "cache", lambda path: path.parent != masks)
    assert hidden.look(preset, folder, folder / "0.png", 1, 0.0).masked is None


def test_a_folder_outside_of_the_form_is_shown_with_its_settings(folder: Path, tmp_path: Path) -> None:
    preset = preset_of(folder).model_copy()
    preset = preset.model_copy(update={"dataset": preset.dataset.model_copy(update={"folders": []})})
    told = Looks(tmp_path / "cache").look(preset, folder, folder / "0.png", 1, 0.0)
    assert not told.own and told.picture.size == tuple(told.draw.bucket)


def desk_of(tmp_path: Path, local: bool) -> Desk:
    machine = Machine(tmp_path / "runs", tmp_path / "cache", datasets=tmp_path / "datasets")
    return Desk(Context(tmp_path / "checkout", tmp_path / "runs", machine, local))


def test_a_page_open_to_others_looks_only_into_its_roots(folder: Path, tmp_path: Path) -> None:
    preset = preset_of(folder)
    assert desk_of(tmp_path, True).listing(Asked({}, preset, str(folder)))["total"] == 4
    desk = desk_of(tmp_path, False)
    for name in (str(folder), f"{tmp_path}/datasets/../3_set", "/", "\0"):
        with pytest.raises(Problems):
            desk.listing(Asked({}, preset, name))
    own = tmp_path / "datasets" / "own"
    own.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(own / "mine.png")
    (own / "theirs.png").symlink_to(folder / "0.png")
    told = desk.listing(Asked({}, preset, str(own)))
    assert [image["name"] for image in told["images"]] == ["mine.png"]


def test_images_are_looked_up_never_joined(folder: Path, tmp_path: Path) -> None:
    desk, preset = desk_of(tmp_path, True), preset_of(folder)
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    for name in ("../secret.png", "/etc/passwd", str(folder / "0.png"), ""):
        asked = Asked({"name": name, "caption": "x", "before": None}, preset, str(folder))
        for deed in (desk.save, desk.look, desk.whole, desk.original):
            with pytest.raises(Problems, match="not in the folder"):
                deed(asked)
    assert desk.pictures(Asked({"names": ["../secret.png"]}, preset, str(folder))) == {"pictures": {}}


def test_a_caption_changed_elsewhere_is_not_overwritten(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORATORY_MACHINE", str(tmp_path / "user" / "machine.toml"))
    desk, preset = desk_of(tmp_path, True), preset_of(folder)
    first = {"name": "0.png", "caption": "new", "before": "one, two, three, four, five"}
    assert desk.save(Asked(first, preset, str(folder)))["changed"]
    with pytest.raises(Problems, match="changed meanwhile"):
        desk.save(Asked({**first, "caption": "late"}, preset, str(folder)))
    assert (folder / "0.txt").read_text(encoding="utf-8") == "new"
    told = desk.original(Asked({"name": "0.png"}, preset, str(folder)))
    assert told["original"] == "one, two, three, four, five"


def test_thumbnails_are_made_once_and_anew_for_a_changed_file(folder: Path, tmp_path: Path) -> None:
    desk = desk_of(tmp_path, True)
    thumbnails = Thumbnails(tmp_path / "cache")
    rows = list(desk.opened(Asked({}, preset_of(folder), str(folder))).rows.values())
    thumbnails.make([row.image for row in rows], 20)
    paths = [thumbnails.ready(row.image) for row in rows]
    assert all(paths) and {path.suffix for path in paths if path} == {".jpg"}
    (folder / "0.png").write_bytes(b"damaged since")
    changed = rows[0].image.__class__(
        *(getattr(rows[0].image, name) if name != "bytes" else 1 for name in rows[0].image.__slots__)
    )
    thumbnails.make([changed], 20)
    assert thumbnails.ready(changed) is None and thumbnails.broken(changed)
