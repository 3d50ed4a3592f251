"""Where a compiled filter gets its columns: one relation ``r`` with the attributes and terms that it names.

The columns of run-level tables keep their names (``r.status``). What a term adds is named by its place: ``j0_row`` is
not NULL where a run has it at all; a param or a tag has ``j0_number`` and ``j0_text``, a param ``j0_type`` too, a
metric one column for each aggregate (``j0_min``), and what is taken from points ``j0_value``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from mllab.query.derived import NAN, OVER_POINTS, derived, in_window
from mllab.query.filter_ast import Term

if TYPE_CHECKING:
    from collections.abc import Callable

SUMMARY = {
    "last": "last",
    "min": "min",
    "max": "max",
    "mean": f"CASE WHEN count = nans THEN {NAN} ELSE sum / (count - nans) END",
    "count": "count",
    "nans": "nans",
    "step": "last_step",
    "first_step": "first_step",
    "min_step": "min_step",
    "max_step": "max_step",
}
TABLES = {"metric": "summaries", "param": "params", "tag": "tags"}
# A param logged as null has a type and no text.
FACES = {
    "param": {"type": "type", "number": "number", "text": "CASE WHEN type <> 'null' THEN text END"},
    "tag": {"number": "TRY_CAST(value AS DOUBLE)", "text": "value"},
}


@dataclass(slots=True)
class Join:
    """A param, a tag, a metric, or a metric over steps, and the ``functions`` of the metric that are asked for."""

    term: Term
    functions: dict[str, None] = field(default_factory=dict)

    @property
    def terms(self) -> list[Term]:
        """What is asked for, one by one."""
        return [Term("metric", self.term.key, function) for function in self.functions] or [
            replace(self.term, column=0)
        ]

    def columns(self) -> dict[str, str]:
        """Return the columns that it adds, without their ``j0_``, and their SQL over the rows of its table."""
        if self.term.kind == "metric":
            return {function: SUMMARY[function] for function in self.functions}
        return FACES[self.term.kind]


@dataclass(slots=True)
class Needs:
    """What a compiled filter names, and the conditions that only look at attributes and must all hold."""

    attributes: dict[str, None] = field(default_factory=dict)
    joins: list[Join] = field(default_factory=list)
    cheap: list[str] = field(default_factory=list)


class Source(Protocol):
    """Where compiled filters get their columns from."""

    def relation(self, needs: Needs, bind: Callable[[Any], str]) -> str:
        """Return what follows FROM. ``bind`` makes a user's text a parameter."""


class ScanSource:
    """The engine's views of the store, which read what they are asked for each time."""

    def relation(self, needs: Needs, bind: Callable[[Any], str]) -> str:
        """Return the runs, and a join for each term."""
        restrict = ""
        if needs.cheap:
            # Restricted to runs that can match, the points of a day take 7 ms where those of all 100,000 runs take 150.
            restrict = f" AND ref IN (SELECT r.ref FROM r_runs r WHERE {' AND '.join(needs.cheap)})"  # noqa: S608  # only $n
        sql = "r_runs r"
        for place, join in enumerate(needs.joins):
            if join.term.reads_points:
                select = of_points(join.term, place, bind, restrict=restrict)
            else:
                select = of_rows(join, place, bind)
            sql += joined(place, select)
        return sql


def joined(place: int, select: str) -> str:
    """Return the join of what :func:`of_rows` or :func:`of_points` made."""
    return f"\nLEFT JOIN ({select}) j{place} ON j{place}_row = r.ref"


def of_rows(join: Join, place: int, bind: Callable[[Any], str], prefix: str = "r_") -> str:
    """Return a SELECT of the columns of a term from a run-level table."""
    columns = ", ".join(f"{sql} AS j{place}_{name}" for name, sql in join.columns().items())
    table = prefix + TABLES[join.term.kind]
    return f"SELECT ref AS j{place}_row, {columns} FROM {table} WHERE key = {bind(join.term.key)}"  # noqa: S608  # only $n


def of_points(
    term: Term, place: int, bind: Callable[[Any], str], *, source: str = "", runs: str = "r_runs", restrict: str = ""
) -> str:
    """Return a SELECT of a term that looks at points: those of ``source``, or of all runs but for ``restrict``."""
    source = source or ("r_newest" if term.reads_newest else "r_points")
    return (
        f"SELECT ref AS j{place}_row, value AS j{place}_value FROM ({over_points(term, bind, source, runs, restrict)})"  # noqa: S608  # only $n
    )


def over_points(term: Term, bind: Callable[[Any], str], source: str, runs: str, restrict: str = "") -> str:
    """Return a SELECT of (ref, value) of a term that looks at points."""
    where = f"key = {bind(term.key)}"
    if term.low is not None:
        where += f" AND step >= {bind(term.low)}"
    if term.high is not None:
        where += f" AND step <= {bind(term.high)}"
    if term.reads_newest:
        points = f"(SELECT ref, step, time, value, attempt, seq FROM {source} WHERE {where}{restrict})"  # noqa: S608  # only $n
        return in_window(term, bind, points) if term.last is not None else derived(term, bind, points, runs)
    return f"SELECT ref, {OVER_POINTS[term.function]} AS value FROM {source} WHERE {where}{restrict} GROUP BY ref"  # noqa: S608  # only $n
