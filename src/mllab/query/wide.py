"""Runs as a wide frame: attributes, then a typed column for each param, tag and metric."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from polars import selectors

from mllab.errors import UsageError
from mllab.query.filter_ast import Term
from mllab.query.filter_sql import MAX_KEYS
from mllab.query.tables import MANY_REFS
from mllab.store.schema import param_value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from mllab.query.engine import Engine
    from mllab.query.filter_ast import Kind

CORE_COLUMNS = (
    "run_id", "name", "experiment", "status", "started", "ended", "duration", "attempt", "parent_id", "forked_from",
    "forked_step", "user", "host", "note", "archived", "damaged", "error",
)  # fmt: skip
_GROUPS = ("params", "tags", "metrics")
_KINDS: dict[str, Kind] = {"params": "param", "tags": "tag", "summaries": "metric"}


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
    columns = ["ref", *names]
    if engine.resident.is_worth_loading(columns):
        sealed, opened = engine.sealed_and_open(refs)
        taken = engine.taken(columns, sealed)
        frames = [_frame({name: taken[name][name] for name in columns})]
    else:
        opened, frames = list(refs), []
    if opened or not frames:
        picked = ", ".join(f'"{name}"' for name in columns)
        frames.append(_polars(engine.arrow(f"SELECT {picked} FROM ({engine.rows_sql('runs', opened)})")))  # noqa: S608  # fixed column names
    frame = pl.concat(frames) if len(frames) > 1 else frames[0]
    if opened or len(frames) > 1:
        places = {ref: place for place, ref in enumerate(frame["ref"].to_list())}
        # An index of numpy would import numpy.ma, which takes 25 ms.
        frame = frame.select(pl.all().gather([places[ref] for ref in refs]))
    # DuckDB names the zone Etc/UTC; one zone has one name here.
    zoned = selectors.datetime(time_zone="*").dt.convert_time_zone("UTC")
    return frame.drop("ref").with_columns(zoned)


def _polars(table: Any) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _frame(arrays: dict[str, Any]) -> pl.DataFrame:
    import pyarrow as pa

    return _polars(pa.table(arrays))


def _rows(
    engine: Engine, table: str, columns: Sequence[str], places: dict[int, int], keys: Sequence[str] | None
) -> Iterator[tuple[str, NDArray[np.intp], pl.DataFrame]]:
    """Yield (key, places of its runs in the frame, its rows) for each key in use."""
    if not places:
        return
    # In polars from here on: pyarrow's conversions would import pandas, where it is installed, which takes 0.15 s.
    rows = _kept_rows(engine, table, columns, places, keys) if keys is not None else None
    if rows is None:
        rows = _read_rows(engine, table, columns, list(places), keys)
    if not rows.height:
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


def _read_rows(
    engine: Engine, table: str, columns: Sequence[str], refs: Sequence[int], keys: Sequence[str] | None
) -> pl.DataFrame:
    """Return (key, ref, columns) of some runs, and perhaps of others, sorted by key."""
    source = f"({engine.rows_sql(table, refs)})" if len(refs) <= MANY_REFS else f"r_{table}"
    params = list(keys or ())
    # As constants the keys choose row groups; a list to look in would read them all.
    where = "" if keys is None else f"WHERE key IN ({', '.join('?' * len(params))})"
    picked = ", ".join(("key", "ref", *columns))
    return _polars(engine.arrow(f"SELECT {picked} FROM {source} {where} ORDER BY key", params))  # noqa: S608


def _kept_rows(
    engine: Engine, table: str, columns: Sequence[str], refs: Collection[int], keys: Sequence[str]
) -> pl.DataFrame | None:
    """Return the same from memory; None where these keys are not kept there."""
    terms = {key: Term(_KINDS[table], key, "last" if table == "summaries" else "") for key in keys}
    if len(terms) > MAX_KEYS or not engine.resident.is_worth_loading(terms.values()):
        return None
    sealed, opened = engine.sealed_and_open(refs)
    taken = engine.taken(terms.values(), sealed)
    numbers = pl.Series("ref", sealed, pl.Int64)
    frames = []
    for key, term in terms.items():
        arrays = taken[term] if table != "tags" else {"value": taken[term]["text"]}
        frame = _frame(arrays).select(pl.lit(key).alias("key"), numbers, *columns)
        frames.append(frame.filter(pl.col(columns[0]).is_not_null()))
    if opened:
        frames.append(_read_rows(engine, table, columns, opened, keys))
    return pl.concat(frames).sort("key", maintain_order=True)


def _param_columns(engine: Engine, places: dict[int, int], keys: Sequence[str] | None) -> Iterator[pl.Series]:
    for key, where, rows in _rows(engine, "params", ("type", "number", "text"), places, keys):
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
    for key, where, rows in _rows(engine, "tags", ("value",), places, keys):
        yield _scatter_objects(f"tags.{key}", len(places), where, rows["value"].to_list(), pl.String)


def _metric_columns(engine: Engine, places: dict[int, int], keys: Sequence[str] | None) -> Iterator[pl.Series]:
    for key, where, rows in _rows(engine, "summaries", ("last",), places, keys):
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
