"""Runs that differ in their seeds alone, folded into one: their mean, its uncertainty, and whether groups differ."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mllab.errors import UsageError
from mllab.query.curves import curves
from mllab.query.param_columns import param_columns, rows_of
from mllab.query.relations import quoted
from mllab.query.student import t_p_value, t_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mllab.query.curves import Curve
    from mllab.query.engine import Engine
    from mllab.query.param_columns import ParamColumn

CONFIDENCE = 0.95
# A param is a seed when the last component of its key, split at dots and slashes, is one of these in any case.
SEED_NAMES = (
    "seed", "seeds", "random_seed", "randomseed", "rand_seed", "rng", "rng_seed", "prng_seed", "random_state",
    "randomstate", "manual_seed", "global_seed", "base_seed", "torch_seed", "cuda_seed", "np_seed", "numpy_seed",
    "python_seed", "tf_seed", "jax_seed", "data_seed", "split_seed", "shuffle_seed", "init_seed", "model_seed",
    "train_seed", "env_seed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """Runs that are equal in experiment and in all params but seeds.

    Attributes:
        refs: the runs, in the order they were asked for.
        params_key: a digest of the experiment and the params they share: the same in every state of the store.
        seeds: for each run its seeds, as ``42``, or as ``np_seed=1 torch_seed=2`` where there are several; None
            where it has none. Two runs of one seed are repeats of each other, not independent samples.
        name: what the names of the runs have in common, or the name of the first.
    """

    refs: tuple[int, ...]
    params_key: str
    seeds: tuple[str | None, ...]
    name: str


@dataclass(frozen=True, slots=True)
class SeedSummary:
    """The last values of one metric in one group, and against the baseline's. None is what cannot be said.

    Attributes:
        group: which group, as its position.
        key: the metric.
        n: how many runs have a finite last value; all that follows is of these.
        n_nan: how many runs ended on NaN or an infinity.
        std: the sample standard deviation (n - 1).
        half_width: half the 95 % confidence interval of the mean by Student's t: mean ± half_width.
        difference: mean less the baseline's mean.
        t: Welch's t of that difference.
        df: its degrees of freedom by Welch and Satterthwaite.
        p_value: two-sided, of one comparison: whoever looks at many finds some below 0.05 by chance.
    """

    group: int
    key: str
    n: int
    n_nan: int
    mean: float | None = None
    std: float | None = None
    half_width: float | None = None
    min: float | None = None
    max: float | None = None
    difference: float | None = None
    t: float | None = None
    df: float | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MeanCurve:
    """The mean of some curves at each step: columns of one length in order of step.

    ``step`` and ``n`` (how many curves the mean is of) are int64; ``mean``, ``low`` and ``high`` are float64, the
    latter two NaN where n < 2.
    """

    step: NDArray[np.int64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n: NDArray[np.int64]


def is_seed(key: str) -> bool:
    """Return whether a param is a seed by its key.

    >>> is_seed("model.Random_State"), is_seed("seed_count")
    (True, False)
    """
    return key.replace("/", ".").rpartition(".")[2].lower() in SEED_NAMES


def fold_seeds(engine: Engine, refs: Sequence[int]) -> tuple[SeedGroup, ...]:
    """Group runs that are equal in experiment and in all params but seeds, in the order of their first members.

    A run without such a twin is a group of its own. A param that one run lacks and another has makes them differ;
    1 and 1.0 are equal, 1 and "1" are not. Refs that name no run are left out.
    """
    with engine.steady():
        wanted = list(dict.fromkeys(refs))
        found = {
            int(ref): (str(experiment), str(name or ""))
            for ref, experiment, name in engine.rows(
                f"SELECT ref, experiment, name FROM ({rows_of(engine, 'runs', wanted)})"  # noqa: S608  # integers
            )
        }
        runs = [ref for ref in wanted if ref in found]
        shared: dict[str, int] = {}
        group = np.array([shared.setdefault(found[ref][0], len(shared)) for ref in runs], np.int64)
        digest = _digests([json.dumps(experiment) for experiment in shared])[group]
        seeds: list[dict[str, str]] = [{} for _ in runs]
        for column in param_columns(engine, runs):
            if is_seed(column.key):
                for run, code in zip(column.runs.tolist(), column.codes.tolist(), strict=True):
                    seeds[run][column.key] = column.text(code)
                continue
            codes = np.zeros(len(runs), np.int64)  # 0 where a run lacks it
            codes[column.runs] = column.codes + 1
            levels = len(column.numbers) + len(column.words)
            group = np.unique(group * (levels + 1) + codes, return_inverse=True)[1].astype(np.int64)
            # Added up, so that a key no run here has, or the order of keys, changes nothing.
            digest[column.runs] += _level_digests(column)[column.codes]
    return _groups(runs, [found[ref][1] for ref in runs], group, digest, seeds)


def _digests(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Return uint64[n, 2], 128 bits for each text."""
    joined = b"".join(hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts)
    return np.frombuffer(joined, "<u8").reshape(-1, 2).astype(np.uint64)


def _level_digests(column: ParamColumn) -> NDArray[np.uint64]:
    """Return uint64[levels, 2], 128 bits for each level of a param."""
    words = _digests([json.dumps([column.key, word]) for word in column.words])
    # Numbers may be as many as runs. Source: the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    mixed = column.numbers.view(np.uint64)[:, None] ^ _digests([json.dumps(column.key)])
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.concatenate([mixed ^ (mixed >> np.uint64(31)), words])


def _groups(
    runs: Sequence[int],
    names: Sequence[str],
    group: NDArray[np.int64],
    digest: NDArray[np.uint64],
    seeds: Sequence[dict[str, str]],
) -> tuple[SeedGroup, ...]:
    members: dict[int, list[int]] = {}
    for run, number in enumerate(group.tolist()):
        members.setdefault(number, []).append(run)
    return tuple(
        SeedGroup(
            tuple(runs[run] for run in each),
            "".join(f"{half:016x}" for half in digest[each[0]].tolist()),
            tuple(_seed_text(seeds[run]) for run in each),
            _common_name([names[run] for run in each]),
        )
        for each in members.values()
    )


def _seed_text(seeds: dict[str, str]) -> str | None:
    if len(seeds) == 1:
        return next(iter(seeds.values()))
    return " ".join(f"{key}={value}" for key, value in sorted(seeds.items())) or None


def _common_name(names: Sequence[str]) -> str:
    """Return what names begin with in common, less a trailing ``-seed``; the first name where that is little."""
    if len(names) == 1:
        return names[0]
    first, last = min(names), max(names)
    start = first[: next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), None)]
    # Of seed-11 and seed-12 the 1 is in common, and no part of a name.
    if any(name[len(start) :][:1].isdigit() for name in names):
        start = start.rstrip("0123456789")
    start = re.sub(r"[\W_]*(?:seed|rng)?[\W_]*$", "", start, flags=re.IGNORECASE)
    return start if len(start) >= 2 else names[0]


def summaries(
    engine: Engine, groups: Sequence[SeedGroup], keys: Sequence[str], *, baseline: int | None = None
) -> tuple[SeedSummary, ...]:
    """Return what the runs of each group ended on: group by group, each with every key in the order given.

    Args:
        engine: the lab's query engine.
        groups: what :func:`fold_seeds` returned, in the same state of the store.
        keys: metrics.
        baseline: the position of the group that the others are compared with; None for no comparison.

    Raises:
        UsageError: there is no such group.

    Source: Welch 1947, "The generalization of Student's problem when several different population variances are
    involved", Biometrika 34; Satterthwaite 1946, "An approximate distribution of estimates of variance
    components", Biometrics Bulletin 2.
    """
    if baseline is not None and not 0 <= baseline < len(groups):
        raise UsageError(f"There is no group {baseline} to compare with.", f"Choose from 0 to {len(groups) - 1}.")
    ends = _last_values(engine, [ref for group in groups for ref in group.refs], keys)
    found = [
        [_summary(place, key, [ends[key][ref] for ref in group.refs if ref in ends[key]]) for key in keys]
        for place, group in enumerate(groups)
    ]
    if baseline is not None:
        base = found[baseline]
        found = [
            [summary if place == baseline else _against(base[at], summary) for at, summary in enumerate(row)]
            for place, row in enumerate(found)
        ]
    return tuple(summary for row in found for summary in row)


def _last_values(engine: Engine, refs: Sequence[int], keys: Sequence[str]) -> dict[str, dict[int, float]]:
    ends: dict[str, dict[int, float]] = {key: {} for key in keys}
    if not refs or not keys:
        return ends
    words = ", ".join(map(quoted, ends))
    for ref, key, last in engine.rows(
        f"SELECT ref, key, last FROM ({rows_of(engine, 'summaries', refs)}) WHERE key IN ({words})"  # noqa: S608
    ):
        ends[key][int(ref)] = last
    return ends


def _summary(group: int, key: str, values: Sequence[float]) -> SeedSummary:
    finite = np.array([value for value in values if math.isfinite(value)])
    n, n_nan = len(finite), len(values) - len(finite)
    if not n:
        return SeedSummary(group, key, n, n_nan)
    mean, std = moments(finite)
    half = t_quantile(CONFIDENCE, n - 1) * (std / math.sqrt(n)) if n > 1 else None
    low, high = float(finite.min()), float(finite.max())
    return SeedSummary(group, key, n, n_nan, mean, std if n > 1 else None, half, low, high)


def moments(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and the sample standard deviation of finite values, 0 for one; their squares may overflow."""
    scale = _scale(float(np.abs(values).max()))
    scaled = values / scale
    mean = float(scaled.mean())
    # Rounding may leave the mean of equal values beside them.
    mean = min(max(mean, float(scaled.min())), float(scaled.max()))
    return mean * scale, float(scaled.std(ddof=1)) * scale if len(values) > 1 and np.ptp(scaled) else 0.0


def _scale(largest: float) -> float:
    """Return a power of two, which rounds nothing, near ``largest``."""
    return 2.0 ** max(min(math.frexp(largest)[1], 1023), -1000) if largest > 0 else 1.0


def _against(base: SeedSummary, other: SeedSummary) -> SeedSummary:
    """Return ``other`` with Welch's test against ``base``, as far as they have values and spread for one."""
    if base.mean is None or other.mean is None:
        return other
    difference = other.mean - base.mean
    if base.std is None or other.std is None:
        return replace(other, difference=difference)
    if not 0 < base.std + other.std < math.inf or math.isinf(difference):
        return replace(other, difference=difference)
    scale = _scale(max(base.std, other.std))
    first, second = (base.std / scale) ** 2 / base.n, (other.std / scale) ** 2 / other.n
    t = difference / scale / math.sqrt(first + second)
    df = (first + second) ** 2 / (first**2 / (base.n - 1) + second**2 / (other.n - 1))
    return replace(other, difference=difference, t=t, df=df, p_value=t_p_value(t, df))


def mean_curve(engine: Engine, group: SeedGroup, key: str, max_points: int | None = None) -> MeanCurve:
    """Return the mean of a group's curves of one metric, with a 95 % confidence band of the mean.

    The band is, at each step by itself, the mean ± Student's t times the standard error over the runs that are
    there: where the mean of very many seeds would lie, if the values at that step were about normal. It is not
    where a further run would lie (that is wider by about the root of n), nor does it hold the whole mean curve
    with 95 % (steps are looked at one by one), and it says nothing of other causes of variation than the seed.

    The steps are those of all curves after down-sampling, at most ``max_points`` of each. Between its own steps a
    curve is interpolated linearly; before its first, after its last, and beside a value that is no finite number
    it counts as missing, so ``n`` changes along the curve, and the mean jumps where a run begins or ends.
    Down-sampling keeps extremes, so between the steps it keeps, mean and band are of an approximation; with
    ``max_points`` None they are exact.
    """
    members = [_steady(curve) for curve in curves(engine, group.refs, [key], max_points=max_points)]
    return mean_of(members)


def _steady(curve: Curve) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the steps of a curve and the value last logged at each, NaN where that is not finite."""
    last = np.append(curve.step[1:] != curve.step[:-1], True)[: len(curve.step)]
    value = curve.value[last]
    return curve.step[last], np.where(np.isfinite(value), value, np.nan)


def mean_of(members: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> MeanCurve:
    """Return the mean of curves given as (steps, ascending; values, NaN where missing)."""
    members = [member for member in members if len(member[0])]
    if not members:
        nothing = np.empty(0)
        return MeanCurve(np.empty(0, np.int64), nothing, nothing, nothing, np.empty(0, np.int64))
    grid = np.unique(np.concatenate([step for step, _ in members]))
    n, mean, squares = np.zeros(len(grid), np.int64), np.zeros(len(grid)), np.zeros(len(grid))
    largest = max((float(np.nanmax(np.abs(value))) for _, value in members if not np.isnan(value).all()), default=0.0)
    scale = _scale(largest)
    for step, value in members:
        row = _on_grid(grid, step, value / scale)
        there = ~np.isnan(row)
        n += there
        # Welford's update, one curve at a time: the table of all curves on the grid may not fit into memory.
        change = np.where(there, row - mean, 0.0)
        mean += change / np.maximum(n, 1)
        squares += change * np.where(there, row - mean, 0.0)
    factor = np.full(len(grid), np.nan)
    for count in np.unique(n[n > 1]).tolist():
        factor[n == count] = t_quantile(CONFIDENCE, count - 1) / math.sqrt(count * (count - 1))
    half = factor * np.sqrt(squares)
    mean = np.where(n > 0, mean, np.nan)
    with np.errstate(over="ignore"):  # a band past the largest float is infinite
        return MeanCurve(grid, mean * scale, (mean - half) * scale, (mean + half) * scale, n)


def _on_grid(grid: NDArray[np.int64], step: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate a curve within its own range; NaN outside of it, and next to a NaN but at the curve's own steps."""
    # Counted from the curve's first step as unsigned numbers: steps may lie further apart than an int64 tells.
    own = np.searchsorted(grid, step)
    first, last = own[0], own[-1]
    start = step[:1].view(np.uint64)
    steps = (step.view(np.uint64) - start).astype(np.float64)
    inside = (grid[first : last + 1].view(np.uint64) - start).astype(np.float64)
    row = np.full(len(grid), np.nan)
    row[first : last + 1] = np.interp(inside, steps, value)
    row[own] = value
    return row
