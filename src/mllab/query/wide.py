"""Runs as a wide frame: attributes, then a typed column for each param, tag and metric."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from polars import selectors

from mllab.errors import UsageError
from mllab.query.tables import MANY_REFS
from mllab.store.schema import param_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from mllab.query.engine import Engine

CORE_COLUMNS = (
    "run_id", "name", "experiment", "status", "started", "ended", "duration", "attempt", "parent_id", "forked_from",
    "forked_step", "user", "host", "note", "archived", "damaged", "error",
)  # fmt: skip
_GROUPS = ("params", "tags", "metrics")


def wide_frame(engine: Engine, refs: Sequence[int], columns: Sequence[str] | None) -> pl.DataFrame:
    """Return one row for each of ``refs``, in their order.

    Args:
        engine: the lab's query engine.
        refs: runs by their number in the store.
        columns: attribute names, ``params.<key>``, ``tags.<key>`` or ``metrics.<key>``; all when None.
    """
    core = CORE_COLUMNS if columns is None else tuple(name for name in columns if name in CORE_COLUMNS)
    frame = _core(engine, refs, core)
    places = {ref: place for place, ref in enumerate(refs)}
    found: dict[str, pl.Series] = {}
    for group in _GROUPS:
        keys = None if columns is None else [n.removeprefix(f"{group}.") for n in columns if n.startswith(f"{group}.")]
        if keys is None or keys:
            found |= {series.name: series for series in _GROUP_COLUMNS[group](engine, places, keys)}
    if columns is None:
        return frame.with_columns(found.values())
    for name in columns:
        if name not in CORE_COLUMNS and name.partition(".")[0] not in _GROUPS:
            close = get_close_matches(name, CORE_COLUMNS, 1)
            hint = f"Did you mean {close[0]}?" if close else "Write params.lr, tags.team or metrics.loss for keys."
            raise UsageError(f"There is no column {name!r}.", hint)
    nothing = [pl.Series(name, [None] * len(refs)) for name in columns if name not in found and name not in core]
    return frame.with_columns([*found.values(), *nothing]).select(list(columns))


def _core(engine: Engine, refs: Sequence[int], names: Sequence[str]) -> pl.DataFrame:
    chosen = ", ".join(f'r."{name}"' for name in names)
    table = engine.arrow(
        f"""SELECT r.ref, {chosen} FROM (SELECT unnest(?::BIGINT[]) AS ref,
            generate_subscripts(?::BIGINT[], 1) AS place)
        JOIN ({engine.rows_sql("runs", refs)}) r USING (ref) ORDER BY place""",  # noqa: S608  # fixed column names
        [list(refs), list(refs)],
    )
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    # DuckDB names the zone Etc/UTC; one zone has one name here.
    return frame.drop("ref").with_columns(selectors.datetime(time_zone="*").dt.convert_time_zone("UTC"))


def _rows(
    engine: Engine, table: str, columns: str, places: dict[int, int], keys: Sequence[str] | None
) -> Iterator[tuple[str, NDArray[np.intp], pl.DataFrame]]:
    """Yield (key, places of its runs in the frame, its rows) for each key in use."""
    source = f"({engine.rows_sql(table, list(places))})" if len(places) <= MANY_REFS else f"r_{table}"
    params = list(keys or ())
    # As constants the keys choose row groups; a list to look in would read them all.
    where = "" if keys is None else f"WHERE key IN ({', '.join('?' * len(params))})"
    # In polars from here on: pyarrow's conversions would import pandas, where it is installed, which takes 0.15 s.
    rows = pl.from_arrow(
        engine.arrow(f"SELECT key, ref, {columns} FROM {source} {where} ORDER BY key", params)  # noqa: S608
    )
    assert isinstance(rows, pl.DataFrame)
    if not rows.height or not places:
        return
    refs = rows["ref"].to_numpy()
    place = np.full(max(int(refs.max()), *places) + 1, -1, np.intp)
    place[list(places)] = list(places.values())
    where_to = place[refs]
    start = 0
    for length, key in rows["key"].rle().struct.unnest().iter_rows():
        inside = where_to[start : start + length] >= 0
        if inside.any():
            yield key, where_to[start : start + length][inside], rows.slice(start, length).filter(pl.Series(inside))
        start += length


def _param_columns(engine: Engine, places: dict[int, int], keys: Sequence[str] | None) -> Iterator[pl.Series]:
    for key, where, rows in _rows(engine, "params", "type, number, text", places, keys):
        kinds = set(rows["type"].unique().to_list()) - {"null"}
        name = f"params.{key}"
        if kinds <= {"int", "float"} and "float" in kinds:
            yield _scatter(name, len(places), where, rows["number"].to_numpy(), pl.Float64)
        elif kinds == {"bool"}:
            yield _scatter_objects(name, len(places), where, rows["number"].to_list(), pl.Boolean)
        elif kinds == {"int"}:
            values = [param_value(*pair) for pair in zip(rows["type"].to_list(), rows["text"].to_list(), strict=True)]
            yield _scatter_objects(name, len(places), where, values, pl.Int64)
        else:
            pairs = zip(rows["type"].to_list(), rows["text"].to_list(), strict=True)
            values = [None if kind == "null" else text for kind, text in pairs]
            yield _scatter_objects(name, len(places), where, values, pl.String)


def _tag_columns(engine: Engine, places: dict[int, int], keys: Sequence[str] | None) -> Iterator[pl.Series]:
    for key, where, rows in _rows(engine, "tags", "value", places, keys):
        yield _scatter_objects(f"tags.{key}", len(places), where, rows["value"].to_list(), pl.String)


def _metric_columns(engine: Engine, places: dict[int, int], keys: Sequence[str] | None) -> Iterator[pl.Series]:
    for key, where, rows in _rows(engine, "summaries", "last", places, keys):
        yield _scatter(f"metrics.{key}", len(places), where, rows["last"].to_numpy(), pl.Float64)


def _scatter(name: str, count: int, where: NDArray[np.intp], values: NDArray[Any], dtype: Any) -> pl.Series:
    """Return a series with ``values`` at the given places and null elsewhere; NaN stays NaN."""
    column = np.zeros(count)
    column[where] = values
    present = np.zeros(count, bool)
    present[where] = True
    series = pl.Series(name, column, dtype=dtype)
    return (
        series
        if present.all()
        else series.zip_with(pl.Series(present), pl.Series([None] * count, dtype=dtype)).alias(name)
    )


def _scatter_objects(name: str, count: int, where: NDArray[np.intp], values: list[Any], dtype: Any) -> pl.Series:
    column: list[Any] = [None] * count
    for place, value in zip(where.tolist(), values, strict=True):
        column[place] = bool(value) if dtype == pl.Boolean and value is not None else value
    return pl.Series(name, column, dtype=dtype)


_GROUP_COLUMNS: dict[str, Callable[..., Iterator[pl.Series]]] = {
    "params": _param_columns,
    "tags": _tag_columns,
    "metrics": _metric_columns,
}
