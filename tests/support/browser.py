"""A headless Chromium, driven by the DevTools protocol, and the screen that a terminal's bytes make."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import aiohttp
from rich.cells import cell_len

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

PATIENCE_S = 60.0
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str | None:
    """Return the path of a Chromium."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


class Grid:
    """What a terminal shows of Textual's output, which places the cursor, writes texts and colours them."""

    _PIECE = re.compile(
        r"\x1b\[([?>=<]?[0-9;:]*)[ $]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|([\r\n])|([^\x1b\r\n]+)"
    )

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], str] = {}
        self._row = self._column = 0
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take bytes; a packet holds whole sequences."""
        for numbers, final, newline, text in self._PIECE.findall(data.decode("utf-8", "replace")):
            if final == "H":
                row, _, column = numbers.partition(";")
                self._row, self._column = int(row or 1) - 1, int(column or 1) - 1
            elif final == "J":
                self._cells.clear()
            elif newline == "\r":
                self._column = 0
            elif newline:
                self._row += 1
            for character in text:
                self._cells[self._row, self._column] = character
                self._column += cell_len(character)

    @property
    def lines(self) -> list[str]:
        """The screen."""
        rows = max((row for row, _ in self._cells), default=-1) + 1
        found = []
        for row in range(rows):
            width = max((column for at, column in self._cells if at == row), default=-1) + 1
            found.append("".join(self._cells.get((row, column), " ") for column in range(width)))
        return found

    @property
    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.lines)


class Page:
    """A tab. What its websocket received is on `grid`, what it sent in `sent`, what the console said in `complaints`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.grid = Grid()
        self.sent: list[str] = []
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            data = message.json()
            if "id" in data:
                self._answers.pop(data["id"]).set_result(data)
                continue
            facts = data["params"]
            if data["method"] == "Network.webSocketFrameReceived" and facts["response"]["opcode"] == 2:
                self.grid.feed(base64.b64decode(facts["response"]["payloadData"]))
            elif data["method"] == "Network.webSocketFrameSent":
                self.sent.append(facts["response"]["payloadData"])
            elif data["method"] == "Network.requestWillBeSent":
                self.requests.append(facts["request"]["url"])
            elif data["method"] == "Log.entryAdded" and facts["entry"]["level"] == "error":
                self.complaints.append(f"{facts['entry']['text']} {facts['entry'].get('url', '')}")
            elif data["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(facts["exceptionDetails"]))

    async def call(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        data = await asyncio.wait_for(answer, PATIENCE_S)
        assert "result" in data, data
        return data["result"]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition."""
        limit = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < limit, f"never came: {what}\n{self.grid.text}\n{self.complaints}"
            await asyncio.sleep(0.02)

    async def sees(self, *texts: str) -> None:
        """Wait until the terminal shows texts."""
        await self.until(lambda: all(text in self.grid.text for text in texts), " and ".join(map(repr, texts)))

    async def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    async def type(self, text: str) -> None:
        """Press the keys of characters, or Enter for a newline."""
        for character in text:
            enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            key = enter if character == "\n" else {"key": character, "text": character}
            await self.call("Input.dispatchKeyEvent", type="keyDown", **key)
            await self.call("Input.dispatchKeyEvent", type="keyUp", **{k: v for k, v in key.items() if k != "text"})

    async def screenshot(self) -> bytes:
        """Return the page as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])

    async def until_drawn(self, unlike: bytes = b"") -> None:
        """Wait until the page has more than one colour, and looks unlike another screenshot."""
        limit = time.monotonic() + PATIENCE_S
        while len(png := await self.screenshot()) < 10_000 or png == unlike:
            assert time.monotonic() < limit, "the page stays as it is"
            await asyncio.sleep(0.05)

    async def until_true(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        limit = time.monotonic() + PATIENCE_S
        while not await self.evaluate(expression):
            assert time.monotonic() < limit, expression
            await asyncio.sleep(0.05)

    async def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)  # fmt: skip

    async def close(self) -> None:
        """Close the tab's connection."""
        self._reader.cancel()
        await self._socket.close()


@contextlib.asynccontextmanager
async def browsing(program: str, folder: Path, url: str, size: tuple[int, int] = (1200, 700)) -> AsyncIterator[Page]:
    """Start a browser with an empty profile and open a URL in it."""
    argv = [
        program, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-first-run",
        "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--enable-unsafe-swiftshader", "about:blank",
    ]  # fmt: skip
    if os.geteuid() == 0:
        argv.insert(1, "--no-sandbox")  # Chromium's sandbox refuses root
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)  # noqa: ASYNC220  # a fork, no wait
    try:
        limit = time.monotonic() + PATIENCE_S
        active = folder / "DevToolsActivePort"
        while not (active.exists() and active.read_text().count("\n")):
            assert process.poll() is None, process.returncode
            assert time.monotonic() < limit, "the browser did not start"
            await asyncio.sleep(0.05)
        port = active.read_text().split("\n")[0]
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                target = next(each for each in await answer.json() if each["type"] == "page")
            async with http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Network", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                await page.resize(*size)
                await page.call("Page.navigate", url=url)
                yield page
                await page.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
