"""Who may talk to the page and which files it hands out, tried against a real server over a real socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import gradio as gr
import pytest

from gui import security
from gui.studio import thumbnails
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir


class Server:
    """A page with the guard before it, and bare requests to it."""

    def __init__(self, access: security.Access, runs: Path, folders: tuple[Path, ...] = ()) -> None:
        with gr.Blocks(analytics_enabled=False) as self.page:
            name = gr.Textbox()
            gr.Button().click(str.upper, name, name, api_name="shout")
            own = gr.Textbox(value="the user's own words", label="inner label")
            gr.Button().click(str.upper, own, own, api_visibility="private")
        arguments = security.launch_arguments(access, runs, folders)
        self.page.launch(prevent_thread_lock=True, quiet=True, **arguments)
        self.port = self.page.server_port

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host=True)
        own = {"Host": f"127.0.0.1:{self.port}", "Content-Length": str(len(body.encode()))}
        for key, value in {**own, **{key.replace("_", "-"): value for key, value in headers.items()}}.items():
            connection.putheader(key, value)
        connection.endheaders()
        connection.send(body.encode())
        return connection.getresponse()

    def status(self, path: str, method: str = "GET", **headers: str) -> int:
        return self.ask(method, path, **headers).status

    def file(self, path: Path | str) -> int:
        return self.status("/gradio_api/file=" + quote(str(path)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("computer")


@pytest.fixture(scope="module")
def run(folder: Path) -> RunDir:
    run = RunDir.create(folder / "runs", "badge")
    (run.samples / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (run.samples / "notes.html").write_text("<script>1</script>")
    (run.report).write_text("<script>1</script>")
    (run.path / "other.html").write_text("<script>1</script>")
    (run.path / "badge.safetensors").write_bytes(b"weights")
    (run.path / "cover.png").write_bytes(b"no sample")
    run.console.write_text("token=secret")
    run.preset.write_text("format = 1")
    run.events.write_text("{}\n")
    run.checkpoints.mkdir()
    (run.checkpoints / "state.safetensors").write_bytes(b"state")
    return run


@pytest.fixture(scope="module")
def local(run: RunDir, folder: Path) -> Iterator[Server]:
    (folder / "pictures").mkdir()
    (folder / "pictures" / "cat.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "pictures" / "cat.txt").write_text("a caption")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(security, "UPLOAD_LIMIT", "20mb")  # the real one is far more than a test can send
        shown = (folder / "pictures", thumbnails.folder_of(folder / "cache"))
        server = Server(security.Access("127.0.0.1"), run.path.parent, shown)
    yield server
    server.page.close()


@pytest.fixture(scope="module")
def public(run: RunDir) -> Iterator[Server]:
    server = Server(security.access("0.0.0.0", {security.PASSWORD_VARIABLE: "correct horse"}), run.path.parent)
    yield server
    server.page.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST", "[::1]"])
def test_own_hosts_are_let_in(local: Server, host: str) -> None:
    assert local.status("/", Host=f"{host}:{local.port}") == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost.evil.example:{port}", "localhost:1",
     "localhost", "192.168.1.9:{port}", "a@localhost:{port}", "localhost:{port}:{port}", "", "[::1]evil:{port}"],
)  # fmt: skip
def test_foreign_hosts_are_refused(local: Server, host: str) -> None:
    assert local.status("/", Host=host.format(port=local.port)) == 403


def test_a_refused_host_is_told_how_to_be_let_in(local: Server) -> None:
    assert security.HOSTS_VARIABLE in local.ask("GET", "/", Host="tunnel.example").read().decode()


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1:{port}x", "http://", "http://[::1"],
)
def test_foreign_origins_change_nothing(local: Server, origin: str) -> None:
    body = json.dumps({"data": ["x"]})
    answer = local.ask("POST", "/gradio_api/call/shout", body, Origin=origin.format(port=local.port))
    assert answer.status == 403


def test_own_origin_works(local: Server) -> None:
    headers = {"Origin": f"http://127.0.0.1:{local.port}", "Content-Type": "application/json"}
    answer = local.ask("POST", "/gradio_api/call/shout", json.dumps({"data": ["x"]}), **headers)
    assert answer.status == 200 and "event_id" in json.loads(answer.read())


def test_a_name_of_a_tunnel_is_let_in(run: RunDir) -> None:
    access = security.access("127.0.0.1", {security.HOSTS_VARIABLE: "localhost:9000, box.example"})
    guard = security.Guard(None, access, run.path.parent)  # type: ignore[arg-type]
    assert guard._host_is_ours("localhost:9000", 7860) and guard._host_is_ours("box.example", 7860)
    assert not guard._host_is_ours("localhost:9001", 7860)


def test_pictures_and_adapters_are_served(local: Server, run: RunDir, folder: Path) -> None:
    shown = [run.samples / "1.png", run.path / "badge.safetensors", folder / "pictures" / "cat.jpg"]
    assert [local.file(path) for path in shown] == [200, 200, 200]


def test_all_else_is_refused(local: Server, run: RunDir, folder: Path) -> None:
    checkout = Path(security.__file__).resolve().parents[1]
    (folder / "runs" / "loose.safetensors").write_bytes(b"not in a run")
    refused = [
        run.console, run.preset, run.events, run.state_file, run.samples / "notes.html", run.path / "cover.png",
        run.checkpoints / "state.safetensors", folder / "runs" / "loose.safetensors", folder / "pictures" / "cat.txt",
        "/etc/passwd", checkout / "launch.py", checkout / "presets" / "user" / "machine.toml", "launch.py",
        f"{run.samples}/../console.log", f"{run.samples}/../../../../../../../../../etc/passwd",
        f"{folder}/pictures/../runs/{run.id}/console.log", "//etc/passwd", "//server/share/x.png",
        "\\\\server\\share\\x.png", "http://169.254.169.254/latest", "file:///etc/passwd",
    ]  # fmt: skip
    assert {str(path): local.file(path) for path in refused} == {str(path): 403 for path in refused}
    assert local.status(f"/gradio_api/file/{run.console}") == 403
    assert local.status(f"/gradio_api/file={quote(str(run.samples))}/..%2fconsole.log") == 403


def test_of_the_cache_thumbnails_alone_are_served(local: Server, folder: Path) -> None:
    cache = folder / "cache"
    served, others = cache / "thumbnails" / "ab" / "ab12.jpg", ("latents/ab12.jpg", "held-out/1.png", "hashes.json")
    refused = [cache / name for name in others] + [served.with_suffix(".txt"), served.with_suffix(".safetensors")]
    for path in (served, *refused):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff")
    assert local.file(served) == 200
    refused += [f"{cache}/thumbnails/../latents/ab12.jpg", f"{cache}/thumbnails", f"{cache}/thumbnails/ab"]
    assert {str(path): local.file(path) for path in refused} == {str(path): 403 for path in refused}


@pytest.mark.skipif(os.name == "nt", reason="making links needs rights on Windows")
def test_links_that_lead_outside_are_refused(local: Server, run: RunDir, folder: Path) -> None:
    (folder / "secret.png").write_text("outside")
    (run.samples / "link.png").symlink_to(folder / "secret.png")
    (run.samples / "log.png").symlink_to(run.console)
    (folder / "pictures" / "log.jpg").symlink_to(run.console)
    links = [run.samples / "link.png", run.samples / "log.png", folder / "pictures" / "log.jpg"]
    assert [local.file(path) for path in links] == [403, 403, 403]


@pytest.mark.parametrize(
    "path", ["/gradio_api/proxy=https://x.hf.space/", "/gradio_api/vibe-code", "/monitoring", "/docs", "/openapi.json"]
)
def test_unused_routes_are_closed(local: Server, path: str) -> None:
    assert local.status(path) in (403, 404)


def test_large_uploads_are_refused(local: Server) -> None:
    head = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.toml"\r\n\r\n'
    bodies = [head + "a" * count + "\r\n--x--\r\n" for count in (1000, 21 * 10**6)]
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert [local.ask("POST", "/gradio_api/upload", body, **kind).status for body in bodies] == [200, 413]


def test_a_report_is_served_as_a_page_that_may_do_nothing(local: Server, run: RunDir) -> None:
    """It may come from a stranger: no scripts, no forms, an origin of its own, nothing loaded; and no other page."""
    answer = local.ask("GET", "/gradio_api/file=" + quote(str(run.report)))
    policy = (answer.getheader("Content-Security-Policy") or "").split("; ")
    assert answer.status == 200 and {"sandbox", "default-src 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert "script" not in " ".join(policy)
    assert (answer.getheader("Content-Type") or "").startswith(("text/html", "application/octet-stream"))
    others = [run.path / "other.html", run.samples / "notes.html", run.path.parent / "report.html"]
    assert [local.file(path) for path in others] == [403, 403, 403]
    picture = local.ask("GET", "/gradio_api/file=" + quote(str(run.samples / "1.png")))
    assert "sandbox" in (picture.getheader("Content-Security-Policy") or "")


def test_nobody_may_frame_the_page(local: Server) -> None:
    assert local.ask("GET", "/").getheader("Content-Security-Policy") == "frame-ancestors 'self'"


@pytest.mark.parametrize(
    "path",
    ["/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=x", "/gradio_api/upload_progress?upload_id=1"],
)
def test_without_the_password_nothing_is_told(public: Server, path: str) -> None:
    assert public.status(path) == 401


def test_without_the_password_nothing_is_done(public: Server, run: RunDir) -> None:
    posts = ["/gradio_api/call/shout", "/gradio_api/run/shout", "/gradio_api/queue/join", "/gradio_api/upload"]
    kind = {"Content-Type": "application/json"}
    assert {public.ask("POST", path, json.dumps({"data": ["x"]}), **kind).status for path in posts} == {401}
    assert public.file(run.samples / "1.png") == 401
    page = public.ask("GET", "/").read().decode()
    assert "inner label" not in page and "own words" not in page


def test_no_handler_of_the_page_is_public(folder: Path) -> None:
    """Gradio writes the names, labels and first values of public handlers into the page that asks for the password."""
    from gui import app
    from gui.context import Context
    from trainer.contract.machine import load_machine

    page = app.build(Context(app.ROOT, folder / "runs", load_machine(app.ROOT)))
    assert [fn.api_name for fn in page.fns.values() if fn.api_visibility != "private"] == []


def test_the_password_lets_in(public: Server, run: RunDir) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    wrong = public.ask("POST", "/login", "username=loratory&password=wrong horse", **kind)
    other = public.ask("POST", "/login", "username=admin&password=correct horse", **kind)
    right = public.ask("POST", "/login", "username=loratory&password=correct horse", **kind)
    assert (wrong.status, other.status, right.status) == (400, 400, 200)
    cookies = [value.split(";")[0] for key, value in right.getheaders() if key.lower() == "set-cookie"]
    assert public.status("/gradio_api/file=" + quote(str(run.samples / "1.png")), Cookie="; ".join(cookies)) == 200
    forged = {"Cookie": "; ".join(cookies), "Origin": "http://evil.example"}
    assert public.status("/gradio_api/call/shout", "POST", **forged) == 403


def test_off_this_computer_hosts_are_checked_too(public: Server) -> None:
    import socket

    hosts = [f"192.168.7.7:{public.port}", "[fe80::1]:8000", f"{socket.gethostname()}:{public.port}", "evil.example"]
    assert [public.status("/", Host=host) for host in hosts] == [200, 200, 200, 403]


@pytest.mark.parametrize(
    ("host", "name"), [("::1", "[::1]"), ("[::1]", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("::", "[::]")]
)
def test_addresses_of_the_new_kind_are_bracketed_for_gradio(run: RunDir, host: str, name: str) -> None:
    assert security.launch_arguments(security.Access(host), run.path.parent)["server_name"] == name
    assert security.is_loopback(host) == (name in ("[::1]", "127.0.0.1"))


def test_passwords() -> None:
    environ = {security.PASSWORD_VARIABLE: "long enough", "PATH": "x"}
    chosen = security.access("0.0.0.0", environ)
    assert (chosen.password, chosen.generated) == ("long enough", False)
    assert environ == {"PATH": "x"}, "no trainer must inherit it"
    made = security.access("192.168.1.2", {})
    assert made.generated and len(made.password) >= 16 and made.password != security.access("::", {}).password
    assert security.access("localhost", {}).password == security.access("::1", {}).password == ""
    with pytest.raises(Problems, match="too short"):
        security.access("0.0.0.0", {security.PASSWORD_VARIABLE: "short"})


def test_wrong_passwords_cost_time() -> None:
    check = security.checker("correct horse")

    async def attempts() -> tuple[list[bool], float]:
        begun = asyncio.get_running_loop().time()
        answers = await asyncio.gather(
            *(check("loratory", f"guess {n}") for n in range(3)), check("loratory", "correct horse")
        )
        return list(answers), asyncio.get_running_loop().time() - begun

    with ThreadPoolExecutor(1) as pool:  # a thread of its own: browser tests may have left a loop running in this one
        answers, seconds = pool.submit(asyncio.run, attempts()).result()
    assert answers == [False, False, False, True] and seconds >= 1.4
