"""Numbers that a metric's curve is judged by, in SQL over its points.

The curve is as charts show it: of a run that was resumed, without what it began anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from mllab.query.filter_ast import Term

NAN = "'nan'::DOUBLE"
# What the summaries have, over points; `at` and `last` take the newest attempt of several.
OVER_POINTS = {
    "at": "arg_max(value, (attempt, seq))",
    "last": "arg_max(value, (attempt, step, seq))",
    "min": "min(value)",
    "max": f"coalesce(max(value) FILTER (NOT isnan(value)), {NAN})",
    "mean": f"coalesce(avg(value) FILTER (NOT isnan(value)), {NAN})",
    "count": "count(*)",
    "nans": "count(*) FILTER (isnan(value))",
}
EMA_WEIGHT = 0.6
SLOPE_SHARE = 0.2
# What a weight has decayed to when it no longer moves a float64.
_NOTHING = 1e-18
_NEWEST_FIRST = "ORDER BY step DESC, attempt DESC, seq DESC"


def derived(term: Term, bind: Callable[[Any], str], source: str, runs: str) -> str:
    """Return a SELECT of (ref, value); ``source`` has the points of the term's key, ``runs`` has ref and started."""
    if term.function == "ema":
        return ema(float(term.arguments[0]) if term.arguments else EMA_WEIGHT, bind, source)
    if term.function == "slope":
        return slope(source)
    operator, bound = term.arguments
    return first_held(str(operator), float(bound), bind, source, runs if term.function == "time_to" else "")


def ema(weight: float, bind: Callable[[Any], str], source: str) -> str:
    """Return SQL for the last value of the exponential moving average, NaN where no point is finite.

    With the finite values y_1 ... y_n in order of step: sum(w^(n-i) y_i) / sum(w^(n-i)), which is s_n / (1 - w^n) for
    s_i = w s_(i-1) + (1 - w) y_i and s_0 = 0: corrected for its bias, so that the first value
    weighs no more than others.
    Source: Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, section 3; the smoothing of wandb's charts,
    https://docs.wandb.ai/guides/app/features/panels/line-plot/smoothing, whose weight is 0.6 unless chosen.
    """
    count = 1 if weight == 0 else math.ceil(math.log(_NOTHING) / math.log(weight))
    # The weights add up to less than 1 / (1 - w). By a power of two, which rounds nothing, they stay below one half:
    # values near the largest float do not overflow.
    power = f"{2.0 ** (math.frexp(1 - weight)[1] - 2)!r}::DOUBLE * pow({bind(weight)}::DOUBLE, n)"
    mean = f"sum(value * {power}) FILTER (fine) / sum({power}) FILTER (fine)"
    # Rounding may take it past all values.
    bounded = f"least(greatest({mean}, min(value) FILTER (fine)), max(value) FILTER (fine))"
    return f"""SELECT ref, coalesce({bounded}, {NAN}) AS value
        FROM (SELECT ref, value, isfinite(value) AS fine,
            row_number() OVER (PARTITION BY ref, isfinite(value) {_NEWEST_FIRST}) - 1 AS n FROM {source})
        WHERE n < {bind(count)} GROUP BY ref"""  # noqa: S608  # user text is in $n only


def slope(source: str) -> str:
    """Return SQL for the least-squares slope of value over step, NaN where there are no two steps.

    Over the last fifth of the finite points, rounded up, and at least two:
    sum((x - mean x) (y - mean y)) / sum((x - mean x)^2).
    Source: Draper and Smith, Applied Regression Analysis, 3rd edition, 1998, equation 1.2.4.
    """
    return f"""SELECT ref, coalesce(CASE WHEN max(step) FILTER (used) > min(step) FILTER (used)
            THEN regr_slope(value, step::DOUBLE) FILTER (used) END, {NAN}) AS value
        FROM (SELECT ref, value, step, isfinite(value) AND n <= greatest(2, ceil({SLOPE_SHARE} * total)) AS used
            FROM (SELECT ref, value, step, count(*) OVER (PARTITION BY ref, isfinite(value)) AS total,
                row_number() OVER (PARTITION BY ref, isfinite(value) {_NEWEST_FIRST}) AS n FROM {source}))
        GROUP BY ref"""  # noqa: S608  # constants


def first_held(operator: str, bound: float, bind: Callable[[Any], str], source: str, runs: str) -> str:
    """Return SQL for the first step at which a comparison held, or with ``runs`` the seconds from the run's start.

    Runs in which it never held have no row. Where it held before the run's start, in points that a fork copied, the
    seconds are 0.
    """
    held = f"SELECT * FROM {source} WHERE value {operator} {bind(bound)} AND value <= 'inf'::DOUBLE"  # noqa: S608  # NaN is above infinity
    if not runs:
        return f"SELECT ref, min(step) AS value FROM ({held}) GROUP BY ref"  # noqa: S608
    return f"""SELECT ref, greatest(epoch_us(first) - epoch_us(started), 0) / 1e6 AS value
        FROM (SELECT ref, min(time) AS first FROM ({held}) GROUP BY ref) JOIN {runs} USING (ref)"""  # noqa: S608


def in_window(term: Term, bind: Callable[[Any], str], source: str) -> str:
    """Return SQL for an aggregate over a run's last steps: those above its last step less ``term.last``.

    The last step is that of the newest attempt: in the default view no other attempt has points past it.
    """
    return f"""SELECT ref, {OVER_POINTS[term.function]} AS value
        FROM (SELECT *, max(step) OVER (PARTITION BY ref) AS final FROM {source})
        WHERE final::HUGEINT - step < {bind(term.last)} GROUP BY ref"""  # noqa: S608  # user text is in $n only
