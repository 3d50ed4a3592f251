"""Copying: which way is taken, what is said of it, and that tmux's buffer holds the text."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.measure import environment
from benchmarks.pty_session import PtySession

from mllab.tui import clipboard
from mllab.tui.clipboard import MAX_BYTES, MAX_OSC_52_BYTES, copy, copy_aside

ROOT = Path(__file__).parents[2]


class Terminal:
    """What `copy` needs of an app."""

    is_headless = False

    def __init__(self) -> None:
        self.taken: list[str] = []

    def copy_to_clipboard(self, text: str) -> None:
        self.taken.append(text)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is all of PATH; a program put there writes what it is given to a file beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "platform", "linux")
    return folder


def program(folder: Path, name: str, body: str = 'cat > "$0.got"') -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{body}\n")
    path.chmod(0o755)
    return path


def told(text: str, **environ: str) -> tuple[str, Terminal]:
    app = Terminal()
    return copy(app, text, {"PATH": os.environ["PATH"], **environ}), app  # type: ignore[arg-type]  # all it needs


def test_the_terminal_is_asked_and_not_believed(programs: Path) -> None:
    said, app = told("sin\udc80gle line")
    assert app.taken == ["sin?gle line"]
    assert said == "Copied 12 bytes to the terminal (OSC 52, if it allows that)"


def test_a_local_desktop_gets_it_too(programs: Path) -> None:
    for name in ("xclip", "wl-copy"):
        program(programs, name)
    said, _ = told("text", DISPLAY=":0")
    assert said == "Copied 4 bytes to this desktop's clipboard (xclip) and the terminal (OSC 52)"
    assert (programs / "xclip.got").read_text() == "text"
    assert "wl-copy" in told("text", DISPLAY=":0", WAYLAND_DISPLAY="wayland-0")[0]


@pytest.mark.parametrize("name", ["SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT"])
def test_over_ssh_no_desktop_is_touched(programs: Path, name: str) -> None:
    program(programs, "xclip")
    assert "xclip" in told("text", DISPLAY=":0")[0]
    (programs / "xclip.got").unlink()
    assert "xclip" not in told("text", DISPLAY="localhost:10.0", **{name: "10.0.0.1 22"})[0]
    assert not (programs / "xclip.got").exists()


def test_programs_that_fail_are_named(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(programs, "xclip", "exit 3")
    said, _ = told("text", DISPLAY=":0", TMUX="/tmp/none,1,0")
    assert said.startswith("Copied 4 bytes to the terminal (OSC 52, if it allows that)")
    assert "xclip failed (exit 3)" in said
    assert "tmux cannot be run: No such file or directory" in said
    monkeypatch.setattr(clipboard, "TIMEOUT_S", 0.05)
    program(programs, "xclip", "exec sleep 5")
    assert "xclip did not answer within 0.05 s" in told("text", DISPLAY=":0")[0]


def test_sizes_are_capped(programs: Path) -> None:
    program(programs, "xclip")
    said, app = told("é" * (MAX_OSC_52_BYTES // 2 + 1), DISPLAY=":0")
    assert not app.taken
    assert said == (
        "Copied 73.2 KiB to this desktop's clipboard (xclip); 73.2 KiB is more than terminals take (OSC 52)"
    )
    assert told("x" * MAX_OSC_52_BYTES)[1].taken
    said, app = told("x" * (MAX_BYTES + 1), DISPLAY=":0")
    assert said.startswith("Not copied: 8.0 MiB is more than")
    assert not app.taken


def test_without_a_terminal_nothing_is_claimed(programs: Path) -> None:
    app = Terminal()
    app.is_headless = True
    assert copy(app, "text", {}) == "Not copied: there is no terminal and no clipboard"  # type: ignore[arg-type]


def test_waiting_happens_outside_the_event_loop(programs: Path) -> None:
    program(programs, "xclip", 'while [ ! -e "$0.go" ]; do :; done; cat > "$0.got"')

    async def run() -> str:
        environ = {"PATH": str(programs), "DISPLAY": ":0"}
        task = asyncio.create_task(copy_aside(Terminal(), "text", environ))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        (programs / "xclip.go").touch()  # the loop goes on while the program waits for this
        return await task

    assert "xclip" in asyncio.run(run())


def test_a_terminal_gets_osc_52(tmp_path: Path) -> None:
    environ = {name: value for name, value in environment(str(tmp_path)).items() if name not in ("TMUX", "DISPLAY")}
    argv = [sys.executable, "-m", "tests.tui.copying_app", "grüße"]
    with PtySession(argv, cwd=str(ROOT), environ=environ) as session:
        session.wait_for("OSC 52")
        assert b"\x1b]52;c;" + base64.b64encode("grüße".encode()) + b"\x07" in session.output


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_tmux_has_the_text_in_its_buffer(tmp_path: Path) -> None:
    environ = {k: v for k, v in environment(str(tmp_path)).items() if k not in ("TMUX", "DISPLAY", "WAYLAND_DISPLAY")}
    environ["TMUX_TMPDIR"] = str(tmp_path)

    def tmux(*arguments: str) -> str:
        command = ["tmux", "-L", "copying", "-f", "/dev/null", *arguments]
        done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout

    text = "run 01ABC\n\tλ=0.5"
    tmux("new-session", "-d", "-x", "100", "-y", "20", sys.executable, "-m", "tests.tui.copying_app", text)
    try:
        limit = time.monotonic() + 60
        screen = ""
        while "Copied" not in screen and time.monotonic() < limit:
            screen = tmux("capture-pane", "-p")
        assert "tmux's buffer" in screen, screen
        assert tmux("show-buffer") == text
    finally:
        tmux("kill-server")
