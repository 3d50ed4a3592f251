"""Everything about one run, and its curves in a line each, for front ends."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mllab.query.relations import quoted
from mllab.query.views import SYSTEM_PREFIX, ParamValue, RunRow, find_run, in_refs, run_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.query.engine import Engine

SPARK_CELLS = 24


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """One metric of one run. Of NaN only ``count`` and ``nans`` know; ``spark`` is one number a cell, oldest first."""

    key: str
    last: float
    last_step: int
    min: float
    min_step: int
    max: float
    max_step: int
    mean: float
    count: int
    nans: int
    first_step: int
    spark: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a run."""

    path: str
    sha256: str
    size: int
    media: str
    kind: str
    time: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data a run used. ``schema`` and ``profile`` are JSON."""

    name: str
    digest: str
    context: str | None
    source: str | None
    schema: str | None
    rows: int | None
    profile: str | None
    time: int


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run with everything the store has of it but points, console lines and the bytes of artifacts."""

    ref: int
    run: RunRow
    error: dict[str, Any] | None
    info: dict[str, Any]
    params: dict[str, ParamValue] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: tuple[MetricSummary, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    children: tuple[RunRow, ...] = ()


def run_detail(engine: Engine, run: str, *, spark_cells: int = SPARK_CELLS, max_sparks: int | None = None) -> RunDetail:
    """Return everything about the run that ``run`` means: an id, the start or end of one, or a name.

    Args:
        engine: the lab's query engine.
        run: which run; a deleted one when no other fits.
        spark_cells: the length of each metric's spark; 0 reads no points.
        max_sparks: for how many metrics at most.

    Raises:
        NotFoundError: no run fits.
        AmbiguousError: several do.
    """
    with engine.steady():
        ref, run_id = find_run(engine, run)
        row = run_rows(engine, [ref])[ref]
        where = in_refs([ref])
        error, info = engine.rows(f"SELECT error, info FROM r_runs WHERE {where}")[0]  # noqa: S608
        children = engine.rows(
            "SELECT ref FROM r_runs WHERE parent_id = ? AND deleted IS NULL ORDER BY started, ref", [run_id]
        )
        return RunDetail(
            ref,
            row,
            _json_object(error),
            _json_object(info) or {},
            run_params(engine, [ref])[ref],
            run_tags(engine, [ref])[ref],
            run_metrics(engine, [ref], spark_cells=spark_cells, max_sparks=max_sparks)[ref],
            run_artifacts(engine, ref),
            run_datasets(engine, ref),
            tuple(run_rows(engine, [int(child[0]) for child in children]).values()),
        )


def _json_object(text: str | None) -> dict[str, Any] | None:
    try:
        value = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def run_params(engine: Engine, refs: Sequence[int]) -> dict[int, dict[str, ParamValue]]:
    """Return every param of some runs, by ref and key."""
    found: dict[int, dict[str, ParamValue]] = {ref: {} for ref in refs}
    for ref, key, kind, text in engine.rows(
        f"SELECT ref, key, type, text FROM r_params WHERE {in_refs(refs)} ORDER BY key"  # noqa: S608
    ):
        found[ref][key] = ParamValue(kind, text)
    return found


def run_tags(engine: Engine, refs: Sequence[int]) -> dict[int, dict[str, str]]:
    """Return every tag of some runs, by ref and key."""
    found: dict[int, dict[str, str]] = {ref: {} for ref in refs}
    for ref, key, value in engine.rows(f"SELECT ref, key, value FROM r_tags WHERE {in_refs(refs)} ORDER BY key"):  # noqa: S608
        found[ref][key] = value
    return found


def rows_with_tags(engine: Engine, runs: Sequence[str]) -> list[tuple[RunRow, dict[str, str]]]:
    """Return runs, each given by id, short id or name, with their tags as they are now: what an edit begins with."""
    with engine.steady():
        refs = [find_run(engine, run)[0] for run in runs]
        rows, tags = run_rows(engine, refs), run_tags(engine, refs)
    return [(rows[ref], tags[ref]) for ref in refs]


def run_metrics(
    engine: Engine,
    refs: Sequence[int],
    keys: Sequence[str] | None = None,
    *,
    spark_cells: int = SPARK_CELLS,
    max_sparks: int | None = None,
) -> dict[int, tuple[MetricSummary, ...]]:
    """Return the metrics of some runs, by ref, each run's sorted by key."""
    wanted = "" if keys is None else "AND list_contains(?::VARCHAR[], key)"
    rows = engine.rows(
        f"""SELECT ref, key, last, last_step, min, min_step, max, max_step,
        CASE WHEN count > nans THEN sum / (count - nans) ELSE 'nan'::DOUBLE END, count, nans, first_step
        FROM r_summaries WHERE {in_refs(refs)} {wanted} ORDER BY key""",  # noqa: S608
        [] if keys is None else [list(keys)],
    )
    # Sparks go to what is watched in training before what was logged once, or sampled of the machine.
    telling = sorted(rows, key=lambda row: (row[1].startswith(SYSTEM_PREFIX), row[9] < 2, row[1]))
    shown = list(dict.fromkeys(row[1] for row in telling))[:max_sparks]
    drawn = sparks(engine, refs, shown, spark_cells) if spark_cells and shown else {}
    found: dict[int, list[MetricSummary]] = {ref: [] for ref in refs}
    for ref, key, *values in rows:
        found[ref].append(replace(MetricSummary(key, *values), spark=drawn.get((ref, key), ())))
    return {ref: tuple(summaries) for ref, summaries in found.items()}


def sparks(
    engine: Engine, refs: Sequence[int], keys: Sequence[str], cells: int
) -> dict[tuple[int, str], tuple[float | None, ...]]:
    """Return at most ``cells`` numbers for each curve, by ref and key, each for an equal stretch of steps.

    Of a stretch the extreme farther from the curve's mean stands, so that a spike of one step is seen; NaN stands
    where there was a value that is no finite number. A stretch without points repeats what was before it.
    """
    words = ", ".join(map(quoted, keys))
    points = engine.points_sql(refs)
    rows = engine.rows(
        f"""WITH
        p AS (SELECT ref, key, step::DOUBLE AS step, value FROM ({points}) WHERE key IN ({words})),
        e AS (
            SELECT ref, key, min(step) AS low, max(step) - min(step) + 1 AS span, least(count(*), {int(cells)}) AS cells
            FROM p GROUP BY ref, key)
        SELECT p.ref, p.key, e.cells, least(floor((p.step - e.low) / e.span * e.cells), e.cells - 1)::BIGINT AS cell,
            min(value) FILTER (isfinite(value)), max(value) FILTER (isfinite(value)),
            count(*) FILTER (NOT isfinite(value))
        FROM p JOIN e USING (ref, key) GROUP BY ALL ORDER BY cell"""  # noqa: S608  # quoted keys and integers
    )
    curves: dict[tuple[int, str], list[tuple[int, float | None, float | None, int]]] = {}
    counts: dict[tuple[int, str], int] = {}
    for ref, key, count, cell, low, high, missing in rows:
        counts[ref, key] = count
        curves.setdefault((ref, key), []).append((cell, low, high, missing))
    return {name: _spark(stretches, counts[name]) for name, stretches in curves.items()}


def _spark(stretches: list[tuple[int, float | None, float | None, int]], count: int) -> tuple[float | None, ...]:
    middles = [low / 2 + high / 2 for _, low, high, _ in stretches if low is not None and high is not None]
    mean = math.fsum(middle / len(middles) for middle in middles)
    values: list[float | None] = [None] * count
    for cell, low, high, missing in stretches:
        if missing or low is None or high is None:
            values[cell] = math.nan
        else:
            values[cell] = high if high - mean >= mean - low else low
    for cell in range(1, count):
        if values[cell] is None:
            before = values[cell - 1]
            values[cell] = before if before is not None and math.isfinite(before) else None
    return tuple(values)


def run_artifacts(engine: Engine, ref: int) -> tuple[Artifact, ...]:
    """Return the artifacts of a run by path."""
    rows = engine.rows(
        f"""SELECT path, sha256, size, media, kind, epoch_us("time") FROM r_artifacts
        WHERE {in_refs([ref])} ORDER BY path"""  # noqa: S608
    )
    return tuple(Artifact(*row) for row in rows)


def run_datasets(engine: Engine, ref: int) -> tuple[Dataset, ...]:
    """Return the datasets of a run in the order they were logged."""
    rows = engine.rows(
        f"""SELECT name, digest, context, source, schema, rows, profile, epoch_us("time") FROM r_datasets
        WHERE {in_refs([ref])} ORDER BY "time", name"""  # noqa: S608
    )
    return tuple(Dataset(*row) for row in rows)
