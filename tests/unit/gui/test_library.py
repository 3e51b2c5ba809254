"""Presets on disk: what the page lists, where it writes, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from gui import library, preset_html, text
from gui.context import Context
from gui.form.session import resolved
from trainer.contract.machine import ENVIRONMENT, Machine
from trainer.contract.preset import load, with_values
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Preset

HOSTILE = "<img src=x onerror=alert(1)>\"'"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    root = tmp_path / "checkout"
    (root / "presets").mkdir(parents=True)
    monkeypatch.setenv(ENVIRONMENT, str(root / "presets" / "user" / "machine.toml"))
    return Context(root, tmp_path / "runs", Machine(tmp_path / "runs", tmp_path / "cache"))


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "..\\x", "a/b", "CON", HOSTILE, "ü 12 GB", "x" * 300])
def test_every_name_stays_in_the_users_folder(context: Context, name: str) -> None:
    path = library.own_file(context, name)
    assert path.parent == context.root / "presets" / "user" and path.suffix == ".toml"
    library.save(path, resolved(Preset(), context.root))
    assert [entry.path for entry in library.entries(context)] == [path]


@pytest.mark.parametrize("name", ["", "  ", "machine", "Machine"])
def test_some_names_are_refused(context: Context, name: str) -> None:
    with pytest.raises(Problems):
        library.own_file(context, name)


def test_the_machine_file_is_no_preset(context: Context) -> None:
    user = context.root / "presets" / "user"
    user.mkdir()
    (user / "machine.toml").write_text('runs = "elsewhere"\n', encoding="utf-8")
    (user / "mine.toml").write_text('[about]\ntitle = "Mine"\n', encoding="utf-8")
    (context.root / "presets" / "broken.toml").write_text("rank = [", encoding="utf-8")
    found = {entry.key: entry for entry in library.entries(context)}
    assert set(found) == {"shipped/broken", "own/mine"}
    assert found["own/mine"].title == "Mine" and found["shipped/broken"].faults


@pytest.mark.parametrize("key", ["own/../../secret", "shipped/../x", "", "own/machine", "/etc/passwd"])
def test_only_listed_presets_are_found(context: Context, key: str) -> None:
    (context.root / "x.toml").write_text("", encoding="utf-8")
    assert library.find(context, key) is None


def test_saving_again_keeps_the_users_comments(context: Context) -> None:
    path = library.own_file(context, "mine")
    library.save(path, resolved(Preset(), context.root))
    path.write_text(path.read_text(encoding="utf-8").replace("rank = 16", "rank = 16  # mine"), encoding="utf-8")
    library.save(path, resolved(Preset(), context.root))
    assert "rank = 16  # mine" in path.read_text(encoding="utf-8")
    assert load(path) == resolved(Preset(), context.root)


def test_dropped_presets_are_read_or_refused(context: Context) -> None:
    read = library.read_dropped("good.toml", "toml", "\ufeff[network]\r\nrank = 4\r\n", context)
    assert read.preset.network.rank == 4
    for kind, written in (("toml", "#" * (library.LARGEST_BYTES + 1)), ("metadata", "[1]"), ("metadata", "{")):
        with pytest.raises(Problems, match="odd"):
            library.read_dropped("odd", kind, written, context)
    with pytest.raises(Problems, match="how it was trained"):
        library.read_dropped("odd.safetensors", "metadata", "{}", context)


def test_a_dropped_presets_relative_paths_lead_to_what_ships_and_nowhere_else(context: Context) -> None:
    (context.root / "presets" / "demo" / "model").mkdir(parents=True)
    (context.root / "secret").mkdir()
    written = (
        '[model]\npath = "demo/model"\nvae = "../secret"\n[[dataset.folders]]\npath = "mine"\nmask = "demo/model"\n'
    )
    preset = library.read_dropped("x.toml", "toml", written, context).preset
    assert preset.model.path == str((context.root / "presets" / "demo" / "model").resolve())
    assert (preset.model.vae, preset.dataset.folders[0].path) == ("../secret", "mine")
    assert preset.dataset.folders[0].mask == preset.model.path


def test_what_a_preset_would_do_and_what_sharing_takes_out_is_told(context: Context) -> None:
    changes = {
        "logging.wandb": True,
        "saving.publish": True,
        "model.path": "/nowhere/a b.safetensors",
        "dataset.folders": [{"path": "/nowhere/secret name", "repeats": 2}],
    }
    preset = with_values(Preset(), changes)
    told = " ".join(library.warnings(preset))
    assert all(word in told for word in ("Weights & Biases", "trigger word", "a b.safetensors", "secret name"))
    assert library.warnings(Preset()) == []
    hidden = with_values(preset, {"saving.publish": False})
    gone = library.stripped(resolved(hidden, context.root))
    assert any("/nowhere/a b.safetensors became a b.safetensors" in line for line in gone)
    assert any("secret name became images 1" in line for line in gone)


def test_own_presets_go_to_the_trash_and_shipped_ones_stay(context: Context) -> None:
    for _ in range(2):
        library.save(library.own_file(context, "mine"), resolved(Preset(), context.root))
        place = library.delete(context, "own/mine")
        assert place.is_file() and library.find(context, "own/mine") is None
    assert len(list(place.parent.iterdir())) == 2
    (context.root / "presets" / "x.toml").write_text("", encoding="utf-8")
    for key in ("shipped/x", "own/none", "own/../x"):
        with pytest.raises(Problems):
            library.delete(context, key)
    assert (context.root / "presets" / "x.toml").is_file()


def test_differences_name_what_is_not_at_its_default() -> None:
    preset = load(Path(__file__).resolve().parents[3] / "presets" / "demo.toml")
    found = {path: (value, default) for path, value, default in library.differences(preset)}
    assert found["network.conv_rank"] == ("16", "0") and "schedule.name" not in found
    assert library.differences(Preset()) == []


def test_nothing_from_outside_is_markup() -> None:
    pieces = [
        text.paragraph(HOSTILE),
        text.lines([HOSTILE]),
        text.problem_list([Problem(HOSTILE, HOSTILE, HOSTILE)], HOSTILE),
        text.command(HOSTILE),
    ]
    for piece in pieces:
        assert "<img" not in piece and "&lt;img" in piece


def test_a_problem_leads_to_its_field_where_there_is_one() -> None:
    paths = ("network.rank", "dataset.folders.repeats", "netwrok", "dataset.folders.repeat")
    told = text.problem_list([Problem(path, "no") for path in paths])
    assert told.count("data-jump") == 2 and "f-network-rank" in told and "f-dataset-folders" in told
    assert "<strong>netwrok</strong>" in told and "<strong>dataset.folders.repeat</strong>" in told


def test_shipped_presets_can_be_narrowed_by_model_use_and_memory(context: Context) -> None:
    root = Path(__file__).resolve().parents[3]
    found = library.entries(Context(root, context.runs, context.machine))
    shipped = {entry.path.stem: entry for entry in found if entry.key.startswith("shipped/")}
    entry = shipped["noobai-vpred-character-8gb"]
    assert (entry.base, entry.what, entry.memory_gb) == ("NoobAI v-pred", "character", 8)
    assert all(each.base and ((each.what and each.memory_gb) or name == "demo") for name, each in shipped.items())
    names = list(shipped)
    assert names.index("sdxl-character-8gb") < names.index("sdxl-character-12gb") < names.index("sdxl-character-24gb")
    drawn = preset_html.shelf(Context(root, context.runs, context.machine))
    assert 'data-chip="memory" data-value="12">12 GB<' in drawn and 'data-base="SDXL" data-what="style"' in drawn
