"""Fixtures every test may use. No test leaves loopback, and none reads the user's own lab or settings."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mllab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mllab.tracking.run import Run

REQUIRED = {name.strip() for name in os.environ.get("MLLAB_REQUIRE", "").split(",") if name.strip()}


def _need(engine: str, reason: str | None) -> None:
    """Skip with ``reason`` when an engine is missing, or fail when MLLAB_REQUIRE names it."""
    if reason is None:
        return
    if engine in REQUIRED:
        pytest.fail(f"{engine} is required by MLLAB_REQUIRE: {reason}")
    pytest.skip(f"{engine}: {reason}")


def _docker_lack() -> str | None:
    """Say why no container can be started here, or None."""
    docker = shutil.which("docker")
    if docker is None:
        return "the docker command is not installed"
    done = subprocess.run([docker, "version", "-f", "{{.Server.Version}}"], capture_output=True, text=True, timeout=30)
    return None if done.returncode == 0 else done.stderr.strip() or "no engine answers"


@pytest.fixture
def docker_image() -> str:
    """Return an image with Python; skip where there is no engine, or none of the images can be had."""
    _need("docker", _docker_lack())
    image = "python:3.11-slim"
    found = subprocess.run(["docker", "image", "inspect", image], capture_output=True, timeout=30)
    _need("docker", None if found.returncode == 0 else f"the image {image} is not here; docker pull {image}")
    return image


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
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
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
