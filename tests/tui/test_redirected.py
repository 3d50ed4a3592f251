"""The command with a terminal for input and output, and a file for diagnostics."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mllab.lab import Lab


def test_with_diagnostics_in_a_file_the_lab_is_shown_as_text(study: Lab, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    log = tmp_path / "err.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "mllab", "--lab", study.root], stdin=slave, stdout=slave, stderr=errors,
            start_new_session=True, env={**os.environ, "TERM": "xterm-256color"},
        )  # fmt: skip
    os.close(slave)
    output = b""
    try:
        while piece := os.read(master, 65536):
            output += piece
    except OSError:  # Linux says so at the end of a terminal
        pass
    finally:
        os.close(master)
    assert process.wait(30) == 0
    assert b"9 runs" in output
    assert b"\x1b[?1049h" not in output + log.read_bytes()
