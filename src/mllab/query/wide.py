"""Runs as a wide frame: attributes, then a typed column for each param, tag and metric.

A page of runs is made from lists: numpy and pyarrow, which many runs are turned into columns by, take 0.25 s to load.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from mllab.errors import UsageError
from mllab.query.filter_ast import Term
from mllab.query.filter_sql import MAX_KEYS
from mllab.query.relations import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import polars as pl

    from mllab.query.engine import Engine
    from mllab.query.filter_ast import Kind
    from mllab.query.resident import Column

CORE_COLUMNS = (
    "run_id", "name", "experiment", "status", "started", "ended", "duration", "attempt", "parent_id", "forked_from",
    "forked_step", "user", "host", "note", "archived", "damaged", "error",
)  # fmt: skip
# A list of this many values costs less than loading numpy and pyarrow.
MAX_LISTED = 50_000


class Group(NamedTuple):
    """Columns of one kind: what their names begin with, their table and the columns of it that are wanted."""

    prefix: str
    kind: Kind
    table: str
    fields: tuple[str, ...]

    def term(self, key: str) -> Term:
        """Return the term that a key is in a filter, and in memory."""
        return Term(self.kind, key, "last" if self.kind == "metric" else "")


GROUPS = (
    Group("params.", "param", "params", ("type", "number", "text")),
    Group("tags.", "tag", "tags", ("value",)),
    Group("metrics.", "metric", "summaries", ("last",)),
)


def wide_frame(
    engine: Engine,
    refs: Sequence[int],
    columns: Sequence[str] | None,
    shown: Mapping[Column, list[Any]] | None = None,
) -> pl.DataFrame:
    """Return one row for each of ``refs``, in their order.

    Args:
        engine: the lab's query engine.
        refs: runs by their number in the store.
        columns: attribute names, ``params.<key>``, ``tags.<key>`` or ``metrics.<key>``; all when None.
        shown: what is known of these runs, as :func:`mllab.query.select.select` has it for :func:`shown_columns`.
    """
    core = CORE_COLUMNS if columns is None else tuple(name for name in columns if name in CORE_COLUMNS)
    prefixes = [group.prefix for group in GROUPS]
    for name in columns or ():
        if name not in CORE_COLUMNS and f"{name.partition('.')[0]}." not in prefixes:
            close = get_close_matches(name, CORE_COLUMNS, 1)
            hint = f"Did you mean {close[0]}?" if close else "Write params.lr, tags.team or metrics.loss for keys."
            raise UsageError(f"There is no column {name!r}.", hint)
    if len(refs) * _width(engine, columns) > MAX_LISTED:
        from mllab.query.wide_arrow import core_frame, key_columns
    else:
        core_frame, key_columns = _core_frame, _key_columns
    shown = shown or {}
    frame = core_frame(engine, refs, core, shown)
    found: dict[str, pl.Series] = {}
    for group in GROUPS:
        keys = None if columns is None else _keys(group, columns)
        if refs and (keys is None or keys):
            found |= {series.name: series for series in key_columns(engine, group, refs, keys, shown)}
    if columns is None:
        return frame.with_columns(found.values())
    import polars as pl

    nothing = [pl.Series(name, [None] * len(refs)) for name in columns if name not in found and name not in core]
    return frame.with_columns([*found.values(), *nothing]).select(list(columns))


def shown_columns(columns: Sequence[str] | None) -> list[Column]:
    """Return what a filter that looks at them may as well yield for :func:`wide_frame`."""
    names = CORE_COLUMNS if columns is None else columns
    keys = [group.term(key) for group in GROUPS for key in _keys(group, columns or ())]
    return [*(name for name in names if name in CORE_COLUMNS), *keys]


def _keys(group: Group, columns: Sequence[str]) -> list[str]:
    return [name.removeprefix(group.prefix) for name in columns if name.startswith(group.prefix)]


def _width(engine: Engine, columns: Sequence[str] | None) -> int:
    if columns is not None:
        return len(columns)
    return len(CORE_COLUMNS) + sum(len(engine.keys(group.table)) for group in GROUPS)


def _core_frame(
    engine: Engine, refs: Sequence[int], names: Sequence[str], shown: Mapping[Column, list[Any]]
) -> pl.DataFrame:
    is_kept = engine.resident.is_worth_loading(["ref", *names])
    missing = [name for name in dict.fromkeys(names) if name not in shown]
    found: dict[int, Sequence[Any]] = {}
    sealed, rest = engine.sealed_and_open(refs) if is_kept else ([], list(refs))
    if missing and sealed:
        taken = engine.values(missing, sealed)
        found = dict(zip(sealed, zip(*(taken[name][name] for name in missing), strict=True), strict=True))
    if missing and rest:
        kinds = COLUMNS["runs"]
        picked = ", ".join(f"epoch_us({n})" if kinds[n] == "TIMESTAMPTZ" else f'"{n}"' for n in missing)
        rows = engine.rows(f"SELECT ref, {picked} FROM ({engine.rows_sql('runs', rest)})")  # noqa: S608  # fixed names
        found |= {row[0]: row[1:] for row in rows}
    import polars as pl

    types = {"DOUBLE": pl.Float64, "BIGINT": pl.Int64, "INTEGER": pl.Int32, "BOOLEAN": pl.Boolean}
    series = []
    for name in dict.fromkeys(names):
        values = shown[name] if name in shown else [found[ref][missing.index(name)] for ref in refs]
        kind = COLUMNS["runs"][name]
        if kind == "TIMESTAMPTZ":
            series.append(pl.Series(name, values, pl.Int64).cast(pl.Datetime("us", "UTC")))
        else:
            series.append(pl.Series(name, values, types.get(kind, pl.String)))
    # Without a column, a frame would have no rows either.
    return pl.DataFrame([pl.Series("ref", refs, pl.Int64), *series]).drop("ref")


def _key_columns(
    engine: Engine, group: Group, refs: Sequence[int], keys: Sequence[str] | None, shown: Mapping[Column, list[Any]]
) -> Iterator[pl.Series]:
    import polars as pl

    values = _values(engine, group, refs, keys, shown)
    for key, by_ref in sorted(values.items()):
        name = group.prefix + key
        row = [by_ref.get(ref) for ref in refs]
        if all(value is None for value in row):
            continue
        if group.kind == "param":
            yield _param_series(name, row)
        else:
            yield pl.Series(name, row, pl.String if group.kind == "tag" else pl.Float64)


def _values(
    engine: Engine, group: Group, refs: Sequence[int], keys: Sequence[str] | None, shown: Mapping[Column, list[Any]]
) -> dict[str, dict[int, Any]]:
    """Return what each run has of each key: a number, a text, or the type, number and text of a param."""
    found: dict[str, dict[int, Any]] = {}
    rest: Sequence[int] = refs
    wanted = None if keys is None else list(dict.fromkeys(keys))
    if wanted is not None:
        terms = {key: group.term(key) for key in wanted}
        is_kept = len(terms) <= MAX_KEYS and engine.resident.is_worth_loading(terms.values())
        found = {key: _present(refs, shown[term]) for key, term in terms.items() if term in shown}
        wanted = [key for key in wanted if key not in found]
        if wanted and is_kept:
            sealed, rest = engine.sealed_and_open(refs)
            taken = engine.values([terms[key] for key in wanted], sealed)
            for key in wanted:
                fields = taken[terms[key]]
                lists = [fields["text" if name == "value" else name] for name in group.fields]
                found[key] = _present(sealed, lists[0] if len(lists) == 1 else zip(*lists, strict=True))
    if rest and (wanted is None or wanted):
        where = "" if wanted is None else f" WHERE key IN ({', '.join('?' * len(wanted))})"
        picked = ", ".join(group.fields)
        source = engine.rows_sql(group.table, rest)
        for key, ref, *values in engine.rows(f"SELECT key, ref, {picked} FROM ({source}){where}", wanted or ()):  # noqa: S608  # fixed names
            found.setdefault(key, {})[ref] = values[0] if len(values) == 1 else values
    return found


def _present(refs: Iterable[int], values: Iterable[Any]) -> dict[int, Any]:
    """Return the values of those runs that have one; of a param, those that have a type."""
    pairs = zip(refs, values, strict=True)
    return {ref: value for ref, value in pairs if (value[0] if isinstance(value, (tuple, list)) else value) is not None}


def _param_series(name: str, row: Sequence[Sequence[Any] | None]) -> pl.Series:
    import polars as pl

    kinds = {value[0] for value in row if value} - {"null"}
    if "float" in kinds and kinds <= {"int", "float"}:
        return pl.Series(name, [value[1] if value else None for value in row], pl.Float64)
    if kinds == {"bool"}:
        return pl.Series(name, [value[1] == 1 if value and value[0] == "bool" else None for value in row], pl.Boolean)
    if kinds == {"int"}:  # by its text: a float64 is not exact
        return pl.Series(name, [int(value[2]) if value and value[0] == "int" else None for value in row], pl.Int64)
    return pl.Series(name, [value[2] if value and value[0] != "null" else None for value in row], pl.String)
