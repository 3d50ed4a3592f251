"""The columns of a wide frame of many runs, by way of Arrow. numpy and pyarrow are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from polars import selectors

from mllab.query.filter_sql import MAX_KEYS
from mllab.query.tables import MANY_REFS
from mllab.store.schema import param_value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from mllab.query.engine import Engine
    from mllab.query.filter_ast import Kind
    from mllab.query.resident import Column
    from mllab.query.wide import Group


def core_frame(
    engine: Engine,
    refs: Sequence[int],
    names: Sequence[str],
    shown: Mapping[Column, list[Any]],  # noqa: ARG001  # lists that are longer than reading the columns again
) -> pl.DataFrame:
    """Return the attributes of runs."""
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


def key_columns(
    engine: Engine,
    group: Group,
    refs: Sequence[int],
    keys: Sequence[str] | None,
    shown: Mapping[Column, list[Any]],  # noqa: ARG001  # as above
) -> Iterator[pl.Series]:
    """Yield the columns of a group, those of all keys when None."""
    places = {ref: place for place, ref in enumerate(refs)}
    for key, where, rows in _rows(engine, group, places, keys):
        yield _COLUMNS[group.kind](group.prefix + key, len(places), where, rows)


def _rows(
    engine: Engine, group: Group, places: dict[int, int], keys: Sequence[str] | None
) -> Iterator[tuple[str, NDArray[np.intp], pl.DataFrame]]:
    """Yield (key, places of its runs in the frame, its rows) for each key in use."""
    if not places:
        return
    # In polars from here on: pyarrow's conversions would import pandas, where it is installed, which takes 0.15 s.
    rows = _kept_rows(engine, group, places, keys) if keys is not None else None
    if rows is None:
        rows = _read_rows(engine, group, list(places), keys)
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


def _read_rows(engine: Engine, group: Group, refs: Sequence[int], keys: Sequence[str] | None) -> pl.DataFrame:
    """Return (key, ref, fields) of some runs, and perhaps of others, sorted by key."""
    source = f"({engine.rows_sql(group.table, refs)})" if len(refs) <= MANY_REFS else f"r_{group.table}"
    params = list(keys or ())
    # As constants the keys choose row groups; a list to look in would read them all.
    where = "" if keys is None else f"WHERE key IN ({', '.join('?' * len(params))})"
    picked = ", ".join(("key", "ref", *group.fields))
    return _polars(engine.arrow(f"SELECT {picked} FROM {source} {where} ORDER BY key", params))  # noqa: S608


def _kept_rows(engine: Engine, group: Group, refs: Collection[int], keys: Sequence[str]) -> pl.DataFrame | None:
    """Return the same from memory; None where these keys are not kept there."""
    terms = {key: group.term(key) for key in keys}
    if len(terms) > MAX_KEYS or not engine.resident.is_worth_loading(terms.values()):
        return None
    sealed, opened = engine.sealed_and_open(refs)
    taken = engine.taken(terms.values(), sealed)
    numbers = pl.Series("ref", sealed, pl.Int64)
    frames = []
    for key, term in terms.items():
        arrays = taken[term] if group.kind != "tag" else {"value": taken[term]["text"]}
        frame = _frame(arrays).select(pl.lit(key).alias("key"), numbers, *group.fields)
        frames.append(frame.filter(pl.col(group.fields[0]).is_not_null()))
    if opened:
        frames.append(_read_rows(engine, group, opened, keys))
    return pl.concat(frames).sort("key", maintain_order=True)


def _param_column(name: str, count: int, where: NDArray[np.intp], rows: pl.DataFrame) -> pl.Series:
    kinds = set(rows["type"].unique().to_list()) - {"null"}
    if kinds <= {"int", "float"} and "float" in kinds:
        given = rows["number"].is_not_null().to_numpy()
        return _scatter(name, count, where[given], rows["number"].drop_nulls().to_numpy(), pl.Float64)
    if kinds == {"bool"}:
        return _scatter_objects(name, count, where, rows["number"].to_list(), pl.Boolean)
    pairs = zip(rows["type"].to_list(), rows["text"].to_list(), strict=True)
    if kinds == {"int"}:
        return _scatter_objects(name, count, where, [param_value(*pair) for pair in pairs], pl.Int64)
    return _scatter_objects(name, count, where, [None if kind == "null" else text for kind, text in pairs], pl.String)


def _tag_column(name: str, count: int, where: NDArray[np.intp], rows: pl.DataFrame) -> pl.Series:
    return _scatter_objects(name, count, where, rows["value"].to_list(), pl.String)


def _metric_column(name: str, count: int, where: NDArray[np.intp], rows: pl.DataFrame) -> pl.Series:
    return _scatter(name, count, where, rows["last"].to_numpy(), pl.Float64)


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


_COLUMNS: dict[Kind, Callable[[str, int, NDArray[np.intp], pl.DataFrame], pl.Series]] = {
    "param": _param_column,
    "tag": _tag_column,
    "metric": _metric_column,
}
