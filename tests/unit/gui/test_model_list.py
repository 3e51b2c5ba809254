"""The list of base models: each known by its header, read once, in the background."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gui import model_list
from gui.context import Context
from gui.model_list import Catalogue, Headers, Listing
from trainer.contract.families import Recognised, recognise
from trainer.contract.machine import ENVIRONMENT, Machine

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "presets" / "demo" / "model"
FLUX = "double_blocks.0.img_attn.norm.key_norm.scale"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "user" / "machine.toml"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "mine"
    shutil.copytree(DEMO, folder / "badges")
    save_file({FLUX: np.zeros(4, np.float32)}, folder / "other.safetensors")
    save_file({"lora_te_x.lora_down.weight": np.zeros((2, 2), np.float32)}, folder / "adapter.safetensors")
    (folder / "broken.safetensors").write_bytes(b"nothing of the kind")
    return Context(tmp_path, tmp_path / "runs", Machine(tmp_path / "runs", tmp_path / "cache", models=(folder,)), True)


def finished(catalogue: Catalogue) -> Listing:
    until = time.monotonic() + 20
    while (listing := catalogue.look()).busy and time.monotonic() < until:
        time.sleep(0.01)
    assert not listing.busy
    return listing


def counting() -> tuple[list[str], Callable[[str], Recognised]]:
    """What was read, and the real reader."""
    read: list[str] = []

    def reader(path: str) -> Recognised:
        read.append(Path(path).name)
        return recognise(path)

    return read, reader


def test_each_model_is_listed_with_what_it_is(context: Context) -> None:
    listing = finished(Catalogue(context))
    rows = {entry.name: (entry.place, entry.facts.standing, entry.facts.about) for entry in listing.entries}
    assert list(rows) == ["badges", "other.safetensors", "broken.safetensors"] and listing.others == 1
    assert rows["badges"] == ("mine", "trained", "SD 1.x, epsilon, 7.7 MB")
    assert rows["other.safetensors"][1:] == ("untrained", "Flux.1, flow, 128 bytes: not trained yet")
    assert rows["broken.safetensors"][1] == "faulty" and "does not start like" in rows["broken.safetensors"][2]


def test_the_first_answer_does_not_wait(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue, answered = Catalogue(context), threading.Event()
    catalogue._known._read = lambda path: (answered.wait(60), recognise(path))[1]
    assert catalogue.look().busy, "before any file is read"
    answered.set()
    assert len(finished(catalogue).entries) == 3


def test_folders_that_are_named_later_are_looked_at_at_once(context: Context, tmp_path: Path) -> None:
    catalogue = Catalogue(context)
    assert len(finished(catalogue).entries) == 3
    assert not catalogue.look().busy, "a listing that is young is not made again"
    shutil.copytree(DEMO, tmp_path / "more" / "second")
    machine = context.machine
    context.machine = Machine(machine.runs, machine.cache, models=(*machine.models, tmp_path / "more"))
    assert [entry.name for entry in finished(catalogue).entries][-1] == "second"


def test_headers_are_read_once_and_again_when_a_file_changes(tmp_path: Path) -> None:
    path, memory = tmp_path / "a.safetensors", tmp_path / "models.json"
    save_file({FLUX: np.zeros(4, np.float32)}, path)
    read, reader = counting()
    first = Headers(memory, reader)
    about = first.of(path)
    assert first.of(path) == about and read == ["a.safetensors"]
    first.keep()
    assert Headers(memory, reader).of(path) == about and len(read) == 1, "a later page knows it too"
    save_file({"lora_te_x.lora_down.weight": np.zeros((2, 2), np.float32)}, path)
    assert Headers(memory, reader).of(path).standing == "no model" and len(read) == 2
    facts = memory.read_text(encoding="utf-8")
    memory.write_text(facts.replace('"code": "', '"code": "x'), encoding="utf-8")
    save_file({FLUX: np.zeros(4, np.float32)}, path)
    os.utime(path, ns=(1, 1))
    Headers(memory, reader).of(path)
    assert len(read) == 3, "what older code said counts no longer"
    memory.write_text('{"code": 3, "files": [', encoding="utf-8")
    assert Headers(memory, reader).of(path).standing == "untrained"


def test_a_second_look_at_500_files_is_quick(tmp_path: Path, context: Context) -> None:
    """The goal is a second on an idle machine; asserted at three times that."""
    many = tmp_path / "many"
    many.mkdir()
    for number in range(500):
        save_file({FLUX: np.zeros(4, np.float32)}, many / f"{number}.safetensors")
    context.machine = Machine(context.runs, context.machine.cache, models=(many,))
    finished(Catalogue(context))
    begun = time.process_time()
    assert len(finished(Catalogue(context)).entries) == 500
    assert time.process_time() - begun < 3


def test_models_of_the_hub_cache_are_listed_by_their_id(context: Context, tmp_path: Path) -> None:
    repo = tmp_path / "hub" / "models--someone--badges"
    shutil.copytree(DEMO, repo / "snapshots" / "abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc", encoding="utf-8")
    (tmp_path / "hub" / "models--half--loaded" / "snapshots").mkdir(parents=True)
    entries = finished(Catalogue(context)).entries
    assert (entries[-1].path, entries[-1].facts.about) == ("someone/badges", "SD 1.x, epsilon, 7.7 MB")


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("", "quiet", ""),
        ("{mine}/badges", "good", "badges: SD 1.x, epsilon, 7.7 MB"),
        ("{mine}/other.safetensors", "bad", "not trained yet"),
        ("{mine}/adapter.safetensors", "bad", "adapter.safetensors is a LoRA or a similar adapter, not a base model"),
        ("{mine}/badgez", "bad", "did you mean badges?"),
        ("someone/never-loaded", "quiet", "downloads gigabytes, once"),
        ("\0", "bad", ""),
    ],
)
def test_what_stands_in_the_field_is_told(context: Context, path: str, kind: str, says: str) -> None:
    told = model_list.about(path.format(mine=context.machine.models[0]), context)
    assert told[0] == kind and says in told[1]


def test_the_browser_is_told_only_what_is_new(context: Context) -> None:
    model_list._CATALOGUES.clear()
    finished(model_list.catalogue(context))
    first = model_list.told(context, -1)
    assert [row["standing"] for row in first["models"]] == ["trained", "untrained", "faulty"] and first["folders"] == 1
    assert model_list.told(context, first["version"]) == {"same": True, "busy": False}
