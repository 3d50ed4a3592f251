"""Run and writer ids: 26 characters that sort by the time they were made.

Source: the ULID layout (48 bits of milliseconds, 80 random bits, Crockford base 32), in lower case.
Order is a convenience for locality on disk; nothing relies on it for correctness, so a clock that jumps
back costs speed, never data.
"""

from __future__ import annotations

import os
import re
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
RUN_ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}\Z")
SHORT_LENGTH = 8


def new_id() -> str:
    """Return a new id; ids made on one machine in different milliseconds sort by time.

    >>> len(new_id())
    26
    """
    number = (time.time_ns() // 1_000_000 & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def is_run_id(text: str) -> bool:
    """Whether ``text`` is a whole run id."""
    return RUN_ID.match(text) is not None


def short_id(run_id: str) -> str:
    """Return the last 8 characters: the random end, which tells runs of one minute apart."""
    return run_id[-SHORT_LENGTH:]
