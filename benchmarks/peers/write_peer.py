"""The least that a call can do: one write(2) of as many bytes as mllab's record has. No packing, no checksum."""

from __future__ import annotations

import os

from mllab.store import frames

MODULE = "os"
# Step, time and five values in a frame.
FRAME_BYTES = frames.OVERHEAD + 8 + 8 + 5 * 8


class _Run:
    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._frame = bytes(FRAME_BYTES)

    def log(self, metrics: dict[str, float], step: int) -> None:  # noqa: ARG002
        os.write(self._fd, self._frame)

    def finish(self) -> None:
        os.fsync(self._fd)
        os.close(self._fd)


def start(folder: str) -> _Run:
    """Open the file."""
    return _Run(os.path.join(folder, "frames"))


def calls(folder: str) -> int:
    """Count frames by the file's size."""
    return os.path.getsize(os.path.join(folder, "frames")) // FRAME_BYTES
