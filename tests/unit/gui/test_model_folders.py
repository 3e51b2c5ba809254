"""Folders of models are told apart by what lies in them; adapters get into them whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gui import adapters, models
from gui.adapters import Taken, copy_to, free_name
from gui.context import Context
from gui.tabs import copy_adapter
from trainer.contract.machine import Machine
from trainer.contract.problems import Problems


def tree(root: Path, *names: str) -> Path:
    """Files and, where a name ends in a slash, folders."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    return root


def comfy(root: Path) -> Path:
    return tree(
        root, "comfy/", "main.py", "models/loras/", "models/checkpoints/a.safetensors", "models/vae/v.safetensors",
        "models/checkpoints/deep/b.ckpt", "models/checkpoints/put_checkpoints_here",
        "models/diffusers/folder/model_index.json",
    )  # fmt: skip


def webui(root: Path, *more: str) -> Path:
    return tree(
        root, "webui.py", "modules/", "models/Lora/", "models/Stable-diffusion/c.safetensors",
        "models/Stable-diffusion/notes.txt", "models/VAE/v.safetensors", *more,
    )  # fmt: skip


def machine(tmp_path: Path, *folders: Path) -> Machine:
    return Machine(runs=tmp_path / "runs", cache=tmp_path / "cache", models=folders)


def names(place: models.Place) -> list[str]:
    return [path.name for path in models.find_checkpoints(place).paths]


def test_comfyui(tmp_path: Path) -> None:
    for named in (comfy(tmp_path / "ComfyUI"), tmp_path / "portable"):
        comfy(tmp_path / "portable" / "ComfyUI")
        place = models.recognise_folder(named)
        assert (place.kind, place.folder) == ("ComfyUI", named)
        assert names(place) == ["a.safetensors", "b.ckpt", "folder"]
        assert [path.parts[-2:] for path in place.loras] == [("models", "loras")]


def test_folders_that_comfyui_adds(tmp_path: Path) -> None:
    root, other = comfy(tmp_path / "ComfyUI"), webui(tmp_path / "webui", "models/LyCORIS/")
    tree(tmp_path / "third", "d.safetensors")
    text = f"""# a comment
a111:
    base_path: {other}/
    checkpoints: models/Stable-diffusion
    loras: |
        models/Lora
        models/LyCORIS
more:
    checkpoints: ../third/
    is_default: true
missing:
    base_path: /nowhere/at/all
    checkpoints: models
odd: 3
"""
    (root / "extra_model_paths.yaml").write_text(text, encoding="utf-8")
    place = models.recognise_folder(root)
    assert names(place) == ["a.safetensors", "b.ckpt", "folder", "c.safetensors", "d.safetensors"]
    assert [path.name for path in place.loras] == ["loras", "Lora", "LyCORIS"] and place.notes == ()
    (root / "extra_model_paths.yaml").write_text("a: [", encoding="utf-8")
    broken = models.recognise_folder(root)
    assert names(broken) == ["a.safetensors", "b.ckpt", "folder"]
    assert "extra_model_paths.yaml is not readable" in broken.notes[0]


def test_a1111_and_forge(tmp_path: Path) -> None:
    plain, forge = webui(tmp_path / "sd"), webui(tmp_path / "forge", "modules_forge/")
    bare = tree(tmp_path / "shared", "models/Stable-diffusion/e.safetensors")
    kinds = [models.recognise_folder(folder).kind for folder in (plain, forge, bare)]
    assert kinds == ["A1111", "Forge", "A1111"]
    assert names(models.recognise_folder(forge)) == ["c.safetensors"]


def test_a_plain_folder_is_looked_through_within_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "/".join("abcdefgh")
    root = tree(
        tmp_path / "models", "z.safetensors", "Upper.CKPT", "b/y.ckpt", ".hidden/no.safetensors", "._z.safetensors",
        "b/diffusers/unet/config.json", "b/diffusers/unet/weights.safetensors", f"{deep}/too-deep.safetensors", "x.pt",
    )  # fmt: skip
    place = models.recognise_folder(root)
    found = models.find_checkpoints(place)
    assert place.kind == models.PLAIN and place.loras == ()
    assert [path.name for path in found.paths] == ["Upper.CKPT", "z.safetensors", "y.ckpt", "diffusers"] and found.cut
    monkeypatch.setattr(models, "MOST_FILES", 2)
    assert len(models.find_checkpoints(place).paths) == 2


@pytest.mark.skipif(os.name == "nt", reason="making links needs rights on Windows")
def test_links_in_a_circle_end(tmp_path: Path) -> None:
    root = tree(tmp_path / "models", "sub/a.safetensors")
    (root / "sub" / "round").symlink_to(root)
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "b.ckpt").write_bytes(b"x")
    (root / "far").symlink_to(tmp_path / "far")
    assert sorted(names(models.recognise_folder(root))) == ["a.safetensors", "b.ckpt"]


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    place = models.recognise_folder(tmp_path / "gone")
    assert place.notes == ("there is no such folder",) and names(place) == []


def test_likely_installations_are_suggested(tmp_path: Path) -> None:
    comfy(tmp_path / "ComfyUI")
    webui(tmp_path / "sd.webui" / "webui")
    tree(tmp_path / "stable-diffusion-webui", "only a name")
    comfy(tmp_path / "projects" / "ComfyUI")
    found = models.suggestions(machine(tmp_path), [tmp_path, tmp_path / "nowhere"])
    assert [(place.kind, place.folder.relative_to(tmp_path).as_posix()) for place in found] == [
        ("ComfyUI", "ComfyUI"),
        ("A1111", "sd.webui/webui"),
    ]
    known = machine(tmp_path, tmp_path / "ComfyUI")
    assert [place.kind for place in models.suggestions(known, [tmp_path])] == ["A1111"]


def test_where_adapters_go(tmp_path: Path) -> None:
    one, two, forge = comfy(tmp_path / "one"), comfy(tmp_path / "two"), webui(tmp_path / "forge", "modules_forge/")
    plain = tree(tmp_path / "plain", "a.safetensors")
    found = models.lora_folders(machine(tmp_path, plain, one, two, forge))
    assert [target.title for target in found] == [f"ComfyUI in {one}", f"ComfyUI in {two}", "Forge"]
    assert [target.folder for target in found] == [one / "models/loras", two / "models/loras", forge / "models/Lora"]


def adapter(path: Path, value: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"lora_te_x.lora_down.weight": np.full((2, 2), value, np.float32)}, path)
    return path


def test_an_adapter_is_copied_whole_and_replaces_nothing_unasked(tmp_path: Path) -> None:
    first, other = adapter(tmp_path / "run" / "badge.safetensors"), adapter(tmp_path / "b" / "badge.safetensors", 2.0)
    folder = comfy(tmp_path / "ComfyUI") / "models" / "loras"
    there = copy_to(first, folder)
    assert there == folder / "badge.safetensors" and there.read_bytes() == first.read_bytes()
    assert copy_to(first, folder) == there, "the same file again is no conflict"
    with pytest.raises(Taken):
        copy_to(other, folder)
    assert there.read_bytes() == first.read_bytes()
    both = copy_to(other, folder, free_name(other, folder))
    assert both.name == "badge-2.safetensors" and there.read_bytes() == first.read_bytes()
    assert copy_to(other, folder, replace=True).read_bytes() == other.read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["badge-2.safetensors", "badge.safetensors"]


def test_what_cannot_be_copied_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tree(tmp_path, "loras/") / "loras"
    cut = adapter(tmp_path / "cut.safetensors")
    cut.write_bytes(cut.read_bytes()[:-1])
    with pytest.raises(Problems, match="cut short"):
        copy_to(cut, folder)
    with pytest.raises(Problems, match="no folder"):
        copy_to(adapter(tmp_path / "a.safetensors"), tmp_path / "not" / "there")
    with monkeypatch.context() as patch:
        patch.setattr(adapters.shutil, "copyfile", _full)
        with pytest.raises(Problems, match="cannot be written"):
            copy_to(adapter(tmp_path / "a.safetensors"), folder)
    assert list(folder.iterdir()) == []


def _full(source: Path, target: Path) -> None:
    Path(target).write_bytes(b"half")
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("stem", "name"),
    [("badge-step00000500", "badge-step00000500"), ("a b (2)", "a b (2)"), ("con", "_con"), ('x:y?"', "x-y-"),
     ("...", "adapter"), ("徽章", "徽章"), ("n" * 300 + "-000010", "n" * 60 + "-" + "n" * 52 + "-000010")],
)  # fmt: skip
def test_names_fit_every_file_system(stem: str, name: str) -> None:
    assert adapters.file_name(stem) == name


def test_buttons_copy_only_where_the_machine_file_says(tmp_path: Path) -> None:
    root = comfy(tmp_path / "<b>ComfyUI")
    context = Context(tmp_path, tmp_path / "runs", machine(tmp_path, root))
    own, foreign = adapter(tmp_path / "runs" / "r" / "badge.safetensors"), adapter(tmp_path / "x" / "other.safetensors")
    drawn = copy_adapter.buttons(str(own), context)
    assert "ComfyUI" in drawn and "<b>" not in drawn and copy_adapter.buttons("", context) == ""
    to = str(root / "models" / "loras")
    assert "cannot be copied" in copy_adapter.copied(str(own), str(tmp_path), "", context)
    assert "cannot be copied" in copy_adapter.copied(str(foreign), to, "", context)
    assert "Copied" in copy_adapter.copied(str(own), to, "", context)
    adapter(own, 3.0)
    assert "Replace it" in copy_adapter.copied(str(own), to, "", context)
    assert "badge-2.safetensors" in copy_adapter.copied(str(own), to, "both", context)
    assert "Copied" in copy_adapter.copied(str(own), to, "replace", context)
    bare = Context(tmp_path, tmp_path / "runs", machine(tmp_path))
    assert "Open the Computer tab" in copy_adapter.buttons(str(own), bare)
