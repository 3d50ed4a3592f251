"""Where `mllab web` listens, and whether only this machine can reach it."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from mllab.errors import EnvironmentFault, UsageError
from mllab.web.access import LOCAL_NAMES


@dataclass(frozen=True, slots=True)
class Address:
    """An address of this machine."""

    family: socket.AddressFamily
    ip: str

    @property
    def is_loopback(self) -> bool:
        """Whether other machines cannot reach it."""
        return ipaddress.ip_address(self.ip.partition("%")[0]).is_loopback

    @property
    def is_any(self) -> bool:
        """Whether it stands for all addresses."""
        return ipaddress.ip_address(self.ip.partition("%")[0]).is_unspecified

    @property
    def in_url(self) -> str:
        """The address as a URL and a Host header have it; for all addresses, the loopback one."""
        if self.is_any:
            return "127.0.0.1" if self.family == socket.AF_INET else "[::1]"
        return f"[{self.ip}]" if ":" in self.ip else self.ip

    def names(self, host: str) -> tuple[str, ...] | None:
        """Return the names the server goes by when ``host`` was asked for; None for any IP address."""
        if self.is_any:
            return None
        return LOCAL_NAMES if self.is_loopback else (self.in_url, host.lower())


def resolve(host: str) -> Address:
    """Return the address of a host name or IP address of this machine.

    Raises:
        UsageError: it has none.
    """
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"There is no address of {host[:100]!r}: {error}.", "Try --host 127.0.0.1.") from error
    family, _, _, _, address = found[0]
    return Address(family, str(address[0]))


def listen(address: Address, port: int) -> socket.socket:
    """Return a socket that is bound to the address; port 0 takes a free one.

    Raises:
        EnvironmentFault: the port is taken, or the address is not this machine's.
    """
    bound = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address.ip, port))
    except OSError as error:
        bound.close()
        raise EnvironmentFault(
            f"{address.in_url}:{port} cannot be listened on: {error.strerror}.",
            "Choose another --port, or leave it out.",
        ) from error
    bound.setblocking(False)
    return bound
