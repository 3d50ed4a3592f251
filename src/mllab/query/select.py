"""Choosing runs: a filter's text to refs in order. What the CLI, the TUI and Python share."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mllab.query.filter_parser import parse
from mllab.query.filter_sql import compile_query
from mllab.query.resident_source import ResidentSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from mllab.query.engine import Engine
    from mllab.query.filter_ast import Query, Term
    from mllab.query.filter_sql import CompiledQuery
    from mllab.query.resident import Column

LIVE = "r.deleted IS NULL"
NOT_ARCHIVED = f"{LIVE} AND NOT r.archived"
DELETED = "r.deleted IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Selection:
    """Chosen runs in order, and the columns that the filter mentions.

    ``shown`` has, of the columns that were to be shown, those that the filter looks at: a value for each run.
    """

    refs: list[int]
    columns: tuple[Term, ...]
    total: int
    shown: dict[Column, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SelectedRefs:
    """Chosen runs in order, as int64[n], and the columns that the filter mentions."""

    refs: NDArray[np.int64]
    columns: tuple[Term, ...]


class _Keys(Collection[str]):
    """The keys of one table, read when first asked for."""

    def __init__(self, engine: Engine, table: str) -> None:
        self._engine = engine
        self._table = table

    def __contains__(self, key: object) -> bool:
        return key in self._engine.keys(self._table)

    def __iter__(self) -> Iterator[str]:
        return iter(self._engine.keys(self._table))

    def __len__(self) -> int:
        return len(self._engine.keys(self._table))


class EngineKeys:
    """The keys in use in a lab."""

    def __init__(self, engine: Engine) -> None:
        self.metric_keys = _Keys(engine, "summaries")
        self.param_keys = _Keys(engine, "params")
        self.tag_keys = _Keys(engine, "tags")


def select(
    engine: Engine,
    text: str | None,
    *,
    include_archived: bool = False,
    deleted: bool = False,
    limit: int | None = None,
    offset: int = 0,
    with_total: bool = True,
    now: datetime | None = None,
    show: Iterable[Column] = (),
) -> Selection:
    """Return the runs that a filter chooses, in its order (newest first without one).

    Args:
        engine: the lab's query engine.
        text: the filter; all runs when None or empty.
        include_archived: also archived runs; a filter that mentions ``archived`` decides by itself.
        deleted: deleted runs, and only those.
        limit: the most runs; a filter's own limit counts too.
        offset: how many to skip.
        with_total: count all that the filter chooses; otherwise the total is that of the page, and only the
            page is sorted out.
        now: the clock for ``2 days ago``.
        show: columns whose values are welcome where they cost nothing: without ``with_total`` and ``offset``. A
            param's is its type, number and text; a time is in UTC microseconds.

    Raises:
        FilterError: the text is no filter; it points at the column.
    """
    text = text or ""
    query = parse(text)
    if limit is not None and not (with_total or offset):
        query = replace(query, limit=limit if query.limit is None else min(limit, query.limit))
        limit = None
    base = DELETED if deleted else LIVE if include_archived else NOT_ARCHIVED
    bound = "" if limit is None else f" LIMIT {int(limit)}"
    window = f"{bound} OFFSET {int(offset)}" if offset else bound

    def read() -> Selection:
        is_whole = limit is None and query.limit is None
        compiled, _source = _compiled(engine, query, text, base, now, is_whole=is_whole, show=() if window else show)
        if not window:
            rows = engine.rows(compiled.sql, compiled.params)
            refs = [int(row[0]) for row in rows]
            return Selection(refs, compiled.columns_used, len(refs), _shown(compiled, rows))
        if query.limit is None and all(term.kind == "run" for term in compiled.columns_used):
            # Sorting out a page and counting, both over few columns, take half as long as one pass for both.
            refs = [int(ref) for (ref,) in engine.rows(f"{compiled.sql}{window}", compiled.params)]
            if not offset and limit is not None and len(refs) < limit:
                return Selection(refs, compiled.columns_used, len(refs))
            return Selection(refs, compiled.columns_used, total_of(compiled))
        # One pass gives the page and the total: the joins cost more than a count over all rows.
        rows = engine.rows(
            f"SELECT ref, total FROM (SELECT ref, count(*) OVER () AS total, row_number() OVER () AS place"  # noqa: S608
            f" FROM ({compiled.sql})) ORDER BY place{window}",
            compiled.params,
        )
        if rows:
            return Selection([int(ref) for ref, _ in rows], compiled.columns_used, int(rows[0][1]))
        return Selection([], compiled.columns_used, total_of(compiled))

    def total_of(compiled: CompiledQuery) -> int:
        ((total,),) = engine.rows(f"SELECT count(*) FROM ({compiled.sql})", compiled.params)  # noqa: S608
        return int(total)

    return engine.consistently(read)


def _shown(compiled: CompiledQuery, rows: list[tuple[Any, ...]]) -> dict[Column, list[Any]]:
    found: dict[Column, list[Any]] = {}
    start = 1
    for column, width in compiled.shown.items():
        found[column] = [row[start] if width == 1 else row[start : start + width] for row in rows]
        start += width
    return found


def select_refs(
    engine: Engine,
    text: str | None,
    *,
    order: str | None = None,
    include_archived: bool = False,
    deleted: bool = False,
    now: datetime | None = None,
) -> SelectedRefs:
    """Return all runs that a filter chooses, for a list that pages through them. numpy is loaded.

    Refs of runs with unsealed records hold in one state of the store: take pages in the same :meth:`Engine.steady`
    block.

    Args:
        engine: the lab's query engine.
        text: the filter; all runs when None or empty.
        order: terms to sort by before those of the filter, as after ``order by``: ``loss desc, started``.
        include_archived: also archived runs; a filter that mentions ``archived`` decides by itself.
        deleted: deleted runs, and only those.
        now: the clock for ``2 days ago``.

    Raises:
        FilterError: the filter or the order is none; it points at the column.
    """
    text = text or ""
    query = parse(text)
    if order:
        query = replace(query, order=(*parse(f"order by {order}").order, *query.order))
    base = DELETED if deleted else LIVE if include_archived else NOT_ARCHIVED

    def read() -> SelectedRefs:
        compiled, _source = _compiled(engine, query, text, base, now, is_whole=True)
        return SelectedRefs(engine.column(compiled.sql, compiled.params), compiled.columns_used)

    return engine.consistently(read)


def _compiled(
    engine: Engine,
    query: Query,
    text: str,
    base: str,
    now: datetime | None,
    *,
    is_whole: bool,
    show: Iterable[Column] = (),
) -> tuple[CompiledQuery, ResidentSource]:
    """Return a query, and what must be held until it has run."""
    source = ResidentSource(engine, is_whole=is_whole)
    keys = EngineKeys(engine)
    compiled = compile_query(query, keys, now=now, text=text, base_where=base, source=source, show=show)
    if base == NOT_ARCHIVED and compiled.mentions_archived:
        compiled = compile_query(query, keys, now=now, text=text, base_where=LIVE, source=source, show=show)
    return compiled, source
