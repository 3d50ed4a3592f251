"""Who gets in: the link, the cookie, the names of the server, the origin of a websocket; and what is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from click.testing import CliRunner

from mllab.cli.main import root
from mllab.web import server as server_module
from mllab.web import session as session_module
from mllab.web.access import Access
from mllab.web.listening import Address, listen, resolve
from mllab.web.server import LabServer, session_argv

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mllab.lab import Lab

# Stands in for the UI: draws what it is told, in textual-serve's packets; flooding, it does not hang up.
CHILD = """
import os, signal, sys
def draw(data): os.write(1, b"D" + len(data).to_bytes(4, "big") + data)
os.write(1, b"__GANGLION__\\n")
draw(f"size {os.environ['COLUMNS']}x{os.environ['ROWS']}".encode())
while head := sys.stdin.buffer.read(5):
    data = sys.stdin.buffer.read(int.from_bytes(head[1:], "big"))
    if data == b"flood":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        while True: draw(bytes(65536))
    draw(head[:1] + data)
"""
ARGV = [sys.executable, "-S", "-E", "-c", CHILD]


class Door:
    """A server under attack."""

    def __init__(
        self, server: LabServer, access: Access, port: int, http: aiohttp.ClientSession, stop: asyncio.Event
    ) -> None:
        self.stop = stop.set
        self.server = server
        self.access = access
        self.port = port
        self.http = http
        self.base = f"http://127.0.0.1:{port}"
        self.cookie = {"Cookie": f"{access.cookie_name}={access._cookie}"}
        self.ours = {**self.cookie, "Origin": self.base}

    async def status(self, path: str = "/", method: str = "GET", **more) -> int:
        async with self.http.request(method, self.base + path, allow_redirects=False, **more) as answer:
            await answer.read()
            self.headers = answer.headers
            return answer.status

    async def raw(self, *lines: str) -> bytes:
        """Send a request as it is written here; return the first line of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write("".join(f"{each}\r\n" for each in (*lines, "")).encode())
        answer = await reader.read()
        writer.close()
        return answer.split(b"\r\n")[0]

    @contextlib.asynccontextmanager
    async def socket(
        self, query: str = "", headers: dict[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.http.ws_connect(self.base + "/ws" + query, headers=headers or self.ours) as socket:
            yield socket

    async def refused(self, **headers: str) -> int:
        """Return the status that refuses a websocket with these headers."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with self.http.ws_connect(self.base + "/ws", headers=headers):
                pass
        return caught.value.status


@contextlib.asynccontextmanager
async def serving(names: tuple[str, ...] | None = ("127.0.0.1", "localhost")) -> AsyncIterator[Door]:
    bound = listen(resolve("127.0.0.1"), 0)
    port = bound.getsockname()[1]
    access = Access(port, names)
    server = LabServer(ARGV, "a <lab>", access, "127.0.0.1", port)
    ready, stop = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(server.serve_on(bound, ready.set, stop))
    await ready.wait()
    async with aiohttp.ClientSession() as http:
        yield Door(server, access, port, http, stop)
    stop.set()
    await task
    assert not server.sessions


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # several conditions, none of which has an event
            await asyncio.sleep(0.005)


def play(story, **options) -> None:
    async def run() -> None:
        async with serving(**options) as door:
            await story(door)

    asyncio.run(run())


# -- the link and the cookie ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/ws", "/static/js/textual.js", "/static/", "/page/page.js", "/nothing", "/?x=1"]
)
def test_nothing_is_served_without_the_cookie(path: str) -> None:
    async def story(door: Door) -> None:
        assert await door.status(path) == 401
        assert await door.status(path, headers={"Cookie": f"{door.access.cookie_name}="}) == 401
        assert await door.status(path, headers={"Cookie": f"{door.access.cookie_name}={door.access.token}"}) == 401
        assert await door.status(path, headers={"Authorization": f"Bearer {door.access.token}"}) == 401
        assert await door.status("/", headers=door.cookie) == 200

    play(story)


def test_the_token_is_long_and_never_the_same() -> None:
    one, other = Access(1), Access(1)
    assert len({one.token, other.token, one._cookie, other._cookie}) == 4
    assert all(len(each) * 6 >= 256 for each in (one.token, one._cookie))


def test_the_link_works_once_and_gives_a_strict_cookie() -> None:
    async def story(door: Door) -> None:
        link = f"/?token={door.access.token}"
        for wrong in (
            "/?token=",
            "/?token=x",
            link[:-1],
            link + "x",
            f"{link}&token=x",
            f"{link}&token={link[8:]}",
            "/?token=%ff%00é",
        ):
            assert await door.status(wrong) == 401, wrong
        assert await door.status(link, "HEAD") == 401
        assert await door.status(link.replace("/?", "/static/js/textual.js?")) == 401
        assert await door.status(link) == 200
        cookie = door.headers["Set-Cookie"]
        assert cookie.startswith(f"mllab-{door.port}=")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert door.access.token not in cookie
        assert await door.status("/", headers={"Cookie": cookie.partition(";")[0]}) == 200
        assert await door.status(link) == 401

    play(story)


# -- names and origins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", "127.0.0.2:{port}",
     "evil@127.0.0.1:{port}", "127.0.0.1:{port}.evil.example", "0.0.0.0:{port}", ""],
)  # fmt: skip
def test_other_names_are_refused(host: str) -> None:
    async def story(door: Door) -> None:
        headers = {**door.cookie, "Host": host.format(port=door.port)}
        assert await door.status(headers=headers) == 403
        assert await door.status(f"/?token={door.access.token}", headers=headers) == 403
        assert await door.refused(**headers, Origin=f"http://{headers['Host']}") == 403
        assert await door.status(headers={**door.cookie, "Host": f"LocalHost:{door.port}"}) == 200

    play(story)


def test_a_request_names_one_host() -> None:
    async def story(door: Door) -> None:
        cookie, ours = f"Cookie: {door.cookie['Cookie']}", f"Host: 127.0.0.1:{door.port}"
        assert b" 200 " in await door.raw("GET / HTTP/1.1", ours, cookie)
        assert b" 403 " in await door.raw("GET / HTTP/1.0", cookie)
        for lines in ((ours, "Host: evil.example"), ("Host: evil.example", ours)):
            assert await door.raw("GET / HTTP/1.1", *lines, cookie) in (b"HTTP/1.1 403 Forbidden", b"HTTP/1.0 400 Bad Request", b"HTTP/1.1 400 Bad Request")  # fmt: skip

    play(story)


def test_a_server_that_is_reachable_goes_by_addresses_alone() -> None:
    async def story(door: Door) -> None:
        for name, status in (
            ("10.1.2.3", 200),
            ("[fe80::1]", 200),
            ("localhost", 200),
            ("evil.example", 403),
            ("[x", 403),
        ):
            assert await door.status(headers={**door.cookie, "Host": f"{name}:{door.port}"}) == status, name

    play(story, names=None)


@pytest.mark.parametrize(
    "origin", [None, "null", "", "http://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1", "http://127.0.0.1:1",
               "http://localhost:{port}", "http://127.0.0.1:{port}.evil.example", "http://127.0.0.1:{port}/"]
)  # fmt: skip
def test_only_our_own_page_opens_a_websocket(origin: str | None) -> None:
    async def story(door: Door) -> None:
        headers = dict(door.cookie) if origin is None else {**door.cookie, "Origin": origin.format(port=door.port)}
        assert await door.refused(**headers) == 403
        assert await door.refused(Origin=door.base) == 401
        assert not door.server.sessions

    play(story)


def test_every_answer_carries_the_headers() -> None:
    async def story(door: Door) -> None:
        calls = [("/", door.cookie), ("/", {}), ("/nothing", door.cookie), ("/page/page.css", door.cookie),
                 ("/", {"Host": "evil.example"}), (f"/?token={door.access.token}", {})]  # fmt: skip
        statuses = []
        for path, headers in calls:
            statuses.append(await door.status(path, headers=headers))
            assert door.headers["X-Frame-Options"] == "DENY"
            assert door.headers["Cache-Control"] == "no-store"
            assert door.headers["Referrer-Policy"] == "no-referrer"
            assert door.headers["X-Content-Type-Options"] == "nosniff"
            policy = door.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self';")
            assert "unsafe-eval" not in policy
            assert door.headers["Connection"] == "close"
            assert "aiohttp" not in door.headers["Server"]
        assert statuses == [200, 401, 404, 200, 403, 200]
        async with door.http.get(door.base, headers=door.cookie) as answer:
            assert f"connect-src ws://127.0.0.1:{door.port};" in answer.headers["Content-Security-Policy"]
            text = await answer.text()
        assert "a &lt;lab&gt;" in text
        assert "<script>" not in text
        assert "http://" not in text

    play(story)


def test_a_host_header_cannot_write_into_the_policy() -> None:
    async def story(door: Door) -> None:
        for host in ("x; script-src *", "127.0.0.1:{0}; script-src *", '"><script>'):
            status = await door.status(headers={**door.cookie, "Host": host.format(door.port)})
            assert status == 403
            assert "script-src *" not in door.headers["Content-Security-Policy"]

    play(story)


# -- what is bounded -----------------------------------------------------------------------------------------


def test_bodies_and_other_methods_are_refused() -> None:
    async def story(door: Door) -> None:
        for method in ("POST", "PUT", "GET"):
            assert await door.status("/", method, headers=door.cookie, data=b"x" * 100_000) == 413
        assert await door.status("/", "POST", headers=door.cookie) == 405
        length = ("Content-Length: 99999999999", f"Host: 127.0.0.1:{door.port}", f"Cookie: {door.cookie['Cookie']}")
        assert b" 413 " in await door.raw("POST / HTTP/1.1", *length)
        assert b" 400 " in await door.raw("GET /" + "x" * 100_000 + " HTTP/1.1", *length[1:])
        assert b" 400 " in await door.raw("GET / HTTP/1.1", *length[1:], "X: " + "x" * 100_000)

    play(story)


@pytest.mark.parametrize("path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/page/%2e%2e/access.py", "/static//etc/passwd"])  # fmt: skip
def test_no_path_leaves_its_folder(path: str) -> None:
    async def story(door: Door) -> None:
        line = await door.raw(
            f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{door.port}", f"Cookie: {door.cookie['Cookie']}"
        )
        assert line.split()[1] in (b"403", b"404"), line

    play(story)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_a_slow_request_is_cut_off(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_S", 0.2)

    async def story(door: Door) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(sent)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(30):
                assert await reader.read() == b""
        writer.close()

    play(story)


def test_who_does_not_read_an_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_S", 0.2)

    async def story(door: Door) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a socket's, which can
        head = f"GET /static/js/textual.js HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\nCookie: {door.cookie['Cookie']}\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        handlers: list[object] = []

        def seen() -> bool:
            handlers.extend(door.server.connections)
            return bool(handlers)

        await until(seen)
        await until(lambda: not door.server.connections)
        writer.close()

    play(story)


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 3)

    async def story(door: Door) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(3)]
        await until(lambda: len(door.server.connections) == 3)
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        for _, each in (*opened, (reader, writer)):
            each.close()
        await until(lambda: not door.server.connections)
        assert await door.status(headers=door.cookie) == 200

    play(story)


def test_sessions_are_bounded_and_a_place_comes_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_SESSIONS", 2)

    async def story(door: Door) -> None:
        async with door.socket() as one, door.socket("?width=100&height=30") as other:
            assert await one.receive_bytes() == b"size 80x24"
            assert await other.receive_bytes() == b"size 100x30"
            assert await door.refused(**door.ours) == 503
            processes = [session._process for session in door.server.sessions]
        await until(lambda: not door.server.sessions)
        assert all(process is not None and process.returncode is not None for process in processes)
        async with door.socket() as again:
            assert await again.receive_bytes() == b"size 80x24"

    play(story)


def test_a_session_outlives_the_time_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_S", 0.05)

    async def story(door: Door) -> None:
        async with door.socket() as socket:
            await socket.receive_bytes()
            await asyncio.wait({asyncio.create_task(asyncio.sleep(0.1))})  # the time in which it would be cut off
            await socket.send_json(["stdin", "é"])
            assert await socket.receive_bytes() == "Dé".encode()
            await socket.send_json(["resize", {"width": 91, "height": 31}])
            assert json.loads((await socket.receive_bytes())[1:]) == {"type": "resize", "width": 91, "height": 31}
            await socket.send_json(["ping", "1" * 1000])
            assert await socket.receive_json() == ["pong", "1" * 20]

    play(story)


@pytest.mark.parametrize("query", ["?width=0", "?width=-1", "?height=1001", "?width=x", "?width=1e9"])
def test_a_terminal_has_a_size(query: str) -> None:
    async def story(door: Door) -> None:
        assert await door.status("/ws" + query, headers=door.ours) == 400

    play(story)


@pytest.mark.parametrize(
    "message", ["", "x", "1", "[]", "{}", '["stdin"]', '["stdin", 1]', '["resize", {"width": 9}]',
                '["resize", {"width": 99999, "height": 9}]', '["resize", 5]', '["ping"]', "[" * 100_000, b"binary"],
    ids=lambda message: str(message)[:20],
)  # fmt: skip
def test_messages_that_the_page_does_not_send_end_the_session(message: str | bytes) -> None:
    async def story(door: Door) -> None:
        async with door.socket() as socket:
            await socket.receive_bytes()
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1008
        await until(lambda: not door.server.sessions)

    play(story)


def test_a_message_too_long_ends_the_session() -> None:
    async def story(door: Door) -> None:
        async with door.socket() as socket:
            await socket.receive_bytes()
            await socket.send_str(json.dumps(["stdin", "x" * server_module.MAX_MESSAGE_BYTES]))
            await socket.receive()
            assert socket.close_code == 1009
        await until(lambda: not door.server.sessions)

    play(story)


def test_a_browser_that_does_not_keep_up_loses_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "SEND_S", 0.1)
    monkeypatch.setattr(session_module, "GRACE_S", 0.2)

    async def story(door: Door) -> None:
        async with door.socket() as socket:
            await socket.receive_bytes()
            (session,) = door.server.sessions
            await socket.send_json(["stdin", "flood"])
            await until(lambda: not door.server.sessions)
            assert session._process is not None
            assert session._process.returncode is not None
            socket._response.close()

    play(story)


def test_the_end_of_the_server_ends_a_session_that_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "GRACE_S", 0.1)
    seen: list[Any] = []

    async def story(door: Door) -> None:
        async with door.http.ws_connect(door.base + "/ws", headers=door.ours) as socket:
            await socket.receive_bytes()
            await socket.send_json(["stdin", "flood"])
            await socket.receive_bytes()
            seen.extend(session._process for session in door.server.sessions)
            door.stop()
            await until(lambda: not door.server.sessions)

    play(story)
    assert [process.returncode for process in seen] == [-15]


# -- where it listens ----------------------------------------------------------------------------------------


def test_addresses_are_judged_by_what_they_resolve_to() -> None:
    assert resolve("127.0.0.1").is_loopback
    assert resolve("localhost").is_loopback
    everywhere = resolve("0.0.0.0")
    assert not everywhere.is_loopback
    assert everywhere.names("0.0.0.0") is None
    assert everywhere.in_url == "127.0.0.1"
    other = Address(everywhere.family, "192.0.2.7")
    assert not other.is_loopback
    assert other.names("Box") == ("192.0.2.7", "box")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7"])
def test_what_others_can_reach_needs_consent(host: str, lab: Lab) -> None:
    result = CliRunner().invoke(root, ["web", "--lab", lab.root, "--host", host], standalone_mode=False)
    assert result.return_value == 2
    assert "does not encrypt" in result.stderr
    assert "--i-know-it-is-unencrypted" in result.stderr
    assert not result.stdout


def test_a_taken_port_is_said(lab: Lab) -> None:
    with contextlib.closing(listen(resolve("127.0.0.1"), 0)) as taken:
        taken.listen()
        argv = ["web", "--lab", lab.root, "--no-browser", "--port", str(taken.getsockname()[1])]
        result = CliRunner().invoke(root, argv, standalone_mode=False)
    assert result.return_value == 3
    assert "in use" in result.stderr


def test_without_the_extra_the_way_to_it_is_said(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("mllab.web.", "textual_serve"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    result = CliRunner().invoke(root, ["web", "--lab", lab.root], standalone_mode=False)
    assert result.return_value == 3
    assert "pip install 'mllab[web]'" in result.stderr


def test_the_command_loads_no_server_until_it_serves() -> None:
    code = "import sys, mllab.cli.web; print(*{'aiohttp', 'textual', 'textual_serve'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()


def test_the_working_directory_is_no_part_of_a_session() -> None:
    assert session_argv("/a/lab", "mllab:///runs")[1:] == ["-P", "-m", "mllab.web.child", "/a/lab", "mllab:///runs"]
