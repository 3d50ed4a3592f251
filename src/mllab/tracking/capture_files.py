"""Reads small facts from files that may be anything: missing, huge, a pipe, a device. Never raises, never waits."""

from __future__ import annotations

import os
import stat
from typing import Optional


def read_bytes(path: str, limit: int) -> Optional[bytes]:
    """Return up to ``limit`` bytes of a regular file, or None when there is no such file or it is not readable."""
    try:
        # Opening a pipe without a writer would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        pieces = []
        while limit > 0:
            piece = os.read(descriptor, min(limit, 1 << 20))
            if not piece:
                break
            pieces.append(piece)
            limit -= len(piece)
        return b"".join(pieces)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_text(path: str, limit: int = 1 << 16) -> Optional[str]:
    """Return the start of a regular file as text, or None."""
    data = read_bytes(path, limit)
    return None if data is None else data.decode("utf-8", "replace")


def read_number(path: str) -> Optional[int]:
    """Return the one whole number that a file such as those of /sys holds, or None."""
    text = read_text(path, 64)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
