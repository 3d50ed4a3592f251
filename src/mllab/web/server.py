"""The server of `mllab web`: textual-serve's, with every request checked and everything bounded."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import logging
import os
import signal
import sys
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web
from textual_serve.server import Server

from mllab.web.session import Session

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from mllab.web.access import Access

MAX_SESSIONS = 4
MAX_CONNECTIONS = 64
MAX_MESSAGE_BYTES = 1 << 20  # a paste
MAX_CELLS = 1000
# A connection has this long for its whole request and answer, unless it became a session.
REQUEST_S = 20.0
HEARTBEAT_S = 15.0
BACKLOG = 32
_PAGE = files("mllab.web") / "page"


class LabServer(Server):
    """Serves the terminal UI, one process a session.

    Args:
        argv: what a session runs.
        title: what the browser calls the page.
        access: who may come in.
        host: the address that is listened on, for textual-serve.
        port: its port.
    """

    def __init__(self, argv: Sequence[str], title: str, access: Access, host: str, port: int) -> None:
        super().__init__(" ".join(argv), host, port, title, statics_path="static")
        self._argv = tuple(argv)
        self._access = access
        self.sessions: set[Session] = set()
        self._kept: set[int] = set()  # connections whose time is not bounded, by id
        self._is_ending = False
        self._http: web.Server | None = None

    @property
    def connections(self) -> list[web.RequestHandler]:
        """The connections that are open."""
        return list(self._http.connections) if self._http is not None else []

    async def on_startup(self, app: web.Application) -> None:
        """Say nothing: the URL is printed by who knows it."""

    async def _make_app(self) -> web.Application:
        app = web.Application(middlewares=[self._access.guard], client_max_size=1)
        app.router.add_get("/", self.handle_index)
        app.router.add_get("/ws", self.handle_websocket)
        app.router.add_static("/static", self.statics_path)
        app.router.add_static("/page", str(_PAGE))
        app.on_response_prepare.append(self._access.add_headers)
        return app

    async def handle_index(self, request: web.Request) -> web.Response:
        """Answer with the page."""
        text = (_PAGE / "index.html").read_text(encoding="utf-8")
        text = text.replace("{title}", html.escape(self.title)).replace("{host}", html.escape(request.host))
        return web.Response(text=text, content_type="text/html")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run a session for as long as the socket is open."""
        if self._is_ending or len(self.sessions) >= MAX_SESSIONS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_SESSIONS} sessions are open already.\n")
        try:
            width, height = (_cells(request.query.get(name, usual)) for name, usual in (("width", 80), ("height", 24)))
        except ValueError as error:
            raise web.HTTPBadRequest(text="A terminal of that size there is not.\n") from error
        websocket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False)
        session = Session(self._argv, websocket, lambda: request.transport.abort() if request.transport else None)
        self.sessions.add(session)
        connection = id(request.protocol)
        try:
            await websocket.prepare(request)
            self._kept.add(connection)
            await session.start(width, height)
            await self._process_messages(websocket, session)
        finally:
            # The server's end cancels this; the process must be gone before.
            await asyncio.shield(self._end(session))
            self._kept.discard(connection)
        return websocket

    async def _end(self, session: Session) -> None:
        await session.stop()
        self.sessions.discard(session)

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: Any) -> None:
        """Hand on keys and sizes until the socket closes; what our page does not send closes it."""
        async for message in websocket:
            try:
                if message.type != WSMsgType.TEXT:
                    raise TypeError(message.type)
                kind, *rest = json.loads(message.data)
                if kind == "stdin":
                    await app_service.send_bytes(rest[0].encode("utf-8", "replace"))
                elif kind == "resize":
                    await app_service.set_terminal_size(_cells(rest[0]["width"]), _cells(rest[0]["height"]))
                elif kind == "ping":
                    await websocket.send_json(["pong", str(rest[0])[:20]])
                elif kind == "focus":
                    await app_service.focus()
                elif kind == "blur":
                    await app_service.blur()
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
                await websocket.close(code=1008, message=b"not a message of this page")
                return

    async def serve_on(self, bound: socket.socket, ready: Callable[[], object], stop: asyncio.Event) -> None:
        """Serve on a bound socket until ``stop`` is set; no session outlives this.

        ``ready`` is called when requests are answered.
        """
        loop = asyncio.get_running_loop()
        # Logs of requests, well-formed or not, would hold the token. What goes wrong in an answer `Access` says.
        logger = logging.getLogger("mllab.web.http")
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
        runner = web.AppRunner(
            await self._make_app(),
            access_log=None,
            logger=logger,
            handle_signals=False,
            shutdown_timeout=2,
            lingering_time=0.2,
        )
        await runner.setup()
        assert runner.server is not None
        self._http = runner.server
        listening = await loop.create_server(self._factory(runner.server), sock=bound, backlog=BACKLOG)
        try:
            ready()
            await stop.wait()
        finally:
            listening.close()
            self._is_ending = True
            await self._stop_sessions()
            await runner.cleanup()
            await self._stop_sessions()  # one may have been about to start

    async def _stop_sessions(self) -> None:
        await asyncio.gather(*(each.stop() for each in list(self.sessions)))

    def _factory(self, server: web.Server) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocol of a connection: aiohttp's, for a bounded time and number of them."""
        loop = asyncio.get_running_loop()

        def expire(handler: web.RequestHandler) -> None:
            if id(handler) not in self._kept and handler.transport is not None:
                handler.transport.abort()

        def make() -> asyncio.Protocol:
            if len(self.connections) >= MAX_CONNECTIONS:
                return _Refusal()
            handler = server()
            loop.call_later(REQUEST_S, expire, handler)
            return handler

        return make


async def serve_until_signal(server: LabServer, bound: socket.socket, ready: Callable[[], object]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.serve_on(bound, ready, stop)


class _Refusal(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        with contextlib.suppress(AttributeError):
            transport.abort()  # type: ignore[attr-defined]  # every transport of a server has it


def _cells(value: Any) -> int:
    """Return a width or height.

    Raises:
        ValueError: it is none.
    """
    cells = int(value)
    if not 1 <= cells <= MAX_CELLS:
        raise ValueError(cells)
    return cells


def session_argv(lab_root: str, link: str | None) -> list[str]:
    """Return the command of a session."""
    # -P: what lies in the working directory is no part of mllab.
    return [sys.executable, "-P", "-m", "mllab.web.child", os.path.abspath(lab_root), *([link] if link else [])]
