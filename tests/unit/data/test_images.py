"""Whatever a file holds becomes upright 8-bit RGB; pictures are made here byte by byte, with known colours."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.data.images import to_tensor
from trainer.plan.pixels import BrokenImage, jitter, look, open_image, resize, rotate

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(width: int = 40, height: int = 24) -> Image.Image:
    """Red, green / blue, white."""
    values = np.zeros((height, width, 3), np.uint8)
    values[: height // 2, : width // 2] = RED
    values[: height // 2, width // 2 :] = GREEN
    values[height // 2 :, : width // 2] = BLUE
    values[height // 2 :, width // 2 :] = WHITE
    return Image.fromarray(values)


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """Colours at the corners (top left, top right, bottom left, bottom right), rounded to 0, 128 or 255."""
    right, bottom = image.width - 3, image.height - 3
    seen = [image.getpixel(at) for at in ((2, 2), (right, 2), (2, bottom), (right, bottom))]
    return [tuple(min((0, 128, 255), key=lambda level: abs(level - value)) for value in pixel) for pixel in seen]  # type: ignore


@pytest.mark.parametrize("ending", ["png", "jpg", "jpeg", "webp", "bmp", "avif", "heic"])
def test_formats(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"ä picture.{ending}"
    if ending == "heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
    quarters(64, 64).save(path, quality=95)
    opened = open_image(path)
    assert opened.mode == "RGB" and opened.size == (64, 64)
    assert corners(opened) == [RED, GREEN, BLUE, WHITE]


TURNED = {
    1: [RED, GREEN, BLUE, WHITE],
    2: [GREEN, RED, WHITE, BLUE],
    3: [WHITE, BLUE, GREEN, RED],
    4: [BLUE, WHITE, RED, GREEN],
    5: [RED, BLUE, GREEN, WHITE],
    6: [BLUE, RED, WHITE, GREEN],
    7: [WHITE, GREEN, BLUE, RED],
    8: [GREEN, WHITE, RED, BLUE],
}
"""EXIF orientation -> corners as seen, worked out by hand from the standard (6: turn clockwise by 90 degrees)."""


@pytest.mark.parametrize("orientation", TURNED)
def test_exif_rotation(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    quarters(48, 32).save(path, exif=exif, quality=95, subsampling=0)
    opened = open_image(path)
    assert opened.size == ((32, 48) if orientation >= 5 else (48, 32))
    assert corners(opened) == TURNED[orientation]


def saved(image: Image.Image, tmp_path: Path, name: str = "x.png", **options: object) -> Image.Image:
    image.save(tmp_path / name, **options)  # type: ignore[arg-type]
    return open_image(tmp_path / name)


def test_transparent_pixels_become_white_whatever_colour_lies_below(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    image.paste((200, 0, 0, 255), (0, 0, 4, 8))
    image.putpixel((7, 7), (0, 0, 0, 128))
    opened = saved(image, tmp_path)
    assert opened.getpixel((5, 0)) == WHITE
    assert opened.getpixel((0, 0)) == (200, 0, 0)
    assert all(abs(value - 127) <= 1 for value in opened.getpixel((7, 7)))  # type: ignore[union-attr]


def test_grey_with_alpha(tmp_path: Path) -> None:
    image = Image.new("LA", (4, 4), (90, 255))
    image.putpixel((1, 1), (0, 0))
    opened = saved(image, tmp_path)
    assert opened.getpixel((0, 0)) == (90, 90, 90) and opened.getpixel((1, 1)) == WHITE


def test_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *RED, *BLUE])
    image.putpixel((2, 2), 2)
    opened = saved(image, tmp_path, transparency=2)
    assert opened.getpixel((0, 0)) == RED and opened.getpixel((2, 2)) == WHITE


def test_palette_without_one(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 2)
    image.putpalette([0, 0, 0, *RED, *BLUE])
    assert saved(image, tmp_path).getpixel((0, 0)) == BLUE


def test_rgb_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 4), (1, 2, 3))
    image.putpixel((0, 0), RED)
    opened = saved(image, tmp_path, transparency=(1, 2, 3))
    assert opened.getpixel((0, 0)) == RED and opened.getpixel((1, 0)) == WHITE


def test_sixteen_bit_grey_is_scaled_not_cut(tmp_path: Path) -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    opened = saved(Image.fromarray(values), tmp_path)
    assert [opened.getpixel((x, 0)) for x in range(4)] == [(0,) * 3, (1,) * 3, (128,) * 3, (255,) * 3]


def test_one_bit_grey_and_cmyk(tmp_path: Path) -> None:
    assert saved(Image.new("1", (4, 4), 1), tmp_path).getpixel((0, 0)) == WHITE
    assert saved(Image.new("L", (4, 4), 77), tmp_path).getpixel((0, 0)) == (77,) * 3
    cmyk = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path, "x.jpg", quality=95)
    assert corners(cmyk) == [RED] * 4


@pytest.mark.parametrize("ending", ["png", "webp", "gif"])
def test_an_animation_gives_its_first_frame(ending: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    opened = saved(frames[0], tmp_path, f"x.{ending}", save_all=True, append_images=frames[1:])
    assert corners(opened) == [RED] * 4


def png(side: int = 64) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data", [b"", b"not a picture", png()[:1000], png()[:-100], png()[:40] + bytes(200) + png()[240:]]
)
def test_damaged_files_are_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "holiday.png"
    path.write_bytes(data)
    with pytest.raises(BrokenImage) as caught:
        open_image(path)
    assert caught.value.path == path and "holiday.png" in str(caught.value) and caught.value.why


def test_a_missing_file_is_broken_too(tmp_path: Path) -> None:
    with pytest.raises(BrokenImage, match="No such file"):
        open_image(tmp_path / "gone.png")


def test_shrinking_keeps_the_mean_and_does_not_alias() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    small = np.asarray(resize(Image.fromarray(stripes), (100, 100)), np.float64)
    assert abs(small.mean() - 127.5) < 2
    assert small[:, 5:-5].std() < 8


def test_a_look_is_cut_where_the_draw_says_then_mirrored() -> None:
    ramp = np.zeros((64, 128, 3), np.uint8)
    ramp[..., 0] = np.arange(128)
    ramp[..., 1] = np.arange(64)[:, None]
    part = np.asarray(look(Image.fromarray(ramp), (128, 64), (30, 10), (48, 32)))
    assert part.shape == (32, 48, 3)
    assert part[0, 0].tolist() == [30, 10, 0] and part[31, 47].tolist() == [77, 41, 0]
    mirrored = np.asarray(look(Image.fromarray(ramp), (128, 64), (30, 10), (48, 32), flip=True))
    assert (mirrored == part[:, ::-1]).all()


@pytest.mark.parametrize("degrees", [1.0, -7.5, 45.0])
@pytest.mark.parametrize("size", [(300, 200), (200, 300), (256, 256)])
def test_rotation_leaves_no_empty_corner_and_keeps_the_shape(degrees: float, size: tuple[int, int]) -> None:
    turned = rotate(Image.new("RGB", size, WHITE), degrees)
    assert np.asarray(turned).min() > 240
    assert turned.width / turned.height == pytest.approx(size[0] / size[1], rel=0.03)


def test_rotation_is_counter_clockwise_about_the_centre() -> None:
    image = Image.new("RGB", (201, 201))
    image.paste(WHITE, (150, 95, 170, 106))
    turned = np.asarray(rotate(image, 30.0), np.float64)[..., 0]
    ys, xs = np.nonzero(turned > 128)
    middle = turned.shape[0] / 2
    angle = np.degrees(np.arctan2(middle - ys.mean(), xs.mean() - middle))
    assert angle == pytest.approx(30, abs=2)


def test_jitter_factors() -> None:
    grey = Image.new("RGB", (4, 4), (100, 120, 140))
    assert jitter(grey, (1.0, 1.0, 1.0)).getpixel((0, 0)) == (100, 120, 140)
    assert jitter(grey, (1.1, 1.0, 1.0)).getpixel((0, 0)) == (110, 132, 154)
    faded = jitter(grey, (1.0, 1.0, 0.5)).getpixel((0, 0))
    assert isinstance(faded, tuple) and faded[2] - faded[0] == pytest.approx(20, abs=1)


def test_pixels_run_from_minus_one_to_one() -> None:
    image = Image.new("RGB", (3, 2), (0, 255, 51))
    values = to_tensor(image)
    assert values.shape == (3, 2, 3) and values.dtype == torch.float32
    assert values[:, 0, 0].tolist() == pytest.approx([-1.0, 1.0, -0.6])
