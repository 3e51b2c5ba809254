"""The page: header, tabs in their order, and its server."""

from __future__ import annotations

import argparse
import socket
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from gui import device, memory, text, theme
from gui.context import Context
from gui.runs.watch import watcher
from gui.security import USER, Access, access, is_loopback, launch_arguments
from gui.shared import QUIET, Shared
from gui.studio.thumbnails import folder_of
from gui.tabs import banner, compare, computer, dataset, language, presets, queue, runs, tools, train, tryout
from gui.tabs import help as help_tab
from trainer.contract.machine import load_machine
from trainer.contract.problems import Problems

ROOT = Path(__file__).resolve().parents[1]
FIRST_PORT, LAST_PORT = 7860, 7959


TABS: tuple[tuple[str, str, Callable[[Shared], None]], ...] = (
    ("train", "Train", train.build),
    ("dataset", "Dataset", dataset.build),
    ("runs", "Runs", runs.build),
    ("compare", "Compare", compare.build),
    ("try", "Try", tryout.build),
    ("tools", "Tools", tools.build),
    ("presets", "Presets", presets.build),
    ("computer", "Computer", computer.build),
    ("help", "Help", help_tab.build),
)
"""Id, title and what lays it out, in the order of the page."""


SESSIONS = 200
"""Open pages whose form the server holds in memory; one beyond them goes on from the form as it was last kept."""


class Blocks(gr.Blocks):
    """Gradio's blocks without two things that it does in the browser (seen in 6.31). It holds a connection open to
    tell that the page is there: browsers open six to a server and no more, so that the sixth page of one browser
    would never appear. And at each answer it goes through all components that any event ever had as an output, to tell
    them of a progress which is hidden here: with as many fields as ours, half a second for each edit."""

    def get_config_file(self) -> Any:
        """What the browser is told of the page."""
        config = super().get_config_file()
        config["connect_heartbeat"] = False
        for event in config["dependencies"]:
            if event["show_progress"] == "hidden":
                event["show_progress_on"] = []
        return config


def build(context: Context) -> gr.Blocks:
    """The whole page."""
    with Blocks(title="Loratory", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        tier = _header()
        ended = banner.area()
        queue.keep_going(context.runs)
        states = gr.State(""), gr.State("")  # not within the tabs: Gradio counts all of their children as tabs
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            shared = Shared(context, tabs, *states, ended)
            for id, title, lay_out in TABS:
                with gr.Tab(title, id=id, elem_id=f"tab-{id}"):
                    lay_out(shared)
        banner.wire(ended, watcher(context.runs), shared.chosen, tabs)
        tier.input(None, tier, js="name => { window.loratory.tier(name); }", **QUIET)
        page.load(train.restored(shared.train, context), shared.train.draft, shared.train.loaded, **QUIET).then(
            None, js="() => { window.loratory.lastTier(); }", **QUIET
        )
    return page


def _header() -> gr.Radio:
    with gr.Row(elem_id="top"):
        gr.HTML(
            f'<h1>Loratory</h1><span class="device">{text.escape(device.line())}</span>',
            elem_id="brand",
            js_on_load=None,
        )
        gr.Textbox(
            placeholder="Search settings ( / )", show_label=False, container=False, elem_id="search", max_lines=1
        )
        tier = gr.Radio(
            ["Basic", "Advanced", "Expert"], value="Basic", show_label=False, container=False, elem_id="tier"
        )
        gr.HTML(
            '<button type="button" id="dense" aria-pressed="false" title="Tight rows without help">Dense</button>',
            elem_id="dense-switch",
            js_on_load=None,
        )
        language.build()
    return tier


def serve(page: gr.Blocks, context: Context, given: Access, port: int, browser: bool) -> None:
    """Serve until Ctrl-C."""
    page.launch(
        server_port=port,
        theme=theme.make_theme(),
        css=theme.css() + runs.CSS,
        head=theme.head(),
        footer_links=[],
        quiet=True,
        show_error=True,
        prevent_thread_lock=True,
        inbrowser=False,
        state_session_capacity=SESSIONS,
        **launch_arguments(given, context.runs, (*context.machine.folders, _thumbnails(context))),
    )
    address = address_of(given.host, port)
    print(f"Loratory is open at {address}", flush=True)
    if given.generated:
        print(f"User name: {USER}   password: {given.password}", flush=True)
    print("Ctrl-C closes the page; runs go on.", flush=True)
    if browser:
        webbrowser.open(address)
    page.block_thread()


def _thumbnails(context: Context) -> Path:
    """The one folder of the cache that the page hands pictures out of."""
    folder = folder_of(context.machine.cache)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def address_of(host: str, port: int) -> str:
    """What to type into a browser on this computer."""
    if host in ("0.0.0.0", "::", ""):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def main(options: argparse.Namespace) -> int:
    """Open the page and serve it until Ctrl-C. Exit code 2 where the asked-for port is taken or a setting is wrong."""
    memory.settle()
    try:
        machine = load_machine(ROOT)
        given = access(options.listen)
    except Problems as error:
        print(error, file=sys.stderr)
        return error.exit_code
    port = free_port(options.listen, options.port)
    if port is None:
        wanted = options.port or f"{FIRST_PORT} to {LAST_PORT}"
        print(f"Port {wanted} is taken: choose another with --port, or leave --port out.", file=sys.stderr)
        return 2
    local = is_loopback(given.host) and not given.hosts
    context = Context(ROOT, Path(options.runs).resolve() if options.runs else machine.runs, machine, local)
    serve(build(context), context, given, port, browser=not options.no_browser)
    return 0


def free_port(host: str, asked: int | None) -> int | None:
    """The asked-for port, or else the first free one; None where it is taken."""
    for port in [asked] if asked else range(FIRST_PORT, LAST_PORT + 1):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                return port
            except OSError:
                continue
    return None
