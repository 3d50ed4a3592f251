"""Who may talk to the server: a link that works once, a cookie, and the names the server goes by.

A page on the web can make a browser send requests to a server on loopback, and so can every user of this machine. So
a request needs the cookie that the link was exchanged for; the Host header must name this server, or a name that an
attacker rebinds to 127.0.0.1 would share our origin; and a websocket, which no same-origin policy covers, must come
from our own page. Sources: RFC 6455, section 10.2 (Origin); RFC 6265bis, section 5.2 (SameSite).
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import sys
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TOKEN_BYTES = 32
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
_NO_LINK = (
    "This page opens by the link that mllab web printed. A link works once, in one browser; "
    "stop mllab web and start it again for another.\n"
)
# The page that takes the link's place. A redirect would keep the initiator of the visit: from a link in another page
# the cookie, which is SameSite=Strict, would not come along. A refresh of our own page is our own request.
_EXCHANGED = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>mllab</title>'
    '<meta http-equiv="refresh" content="0;url=/"></head></html>'
)


class Access:
    """The rules for one server; `guard` is the middleware that enforces them.

    Args:
        port: the server's port.
        names: what the Host header may call the server, without the port; None for any IP address.
    """

    def __init__(self, port: int, names: tuple[str, ...] | None = LOCAL_NAMES) -> None:
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self._is_used = False
        # Cookies are shared by all ports of a host: the port in the name keeps two labs apart.
        self.cookie_name = f"mllab-{port}"
        self._cookie = secrets.token_urlsafe(TOKEN_BYTES)
        self._port = port
        self._names = names

    @web.middleware
    async def guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Hand a request on when it may be answered, and close its connection then: its time is bounded."""
        try:
            response = await self._answer(request, handler)
        except web.HTTPException as error:
            error.force_close()
            raise
        if not response.prepared:
            response.force_close()
        return response

    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not self._is_our_name(request.headers.getall("Host", [])):
            return web.Response(status=403, text="This server does not go by that name.\n")
        if request.can_read_body:
            return web.Response(status=413, text="Requests have no body here.\n")
        if request.path == "/" and "token" in request.query:
            return self._exchange(request)
        if not _same(request.cookies.get(self.cookie_name, ""), self._cookie):
            return web.Response(status=401, text=_NO_LINK)
        if request.headers.get("Upgrade") and request.headers.getall("Origin", []) != [f"http://{request.host}"]:
            return web.Response(status=403, text="Only this server's own page may open a session.\n")
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except Exception as error:  # aiohttp would log the request, with what is secret in it
            sys.stderr.write(f"mllab web: {type(error).__name__} while answering {request.path!r}\n")
            return web.Response(status=500, text="mllab web failed to answer this.\n")

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Give an answer the headers that all have; aiohttp calls it before it sends one."""
        is_ours = self._is_our_name(request.headers.getall("Host", []))
        response.headers.update(headers(f"ws://{request.host}" if is_ours else "'none'"))

    def _exchange(self, request: web.Request) -> web.Response:
        given = request.query.getall("token")
        is_right = len(given) == 1 and _same(given[0], self.token) and not self._is_used and request.method == "GET"
        if not is_right:
            return web.Response(status=401, text=_NO_LINK)
        self._is_used = True
        response = web.Response(text=_EXCHANGED, content_type="text/html")
        response.set_cookie(self.cookie_name, self._cookie, path="/", httponly=True, samesite="Strict")
        return response

    def _is_our_name(self, hosts: list[str]) -> bool:
        if len(hosts) != 1:
            return False
        name, _, port = hosts[0].lower().rpartition(":")
        if port != str(self._port):
            return False
        return name in self._names if self._names is not None else name in LOCAL_NAMES or _is_address(name)


def _same(one: str, other: str) -> bool:
    """Compare in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def headers(source: str) -> dict[str, str]:
    """Return what every answer carries; to ``source`` the page may connect."""
    policy = (
        "default-src 'none'",
        "script-src 'self'",
        # xterm.js measures and colours by <style> elements that it makes; there is no way to give it a nonce.
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self'",
        "img-src 'self'",
        # Not every browser takes 'self' for a websocket.
        f"connect-src {source}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), clipboard-read=()",
        "Server": "mllab",
    }
