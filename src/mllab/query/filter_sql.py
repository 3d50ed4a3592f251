"""A parsed filter into one SELECT over the engine's tables. Every key and value of the user is a bound parameter."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from mllab.errors import FilterError
from mllab.ids import SHORT_LENGTH
from mllab.query import relations
from mllab.query.derived import NAN
from mllab.query.filter_ast import Among, And, Has, IsNull, Not, Or, Query, Term, Truth, Value
from mllab.query.filter_terms import ATTRIBUTES, STATUSES, KeyCatalogue, ValueType, resolve
from mllab.query.filter_values import NUMBER, as_duration, as_moments, as_number, check_pattern
from mllab.query.sources import Join, Needs, ScanSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mllab.query.filter_ast import Expr, OrderTerm
    from mllab.query.resident import Column
    from mllab.query.sources import Source

# DuckDB 2.0 plans 250 conditions in 0.16 s and 5,000 in 55 s, 32 joins in 0.07 s and 128 in 3.5 s.
MAX_COMPARISONS = 250
MAX_KEYS = 32
# DuckDB holds NaN equal to itself and above infinity; a bound excludes it and can still skip row groups.
_NUMERIC = "<= 'inf'::DOUBLE"
# What orders runs where nothing else does.
_ALWAYS = ("ref", "started")
_ATTRIBUTE = re.compile(r'\br\."?(\w+)')


@dataclass(frozen=True, slots=True)
class CompiledQuery:
    """SQL that yields the column ``ref`` in order, its parameters ($1 is the first), and the terms it mentions.

    After ``ref`` it yields what ``shown`` says, the numbers of columns by what was asked for.
    """

    sql: str
    params: list[Any]
    columns_used: tuple[Term, ...]
    shown: dict[Column, int] = field(default_factory=dict)

    @property
    def mentions_archived(self) -> bool:
        """Whether the filter itself decides about archived runs."""
        return Term("run", "archived") in self.columns_used


def compile_query(
    query: Query,
    catalogue: KeyCatalogue,
    *,
    now: datetime | None = None,
    text: str = "",
    base_where: str = "",
    source: Source | None = None,
    show: Iterable[Column] = (),
) -> CompiledQuery:
    """Compile a parsed filter.

    Without ``order by``, the newest run comes first; with it, the newest of equal ones.

    Args:
        query: what :func:`mllab.query.filter_parser.parse` returned.
        catalogue: the keys that bare names can mean.
        now: the clock; its zone is the zone of times written without one. A naive ``now``, as the default
            ``datetime.now()`` is, stands for this machine's zone.
        text: the filter, for error messages.
        base_where: constant SQL over ``r_runs r`` that every run must meet; never text of a user.
        source: where the columns come from; the engine's views when None.
        show: columns whose values are welcome beside ``ref``: it has those that the filter looks at anyway. Of a
            param they are the type, the number and the text, of a time UTC microseconds.

    Raises:
        FilterError: for unknown names, values of the wrong type and filters too large to plan.
    """
    try:
        moment = now or datetime.now()  # noqa: DTZ005  # naive is meant
        return _Compiler(catalogue, moment, base_where, source or ScanSource()).compile(query, show)
    except FilterError as error:
        error.text = text if len(text) <= 10_000 else ""
        raise


class _Column(NamedTuple):
    """A term in SQL: ``sql`` is NULL where it is missing, ``row`` also where it was never logged."""

    type: ValueType
    sql: str
    number: str
    row: str


class _Compiler:
    def __init__(self, catalogue: KeyCatalogue, now: datetime, base_where: str, source: Source) -> None:
        self.catalogue = catalogue
        self.now = now
        self.source = source
        self.base = [f"({base_where})"] if base_where else []
        self.params: list[Any] = []
        self.needs = Needs(dict.fromkeys((*_ALWAYS, *_attributes(base_where))))
        self.joins: dict[Term, int] = {}  # the places in needs.joins
        self.columns: dict[Term, None] = {}
        self.join_uses = 0
        self.comparisons = 0

    def bind(self, value: Any) -> str:
        self.params.append(value)
        return f"${len(self.params)}"

    def compile(self, query: Query, show: Iterable[Column] = ()) -> CompiledQuery:
        conditions, cheap = list(self.base), list(self.base)
        if query.where is not None:
            for part in query.where.parts if isinstance(query.where, And) else (query.where,):
                uses = self.join_uses
                conditions.append(self.condition(part))
                if uses == self.join_uses:
                    cheap.append(conditions[-1])
        order = [self.sort_key(term) for term in query.order] or ["r.started DESC"]
        self.needs.cheap = cheap if len(cheap) > len(self.base) else []
        where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
        limit = "" if query.limit is None else f"\nLIMIT {self.bind(query.limit)}"
        relation = self.source.relation(self.needs, self.bind)
        shown = {column: picked for column in show if (picked := self.at_hand(column))}
        select = ", ".join(["r.ref", *(sql for picked in shown.values() for sql in picked)])
        sql = f"SELECT {select} FROM {relation}{where}\nORDER BY {', '.join([*order, 'r.ref DESC'])}{limit}"  # noqa: S608  # user text is in $n only
        widths = {column: len(picked) for column, picked in shown.items()}
        return CompiledQuery(sql, self.params, tuple(self.columns), widths)

    def at_hand(self, column: Column) -> list[str]:
        """Return SQL for a column that the relation has; nothing for others."""
        if isinstance(column, str):
            if column not in self.needs.attributes:
                return []
            is_time = relations.COLUMNS["runs"][column] == "TIMESTAMPTZ"
            return [f"epoch_us(r.{column})" if is_time else f'r."{column}"']
        place = self.joins.get(Term(column.kind, column.key))
        if place is None:
            return []
        names = {"param": ("type", "number", "text"), "tag": ("text",), "metric": (column.function,)}[column.kind]
        if column.kind == "metric" and column.function not in self.needs.joins[place].functions:
            return []
        return [f"j{place}_{name}" for name in names]

    def condition(self, node: Expr, *, is_negated: bool = False) -> str:
        """Return SQL that is true where ``node`` holds. Below a `not` it is never NULL, so that `not` is plain."""
        if isinstance(node, (And, Or)):
            parts = [self.condition(part, is_negated=is_negated) for part in node.parts]
            return f"({(' AND ' if isinstance(node, And) else ' OR ').join(parts)})"
        if isinstance(node, Not):
            return f"(NOT {self.condition(node.part, is_negated=True)})"
        column = self.column(node.term)
        if isinstance(node, Has):
            sql = f"({column.row} IS NOT NULL)"
        elif isinstance(node, IsNull):
            sql = f"({column.sql} IS {'NOT ' if node.negated else ''}NULL)"
        elif isinstance(node, Truth):
            if column.type not in ("flag", "mixed"):
                hint = f"Write for example: {node.term} = ..., or has {node.term}."
                raise FilterError("A comparison is missing.", hint, column=node.term.column)
            sql = self.membership(column, (Value("true"),), is_excluded=False)
        elif isinstance(node, Among):
            sql = self.membership(column, node.values, is_excluded=node.negated)
        elif isinstance(node.right, Term):
            sql = self.two_terms(column, node.operator, node.right)
        elif node.operator in ("=", "!="):
            sql = self.membership(column, (node.right,), is_excluded=node.operator == "!=")
        elif node.operator in ("~", "!~"):
            sql = self.match(column, node.right, is_excluded=node.operator == "!~")
        else:
            sql = self.ordering(column, node.operator, node.right)
        self.comparisons += 1
        if self.comparisons > MAX_COMPARISONS:
            hint = "Write `in (...)` instead of many `or`, or tag the runs you mean."
            message = f"The filter has more than {MAX_COMPARISONS} comparisons."
            raise FilterError(message, hint, column=node.term.column)
        return f"COALESCE({sql}, FALSE)" if is_negated else sql

    def column(self, term: Term) -> _Column:
        """Return a term in SQL, and ask the source for what it needs."""
        term = resolve(term, self.catalogue)
        self.columns[term] = None
        if term.kind == "run":
            kind, sql = ATTRIBUTES[term.key]
            self.needs.attributes |= dict.fromkeys(_attributes(sql))
            return _Column(kind, sql, sql if kind in ("number", "duration") else "", sql)
        self.join_uses += 1
        key = term if term.reads_points else Term(term.kind, term.key)
        if key not in self.joins:
            if len(self.joins) == MAX_KEYS:
                message = f"The filter mentions more than {MAX_KEYS} params, tags and metrics."
                raise FilterError(message, "Leave some out.", column=term.column)
            self.joins[key] = len(self.joins)
            self.needs.joins.append(Join(key))
        place = self.joins[key]
        if term.kind in ("param", "tag"):
            return _Column("mixed", f"j{place}_text", f"j{place}_number", f"j{place}_row")
        name = "value"
        if not term.reads_points:
            name = term.function or "last"
            self.needs.joins[place].functions[name] = None
        measure: ValueType = "duration" if term.function == "time_to" else "number"
        return _Column(measure, f"j{place}_{name}", f"j{place}_{name}", f"j{place}_row")

    def membership(self, column: _Column, values: Sequence[Value], *, is_excluded: bool) -> str:
        """Return SQL for "equals one of", or "is there and equals none of"."""
        sides: dict[tuple[str, bool], list[Any]] = {}
        parts = []
        for value in values:
            if value.word == "null":
                parts.append(f"{column.sql} IS {'NOT ' if is_excluded else ''}NULL")
            elif column.type == "time":
                self.comparisons += 1
                parts.append(self.same_time(column, value, is_excluded=is_excluded))
            else:
                side, bound = _side(column, value)
                # DuckDB 1.5 does not find NaN in a list, and holds it equal to itself.
                is_nan = bound != bound  # noqa: PLR0124
                if not (is_nan and (side, is_nan) in sides):
                    sides.setdefault((side, is_nan), []).append(bound)
        for (side, _), bounds in sides.items():
            # One list is one comparison however long it is; = lets DuckDB skip row groups.
            equal = f"{side} = {self.bind(bounds[0])}" if len(bounds) == 1 else f"{side} = ANY({self.bind(bounds)})"
            if is_excluded:
                equal = f"NOT ({equal})"
                if side == column.number:
                    equal = f"({equal} AND {side} {_NUMERIC})"
                    if column.type == "mixed":  # a text is there, and is no number
                        equal = f"COALESCE({equal}, {column.sql} IS NOT NULL)"
            parts.append(equal)
        return f"({(' AND ' if is_excluded else ' OR ').join(parts)})"

    def same_time(self, column: _Column, value: Value, *, is_excluded: bool) -> str:
        start, end = as_moments(value, self.now)
        if end is None:
            return f"{column.sql} {'<>' if is_excluded else '='} {self.bind(start)}"
        if is_excluded:
            return f"({column.sql} < {self.bind(start)} OR {column.sql} >= {self.bind(end)})"
        return f"({column.sql} >= {self.bind(start)} AND {column.sql} < {self.bind(end)})"

    def ordering(self, column: _Column, operator: str, value: Value) -> str:
        if column.type == "flag" or value.word in ("null", "true", "false"):
            raise FilterError(f"{operator} does not go with true, false or null.", "Use = or !=.", column=value.column)
        if column.type == "time":
            return f"{column.sql} {operator} {self.bind(as_moments(value, self.now).start)}"
        if column.type == "mixed" and value.quoted:
            return f"{column.sql} {operator} {self.bind(value.text)}"
        if not column.number:
            return f"{column.sql} {operator} {self.bind(_text(value))}"
        number = as_duration(value) if column.type == "duration" else as_number(value)
        if math.isnan(number):
            raise FilterError("NaN is neither less nor greater than anything.", "Use = nan.", column=value.column)
        sql = f"{column.number} {operator} {self.bind(number)}"
        return f"({sql} AND {column.number} {_NUMERIC})" if operator in (">", ">=") else sql

    def match(self, column: _Column, value: Value, *, is_excluded: bool) -> str:
        if column.type in ("number", "duration", "time", "flag"):
            raise FilterError("Only text can be matched.", "Compare it with = < >.", column=value.column)
        pattern = self.bind(check_pattern(value))
        return f"{'NOT ' if is_excluded else ''}regexp_matches({column.sql}, {pattern})"

    def two_terms(self, left: _Column, operator: str, right_term: Term) -> str:
        right = self.column(right_term)
        as_text = f"{left.sql} {operator} {right.sql}"
        as_numbers = (
            f"({left.number} {operator} {right.number} AND {left.number} {_NUMERIC} AND {right.number} {_NUMERIC})"
        )
        if left.type == right.type == "mixed":
            return f"COALESCE({as_numbers}, {as_text})" if operator in ("=", "!=") else as_numbers
        if left.number and right.number:
            return as_numbers
        if {left.type, right.type} <= {"text", "id", "status", "mixed"} or left.type == right.type:
            return as_text
        hint = "A word in quotes is text."
        raise FilterError(f"A {left.type} cannot be compared with a {right.type}.", hint, column=right_term.column)

    def sort_key(self, order: OrderTerm) -> str:
        """Return SQL that puts what is missing and NaN last both ways, and numbers before texts."""
        column = self.column(order.term)
        keys = [f"nullif({column.number}, {NAN})" if column.number else column.sql]
        if column.type == "mixed":
            keys.append(f"CASE WHEN {column.number} IS NULL THEN {column.sql} END")
        return ", ".join(f"{key} {'DESC' if order.descending else 'ASC'} NULLS LAST" for key in keys)


def _attributes(sql: str) -> list[str]:
    return _ATTRIBUTE.findall(sql)


def _side(column: _Column, value: Value) -> tuple[str, Any]:
    """Return what equals a value where a run has it, and that value as a parameter."""
    if column.type == "flag":
        if value.word not in ("true", "false"):
            raise FilterError("This is true or false.", "Write = true or = false.", column=value.column)
        return column.sql, value.word == "true"
    if column.type == "duration":
        return column.sql, as_duration(value)
    if column.type == "number" or (column.type == "mixed" and not value.quoted and NUMBER.fullmatch(value.text)):
        return column.number, as_number(value)
    if column.type == "mixed" and value.word in ("true", "false"):
        return f"lower({column.sql})", value.word  # a tag set to True reads "True"
    text = _text(value)
    if column.type == "id" and len(text) == SHORT_LENGTH:
        return f"right({column.sql}, {SHORT_LENGTH})", text
    if column.type == "status" and text not in STATUSES:
        close = get_close_matches(text[:20].lower(), STATUSES, 1)
        hint = f"Did you mean {close[0]}?" if close else f"States: {', '.join(STATUSES)}."
        raise FilterError(f"No run has the status {text[:60]}.", hint, column=value.column)
    return column.sql, text


def _text(value: Value) -> str:
    if not value.quoted and " " in value.text:
        raise FilterError("Text with spaces needs quotes.", f"Write '{value.text[:60]}'.", column=value.column)
    return value.text
