"""`mllab web` as it is used: a real browser drives the page, and no process outlives what it belongs to."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import pytest
from tests.conftest import _need
from tests.support.browser import Grid, browsing, find_browser

from mllab.tracking.start import start_run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from mllab.lab import Lab

PATIENCE_S = 60.0
PROMPT = "loss < 0.1 and lr > 1e-3 order by acc desc"  # what an open prompt for a filter hints at


@pytest.fixture
def browser() -> str:
    """Return a Chromium; skip where there is none."""
    found = find_browser()
    _need("browser", None if found else "no Chromium is installed; apt-get install chromium")
    assert found is not None
    return found


@pytest.fixture
def study(lab: Lab) -> Lab:
    for number, model in enumerate(("cnn", "cnn", "mlp")):
        params = {"model": model, "lr": 0.1}
        with start_run("digits", f"{model}-{number}", lab=lab, params=params, capture=False) as run:
            run.log({"loss": number / 10}, step=0)
    return lab


class Served:
    """A running `mllab web`."""

    def __init__(self, lab: Lab, *options: str) -> None:
        argv = [sys.executable, "-m", "mllab", "web", "--lab", lab.root, "--no-browser", *options]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.stderr and self.process.stderr.read()
        self.host = urlsplit(self.url).netloc
        self.token = self.url.partition("token=")[2]

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            return answer

    def enter(self) -> dict[str, str]:
        """Use the link; return the headers of a websocket of our own page."""
        answer = self.get(f"/?token={self.token}")
        assert answer.status == 200
        return {"Cookie": str(answer.getheader("Set-Cookie")).partition(";")[0], "Origin": f"http://{self.host}"}

    @property
    def children(self) -> set[int]:
        """Processes that the server started and that run."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
        rows = [line.split() for line in listed.stdout.splitlines()]
        return {int(pid) for pid, parent, state in rows if int(parent) == self.process.pid and state[0] != "Z"}

    def end(self) -> tuple[str, str]:
        """End the server and return what else it printed."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        return self.process.communicate(timeout=30)


@pytest.fixture
def served(study: Lab) -> Iterator[Served]:
    server = Served(study)
    yield server
    server.end()


def is_alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and state[0] != "Z"


def wait_until(condition: Callable[[], object], what: str) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.02)


class Terminal:
    """A session without a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.grid = Grid()

    async def sees(self, text: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while text not in self.grid.text:
                self.grid.feed(await self.socket.receive_bytes())

    async def filter(self, text: str) -> None:
        await self.socket.send_json(["stdin", "/"])
        await self.sees(PROMPT)
        await self.socket.send_json(["stdin", text + "\r"])


@contextlib.asynccontextmanager
async def terminal(served: Served, headers: dict[str, str]) -> AsyncIterator[Terminal]:
    async with aiohttp.ClientSession() as http, http.ws_connect(f"http://{served.host}/ws?width=100&height=30", headers=headers) as socket:  # fmt: skip
        session = Terminal(socket)
        await session.sees("Runs (")
        yield session


# -- in a browser --------------------------------------------------------------------------------------------


def test_the_page_is_driven_by_a_browser(browser: str, served: Served, tmp_path: Path) -> None:
    async def story() -> None:
        async with browsing(browser, tmp_path / "profile", served.url) as page:
            await page.sees("Runs (3)", "cnn-0", "cnn-1", "mlp-2", "row 1 of 3")
            assert await page.evaluate("location.href") == f"http://{served.host}/"
            assert await page.evaluate("document.cookie") == ""
            history = await page.call("Page.getNavigationHistory")
            assert not any("token" in entry["url"] for entry in history["entries"])
            await page.until_drawn()
            before = await page.screenshot()
            await page.type("j")
            await page.sees("row 2 of 3")
            await page.until_drawn(unlike=before)
            await page.type("/")
            await page.sees(PROMPT)
            await page.type("model = 'cnn'\n")
            await page.sees("Runs (2 of 3)")
            sizes = len([each for each in page.sent if '"resize"' in each])
            await page.resize(700, 400)
            await page.until(lambda: len([each for each in page.sent if '"resize"' in each]) > sizes, "a new size")
            rows = json.loads(next(each for each in reversed(page.sent) if '"resize"' in each))[1]["height"]
            assert 10 < rows < 30
            await page.until(lambda: page.grid.lines[rows - 2].startswith(" following"), "the status at the new foot")
            assert not page.complaints
            assert all(urlsplit(url).netloc == served.host for url in page.requests), page.requests
            (child,) = served.children
            await page.type("Q")
            await page.until(lambda: not is_alive(child), "the end of the session's process")
            await page.until_true("document.body.classList.contains('-closed')")
            page.grid = Grid()
            await page.evaluate("document.getElementById('again').click()")
            await page.sees("Runs (2 of 3)")

    asyncio.run(story())


def test_another_sites_page_cannot_reach_the_lab(browser: str, served: Served, tmp_path: Path) -> None:
    """A page of another origin holds no cookie of ours, embeds no page of ours and opens no websocket."""
    attack = f"""
      <iframe id=frame src="http://{served.host}/"></iframe>
      <script>
        window.seen = [];
        const socket = new WebSocket("ws://{served.host}/ws");
        socket.onopen = () => seen.push("open");
        socket.onerror = () => seen.push("refused");
        fetch("http://{served.host}/", {{credentials: "include"}}).then(() => seen.push("read"), () => seen.push("blocked"));
      </script>"""

    async def story() -> None:
        async with browsing(browser, tmp_path / "profile", served.url) as page:
            await page.sees("Runs (3)")  # the browser has the cookie
            sessions = served.children
            await page.call("Page.navigate", url=f"data:text/html,{attack.replace('#', '%23')}")
            await page.until_true("window.seen && seen.length == 2")
            assert sorted(await page.evaluate("seen")) == ["blocked", "refused"]
            await page.until(lambda: not served.children & sessions, "the end of the page that was left")
            assert not served.children

    asyncio.run(story())


# -- processes -----------------------------------------------------------------------------------------------


def test_a_session_ends_with_its_socket(served: Served) -> None:
    async def story() -> None:
        headers = served.enter()
        async with terminal(served, headers) as first, terminal(served, headers) as second:
            assert len(served.children) == 2
            await first.filter("model = 'mlp'")
            await first.sees("Runs (1 of 3)")
            await second.sees("Runs (3)")
        await asyncio.to_thread(wait_until, lambda: not served.children, "the end of both")

    asyncio.run(story())


def test_what_was_shown_is_shown_again(served: Served) -> None:
    async def story() -> None:
        headers = served.enter()
        async with terminal(served, headers) as session:
            await session.filter("model = 'mlp'")
            await session.sees("Runs (1 of 3)")
        await asyncio.to_thread(wait_until, lambda: not served.children, "the end")
        async with terminal(served, headers) as session:
            await session.sees("Runs (1 of 3)")

    asyncio.run(story())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_end_of_the_server_is_the_end_of_all(served: Served, number: signal.Signals) -> None:
    async def story() -> set[int]:
        headers = served.enter()
        async with terminal(served, headers) as first, terminal(served, headers):
            children = served.children
            assert len(children) == 2
            served.process.send_signal(number)
            assert await asyncio.to_thread(served.process.wait, PATIENCE_S) == 0
            async with asyncio.timeout(PATIENCE_S):
                async for _ in first.socket:
                    pass
            assert first.socket.closed
            return children

    assert not any(is_alive(pid) for pid in asyncio.run(story()))


def test_a_session_that_hangs_does_not_outlive_the_server(served: Served) -> None:
    async def story() -> set[int]:
        async with terminal(served, served.enter()):
            children = served.children
            for pid in children:
                os.kill(pid, signal.SIGSTOP)
            served.process.terminate()
            assert await asyncio.to_thread(served.process.wait, PATIENCE_S) == 0
            return children

    assert not any(is_alive(pid) for pid in asyncio.run(story()))


def test_a_killed_server_takes_its_sessions_along(served: Served) -> None:
    async def story() -> None:
        async with terminal(served, served.enter()):
            (child,) = served.children
            served.process.kill()
            served.process.wait(PATIENCE_S)
            await asyncio.to_thread(wait_until, lambda: not is_alive(child), "the end of the session")

    asyncio.run(story())


def test_a_session_that_crashes_closes_its_socket(served: Served) -> None:
    async def story() -> None:
        async with terminal(served, served.enter()) as session:
            (child,) = served.children
            os.kill(child, signal.SIGKILL)
            async with asyncio.timeout(PATIENCE_S):
                async for _ in session.socket:
                    pass
            assert session.socket.closed

    asyncio.run(story())


# -- what it prints ------------------------------------------------------------------------------------------


def test_the_url_is_all_that_stdout_gets_and_logs_hold_no_secret(served: Served) -> None:
    headers = served.enter()
    cookie = headers["Cookie"].partition("=")[2]
    assert len(served.token) >= 22
    assert served.get("/", Cookie=headers["Cookie"]).status == 200
    for path in (f"/?token={served.token}", f"/nothing?token={served.token}", f"/?token={served.token}&x=%zz"):
        assert served.get(path).status == 401
    served.get("/", Host=f"x{served.token}")
    with contextlib.suppress(http.client.HTTPException, OSError):
        served.get(f"/ws?token={served.token}", **headers, Upgrade="websocket", Connection="Upgrade")
    with contextlib.suppress(http.client.HTTPException, OSError):
        served.get("/?" + "x" * 9000 + served.token)
    served.process.terminate()
    out, err = served.process.communicate(timeout=PATIENCE_S)
    assert out == ""
    assert "Ctrl-C" in err
    for secret in (served.token, cookie):
        assert secret not in err


def test_json_and_a_chosen_port(study: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    argv = [sys.executable, "-m", "mllab", "web", "--lab", study.root, "--no-browser", "--json", "--port", str(port)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    text = ""
    while not text.rstrip().endswith("}"):
        text += process.stdout.readline()
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    assert json.loads(text)["url"].startswith(f"http://127.0.0.1:{port}/?token=")
    assert process.returncode == 0


def test_a_link_is_where_every_session_begins(study: Lab) -> None:
    served = Served(study, "mllab:///runs?filter=model+%3D+%27mlp%27")

    async def story() -> None:
        async with terminal(served, served.enter()) as session:
            await session.sees("Runs (1 of 3)")

    try:
        asyncio.run(story())
    finally:
        served.end()
