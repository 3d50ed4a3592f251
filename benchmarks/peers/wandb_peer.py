"""wandb offline. ``log`` hands the record to a service process, which appends it to a file."""

from __future__ import annotations

import glob
import os
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = "wandb"
FILE_HEADER, BLOCK = 7, 32768
_HEADER = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class _Run:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._run.log(metrics, step=step)

    def finish(self) -> None:
        self._run.finish()


def start(folder: str) -> _Run:
    """Start a run; console, code and hardware capture are off."""
    import wandb

    settings = wandb.Settings(console="off", x_disable_stats=True, disable_git=True, silent=True)
    return _Run(wandb.init(project="benchmark", mode="offline", dir=folder, settings=settings))


def calls(folder: str) -> int:
    """Count the history records in the run's file."""
    from wandb.proto import wandb_internal_pb2 as records

    count = 0
    for path in glob.glob(os.path.join(folder, "wandb", "offline-run-*", "*.wandb")):
        with open(path, "rb") as file:
            data = file.read()
        for payload in _records(data):
            record = records.Record()
            record.ParseFromString(payload)
            count += record.WhichOneof("record_type") == "history"
    return count


def _records(data: bytes) -> Iterator[bytes]:
    """Yield whole records. Source: LevelDB's log format, with a file header of 7 bytes in the first block."""
    at = FILE_HEADER
    parts: list[bytes] = []
    while at + _HEADER.size <= len(data):
        left = BLOCK - at % BLOCK
        if left < _HEADER.size:
            at += left
            continue
        _, length, kind = _HEADER.unpack_from(data, at)
        start = at + _HEADER.size
        if kind not in (FULL, FIRST, MIDDLE, LAST) or start + length > len(data):
            return
        parts = [*([] if kind in (FULL, FIRST) else parts), data[start : start + length]]
        at = start + length
        if kind in (FULL, LAST):
            yield b"".join(parts)
