"""The params of many runs, a key at a time, as arrays: 100,000 runs with 50 params are 5,000,000 values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mllab.query.relations import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from mllab.query.engine import Engine

# A longer list takes DuckDB longer to plan than reading the runs between its ends and leaving out the others.
MANY_REFS = 1000
# Up to here a float64 tells every whole number from its neighbours.
_EXACT_INT = 1 << 53


@dataclass(frozen=True, slots=True, eq=False)
class ParamColumn:
    """One param of those runs that have it.

    Attributes:
        key: the param.
        runs: intp[n], the runs that have it, as positions in the refs that were asked for, in no order.
        codes: intp[n], which of the levels each has. 1 and 1.0 are one level, 1, True and "1" are three.
        numbers: float64[k], the first levels, ascending.
        words: the levels after those, sorted: the type, a blank and the text. They include what a float64 does not
            tell from its neighbours, and NaN and infinities.
    """

    key: str
    runs: NDArray[np.intp]
    codes: NDArray[np.intp]
    numbers: NDArray[np.float64]
    words: tuple[str, ...]

    def text(self, code: int) -> str:
        """Return a level as a person wrote it."""
        if code < len(self.numbers):
            number = float(self.numbers[code])
            return str(int(number)) if number.is_integer() and abs(number) < 1e7 else repr(number)
        kind, _, text = self.words[code - len(self.numbers)].partition(" ")
        return "null" if kind == "null" else text

    def level_numbers(self) -> NDArray[np.float64] | None:
        """Return float64[k], the number that each level is; None when one of them is none, or is NaN."""
        found = [_number(word) for word in self.words]
        if any(number != number for number in found):  # noqa: PLR0124  # NaN
            return None
        return np.concatenate([self.numbers, np.array(found, np.float64)])


def _number(word: str) -> float:
    kind, _, text = word.partition(" ")
    try:
        return float(text) if kind in ("int", "float") else np.nan
    except (ValueError, OverflowError):
        return np.nan


def rows_of(engine: Engine, table: str, refs: Sequence[int]) -> str:
    """Return a SELECT of a run-level table's rows of some runs, and of others where there are many of them."""
    if len(refs) <= MANY_REFS:
        return engine.rows_sql(table, refs)
    return f"SELECT * FROM r_{table} WHERE ref BETWEEN {int(min(refs))} AND {int(max(refs))}"  # noqa: S608  # integers


def positions(refs: Sequence[int] | NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return where each of ``wanted`` stands in ``refs``, which are all different; -1 for one that is not there."""
    if not len(refs):
        return np.full(len(wanted), -1)
    known = np.array(refs, np.int64)
    low, high = int(known.min()), int(known.max())
    if high - low < 4 * len(wanted) + 1024:  # refs are numbered from 1, so a table of them all is seldom long
        table = np.full(high - low + 3, -1)
        table[known - low + 1] = np.arange(len(known))
        is_within = len(wanted) and low <= wanted.min() and wanted.max() <= high
        return table[(wanted if is_within else np.clip(wanted, low - 1, high + 1)) - low + 1]
    order = np.argsort(known)
    at = np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)
    found: NDArray[np.intp] = np.where(known[order[at]] == wanted, order[at], -1)
    return found


def param_columns(engine: Engine, refs: Sequence[int]) -> Iterator[ParamColumn]:
    """Yield the params of runs, which are all different, by key."""
    import pyarrow as pa

    keys = sorted(engine.keys("params"))
    if not keys or not refs:
        return
    # A number travels as a number and as an ENUM the key does: a text for each value would cost more than the rest.
    words = ", ".join(map(quoted, keys))
    table = engine.arrow(
        f"""SELECT key::ENUM ({words}) AS key, ref, number, exact,
            CASE WHEN exact = 0 THEN concat(type, ' ', text) END AS word
        FROM (SELECT key, ref, type, text, coalesce(number, 0) AS number,
            (type IN ('int', 'float') AND coalesce(abs(number) <= {_EXACT_INT}, FALSE))::UTINYINT AS exact
            FROM ({rows_of(engine, "params", refs)}))"""  # noqa: S608  # quoted keys and integers
    )
    codes = enum_codes(table.column("key"))
    run = positions(refs, numbers(table.column("ref")))
    number, exact, word = numbers(table.column("number")), numbers(table.column("exact")), table.column("word")
    order = np.argsort(codes, kind="stable")
    bounds = [0, *np.cumsum(np.bincount(codes, minlength=len(keys))).tolist()]
    for place, name in enumerate(keys):
        rows = order[bounds[place] : bounds[place + 1]]
        rows = rows[run[rows] >= 0]
        if not len(rows):
            continue
        is_exact = exact[rows].astype(np.bool_)
        words_here = None
        if not is_exact.all():
            at = np.ascontiguousarray(rows[~is_exact], np.int64)
            # By its buffer: ``pa.array`` of an array imports pandas, where it is installed.
            words_here = word.take(pa.Array.from_buffers(pa.int64(), len(at), [None, pa.py_buffer(at)]))
        yield _column(name, run[rows], number[rows], is_exact, words_here)


def _column(
    key: str, runs: NDArray[np.intp], number: NDArray[np.float64], exact: NDArray[np.bool_], words: Any
) -> ParamColumn:
    """Make a column of the exact numbers and of the words, an Arrow array, of the runs that have no such number."""
    codes = np.empty(len(runs), np.intp)
    levels, codes[exact] = np.unique(number[exact] + 0.0, return_inverse=True)  # -0.0 is 0.0
    if words is None:
        return ParamColumn(key, runs, codes, levels, ())
    coded = words.combine_chunks().dictionary_encode()
    found = coded.dictionary.to_pylist()
    ordered = sorted(range(len(found)), key=found.__getitem__)
    rank = np.empty(len(found), np.intp)
    rank[ordered] = np.arange(len(found)) + len(levels)
    codes[~exact] = rank[numbers(coded.indices)]
    return ParamColumn(key, runs, codes, levels, tuple(found[place] for place in ordered))


def numbers(column: Any) -> NDArray[Any]:
    """Return an Arrow column of numbers without nulls as an array. ``to_numpy`` would import pandas."""
    chunks = column.chunks if hasattr(column, "chunks") else [column]
    dtype = np.dtype(str(column.type))  # Arrow's names for numbers are numpy's, but for double
    pieces = [np.frombuffer(c.buffers()[1], dtype, len(c), c.offset * dtype.itemsize) for c in chunks if len(c)]
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype)


def enum_codes(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return the places in its ENUM of each value of a column without nulls."""
    pieces = [numbers(chunk.indices) for chunk in column.chunks if len(chunk)]
    return np.concatenate(pieces) if pieces else np.empty(0, np.uint8)
