"""Coarse copies of long curves: of every block of points its extremes, so that a chart reads thousands, not millions.

A copy lies in ``cache/coarse/`` under its part's name. It can be missing, damaged or refused by the disk at any time:
then the part itself is read. Needs pyarrow.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mllab.store.fs import FILE_MODE, FOLDER_MODE
from mllab.store.layout import PART_NAME, regular_file_size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray

    from mllab.store.layout import Layout
    from mllab.store.manifest import Part

BLOCK_POINTS = 128
# Copies of shorter curves would take more to open than the points.
LONG_POINTS = 4096
INDEX = "mllab.coarse"
VERSION = 1
# A curve of 100,000 points has 1,600 rows, and a group is the least that is decoded.
_GROUP_ROWS = 4096
_CHUNK_BLOCKS = 8192
_NUMBERS = {"step": pa.int64(), "time": pa.int64(), "value": pa.float64(), "low": pa.int64(), "high": pa.int64(),
            "count": pa.int32()}  # fmt: skip
_SCHEMA = pa.schema(list(_NUMBERS.items()))
_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "write_page_checksum": True,
    "write_statistics": False,
    "store_schema": False,
    "use_dictionary": False,
    "column_encoding": {name: "BYTE_STREAM_SPLIT" if name == "value" else "DELTA_BINARY_PACKED" for name in _NUMBERS},
}
_UNUSABLE = (OSError, pa.ArrowException, ValueError, KeyError, TypeError, IndexError, RecursionError)


@dataclass(frozen=True, slots=True, eq=False)
class CoarseCurve:
    """What is kept of one curve in one part: parallel columns in stored order.

    Each block of points has one to five rows, real points: its minimum, its maximum and its first NaN, and the first
    and last point of the curve. ``count`` (int32) is the number of points in the block at its first row and 0 at the
    others; ``low`` and ``high`` (int64) are the block's first and last step. ``step`` and ``time`` (UTC microseconds)
    are int64, ``value`` float64.
    """

    step: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    count: NDArray[np.int32]

    def rows(self, start: int, stop: int) -> CoarseCurve:
        """Return a range of rows."""
        return CoarseCurve(*(getattr(self, name)[start:stop] for name in _NUMBERS))


@dataclass(frozen=True, slots=True)
class CoarseFile:
    """The copy of one part. ``points`` says of each long curve (ref, key) how many points the part has of it."""

    path: str
    points: dict[tuple[int, str], int]
    _rows: dict[tuple[int, str], tuple[int, int]]

    def read(self, curves: Iterable[tuple[int, str]]) -> dict[tuple[int, str], CoarseCurve]:
        """Return what is kept of those of ``curves`` that are here; of none, where the file is damaged or gone."""
        wanted = {curve: self._rows[curve] for curve in curves if curve in self._rows}
        groups = sorted({group for start, stop in wanted.values() for group in _groups(start, stop)})
        if not groups:
            return {}
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                table = file.read_row_groups(groups, list(_NUMBERS), use_threads=False)
            columns = [_array(table[name]) for name in _NUMBERS]
            # Where each group begins among the rows that were read.
            places = {group: place * _GROUP_ROWS for place, group in enumerate(groups)}
            found = {}
            for curve, (start, stop) in wanted.items():
                first = places[start // _GROUP_ROWS] + start % _GROUP_ROWS
                kept = CoarseCurve(*(column[first : first + stop - start] for column in columns))
                if int(kept.count.sum(dtype=np.int64)) != self.points[curve]:
                    raise ValueError(f"The rows of {curve} do not add up.")
                found[curve] = kept
        except _UNUSABLE as error:
            _discard(self.path, error)
            return {}
        return found


def _groups(start: int, stop: int) -> range:
    return range(start // _GROUP_ROWS, (stop - 1) // _GROUP_ROWS + 1)


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column of numbers without nulls. ``to_numpy`` would import pandas where that is installed."""
    dtype = np.dtype("int64" if pa.types.is_timestamp(column.type) else str(column.type))
    views = [np.frombuffer(c.buffers()[1], dtype, len(c), c.offset * dtype.itemsize) for c in column.chunks if len(c)]
    return views[0] if len(views) == 1 else np.concatenate([np.empty(0, dtype), *views])


def _discard(path: str, error: Exception) -> None:
    """Remove a file that cannot be used, if its bytes are why."""
    # What the system says has a number: no such file, too many open ones, no permission.
    if not isinstance(error, OSError) or error.errno is None:
        with contextlib.suppress(OSError):
            os.unlink(path)


def coarse_path(layout: Layout, part_name: str) -> str:
    """Return where a part's copy is, should there be one."""
    return os.path.join(_folder(layout), part_name)


def _folder(layout: Layout) -> str:
    return os.path.join(layout.cache, "coarse")


def may_have_long_curves(part: Part) -> bool:
    """Whether a part of points is large enough to hold a long curve; others have no copy."""
    return part.rows >= LONG_POINTS


def open_coarse(layout: Layout, part: Part) -> CoarseFile | None:
    """Return the copy of a part, or None where there is none that can be used; a damaged one is removed."""
    path = coarse_path(layout, part.name)
    if not may_have_long_curves(part) or regular_file_size(path) is None:
        return None
    try:
        metadata = pq.read_metadata(path)
        index = json.loads((metadata.metadata or {})[INDEX.encode()])
        if index["version"] != VERSION:
            return None
        points, rows, start = {}, {}, 0
        for ref, key, count, total in index["curves"]:
            points[int(ref), str(key)] = int(total)
            rows[int(ref), str(key)] = (start, start := start + int(count))
        if index["part"] != part.name or start != metadata.num_rows or sum(points.values()) > part.rows:
            raise ValueError("It is not the copy of this part.")
    except _UNUSABLE as error:
        _discard(path, error)
        return None
    return CoarseFile(path, points, rows)


def write_coarse(layout: Layout, part: Part, table: pa.Table) -> bool:
    """Write the copy of a part with the rows ``table``; return whether the disk took it.

    The file is there for a part of short curves too, and holds nothing: so it is clear that none is wanting.
    """
    if not may_have_long_curves(part):
        return False
    folder, path = _folder(layout), coarse_path(layout, part.name)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        for each in (layout.cache, folder):
            with contextlib.suppress(FileExistsError):
                os.mkdir(each, FOLDER_MODE)
        rows, curves = _coarse_rows(table)
        index = {"version": VERSION, "part": part.name, "block": BLOCK_POINTS, "curves": curves}
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        with open(fd, "wb") as file, pq.ParquetWriter(file, _SCHEMA, **_OPTIONS) as writer:
            writer.write_table(rows, _GROUP_ROWS)
            writer.add_key_value_metadata({INDEX: json.dumps(index, separators=(",", ":"))})
        os.rename(temporary, path)
    except (OSError, pa.ArrowException):
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return False
    return True


def sweep_coarse(layout: Layout, part_names: Collection[str]) -> int:
    """Remove copies of parts that are gone, and what writers that died left; return bytes freed. Needs the lease."""
    freed = 0
    with contextlib.suppress(OSError):
        for name in os.listdir(_folder(layout)):
            is_stale = PART_NAME.match(name) and name not in part_names
            if is_stale or (name.startswith("points-") and name.endswith(".tmp")):
                path = coarse_path(layout, name)
                size = regular_file_size(path) or 0
                with contextlib.suppress(OSError):
                    os.unlink(path)
                    freed += size
    return freed


def _coarse_rows(table: pa.Table) -> tuple[pa.Table, list[list[Any]]]:
    """Return the rows to keep of a table of points in stored order, and [ref, key, rows, points] of each long curve."""
    table = table.select(["ref", "key", "step", "time", "value"]).unify_dictionaries().combine_chunks()
    ref, key = _array(table["ref"]), table["key"].chunk(0)
    codes = _array(pa.chunked_array([key.indices]))
    changes = np.flatnonzero((ref[1:] != ref[:-1]) | (codes[1:] != codes[:-1])) + 1
    starts = np.concatenate([[0], changes])
    lengths = np.diff(np.append(starts, len(ref)))
    starts, lengths = starts[lengths >= LONG_POINTS], lengths[lengths >= LONG_POINTS]

    blocks = -(-lengths // BLOCK_POINTS)  # of each curve
    curve = np.repeat(np.arange(len(starts)), blocks)
    place = np.arange(len(curve)) - np.repeat(np.cumsum(blocks) - blocks, blocks)
    first = starts[curve] + place * BLOCK_POINTS
    last = np.minimum(first + BLOCK_POINTS, (starts + lengths)[curve]) - 1

    step, time, value = (_array(table[name]) for name in ("step", "time", "value"))
    rows = np.unique(np.concatenate([starts, starts + lengths - 1, *_extremes(value, first, last)]))
    block = np.searchsorted(first, rows, side="right") - 1
    is_first = np.diff(block, prepend=-1) != 0
    count = np.where(is_first, (last - first + 1)[block], 0).astype(np.int32)
    columns = [step[rows], time[rows], value[rows], step[first[block]], step[last[block]], count]
    kept = np.bincount(curve[block], minlength=len(starts)).tolist()
    words = [key.dictionary[code].as_py() for code in codes[starts].tolist()]
    index = [list(entry) for entry in zip(ref[starts].tolist(), words, kept, lengths.tolist(), strict=True)]
    arrays = [
        pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(np.ascontiguousarray(column))])
        for kind, column in zip(_NUMBERS.values(), columns, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA), index


def _extremes(
    value: NDArray[np.float64], first: NDArray[np.intp], last: NDArray[np.intp]
) -> Iterable[NDArray[np.intp]]:
    """Yield the rows of the minima, maxima and first NaNs of blocks."""
    for chunk in range(0, len(first), _CHUNK_BLOCKS):
        start, stop = first[chunk : chunk + _CHUNK_BLOCKS], last[chunk : chunk + _CHUNK_BLOCKS]
        # A short block repeats its last point, which comes after all that are equal to it.
        grid = value[np.minimum(start[:, None] + np.arange(BLOCK_POINTS), stop[:, None])]
        missing = np.isnan(grid)
        if missing.any():
            has_missing = missing.any(axis=1)
            yield (start + missing.argmax(axis=1))[has_missing]
            yield start + np.where(missing, np.inf, grid).argmin(axis=1)
            yield start + np.where(missing, -np.inf, grid).argmax(axis=1)
        else:
            yield start + grid.argmin(axis=1)
            yield start + grid.argmax(axis=1)
