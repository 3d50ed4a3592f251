"""How many runs, how long each is, and what happened to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# Share of all points in curves of one, a tenth and a hundredth of the longest; the rest is spread over every run.
LONG_SHARES = ((1, 0.2), (10, 0.2), (100, 0.1))
LONGEST = 1_000_000
FINE_METRICS = 2
SHORTEST_LONG = 50
STATUSES = ("finished", "failed", "killed", "lost")
STATUS_SHARES = (0.92, 0.04, 0.02, 0.02)
FIRST_START_US = 1_735_689_600_000_000  # 2025-01-01
# Sizes that sealing 32 runs at a time leaves behind: a fold is merged once the smaller ones hold as much together.
FOLD_SIZES = tuple(32 << power for power in reversed(range(13)))


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a made-up store."""

    runs: int = 100_000
    params: int = 50
    metrics: int = 50
    points: int = 100_000_000
    seed: int = 20_250_101


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One entry for each run, in order of start; all arrays have the length of ``runs``.

    ``fine`` is the length of the curves that are logged at every step (0: the run has none), ``coarse`` that of
    all others. A resumed run logged a quarter of its steps twice. ``start`` and ``tick`` are UTC microseconds and
    microseconds a step. ``edited`` holds positions of runs that were changed after they had been sealed.
    """

    shape: Shape
    run_id: NDArray[Any]
    start: NDArray[np.int64]
    tick: NDArray[np.float64]
    fine: NDArray[np.int64]
    coarse: NDArray[np.int64]
    resumed: NDArray[np.bool_]
    diverged: NDArray[np.bool_]
    status: NDArray[np.int64]
    edited: NDArray[np.intp]

    def folds(self) -> Iterator[tuple[int, int]]:
        """Yield the bounds of groups of runs that were sealed and merged together."""
        first = 0
        while first < self.shape.runs:
            left = self.shape.runs - first
            size = next((size for size in FOLD_SIZES if size <= left), left)
            yield first, first + size
            first += size

    def overlap(self) -> NDArray[np.int64]:
        """Return how many steps of each curve a resumed run logged twice."""
        return np.where(self.resumed, self.coarse // 4, 0)

    def rows(self) -> NDArray[np.int64]:
        """Return how many points each run has."""
        fine_metrics = np.where(self.fine > 0, min(FINE_METRICS, self.shape.metrics), 0)
        coarse_metrics = self.shape.metrics - fine_metrics
        rows: NDArray[np.int64] = self.fine * fine_metrics + (self.coarse + self.overlap()) * coarse_metrics
        return rows


def make_plan(shape: Shape) -> Plan:
    """Decide everything about each run that is not a value."""
    random = np.random.default_rng(shape.seed)
    fine = _long_curves(random, shape)
    gaps = random.exponential(300e6, shape.runs)
    start = FIRST_START_US + np.cumsum(gaps).astype(np.int64)
    resumed = _some(random, shape.runs, 200) & (fine == 0)
    plan = Plan(
        shape=shape,
        run_id=_run_ids(random, start),
        start=start,
        tick=random.lognormal(np.log(250e3), 0.7, shape.runs),
        fine=fine,
        coarse=np.ones(shape.runs, np.int64),
        resumed=resumed,
        diverged=_some(random, shape.runs, 200),
        status=random.choice(len(STATUSES), shape.runs, p=STATUS_SHARES),
        edited=np.flatnonzero(_some(random, shape.runs, 1000)),
    )
    _spread(plan, random.lognormal(0.0, 0.8, shape.runs))
    return plan


def _some(random: np.random.Generator, runs: int, one_in: int) -> NDArray[np.bool_]:
    """Choose one in so many runs, and one at least."""
    chosen = np.zeros(runs, bool)
    chosen[random.choice(runs, -(-runs // one_in), replace=False)] = True
    return chosen


def _spread(plan: Plan, weights: NDArray[np.float64]) -> None:
    """Share out, in ``plan.coarse``, the points that are not in long curves; each curve has at least one."""
    shape = plan.shape
    left = max(0.0, (shape.points - int(plan.rows().sum())) / shape.metrics)
    plan.coarse[:] += np.rint(weights * (left / weights.sum())).astype(np.int64)
    longest = np.argsort(plan.coarse)[::-1]
    for _ in range(20):
        missing = round((shape.points - int(plan.rows().sum())) / shape.metrics)
        chosen = longest[: abs(missing)]
        plan.coarse[chosen] = np.maximum(1, plan.coarse[chosen] + np.sign(missing))


def _long_curves(random: np.random.Generator, shape: Shape) -> NDArray[np.int64]:
    fine = np.zeros(shape.runs, np.int64)
    longest = min(LONGEST, shape.points // 100)
    order = random.permutation(shape.runs)
    used = 0
    for divisor, share in LONG_SHARES:
        length = longest // divisor
        if length < SHORTEST_LONG:
            continue
        count = int(shape.points * share) // (length * FINE_METRICS)
        fine[order[used : used + count]] = length
        used += count
    return fine


def _run_ids(random: np.random.Generator, start: NDArray[np.int64]) -> NDArray[Any]:
    """Return ids as :func:`mllab.ids.new_id` makes them: time first, then 80 random bits, in base 32."""
    alphabet = np.frombuffer(b"0123456789abcdefghjkmnpqrstvwxyz", np.uint8)
    codes = np.empty((len(start), 26), np.uint8)
    codes[:, 10:] = random.integers(0, 32, (len(start), 16), dtype=np.uint8)
    codes[:, :10] = (start[:, None] // 1000 >> np.arange(45, -1, -5)) & 31
    return np.ascontiguousarray(alphabet[codes]).view("S26").reshape(-1).astype("U26")
