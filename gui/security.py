"""Who may talk to the page, and which files it hands out.

On this computer alone (the default) no password is asked, so a web page that the user has open elsewhere must not get
in: the Host header has to be ours (a foreign name that resolves to this computer, "DNS rebinding", is refused) and an
Origin header has to be the page's own (requests forged by other pages are refused). Served to other computers, a
password is needed as well. Files: only pictures, LoRA files and reports of the runs folder, and pictures of the folders
that the machine file names; all else that Gradio would serve from there is refused, links that lead outside too.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trainer.contract.problems import Problem, Problems

USER = "loratory"
PASSWORD_VARIABLE = "LORATORY_PASSWORD"
HOSTS_VARIABLE = "LORATORY_HOSTS"
SHORTEST_PASSWORD = 8
UPLOAD_LIMIT = "8gb"
"""Of one file: presets, pictures and a ZIP of them are uploaded; models are named by their path."""

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".avif", ".heic", ".heif"})
UNUSED = re.compile(
    r"/(gradio_api/)?(proxy=|vibe|undo-vibe|process_recording|monitoring|deep_link|dev/|custom_component)"
)
"""Routes of Gradio that this page has no use for."""

REPORTS = frozenset({"report.html", "preflight.html"})

PAGE_POLICY = "frame-ancestors 'self'"
FILE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data: 'self'; frame-ancestors 'none'"
"""A file of a run folder may be a stranger's, a report above all: opened by itself it has an origin of its own, runs no
script, sends no form and loads nothing."""

_FILE = re.compile(r"/gradio_api/file[=/](.*)", re.DOTALL)
_FAILURE_S = 0.5


@dataclass(frozen=True)
class Access:
    """`host` is the address that is served. `password` is empty where none is asked; `generated`: nobody chose it, so
    it has to be shown. `hosts`: further names from LORATORY_HOSTS, with or without a port."""

    host: str
    password: str = ""
    generated: bool = False
    hosts: frozenset[str] = frozenset()


def access(host: str, environ: MutableMapping[str, str] = os.environ) -> Access:
    """How the page may be reached at `host`. The password is taken *out of* the environment, so that no trainer that
    the page starts can see or log it. Problems where it is too short."""
    given = environ.pop(PASSWORD_VARIABLE, "")
    hosts = frozenset(name.strip().lower() for name in environ.get(HOSTS_VARIABLE, "").split(",") if name.strip())
    if given and len(given) < SHORTEST_PASSWORD:
        fix = f"choose at least {SHORTEST_PASSWORD} characters, or leave it out and one is made"
        raise Problems([Problem(PASSWORD_VARIABLE, "the password is too short", fix)])
    if given or is_loopback(host):
        return Access(host, given, False, hosts)
    return Access(host, secrets.token_urlsafe(12), True, hosts)


def launch_arguments(given: Access, runs: Path, folders: Sequence[Path] = ()) -> dict[str, Any]:
    """What `Blocks.launch` needs so that all of the above holds. `folders`: where other pictures may be shown from;
    Gradio and the guard hold the same list of them, which `allow` changes while the page is open."""
    allowed = [str(Path(path).resolve()) for path in (runs, *folders)]
    guard = Middleware(Guard, access=given, runs=Path(runs), folders=allowed)
    fixed = {
        "server_name": f"[{given.host}]" if ":" in given.host and not given.host.startswith("[") else given.host,
        "app_kwargs": {"middleware": [guard], "docs_url": None, "redoc_url": None, "openapi_url": None},
        "allowed_paths": allowed,
        "max_file_size": UPLOAD_LIMIT,
        "strict_cors": True,
        "share": False,
        "ssr_mode": False,
        "mcp_server": False,
        "enable_monitoring": False,
        "run_history": False,
        "num_workers": 0,  # workers would serve files on ports of their own, past the guard
    }
    if given.password:
        fixed |= {"auth": checker(given.password), "auth_message": f"User name: {USER}"}
    return fixed


def allow(allowed: list[str], before: Iterable[Path], now: Iterable[Path]) -> None:
    """Take folders that were shown before, and are not now, off the list of an open page, and put new ones on it. The
    first entry is the runs folder: it stays."""
    old, new = ([str(Path(path).resolve()) for path in paths] for paths in (before, now))
    gone = set(old) - set(new)
    kept = [path for path in allowed[1:] if path not in gone]
    allowed[1:] = [*kept, *(path for path in new if path not in allowed)]


def checker(password: str) -> Callable[[str, str], Awaitable[bool]]:
    """The login check: constant time, one attempt after the other, half a second for each wrong one."""
    turn = asyncio.Lock()

    async def check(user: str, given: str) -> bool:
        async with turn:
            same_user = hmac.compare_digest(user.encode(), USER.encode())
            right = hmac.compare_digest(given.encode(), password.encode()) and same_user
            if not right:
                await asyncio.sleep(_FAILURE_S)
            return right

    return check


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this computer alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_address(name: str) -> bool:
    """Whether a host is written as numbers. Such a host cannot be rebound: it is the address itself."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def split_host(value: str) -> tuple[str, int | None]:
    """`name:port`, `[::1]:port` or a name alone; ("", None) for what is none."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@/\s]+)(?::(\d{1,5}))?", value)
    if found is None:
        return "", None
    return found[1].strip("[]").lower(), int(found[2]) if found[2] else None


def own_names() -> frozenset[str]:
    """What this computer is called in its network."""
    name = socket.gethostname().lower()
    found = {name, name.split(".")[0], f"{name.split('.')[0]}.local"}
    return frozenset(found | {entry.address.split("%")[0].lower() for entry in _addresses()})


def _addresses() -> Iterable[Any]:
    wanted = (socket.AF_INET, socket.AF_INET6)
    return (entry for entries in psutil.net_if_addrs().values() for entry in entries if entry.family in wanted)


class Guard:
    """ASGI middleware: refuses with 403 and one sentence, and adds headers that keep other sites from framing us."""

    def __init__(self, app: ASGIApp, access: Access, runs: Path, folders: Sequence[Path | str] = ()) -> None:
        self.app, self.access = app, access
        self.runs = Path(runs).resolve()
        self._folders = folders  # the list itself: it may change while the page is open
        self.local = is_loopback(access.host)
        self.names = frozenset({"localhost"}) if self.local else own_names() | {access.host.lower(), "localhost"}

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of the user's whose pictures may be shown now."""
        return tuple(Path(folder).resolve() for folder in self._folders)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self.refusal(Headers(scope=scope), scope.get("server"), scope["path"])
        if refusal:
            if scope["type"] == "http":
                await PlainTextResponse(refusal, status_code=403)(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008, "reason": refusal[:100]})
            return
        await self.app(scope, receive, _with_headers(send, FILE_POLICY if _FILE.match(scope["path"]) else PAGE_POLICY))

    def refusal(self, headers: Headers, server: Any, path: str) -> str:
        """Why a request is refused; "" lets it in."""
        host = headers.get("host", "")
        port = server[1] if server else None
        if not self._host_is_ours(host, port):
            return (
                f"Refused: {host!r} is not an address of this page. If you reach it through a tunnel or a proxy, set "
                f"{HOSTS_VARIABLE} to the host (and :port) that your browser shows."
            )
        if not same_origin(headers.get("origin"), host):
            return "Refused: this request comes from another site."
        if UNUSED.match(path) or not self._may_serve(path):
            return "Refused: the page does not serve this."
        return ""

    def _host_is_ours(self, host: str, port: int | None) -> bool:
        name, host_port = split_host(host)
        if not name:
            return False
        if name in self.access.hosts or host.lower() in self.access.hosts:
            return True
        if self.local:
            return (name in self.names or is_loopback(name)) and (host_port or 80) == port
        return name in self.names or is_address(name)

    def _may_serve(self, path: str) -> bool:
        """False for a file that lies in the runs folder, or in a folder of the user's, and is not for showing. Other
        paths are Gradio's to judge: it serves nothing but its own uploads and those folders."""
        found = _FILE.fullmatch(path)
        if found is None:
            return True
        named, ours = found[1], (self.runs, *self.folders)
        if "\0" in named or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", named):
            return False
        written = Path(os.path.abspath(named))
        if named.startswith(("//", "\\\\")) and not any(written.is_relative_to(folder) for folder in ours):
            return False  # looking at a file of a foreign Windows server would sign the user in there
        try:
            file = written.resolve()
        except (OSError, ValueError, RuntimeError):
            return False
        for folder in ours:
            if written.is_relative_to(folder) or file.is_relative_to(folder):
                return file.is_relative_to(folder) and self._is_for_showing(folder, file)
        return True

    def _is_for_showing(self, folder: Path, file: Path) -> bool:
        if file.is_relative_to(self.runs):
            return is_shown(file.relative_to(self.runs))
        return folder != self.runs and file.suffix.lower() in PICTURES


def is_shown(path: Path) -> bool:
    """Whether a file of the runs folder is for the page: a run's sample pictures, its LoRA files and its report."""
    parts, kind = path.parts, path.suffix.lower()
    is_sample = len(parts) >= 3 and parts[1] == "samples" and kind in PICTURES
    return is_sample or (len(parts) == 2 and (kind == ".safetensors" or parts[1] in REPORTS))


def same_origin(origin: str | None, host: str) -> bool:
    """Whether an Origin header, where there is one, is the page's own. The scheme's usual port may be left out."""
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        name, port = split_host(host)
        return usual is not None and (parts.hostname, parts.port or usual) == (name, port or usual)
    except ValueError:
        return False


def _with_headers(send: Send, policy: str) -> Send:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers["Content-Security-Policy"] = policy
        await send(message)

    return send_with
