"""Curves of runs as series of charts, down-sampled to what a chart can show, extremes kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mllab.query.curves import Curve, curves
from mllab.tui.widgets.chart_data import Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mllab.query.engine import Engine

# Braille has two points a cell, and each keeps its least and greatest value.
POINTS = 1200


@dataclass(frozen=True, slots=True, eq=False)
class ChartedRun:
    """A run's curves by metric, with the time of each point, so that any x axis can be drawn and time be found.

    ``started`` is in UTC microseconds.
    """

    run_id: str
    name: str
    started: int
    curves: Mapping[str, Curve]
    color: int = 0

    def series(self, key: str, axis: str) -> Series | None:
        """Return one metric's curve over steps, seconds since the start, or the wall clock."""
        curve = self.curves.get(key)
        if curve is None:
            return None
        return Series(self.name, axis_values(curve, axis, self.started), curve.value, self.color, curve.total)


def axis_values(curve: Curve, axis: str, started: int) -> NDArray[np.float64]:
    """Return the x of each point."""
    if axis == "step":
        return curve.step.astype(np.float64)
    seconds: NDArray[np.float64] = (curve.time - (started if axis == "relative" else 0)) / 1e6
    # The clock of a run may have been set back: a chart goes from left to right.
    return np.maximum.accumulate(seconds)


def read_curves(
    engine: Engine,
    runs: Sequence[tuple[str, str, int]],
    keys: Sequence[str] | None = None,
    *,
    steps: tuple[int | None, int | None] = (None, None),
    max_points: int = POINTS,
) -> list[ChartedRun]:
    """Return the curves of runs, each given as (id, name, started).

    Args:
        engine: the lab's query engine.
        runs: which, in the order of their colours.
        keys: metrics; all when None.
        steps: the first and last step in view.
        max_points: the most points of a curve.
    """
    with engine.steady():
        refs = {engine.find(run_id, deleted=True)[0]: run_id for run_id, _, _ in runs}
        found: dict[str, dict[str, Curve]] = {run_id: {} for run_id, _, _ in runs}
        for curve in curves(engine, list(refs), keys, max_points=max_points, steps=steps):
            found[refs[curve.ref]][curve.key] = curve
    return [
        ChartedRun(run_id, name, started, found[run_id], color) for color, (run_id, name, started) in enumerate(runs)
    ]


def time_at(charted: Sequence[ChartedRun], axis: str, x: float) -> int | None:
    """Return the wall time, in UTC microseconds, of the point nearest to ``x`` of the first run with one."""
    for run in charted:
        if axis == "wall":
            return round(x * 1e6)
        if axis == "relative":
            return run.started + round(x * 1e6)
        for curve in sorted(run.curves.values(), key=lambda each: -len(each.step)):
            if len(curve.step):
                at = int(np.searchsorted(curve.step, x))
                near = [place for place in (at - 1, at) if 0 <= place < len(curve.step)]
                return int(curve.time[min(near, key=lambda place: abs(float(curve.step[place]) - x))])
    return None


def x_at(charted: Sequence[ChartedRun], axis: str, time_us: int) -> float | None:
    """Return the x of the point nearest to a wall time; the other way round than :func:`time_at`."""
    for run in charted:
        if axis == "wall":
            return time_us / 1e6
        if axis == "relative":
            return (time_us - run.started) / 1e6
        for curve in sorted(run.curves.values(), key=lambda each: -len(each.step)):
            if len(curve.step):
                at = min(int(np.searchsorted(np.maximum.accumulate(curve.time), time_us)), len(curve.step) - 1)
                return float(curve.step[at])
    return None
