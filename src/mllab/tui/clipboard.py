"""Copy text to the clipboard by every way that reaches it, and say in words which way that was.

A terminal takes OSC 52 from an app even over SSH, but gives no answer; tmux with its default settings does not pass it
on. So inside tmux its own buffer is set too, and on a local desktop the desktop's clipboard.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import App

# Terminals drop sequences that are too long in silence. This many bytes make one of 100,000, the limit of hterm's own
# script: https://chromium.googlesource.com/apps/libapps/+/HEAD/hterm/etc/osc52.sh.
MAX_OSC_52_BYTES = 74_994
# For programs that are handed the text by a pipe.
MAX_BYTES = 8 << 20
TIMEOUT_S = 1.0
_NATIVE = {
    "darwin": (("", ("pbcopy",)),),
    "linux": (
        ("WAYLAND_DISPLAY", ("wl-copy",)),
        ("DISPLAY", ("xclip", "-selection", "clipboard", "-in")),
        ("DISPLAY", ("xsel", "--clipboard", "--input")),
    ),
}


def copy(app: App[Any], text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Copy a text and return a sentence for the reader, such as ``Copied 11 bytes to tmux's buffer``.

    Ways: OSC 52; under tmux ``tmux load-buffer -w -``; on this machine's own desktop ``pbcopy``, ``wl-copy``, ``xclip``
    or ``xsel``, but never over SSH, where that would be another desktop's. Programs have a second each at the most;
    `copy_aside` waits for them outside the event loop.
    """
    return _told(app, text, *_by_programs(text, environ))


async def copy_aside(app: App[Any], text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Copy a text as `copy` does, without holding up the event loop."""
    return _told(app, text, *await asyncio.to_thread(_by_programs, text, environ))


def _by_programs(text: str, environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Give a text to the programs that take it; return who has it, and what went wrong."""
    reached: list[str] = []
    failed: list[str] = []
    if _size(text) <= MAX_BYTES:
        if environ.get("TMUX"):
            _run(("tmux", "load-buffer", "-w", "-"), text, "tmux's buffer", reached, failed)
        command = _native_command(environ)
        if command:
            _run(command, text, f"this desktop's clipboard ({command[0]})", reached, failed)
    return reached, failed


def _told(app: App[Any], text: str, reached: list[str], failed: list[str]) -> str:
    """Send OSC 52 too, and say what happened."""
    size = _size(text)
    if size > MAX_BYTES:
        return f"Not copied: {_amount(size)} is more than the {_amount(MAX_BYTES)} that a clipboard is given"
    if size > MAX_OSC_52_BYTES:
        failed.append(f"{_amount(size)} is more than terminals take (OSC 52)")
    else:
        app.copy_to_clipboard(text.encode("utf-8", "replace").decode())
        if not app.is_headless:
            # No terminal confirms it, so where nothing else has the text it is told as an attempt.
            reached.append("the terminal (OSC 52)" if reached else "the terminal (OSC 52, if it allows that)")
    if not reached:
        return "Not copied: " + ("; ".join(failed) or "there is no terminal and no clipboard")
    said = f"Copied {_amount(size)} to {' and '.join(reached)}"
    return f"{said}; {'; '.join(failed)}" if failed else said


def _native_command(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return how to reach the clipboard of the desktop that the terminal is on, if it is on this machine."""
    if any(environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT")):
        return None
    for variable, command in _NATIVE.get(sys.platform, ()):
        if (not variable or environ.get(variable)) and shutil.which(command[0], path=environ.get("PATH")):
            return command
    return None


def _run(command: tuple[str, ...], text: str, name: str, reached: list[str], failed: list[str]) -> None:
    """Give a text to a command, and note how that went."""
    try:
        done = subprocess.run(
            command,
            input=text.encode("utf-8", "replace"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # xclip leaves a child behind that keeps what it inherits
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        failed.append(f"{command[0]} did not answer within {TIMEOUT_S:g} s")
    except OSError as error:
        failed.append(f"{command[0]} cannot be run: {error.strerror}")
    else:
        if done.returncode == 0:
            reached.append(name)
        else:
            failed.append(f"{command[0]} failed (exit {done.returncode})")


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _amount(size_bytes: int) -> str:
    if size_bytes < 10_000:
        return f"{size_bytes:,} byte{'' if size_bytes == 1 else 's'}"
    if size_bytes < 1 << 20:
        return f"{size_bytes / 1024:,.1f} KiB"
    return f"{size_bytes / (1 << 20):,.1f} MiB"
