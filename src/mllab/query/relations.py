"""SQL text for the store's tables: explicit file lists from the manifest, void rows left out, open runs added.

Internal tables (``r_runs``, ``r_params``, ...) are keyed by ``ref``, a run's number in the store. The documented
views on top of them are keyed by ``run_id``; docs/reference/sql.md lists their columns.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mllab.store.layout import Layout
    from mllab.store.manifest import Fold, Manifest, Part

COLUMNS: dict[str, dict[str, str]] = {
    "runs": {
        "ref": "BIGINT", "run_id": "VARCHAR", "experiment": "VARCHAR", "name": "VARCHAR", "status": "VARCHAR",
        "started": "TIMESTAMPTZ", "ended": "TIMESTAMPTZ", "last_seen": "TIMESTAMPTZ", "duration": "DOUBLE",
        "attempt": "INTEGER", "parent_id": "VARCHAR", "forked_from": "VARCHAR", "forked_step": "BIGINT",
        "user": "VARCHAR", "host": "VARCHAR", "note": "VARCHAR", "archived": "BOOLEAN", "deleted": "TIMESTAMPTZ",
        "damaged": "VARCHAR", "error": "VARCHAR", "info": "VARCHAR",
    },
    "params": {"key": "VARCHAR", "ref": "BIGINT", "type": "VARCHAR", "number": "DOUBLE", "text": "VARCHAR"},
    "tags": {"key": "VARCHAR", "ref": "BIGINT", "value": "VARCHAR"},
    "summaries": {
        "key": "VARCHAR", "ref": "BIGINT", "last": "DOUBLE", "last_step": "BIGINT", "last_time": "TIMESTAMPTZ",
        "attempt": "INTEGER", "min": "DOUBLE", "min_step": "BIGINT", "max": "DOUBLE", "max_step": "BIGINT",
        "sum": "DOUBLE", "count": "BIGINT", "nans": "BIGINT", "first_step": "BIGINT",
    },
    "artifacts": {
        "ref": "BIGINT", "path": "VARCHAR", "sha256": "VARCHAR", "size": "BIGINT", "media": "VARCHAR",
        "kind": "VARCHAR", "time": "TIMESTAMPTZ",
    },
    "datasets": {
        "ref": "BIGINT", "name": "VARCHAR", "digest": "VARCHAR", "context": "VARCHAR", "source": "VARCHAR",
        "schema": "VARCHAR", "rows": "BIGINT", "profile": "VARCHAR", "time": "TIMESTAMPTZ",
    },
    "points": {
        "ref": "BIGINT", "key": "VARCHAR", "step": "BIGINT", "time": "TIMESTAMPTZ", "value": "DOUBLE",
        "attempt": "INTEGER", "seq": "BIGINT",
    },
    "logs": {
        "ref": "BIGINT", "attempt": "INTEGER", "seq": "BIGINT", "time": "TIMESTAMPTZ", "stream": "VARCHAR",
        "text": "VARCHAR",
    },
}  # fmt: skip
RUN_TABLES = ("runs", "params", "tags", "summaries", "artifacts", "datasets")


def quoted(text: str) -> str:
    """Return a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def files(layout: Layout, parts: Sequence[Part]) -> str:
    """Return the table function that reads parts."""
    names = ", ".join(quoted(layout.part(part.name)) for part in parts)
    # A lab may lie in a folder called "ref=5": that is no column.
    return f"read_parquet([{names}], hive_partitioning = false)"


def scan(layout: Layout, parts: Sequence[Part], table: str, *more: str) -> str:
    """Return a SELECT over parts, of ``more`` too."""
    columns = ", ".join((*(f'"{name}"' for name in COLUMNS[table]), *more))
    return f"SELECT {columns} FROM {files(layout, parts)}"  # noqa: S608  # names are checked


def run_table(
    layout: Layout,
    manifest: Manifest,
    table: str,
    open_refs: Collection[int],
    *,
    has_tail: bool,
    refs: Sequence[int] | None = None,
    with_fold: bool = False,
) -> str:
    """Return a SELECT of a run-level table: every fold less what is void in it, and the open runs.

    All folds are one scan: planning a filter over nine scans for each of its terms took as long as running it.
    Where rows are void, a row is known by its run and its file. Newest files come first, because a list of the
    newest runs then skips the others. With ``refs``, ascending, folds that hold none of these runs are left out.
    ``with_fold`` adds a column, the place in :func:`folds_of` of the fold that a row is from; open runs have none.
    """
    folds = [fold for fold in folds_of(manifest, table) if refs is None or in_range(refs, fold.parts["runs"])]
    more = ("file_index::INTEGER AS fold",) if with_fold else ()
    selects = []
    if folds:
        sql = scan(layout, [fold.parts[table] for fold in folds], table, *more)
        void = [ref * len(folds) + place for place, fold in enumerate(folds) for ref in _void(fold, open_refs)]
        if void:
            sql += f" WHERE ref * {len(folds)} + file_index::BIGINT NOT IN ({', '.join(map(str, void))})"
        selects.append(sql)
    if has_tail:
        selects.append(tail(table))
    return _union(selects, table, *(("NULL::INTEGER AS fold",) if with_fold else ()))


def folds_of(manifest: Manifest, table: str) -> list[Fold]:
    """Return the folds that have a table, the one with the newest run first."""
    folds = [fold for fold in manifest.folds if table in fold.parts]
    return sorted(folds, key=_last_ref, reverse=True)


def in_range(refs: Sequence[int], part: Part) -> bool:
    """Whether any of ``refs``, which are ascending, lies within a part's bounds."""
    at = bisect_left(refs, part.first_ref)
    return at < len(refs) and refs[at] <= part.last_ref


def _last_ref(fold: Fold) -> int:
    return fold.parts["runs"].last_ref


def _void(fold: Fold, open_refs: Collection[int]) -> list[int]:
    runs = fold.parts["runs"]
    return sorted({*fold.masked, *(ref for ref in open_refs if runs.first_ref <= ref <= runs.last_ref)})


def point_table(layout: Layout, parts: Sequence[Part], table: str, *, has_tail: bool) -> str:
    """Return a SELECT of ``points`` or ``logs``: rows are only ever added, so nothing is void."""
    selects = [scan(layout, parts, table)] if parts else []
    if has_tail:
        selects.append(tail(table))
    return _union(selects, table)


def tail(table: str) -> str:
    """Return a SELECT of the rows of open runs."""
    columns = ", ".join(f'"{name}"::{kind} AS "{name}"' for name, kind in COLUMNS[table].items())
    return f"SELECT {columns} FROM t_{table}"  # noqa: S608  # constants


def _union(selects: list[str], table: str, *more: str) -> str:
    if selects:
        return " UNION ALL ".join(selects)
    nothing = ", ".join((*(f'NULL::{kind} AS "{name}"' for name, kind in COLUMNS[table].items()), *more))
    return f"SELECT {nothing} WHERE FALSE"


def newest_points(resumed: Sequence[int], source: str = "r_points") -> str:
    """Return a SELECT of the points' default view.

    Of a run that was resumed, points of an attempt at or past the first step that a later attempt has of the
    same key are left out; runs with one attempt, nearly all, cost nothing.
    """
    if not resumed:
        return f"SELECT * FROM {source}"  # noqa: S608
    refs = ", ".join(map(str, resumed))
    return f"""
        SELECT p.* FROM {source} p LEFT JOIN (
            SELECT ref, key, attempt, min(first) OVER (
                PARTITION BY ref, key ORDER BY attempt ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS cut
            FROM (SELECT ref, key, attempt, min(step) AS first FROM {source} WHERE ref IN ({refs}) GROUP BY ALL)
        ) c ON p.ref = c.ref AND p.key = c.key AND p.attempt = c.attempt
        WHERE c.cut IS NULL OR p.step < c.cut"""  # noqa: S608


PUBLIC_VIEWS = {
    "runs": """SELECT run_id, experiment, name, status, started, ended, last_seen, duration, attempt, parent_id,
        forked_from, forked_step, "user", host, note, archived, damaged, error, info
        FROM r_runs WHERE deleted IS NULL""",
    "params": "SELECT r.run_id, p.key, p.type, p.number, p.text FROM r_params p JOIN r_live r USING (ref)",
    "tags": "SELECT r.run_id, t.key, t.value FROM r_tags t JOIN r_live r USING (ref)",
    "metric_summaries": """SELECT r.run_id, s.key, s.last, s.last_step, s.last_time, s.min, s.min_step, s.max,
        s.max_step, s.sum / nullif(s.count - s.nans, 0) AS mean, s.count, s.nans, s.first_step
        FROM r_summaries s JOIN r_live r USING (ref)""",
    "metrics": "SELECT r.run_id, p.key, p.step, p.time, p.value, p.attempt FROM r_newest p JOIN r_live r USING (ref)",
    "artifacts": """SELECT r.run_id, a.path, a.sha256, a.size, a.media, a.kind, a.time
        FROM r_artifacts a JOIN r_live r USING (ref)""",
    "datasets": """SELECT r.run_id, d.name, d.digest, d.context, d.source, d.schema, d.rows, d.profile, d.time
        FROM r_datasets d JOIN r_live r USING (ref)""",
    "logs": """SELECT r.run_id, l.attempt, l.time, l.stream, l.text FROM r_logs l JOIN r_live r USING (ref)""",
}
