"""Several runs beside each other: what differs in params, tags and metrics, for front ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from mllab.errors import UsageError
from mllab.query.run_detail import MetricSummary, run_metrics, run_params, run_tags
from mllab.query.views import ParamValue, RunRow, find_run, run_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mllab.query.engine import Engine

T = TypeVar("T")
MAX_RUNS = 50


@dataclass(frozen=True, slots=True)
class Compared(Generic[T]):
    """A key with each run's value, in the order of the runs; None where a run has none."""

    key: str
    values: tuple[T | None, ...]

    @property
    def differs(self) -> bool:
        """Whether any two runs differ in it."""
        return any(value != self.values[0] for value in self.values[1:])


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs beside each other; the first is the baseline. Every key of any run is listed, equal ones too."""

    runs: tuple[RunRow, ...]
    params: tuple[Compared[ParamValue], ...]
    tags: tuple[Compared[str], ...]
    metrics: tuple[Compared[MetricSummary], ...]


def compare(engine: Engine, runs: Sequence[str]) -> Comparison:
    """Compare runs, each given by id, short id or name.

    Raises:
        NotFoundError: one of them does not exist.
        UsageError: there are fewer than two different runs, or too many to be seen beside each other.
    """
    with engine.steady():
        refs = list(dict.fromkeys(find_run(engine, run)[0] for run in runs))
        if len(refs) < 2:
            raise UsageError("Comparing takes at least two different runs.", "Name them by id, short id or name.")
        if len(refs) > MAX_RUNS:
            raise UsageError(f"{len(refs)} runs cannot be seen beside each other.", f"Compare at most {MAX_RUNS}.")
        rows = run_rows(engine, refs)
        params, tags = run_params(engine, refs), run_tags(engine, refs)
        metrics = {
            ref: {summary.key: summary for summary in summaries}
            for ref, summaries in run_metrics(engine, refs, spark_cells=0).items()
        }
        return Comparison(
            tuple(rows[ref] for ref in refs),
            _beside([params[ref] for ref in refs]),
            _beside([tags[ref] for ref in refs]),
            _beside([metrics[ref] for ref in refs]),
        )


def _beside(columns: Sequence[dict[str, T]]) -> tuple[Compared[T], ...]:
    keys = sorted({key for column in columns for key in column})
    return tuple(Compared(key, tuple(column.get(key) for column in columns)) for key in keys)


def change(baseline: float | None, value: float | None) -> float | None:
    """Return ``value - baseline`` where both are finite."""
    if baseline is None or value is None or not (math.isfinite(baseline) and math.isfinite(value)):
        return None
    return value - baseline
