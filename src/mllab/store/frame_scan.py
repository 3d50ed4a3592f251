"""Where frames lie in a segment's bytes, found without a loop over each. Needs numpy."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from mllab.store import frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

_U32 = struct.Struct("<I")
_LONG_RUN = 16


def frame_offsets(data: memoryview, start: int) -> tuple[NDArray[np.int64], int]:
    """Return where frames begin by their lengths alone, and where the last whole one ends."""
    size = len(data)
    buffer = np.frombuffer(data, np.uint8)
    pieces: list[NDArray[np.int64]] = []
    singles: list[int] = []
    offset = start
    unpack = _U32.unpack_from
    while offset + frames.OVERHEAD <= size:
        (length,) = unpack(data, offset)
        stride = length + frames.OVERHEAD
        if length > frames.MAX_PAYLOAD or offset + stride > size:
            break
        probe = offset + _LONG_RUN * stride
        if probe + 4 <= size and unpack(data, probe)[0] == length and unpack(data, offset + stride)[0] == length:
            count = _equal_lengths(buffer, offset, stride, length)
            if count > 1:
                if singles:
                    pieces.append(np.array(singles, np.int64))
                    singles = []
                pieces.append(offset + stride * np.arange(count, dtype=np.int64))
                offset += stride * count
                continue
        singles.append(offset)
        offset += stride
    if singles:
        pieces.append(np.array(singles, np.int64))
    return (np.concatenate(pieces) if pieces else np.empty(0, np.int64)), offset


def _equal_lengths(buffer: NDArray[np.uint8], offset: int, stride: int, length: int) -> int:
    """Return how many whole frames of one length follow each other at ``offset``."""
    most = (len(buffer) - offset) // stride
    done, window = 0, 64
    while done < most:
        count = min(window, most - done)
        view: NDArray[np.uint32] = np.ndarray((count,), "<u4", buffer, offset + done * stride, (stride,))
        differs = np.flatnonzero(view != length)
        if len(differs):
            return done + int(differs[0])
        done += count
        window *= 8
    return done


def verified(data: memoryview, start: int) -> tuple[NDArray[np.int64], int]:
    """Return the offsets of intact frames up to the first that is not, and where that one begins."""
    offsets, stop = [], start
    for frame in frames.walk(data, start):
        offsets.append(stop)
        stop = frame.next
    return np.array(offsets, np.int64), stop


def rows(buffer: NDArray[np.uint8], offsets: NDArray[np.int64], row: np.dtype[Any]) -> NDArray[Any]:
    """Copy one fixed-size row from each offset."""
    if not len(offsets):
        return np.empty(0, row)
    windows: NDArray[Any] = np.ndarray((len(buffer) - row.itemsize + 1,), row, buffer, 0, (1,))
    return windows[offsets]


def gather(buffer: NDArray[np.uint8], offsets: NDArray[np.int64], code: str) -> NDArray[Any]:
    """Return one number of type ``code`` from each offset."""
    return rows(buffer, offsets, np.dtype(code))
