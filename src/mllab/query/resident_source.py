"""Columns for compiled filters from memory: sealed runs from a Resident, open ones from their own tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mllab.query import relations
from mllab.query.sources import ScanSource, joined, of_points, of_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from mllab.query.engine import Engine
    from mllab.query.resident import Column
    from mllab.query.sources import Join, Needs


class ResidentSource:
    """The engine's Resident, for one query within one :meth:`Engine.steady` block.

    Holds the tables that the query names: keep it until the query has run. With ``is_whole``, all runs that a filter
    chooses are wanted; else a first query is left to Parquet, which costs half of what loading columns does. Terms
    over the points of all runs are loaded at once: there the reading costs all, and keeping it nothing.
    """

    def __init__(self, engine: Engine, *, is_whole: bool) -> None:
        self._engine = engine
        self._is_whole = is_whole
        self._held: list[Any] = []

    def relation(self, needs: Needs, bind: Callable[[Any], str]) -> str:
        """Return the runs with all columns side by side."""
        resident = self._engine.resident
        columns: list[Column] = list(needs.attributes)
        late: list[int] = []
        for place, join in enumerate(needs.joins):
            # The points of the few runs that can match are read faster than those of all.
            if join.term.reads_points and needs.cheap and not resident.has(join.terms):
                late.append(place)
            else:
                columns += join.terms
        is_known = resident.is_worth_loading(columns)
        scans_points = any(join.term.reads_points for place, join in enumerate(needs.joins) if place not in late)
        if not (is_known or self._is_whole or scans_points):
            return ScanSource().relation(needs, bind)
        sql = self._relation(needs, columns, late, bind)
        if late:
            cheap = self._relation(needs, list(needs.attributes), list(range(len(needs.joins))), bind)
            restrict = f" AND ref IN (SELECT r.ref FROM {cheap} WHERE {' AND '.join(needs.cheap)})"  # noqa: S608  # only $n
            for place in late:
                sql += joined(place, of_points(needs.joins[place].term, place, bind, restrict=restrict))
        return sql

    def _relation(self, needs: Needs, columns: list[Column], late: list[int], bind: Callable[[Any], str]) -> str:
        base, tables = self._engine.resident_tables(columns)
        self._held += [base, *tables.values()]
        aliases = {table: f"m{place}" for place, table in enumerate(dict.fromkeys((base, *tables.values())))}
        picked = [f'{aliases[tables[name]]}."{name}" AS "{name}"' for name in needs.attributes]
        early = [(place, join) for place, join in enumerate(needs.joins) if place not in late]
        for place, join in early:
            picked += [
                f"{sql} AS j{place}_{name}" for name, sql in _columns(join, [aliases[tables[t]] for t in join.terms])
            ]
        source = " POSITIONAL JOIN ".join(f"{table.name} {alias}" for table, alias in aliases.items())
        sql = f"SELECT {', '.join(picked)} FROM {source}"  # noqa: S608
        void = self._engine.void_refs()
        if void:
            sql += f" WHERE {aliases[base]}.ref NOT IN ({', '.join(map(str, void))})"
        open_refs = self._engine.open_refs()
        if open_refs:
            sql += f" UNION ALL {self._open(needs, early, open_refs, bind)}"
        return f"({sql}) r"

    def _open(self, needs: Needs, joins: list[tuple[int, Join]], refs: list[int], bind: Callable[[Any], str]) -> str:
        """Return a SELECT of the same columns of the open runs."""
        picked = [f'r."{name}"' for name in needs.attributes]
        source = f"({relations.tail('runs')}) r"
        for place, join in joins:
            if join.term.reads_points:
                points = self._engine.points_sql(refs, newest=join.term.reads_newest)
                select = of_points(join.term, place, bind, source=f"({points})", runs=f"({relations.tail('runs')})")
                picked += [f"j{place}_row", f"j{place}_value"]
            else:
                select = of_rows(join, place, bind, prefix="t_")
                picked += [f"j{place}_row", *(f"j{place}_{name}" for name in join.columns())]
            source += joined(place, select)
        return f"SELECT {', '.join(picked)} FROM {source}"  # noqa: S608


def _columns(join: Join, aliases: list[str]) -> list[tuple[str, str]]:
    """Return the columns of a term, without their ``j0_``, and their SQL; the row first."""
    if join.term.reads_points:
        return [("row", _row(f"{aliases[0]}.value")), ("value", f"{aliases[0]}.value")]
    if join.term.kind == "metric":
        values = [(name, f'{alias}."{name}"') for alias, name in zip(aliases, join.functions, strict=True)]
        return [("row", _row(values[0][1])), *values]
    alias = aliases[0]
    values = [(name, f"{alias}.{name}") for name in join.columns()]
    return [("row", _row(f"{alias}.type" if join.term.kind == "param" else f"{alias}.text")), *values]


def _row(column: str) -> str:
    return f"CASE WHEN {column} IS NOT NULL THEN 1::BIGINT END"
