"""The page: header, tabs in their order, and its server."""

from __future__ import annotations

import argparse
import socket
import sys
import webbrowser
from pathlib import Path

import gradio as gr

from gui import text, theme
from gui.context import Context
from gui.security import USER, Access, access, is_loopback, launch_arguments
from gui.tabs import banner
from gui.tabs import help as help_tab
from gui.tabs import presets as presets_tab
from gui.tabs import runs as runs_tab
from gui.tabs import train as train_tab
from trainer.contract.machine import load_machine
from trainer.contract.problems import Problems

ROOT = Path(__file__).resolve().parents[1]
FIRST_PORT, LAST_PORT = 7860, 7959


def build(context: Context) -> gr.Blocks:
    """The whole page."""
    with gr.Blocks(title="Loratory", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        with gr.Row(elem_id="top"):
            gr.HTML(
                f'<h1>Loratory</h1><span class="device">{text.escape(device_line())}</span>',
                elem_id="brand",
                js_on_load=None,
            )
            search = gr.Textbox(
                placeholder="Search settings", show_label=False, container=False, elem_id="search", max_lines=1
            )
            tier = gr.Radio(
                ["Basic", "Advanced", "Expert"], value="Basic", show_label=False, container=False, elem_id="tier"
            )
        ended = banner.area()
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Train", id="train"):
                train = train_tab.build(context)
            with gr.Tab("Runs", id="runs", elem_id="tab-runs"):
                runs = runs_tab.build(context, ended)
            with gr.Tab("Presets", id="presets"):
                presets_tab.build(context, train)
            with gr.Tab("Help", id="help"):
                help_tab.build()
        banner.wire(ended, runs_tab.watcher(context.runs), runs.chosen, tabs)
        train_tab.wire_start(train, context, runs.chosen, tabs)
        tier.input(None, tier, js="name => { window.loratory.tier(name); }", **train_tab.QUIET)
        search.input(None, search, js="words => { window.loratory.search(words); }", **train_tab.QUIET)
        page.load(
            train_tab.restored(train, context),
            outputs=[train.draft, *train.fields.values(), *train.said],
            **train_tab.QUIET,
        ).then(None, js="() => { window.loratory.lastTier(); }", **train_tab.QUIET)
    return page


def serve(page: gr.Blocks, context: Context, given: Access, port: int, browser: bool) -> None:
    """Serve until Ctrl-C."""
    page.launch(
        server_port=port,
        theme=theme.make_theme(),
        css=theme.css() + runs_tab.CSS,
        head=theme.head(),
        footer_links=[],
        quiet=True,
        show_error=True,
        prevent_thread_lock=True,
        inbrowser=False,
        **launch_arguments(given, context.runs, context.machine.folders),
    )
    address = address_of(given.host, port)
    print(f"Loratory is open at {address}", flush=True)
    if given.generated:
        print(f"User name: {USER}   password: {given.password}", flush=True)
    print("Ctrl-C closes the page; runs go on.", flush=True)
    if browser:
        webbrowser.open(address)
    page.block_thread()


def address_of(host: str, port: int) -> str:
    """What to type into a browser on this computer."""
    if host in ("0.0.0.0", "::", ""):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def device_line() -> str:
    """The GPUs by name and memory, without torch; the CPU where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        named = [(_text(pynvml.nvmlDeviceGetName(h)), pynvml.nvmlDeviceGetMemoryInfo(h).total) for h in handles]
    except Exception:  # no driver, no library, no permission: all mean that this computer offers no NVIDIA GPU
        return "no NVIDIA GPU found: training on the CPU unless torch finds another device"
    return ", ".join(f"{name} ({round(int(total) / 2**30)} GB)" for name, total in named)


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name


def main(options: argparse.Namespace) -> int:
    """Open the page and serve it until Ctrl-C. Exit code 2 where the asked-for port is taken or a setting is wrong."""
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
