"""What is uploaded: hostile names and ZIPs keep nothing outside of the folder and replace nothing in it."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from gui.studio import incoming
from gui.studio.incoming import Arrived, Refused, folder_name, keep_file, place_for, unpack


def png(colour: str = "red") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    "name",
    ["../a.png", "x/../../a.png", "/etc/a.png", "C:\\a.png", "C:a.png", "\\\\server\\a.png", "a\0.png", "..\\a.png",
     "a.exe", "a.png.exe", "a", "", "x/.a.png", "__MACOSX/a.png", ".."],
)  # fmt: skip
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(Refused):
        place_for(name)


@pytest.mark.parametrize(
    ("name", "place"),
    [("a.png", "a.png"), ("set/a.PNG", "a.PNG"), ("set/10_cat/a.png", "10_cat/a.png"),
     ("10_cat\\b.txt", "10_cat/b.txt"),
     ("con.png", "my con.png"), ("a<b>?.jpg", "a b .jpg"), ("猫.webp", "猫.webp"), ("./a.heic", "a.heic")],
)  # fmt: skip
def test_names_that_are_kept(name: str, place: str) -> None:
    assert place_for(name) == place


@pytest.mark.parametrize("text", ["../x", "a/b", "C:\\x", "...", " x. ", "con", "nul.txt", "a\0b"])
def test_a_folder_name_is_one_plain_name(text: str) -> None:
    name = folder_name(text)
    assert not set(name) & set('/\\:*?"<>|\0') and name == name.strip(" .") and name != ".."
    assert name.lower() not in ("con", "nul.txt")


def keep(folder: Path, sent: str, data: bytes) -> Arrived:
    file, arrived = folder.parent / "upload", Arrived()
    file.write_bytes(data)
    keep_file(sent, file, folder, arrived)
    return arrived


def test_files_are_kept_or_refused_by_name_and_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    assert keep(folder, "a.png", png()).kept == ["a.png"]
    again = keep(folder, "A.PNG", png("blue"))
    assert not again.kept and "already" in again.refused["A.PNG"]
    assert (folder / "a.png").read_bytes() == png()
    assert "decoded" in keep(folder, "cut.png", png()[:-40]).refused["cut.png"]
    assert "UTF-8" in keep(folder, "a.txt", b"\xff\xfe").refused["a.txt"]
    assert "empty" in keep(folder, "b.png", b"").refused["b.png"]
    assert keep(folder, "a.txt", b"cat, red").kept == ["a.txt"]
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "a.txt"]


def zipped(path: Path, parts: dict[str, bytes], link: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
        if link:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            file.writestr(entry, "/etc/passwd")
    return path


def test_a_hostile_zip_keeps_only_what_is_good(tmp_path: Path) -> None:
    parts = {
        "set/a.png": png(),
        "../evil.png": png(),
        "/abs.png": png(),
        "run.py": b"1",
        "broken.jpg": b"\xff\xd8",
        "5_b/b.png": png(),
    }
    archive, folder, arrived = zipped(tmp_path / "x.zip", parts, "link.png"), tmp_path / "in" / "set", Arrived()
    for start in range(0, 7, 3):
        unpack(archive, folder, start, 3, arrived)
    assert sorted(arrived.kept) == ["5_b/b.png", "a.png"] and arrived.done == arrived.parts == 7
    assert set(arrived.refused) == {"../evil.png", "/abs.png", "run.py", "broken.jpg", "link.png"}
    assert "link" in arrived.refused["link.png"]
    files = sorted(str(path.relative_to(tmp_path / "in")) for path in (tmp_path / "in").rglob("*") if path.is_file())
    assert files == ["set/5_b/b.png", "set/a.png"] and not (tmp_path / "evil.png").exists()


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the ZIP says, and by what comes out of it where it says too little."""
    archive = zipped(tmp_path / "x.zip", {"a.txt": b"0" * 3_000_000, "b.png": png()})
    arrived = Arrived()
    unpack(archive, tmp_path / "set", 0, 9, arrived)
    assert arrived.kept == ["b.png"] and "larger" in arrived.refused["a.txt"]
    for limit, value, why in (
        ("MOST_PARTS", 1, "files"),
        ("MOST_ZIP_BYTES", 1_000_000, "GB"),
        ("_SPARE_BYTES", 10**18, "free"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(incoming, limit, value)
            with pytest.raises(Refused, match=why):
                unpack(archive, tmp_path / "other", 0, 9, Arrived())
    lying = archive.read_bytes().replace((3_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    (tmp_path / "lying.zip").write_bytes(lying)
    arrived = Arrived()
    unpack(tmp_path / "lying.zip", tmp_path / "third", 0, 9, arrived)
    assert arrived.kept == ["b.png"] and "a.txt" in arrived.refused


def test_what_is_no_zip_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK no zip")
    with pytest.raises(Refused, match="no ZIP"):
        unpack(tmp_path / "x.zip", tmp_path / "set", 0, 9, Arrived())
