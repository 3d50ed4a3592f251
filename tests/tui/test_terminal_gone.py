"""The app ends when its terminal is gone, and draws again after it was stopped."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from benchmarks.measure import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mllab.lab import Lab

ROOT = Path(__file__).parents[2]
# The command with a watchdog that would come too late.
PATIENT = """
from mllab.cli.main import main
from mllab.tui import compat
compat.install_exit_guards.__kwdefaults__["grace_s"] = 600.0
main()
"""
GUARDED = ("-m", "tests.tui.guarded_app")


def read_until(master: int, text: bytes) -> None:
    output = b""
    while text not in output:
        output += os.read(master, 65536)


@contextmanager
def running(
    tmp_path: Path, *argv: str, ready: bytes = b"ready to end"
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run a command in a terminal that is no controlling one: its end sends no SIGHUP."""
    master, slave = pty.openpty()
    environ = {**environment(str(tmp_path)), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, *argv], stdin=slave, stdout=slave, stderr=slave, start_new_session=True, cwd=ROOT, env=environ
    )
    os.close(slave)
    try:
        read_until(master, ready)
        yield master, process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("mode", ["", "flood", "stock flood"])
@pytest.mark.parametrize("with_signal", [False, True])
def test_without_its_terminal_the_app_ends_at_once(tmp_path: Path, mode: str, with_signal: bool) -> None:
    with running(tmp_path, *GUARDED, mode) as (master, process):
        os.close(master)
        if with_signal:
            process.send_signal(signal.SIGHUP)
        assert process.wait(30) == 128 + signal.SIGHUP


def test_the_ui_ends_by_itself_when_its_terminal_is_gone(study: Lab, tmp_path: Path) -> None:
    with running(tmp_path, "-c", PATIENT, "--lab", study.root, ready=b"Runs") as (master, process):
        os.close(master)
        assert process.wait(30) == 128 + signal.SIGHUP


def test_after_a_stop_all_is_drawn_again(tmp_path: Path) -> None:
    with running(tmp_path, *GUARDED) as (master, process):
        process.send_signal(signal.SIGTSTP)
        read_until(master, b"\x1b[?1049l")
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        process.send_signal(signal.SIGCONT)
        read_until(master, b"ready to end")
        os.write(master, b"q")
        read_until(master, b"\x1b[?1049l")
        assert process.wait(30) == 0
        os.close(master)
