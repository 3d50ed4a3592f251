"""The command in a terminal of its own: how it starts, and how it leaves the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest

from mllab.tracking.start import start_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mllab.lab import Lab

PATIENCE_S = 60.0
NOTHING: Mapping[str, str] = {}
# What a terminal is in after the UI: the main screen, its cursor shown, no mouse reports, no bracketed paste.
RESTORED = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l", b"\x1b[?2004l")


class Terminal:
    """A process under a pseudo-terminal, and everything it has written."""

    def __init__(self, *argv: str, size: tuple[int, int] = (80, 24), environ: Mapping[str, str] = NOTHING) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mllab", *argv],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **environ},
        )  # fmt: skip
        self.slave = slave
        self.output = b""

    def read(self, *texts: bytes) -> None:
        """Read until all texts have been written; a cursor position that is asked for is answered."""
        limit = time.monotonic() + PATIENCE_S
        while not all(text in self.output for text in texts):
            assert time.monotonic() < limit, f"never came: {texts}\n{self.output[-2000:]!r}"
            self._take(0.2)

    def _take(self, wait_s: float) -> None:
        if select.select([self.master], [], [], wait_s)[0]:
            try:
                self.output += os.read(self.master, 65536)
            except OSError:
                time.sleep(0.01)

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def end(self) -> int:
        """Return how the process ended; what it wrote at the end is read."""
        limit = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < limit, f"it does not end\n{self.output[-2000:]!r}"
            self._take(0.05)
        while select.select([self.master], [], [], 0)[0]:
            self._take(0)
        return int(self.process.returncode)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for each in opened:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        os.close(each.master)
        os.close(each.slave)


def check_restored(terminal: Terminal) -> None:
    tail = terminal.output[terminal.output.rindex(b"\x1b[?1049l") - 400 :]
    assert [code for code in RESTORED if code not in tail] == []
    assert termios.tcgetattr(terminal.slave)[3] == terminal.before[3], "echo and lines are as before"


def test_the_command_alone_opens_the_list_and_q_leaves_it(study: Lab, terminals: list[Terminal]) -> None:
    terminal = Terminal("--lab", study.root)
    terminals.append(terminal)
    terminal.read(b"\x1b[?1049h", b"Runs (9)", b"broken")
    terminal.press(b"Q")
    assert terminal.end() == 0
    check_restored(terminal)


def test_open_begins_at_a_link(study: Lab, terminals: list[Terminal]) -> None:
    terminal = Terminal("open", "--lab", study.root, "mllab:///runs?filter=model+%3D+mlp")
    terminals.append(terminal)
    terminal.read(b"Runs (4 of 9)")
    terminal.press(b"Q")
    assert terminal.end() == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_the_terminal_as_it_was(
    study: Lab, terminals: list[Terminal], number: signal.Signals, status: int
) -> None:
    terminal = Terminal("--lab", study.root)
    terminals.append(terminal)
    terminal.read(b"Runs (9)")
    terminal.process.send_signal(number)
    assert terminal.end() == status
    check_restored(terminal)


def test_a_run_goes_on_when_the_window_is_killed(lab: Lab, terminals: list[Terminal]) -> None:
    with start_run("live", "survivor", lab=lab, capture=False) as run:
        run.log({"loss": 1.0}, step=0)
        terminal = Terminal("--lab", lab.root)
        terminals.append(terminal)
        terminal.read(b"survivor")
        terminal.process.kill()
        terminal.end()
        run.log({"loss": 0.5}, step=1)
    again = Terminal("--lab", lab.root)
    terminals.append(again)
    again.read(b"survivor", b"0.5")
    again.press(b"Q")
    assert again.end() == 0


def test_no_color_means_no_colour(study: Lab, terminals: list[Terminal]) -> None:
    terminal = Terminal("--lab", study.root, environ={"NO_COLOR": "1"})
    terminals.append(terminal)
    terminal.read(b"Runs (9)")
    terminal.press(b"Q")
    terminal.end()
    colored = [code for code in terminal.output.split(b"\x1b[") if code[:5] in (b"38;5;", b"48;5;")]
    assert colored == []


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_terminal_that_cannot_move_its_cursor_gets_text(
    study: Lab, terminals: list[Terminal], environ: dict[str, str], tmp_path: Path
) -> None:
    terminal = Terminal("--lab", study.root, environ=environ)
    terminals.append(terminal)
    assert terminal.end() == 0
    assert b"9 runs in" in terminal.output
    assert b"\x1b[?1049h" not in terminal.output


def test_keys_that_come_in_one_burst_all_count(study: Lab, terminals: list[Terminal]) -> None:
    terminal = Terminal("--lab", study.root)
    terminals.append(terminal)
    terminal.read(b"Runs (9)")
    terminal.press(b"/model = mlp\r")
    terminal.read(b"Runs (4 of 9)")
    terminal.press(b":filter lr = 0.1\rjj ")
    terminal.read(b"1 marked")
    terminal.press(b"Q")
    assert terminal.end() == 0


def test_what_is_typed_while_a_menu_opens_is_for_the_menu(study: Lab, terminals: list[Terminal]) -> None:
    terminal = Terminal("--lab", study.root, size=(120, 40))
    terminals.append(terminal)
    terminal.read(b"Runs (9)")
    terminal.press(b"\x10sort runs by acc\r")  # in one burst; s and a would sort and archive
    terminal.read(b"by metrics.acc descending")
    terminal.press(b"D\r")  # Cancel has the focus
    terminal.read(b"Delete 1 run?")
    terminal.press(b"Q")
    assert terminal.end() == 0
    assert b"Archived" not in terminal.output
    assert b"Deleted" not in terminal.output
