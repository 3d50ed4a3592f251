"""Fixtures every test may use. No test leaves loopback, and none reads the user's own lab or settings."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mllab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mllab.tracking.run import Run

REQUIRED = {name.strip() for name in os.environ.get("MLLAB_REQUIRE", "").split(",") if name.strip()}


def need(engine: str, reason: str | None) -> None:
    """Skip with ``reason`` when an engine is missing, or fail when MLLAB_REQUIRE names it."""
    if reason is None:
        return
    if engine in REQUIRED:
        pytest.fail(f"{engine} is required by MLLAB_REQUIRE: {reason}")
    pytest.skip(f"{engine}: {reason}")


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each test an empty home, no MLLAB_* settings, and no background compaction."""
    for name in list(os.environ):
        if name.startswith("MLLAB_") and name != "MLLAB_REQUIRE":
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("MLLAB_STORE_AUTO_COMPACT", "0")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections that would leave this machine."""
    connect = socket.socket.connect

    def checked(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(address[0]).startswith(
            ("127.", "::1", "localhost")
        ):
            raise OSError(f"a test tried to reach {address!r}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", checked)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Return an empty lab."""
    return Lab.init(str(tmp_path / "lab"))


@pytest.fixture
def run(lab: Lab) -> Iterator[Run]:
    """Yield an open run that captures nothing."""
    from mllab.tracking.start import start_run

    with start_run("tests", "sample", lab=lab, capture=False) as opened:
        yield opened


@pytest.fixture
def python() -> str:
    """Return this interpreter, for tests that start processes."""
    return sys.executable
