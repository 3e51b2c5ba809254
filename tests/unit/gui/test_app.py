"""The page as built: every setting once, no host but its own, one clear sentence where it cannot be opened."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gui import app, device, theme
from gui.context import Context
from gui.form import layout
from gui.security import PASSWORD_VARIABLE
from trainer import commandline
from trainer.contract.machine import ENVIRONMENT, Machine
from trainer.contract.settings import BY_PATH, ITEMS

ROOT = Path(__file__).resolve().parents[3]
BASIC = [
    "model.path",
    "dataset.folders",
    "captions.trigger",
    "saving.name",
    "dataset.resolution",
    "captions.mode",
    "captions.shuffle",
    "training.length",
    "training.batch_size",
    "optimizer.name",
    "optimizer.learning_rate",
    "schedule.name",
    "schedule.warmup",
    "network.rank",
    "network.alpha",
    "precision.compute",
    "validation.stop",
    "sampling.prompts",
]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield int(holder.getsockname()[1])


def test_every_setting_stands_in_one_group() -> None:
    placed = [path for group in layout.groups() for path in group.paths]
    assert sorted(placed) == sorted(BY_PATH)


def test_the_basic_tier_is_eighteen_fields_in_their_order() -> None:
    basic = [path for group in layout.groups() if not group.further for path in group.paths]
    assert basic == BASIC == [path for path in basic if BY_PATH[path].setting.tier == "basic"]
    assert sum(item.setting.tier == "basic" for item in ITEMS) == 18


def test_the_page_is_built_with_every_field_and_no_public_endpoint(tmp_path: Path) -> None:
    page = app.build(Context(ROOT, tmp_path, Machine(tmp_path, tmp_path)))
    config = page.get_config_file()
    ids = {part["props"].get("elem_id") for part in config["components"]}
    assert {layout.field_id(item.path) for item in ITEMS} <= ids
    assert all(part["api_visibility"] == "private" for part in config["dependencies"])


def test_an_answer_goes_through_no_components_to_tell_of_a_hidden_progress(tmp_path: Path) -> None:
    config = app.build(Context(ROOT, tmp_path, Machine(tmp_path, tmp_path))).get_config_file()
    assert config["connect_heartbeat"] is False
    shown = [part for part in config["dependencies"] if part["show_progress_on"] != []]
    assert all(part["show_progress"] == "full" and len(part["outputs"]) <= 10 for part in shown), "the form in none"


def test_fields_have_no_bounds_that_gradio_would_answer_with_a_toast(tmp_path: Path) -> None:
    page = app.build(Context(ROOT, tmp_path, Machine(tmp_path, tmp_path)))
    numbers = [part["props"] for part in page.get_config_file()["components"] if part["type"] == "number"]
    assert numbers and all(props.get("minimum") is None and props.get("maximum") is None for props in numbers)


def test_the_look_asks_no_other_host() -> None:
    for piece in (theme.css(), theme.head(), theme.make_theme()._get_theme_css()):
        assert "https://" not in piece and "@import" not in piece
    assert theme.make_theme()._stylesheets == []


def test_help_texts_cannot_end_the_script() -> None:
    assert "</" not in theme.head().removesuffix("</script>").partition("<script>")[2]


def test_a_taken_port_is_one_clear_error(taken_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(commandline.parse(["--no-browser", "--port", str(taken_port)])) == 2
    assert capsys.readouterr().err == f"Port {taken_port} is taken: choose another with --port, or leave --port out.\n"


def test_the_next_free_port_is_taken_where_none_is_asked_for(monkeypatch: pytest.MonkeyPatch, taken_port: int) -> None:
    monkeypatch.setattr(app, "FIRST_PORT", taken_port)
    monkeypatch.setattr(app, "LAST_PORT", taken_port)
    assert app.free_port("127.0.0.1", None) is None
    monkeypatch.setattr(app, "LAST_PORT", taken_port + 20)
    assert taken_port < app.free_port("127.0.0.1", None) <= taken_port + 20


def test_a_machine_file_or_password_that_does_not_fit_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "short")
    assert app.main(commandline.parse(["--no-browser"])) == 2
    assert PASSWORD_VARIABLE in capsys.readouterr().err
    machine = tmp_path / "machine.toml"
    machine.write_text("runz = 1\n", encoding="utf-8")
    monkeypatch.setenv(ENVIRONMENT, str(machine))
    assert app.main(commandline.parse(["--no-browser"])) == 2
    assert "runz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:7860/"), ("0.0.0.0", "http://127.0.0.1:7860/"), ("::1", "http://[::1]:7860/")],
)
def test_the_printed_address_opens_in_a_browser(host: str, address: str) -> None:
    assert app.address_of(host, 7860) == address


def test_the_device_line_is_one_line_on_any_machine() -> None:
    assert device.line() and "\n" not in device.line()
