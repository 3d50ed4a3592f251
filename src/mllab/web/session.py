"""One browser's session: a process with the terminal UI, and what goes to and fro."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Sequence

    from aiohttp import web

SEND_S = 20.0
GRACE_S = 3.0
_READY = b"__GANGLION__\n"
_MAX_LINES_BEFORE = 10
# What a terminal around the server means says nothing about the browser: a copy goes there, by OSC 52.
_NOT_THE_BROWSERS = ("TMUX", "STY", "DISPLAY", "WAYLAND_DISPLAY")


class Session(AppService):
    """A process that draws into a websocket until one of them ends; then both do.

    Args:
        argv: the process's command.
        websocket: where to the browser it draws.
        abort: cuts the browser's connection without waiting for it.
    """

    def __init__(self, argv: Sequence[str], websocket: web.WebSocketResponse, abort: Callable[[], object]) -> None:
        super().__init__(
            "", write_bytes=websocket.send_bytes, write_str=websocket.send_str, close=self._close,
            download_manager=DownloadManager(),
        )  # fmt: skip
        self._argv = tuple(argv)
        self._websocket = websocket
        self._abort = abort
        self._stopping = asyncio.Lock()
        self._is_over = False

    async def _close(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(SEND_S):
                await self._websocket.close()

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        environment = super()._build_environment(width, height)
        for name in _NOT_THE_BROWSERS:
            environment.pop(name, None)
        return environment | {"TERM": "xterm-256color"}

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        # In a group of its own: Ctrl-C is for the server, which then ends its sessions in good order.
        self._process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._build_environment(width, height),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        return self._process

    async def run(self) -> None:
        """Pass on what the process draws; without a reader it is dropped, so that the process never waits for one."""
        assert self._process is not None
        assert self._process.stdout is not None
        stdout = self._process.stdout
        is_read = True
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
            for _ in range(_MAX_LINES_BEFORE):
                if await stdout.readline() in (_READY, b""):
                    break
            while True:
                head = await stdout.readexactly(5)
                payload = await stdout.readexactly(int.from_bytes(head[1:], "big"))
                if is_read and head[:1] == b"D":
                    is_read = await self._send(payload)
                elif is_read and head[:1] == b"M":
                    await self.on_meta(payload)
        await self._close()

    async def _send(self, payload: bytes) -> bool:
        try:
            async with asyncio.timeout(SEND_S):
                await self.on_data(payload)
        except (ConnectionError, TimeoutError):  # gone, or so slow that it holds up the process
            self._abort()  # closing in good order would wait for it
            return False
        return True

    async def on_meta(self, data: bytes) -> None:
        """Close when the app has ended. Links and downloads, which the UI does not offer, go nowhere."""
        if b'"exit"' in data:
            await self._close()

    async def stop(self) -> None:
        """End the process, by force if it does not follow, and wait for its end."""
        async with self._stopping:
            if self._process is not None and not self._is_over:
                await self._stop(self._process)
                self._is_over = True

    async def _stop(self, process: Process) -> None:
        # Hung up, as by a terminal that closes, the UI remembers its session; textual-serve's "quit" would skip that.
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGKILL):
            if process.returncode is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await process.wait()
        # Whatever it started is in its group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await self._let_go(process)

    async def _let_go(self, process: Process) -> None:
        """Close the pipes and the websocket of a process that has ended."""
        task = self._task
        if task is not None and not (await asyncio.wait({task}, timeout=GRACE_S))[0]:
            task.cancel()
            self._abort()
            await asyncio.wait({task})
        with contextlib.suppress(TimeoutError, OSError, RuntimeError):
            async with asyncio.timeout(GRACE_S):
                if process.stdin is not None:
                    process.stdin.close()
                    await process.stdin.wait_closed()
                if process.stdout is not None:
                    await process.stdout.read()
