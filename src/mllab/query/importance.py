"""What mattered: params ranked by how closely a metric goes along with them over some runs."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from mllab.errors import UsageError
from mllab.query import goals
from mllab.query.param_columns import numbers, param_columns, positions, rows_of
from mllab.query.relations import quoted
from mllab.query.student import f_p_value, t_p_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mllab.query.engine import Engine
    from mllab.query.goals import Goal
    from mllab.query.param_columns import ParamColumn

SIGNIFICANT = 0.05
# A numeric param with more values than this is told by quarters of the runs, not by its values.
MAX_SINGLE_VALUES = 8
_AGGREGATES = {
    "last": "last",
    "min": "min",
    "max": "max",
    "mean": "CASE WHEN count > nans THEN sum / (count - nans) END",
}


@dataclass(frozen=True, slots=True)
class Best:
    """Where the metric, or for Spearman its rank, is best on average: a value, or a range of them.

    ``mean`` is that of the metric over the ``n`` runs with these values.
    """

    text: str
    n: int
    mean: float


@dataclass(frozen=True, slots=True)
class ParamEffect:
    """How closely a metric goes along with a param.

    Attributes:
        keys: the params; several where they divide the runs alike, so that nothing tells which of them it is.
        n: the runs that have the param and a finite value of the metric; the others are left out.
        levels: how many different values the param has among them.
        method: ``spearman`` for a number of at least three different values, else ``eta squared``; None if skipped.
        effect: Spearman's rho, from -1 to 1, or eta squared, from 0 to 1.
        strength: from 0 to 1, what the rows are ordered by: rho squared or eta squared less what chance alone
            would give (the share of variance explained, of ranks or of values).
        direction: whether the metric rises or falls as the param rises; None for eta squared, or where rho is 0.
        best: where the metric is best; None where its goal is not known, or it may well be chance (p_holm > 0.05).
        p_value: the probability of at least this effect in runs without any.
        p_holm: the same, corrected for the number of rows by Holm's method.
        skipped: why nothing can be said; then the rest is None.
    """

    keys: tuple[str, ...]
    n: int
    levels: int
    method: Literal["spearman", "eta squared"] | None = None
    effect: float | None = None
    strength: float | None = None
    direction: Literal["rises", "falls"] | None = None
    best: Best | None = None
    p_value: float | None = None
    p_holm: float | None = None
    skipped: str | None = None


def what_mattered(
    engine: Engine, refs: Sequence[int], metric: str, *, aggregate: str = "last", goal: Goal | None = None
) -> tuple[ParamEffect, ...]:
    """Rank the params of runs by their association with a metric, strongest first, then those skipped by key.

    Association is not cause: the runs are what somebody chose to try, not an experiment with params drawn at
    random. A param may rank high because it changed together with the one that matters, and low because it
    matters only together with another, or first helps and then hurts (Spearman sees what rises or falls
    throughout). Params are looked at one at a time, and runs as independent of each other.

    Args:
        engine: the lab's query engine.
        refs: the runs.
        metric: its key.
        aggregate: which number of each run: ``last``, ``min``, ``max`` or ``mean``.
        goal: whether less (``min``) or more (``max``) of the metric is better; None to tell by its key.

    Raises:
        UsageError: there is no such aggregate.

    Source: Spearman 1904, "The proof and measurement of association between two things", Am. J. Psychol. 15;
    eta squared less bias: Kelley 1935, "An unbiased correlation ratio measure", PNAS 21 (epsilon squared; the least
    biased of three by Okada 2013, Behaviormetrika 40); Holm 1979, "A simple sequentially rejective multiple test
    procedure", Scand. J. Statist. 6.
    """
    if aggregate not in _AGGREGATES:
        raise UsageError(f"There is no aggregate {aggregate!r}.", f"Choose from: {', '.join(_AGGREGATES)}.")
    with engine.steady():
        runs = list(dict.fromkeys(refs))
        target = _Target(_metric(engine, runs, metric, aggregate), goal or goals.goal(metric))
        rows: dict[bytes, ParamEffect] = {}
        skipped = []
        for column in param_columns(engine, runs):
            sample = target.sample(column)
            reason = sample.lack()
            if reason:
                skipped.append(ParamEffect((column.key,), len(sample.codes), sample.levels, skipped=reason))
                continue
            name = sample.partition()
            before = rows.get(name)
            if before is None:
                rows[name] = target.effect(column, sample)
            elif before.method == "eta squared" and sample.is_ordered:
                found = target.effect(column, sample)
                rows[name] = replace(found, keys=(*before.keys, column.key))
            else:
                rows[name] = replace(before, keys=(*before.keys, column.key))
    ranked = sorted(_holm(list(rows.values())), key=lambda row: (-(row.strength or 0), row.p_value or 0, row.keys))
    return (*ranked, *skipped)


def _metric(engine: Engine, refs: Sequence[int], key: str, aggregate: str) -> NDArray[np.float64]:
    """Return float64[len(refs)], NaN where a run has no such metric."""
    values = np.full(len(refs), np.nan)
    if refs:
        table = engine.arrow(
            f"""SELECT ref, coalesce({_AGGREGATES[aggregate]}, 'nan'::DOUBLE) AS value
            FROM ({rows_of(engine, "summaries", refs)}) WHERE key = {quoted(key)}"""  # noqa: S608  # quoted
        )
        at = positions(refs, numbers(table.column("ref")))
        values[at[at >= 0]] = numbers(table.column("value"))[at >= 0]
    return values


class _Sample(NamedTuple):
    """A param over the runs that count: which they are, the level of each, and what the levels are.

    ``originals`` are the levels' codes in the column, ascending by number if ``is_ordered``.
    """

    there: NDArray[np.bool_]
    codes: NDArray[np.intp]
    originals: NDArray[np.intp]
    is_ordered: bool
    has_constant_metric: bool

    @property
    def levels(self) -> int:
        return len(self.originals)

    def lack(self) -> str | None:
        """Say why nothing can be said of the param, or None."""
        if not len(self.codes):
            return "no run has both it and a finite value of the metric"
        if self.levels < 2:
            return "it has one value only"
        if len(self.codes) < 3:
            return "fewer than 3 runs have it"
        if self.levels == len(self.codes) and not self.is_ordered:
            return "it has another value in each run"
        return "the metric has one value only" if self.has_constant_metric else None

    def partition(self) -> bytes:
        """Return what is the same for params that divide the runs alike."""
        n = len(self.codes)
        if self.levels == n:  # every run is alone in any such param, which says nothing: here their order counts
            order = min(self.codes.tobytes(), (n - 1 - self.codes).tobytes())
            return hashlib.blake2b(order + self.there.tobytes()).digest()
        first = np.empty(self.levels, np.intp)
        first[self.codes[::-1]] = np.arange(n)[::-1]  # of several assignments to one place the last holds
        number = np.empty(self.levels, np.int32)
        number[np.argsort(first)] = np.arange(self.levels, dtype=np.int32)
        return hashlib.blake2b(number[self.codes].tobytes() + self.there.tobytes()).digest()


class _Target:
    """The metric over the runs: ``values`` is float64[runs]; what is not finite is left out."""

    def __init__(self, values: NDArray[np.float64], goal: Goal | None) -> None:
        self._is_finite = np.isfinite(values)
        self._values = values
        self._goal = goal
        self._all_ranks = mean_ranks(values[self._is_finite])

    def sample(self, column: ParamColumn) -> _Sample:
        """Return a param over the runs that have it and a finite value of the metric."""
        codes = np.full(len(self._values), -1)
        codes[column.runs] = column.codes
        there = self._is_finite & (codes >= 0)
        codes = codes[there]
        originals = np.flatnonzero(np.bincount(codes, minlength=len(column.numbers) + len(column.words)))
        level_numbers = column.level_numbers()
        is_ordered = False
        if level_numbers is not None:
            distinct, first, place = np.unique(level_numbers[originals], return_index=True, return_inverse=True)
            is_ordered = len(distinct) >= 3
        if is_ordered:
            number = np.zeros(len(column.numbers) + len(column.words), np.intp)
            number[originals] = place
            codes, originals = number[codes], originals[first]
        elif len(codes):
            number = np.zeros(int(originals[-1]) + 1, np.intp)
            number[originals] = np.arange(len(originals))
            codes = number[codes]
        values = self._values[there]
        return _Sample(there, codes, originals, is_ordered, bool(len(values)) and bool((values == values[0]).all()))

    def effect(self, column: ParamColumn, sample: _Sample) -> ParamEffect:
        """Return how closely the metric goes along with a param."""
        n, levels = len(sample.codes), sample.levels
        values = self._values[sample.there]
        is_whole = n == len(self._all_ranks)
        if sample.is_ordered:
            ranks = self._all_ranks if is_whole else mean_ranks(values)
            own = ranks_of_codes(sample.codes, levels)
            rho = correlation(own, ranks)
            strength, p_value = less_bias(rho * rho, n, 2), spearman_p_value(rho, n)
            direction: Literal["rises", "falls"] | None = "rises" if rho > 0 else "falls" if rho < 0 else None
            best = self._best(column, sample, values, ranks, own) if p_value <= SIGNIFICANT else None
            return ParamEffect((column.key,), n, levels, "spearman", rho, strength, direction, best, p_value)
        eta, p_value = correlation_ratio(sample.codes, levels, values)
        best = self._best(column, sample, values, values, None) if p_value <= SIGNIFICANT else None
        return ParamEffect((column.key,), n, levels, "eta squared", eta, less_bias(eta, n, levels), None, best, p_value)

    def _best(
        self,
        column: ParamColumn,
        sample: _Sample,
        values: NDArray[np.float64],
        measure: NDArray[np.float64],
        own_ranks: NDArray[np.float64] | None,
    ) -> Best | None:
        """Return the level, or the quarter of the runs, with the best mean ``measure`` of those with several runs."""
        if self._goal is None:
            return None
        texts = [(original, original) for original in sample.originals[: MAX_SINGLE_VALUES + 1].tolist()]
        bins = sample.codes
        if own_ranks is not None and sample.levels > MAX_SINGLE_VALUES:
            quarter = np.minimum((4 * (own_ranks - 0.5) / len(own_ranks)).astype(np.intp), 3)
            kept, bins = np.unique(quarter, return_inverse=True)
            ends = [sample.codes[quarter == each] for each in kept.tolist()]
            texts = [(int(sample.originals[each.min()]), int(sample.originals[each.max()])) for each in ends]
        elif sample.levels > MAX_SINGLE_VALUES:
            texts = [(original, original) for original in sample.originals.tolist()]
        counts = np.bincount(bins)
        if np.count_nonzero(counts > 1) < 2:
            return None
        scale = float(np.abs(measure).max()) or 1.0
        means = np.bincount(bins, measure / scale) / counts
        means = np.where(counts > 1, means if self._goal == "min" else -means, np.inf)
        place = int(means.argmin())
        low, high = (column.text(code) for code in texts[place])
        chosen = values[bins == place]
        mean = float((chosen / len(chosen)).sum())
        return Best(low if low == high else f"{low} to {high}", len(chosen), mean)


def mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks from 1; equal values share the mean of theirs."""
    levels, codes = np.unique(values, return_inverse=True)
    return ranks_of_codes(codes, len(levels))


def ranks_of_codes(codes: NDArray[np.intp], levels: int) -> NDArray[np.float64]:
    """Return the mean ranks of values given as the places of each among the ``levels`` different ones, ascending."""
    counts = np.bincount(codes, minlength=levels)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[codes]
    return ranks


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return Pearson's correlation of two columns that both vary; of ranks it is Spearman's rho."""
    one, other = one - one.mean(), other - other.mean()
    # Not one @ other: to wake BLAS's threads takes longer than this where the cores have other work.
    spread = math.sqrt(float((one * one).sum()) * float((other * other).sum()))
    return max(-1.0, min(1.0, float((one * other).sum()) / spread))


def spearman_p_value(rho: float, n: int) -> float:
    """Return the two-sided p value of Spearman's rho of n >= 3 pairs by the t approximation.

    Source: Kendall and Stuart 1973, The Advanced Theory of Statistics 2, 31.19. Of few pairs it promises too much:
    no fewer than 2 of the n! orders are as extreme as the most extreme, so it is never less than 2 / n!.
    """
    left = (1 - rho) * (1 + rho)
    p_value = t_p_value(rho * math.sqrt((n - 2) / left), n - 2) if left > 0 else 0.0
    return max(p_value, math.exp(math.log(2) - math.lgamma(n + 1)))


def correlation_ratio(codes: NDArray[np.intp], levels: int, values: NDArray[np.float64]) -> tuple[float, float]:
    """Return eta squared of values in ``levels`` groups, fewer than values, and its p value by F.

    Source: Fisher 1925, Statistical Methods for Research Workers, chapter 7.
    """
    n = len(values)
    centred = values / float(np.abs(values).max())  # squares of huge values would overflow
    centred = centred - centred.mean()
    centred /= float(np.abs(centred).max())
    counts = np.bincount(codes, minlength=levels)
    means = np.bincount(codes, centred, minlength=levels) / counts
    between, rest = float((counts * means**2).sum()), centred - means[codes]
    within = float((rest * rest).sum())
    f = between / (levels - 1) / within * (n - levels) if within > 0 else math.inf
    return between / (between + within), f_p_value(f, levels - 1, n - levels)


def less_bias(share: float, n: int, levels: int) -> float:
    """Return a share of explained variance less what chance alone explains, at least 0: Kelley's epsilon squared."""
    return max(0.0, 1 - (1 - share) * (n - 1) / (n - levels))


def _holm(rows: list[ParamEffect]) -> list[ParamEffect]:
    """Return rows with corrected p values, and without a best value where these say that it may be chance."""
    corrected = holm([row.p_value or 0.0 for row in rows])
    return [
        replace(row, p_holm=p, best=row.best if p <= SIGNIFICANT else None)
        for row, p in zip(rows, corrected, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, running = [0.0] * len(p_values), 0.0
    for place, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - place) * p_values[at]))
        corrected[at] = running
    return corrected
