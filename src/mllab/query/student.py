"""Student's t and Fisher's F distributions: p values and quantiles of a few tests, with the standard library alone.

Source: both are regularised incomplete beta functions (Abramowitz and Stegun 1964, 26.5.27 and 26.6.2), evaluated
by the continued fraction of the NIST Digital Library of Mathematical Functions, 8.17.22, with the method of Lentz
as modified by Thompson and Barnett (1986).
"""

from __future__ import annotations

import math

_TINY = 1e-300
_ENOUGH = 1e-15
# The fraction needs about sqrt(max(a, b)) terms where it is used at all.
_MAX_TERMS = 100_000


def t_p_value(t: float, df: float) -> float:
    """Return the two-sided p value of Student's t with ``df`` > 0 degrees of freedom, which need not be whole.

    >>> round(t_p_value(2.0, 10), 6)
    0.073388
    """
    if math.isnan(t):
        return math.nan
    if math.isinf(t):
        return 0.0
    if abs(t) > 1e150:  # its square is no float
        scaled = math.sqrt(df) / abs(t)
        return _incomplete_beta(df / 2, 0.5, scaled * scaled, 1.0)
    square = t * t
    return _incomplete_beta(df / 2, 0.5, df / (df + square), square / (df + square))


def t_quantile(confidence: float, df: float) -> float:
    """Return the t that a fraction ``confidence`` of the distribution lies within, on both sides of 0.

    >>> round(t_quantile(0.95, 10), 4)
    2.2281
    """
    wanted = 1 - confidence
    low, high = 0.0, 1.0
    while t_p_value(high, df) > wanted:
        low, high = high, high * 2
    t = (low + high) / 2
    for _ in range(200):
        excess = t_p_value(t, df) - wanted
        low, high = (t, high) if excess > 0 else (low, t)
        # Newton's step where it stays between the bounds, halving where it does not.
        step = t + excess / (2 * _t_density(t, df))
        following = step if low < step < high else (low + high) / 2
        if abs(following - t) <= 1e-14 * t:
            return following
        t = following
    return t


def f_p_value(f: float, between: float, within: float) -> float:
    """Return the upper p value of F with ``between`` and ``within`` degrees of freedom.

    >>> round(f_p_value(4.0, 2, 12), 6)
    0.046656
    """
    if math.isnan(f):
        return math.nan
    if f <= 0:
        return 1.0
    if math.isinf(f):
        return 0.0
    # Divided by within: f times between may be larger than the largest float.
    ratio = f / within * between
    if math.isinf(ratio):
        return 0.0
    return _incomplete_beta(within / 2, between / 2, 1 / (1 + ratio), ratio / (1 + ratio))


def _t_density(t: float, df: float) -> float:
    return math.exp(-_log_beta(df / 2, 0.5) - 0.5 * math.log(df) - (df + 1) / 2 * math.log1p(t * t / df))


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Return I_x(a, b). ``rest`` is 1 - x, which cannot be had from x where that is close to 1."""
    if x <= 0:
        return 0.0
    if rest <= 0:
        return 1.0
    log_x = math.log(x) if x < 0.5 else math.log1p(-rest)
    log_rest = math.log(rest) if rest < 0.5 else math.log1p(-x)
    front = math.exp(a * log_x + b * log_rest - _log_beta(a, b))
    # On the other side of the mean the fraction converges slowly: there 1 - I_rest(b, a) is the same.
    if x * (a + b + 2) < a + 1:
        return min(1.0, front * _fraction(a, b, x) / a)
    return max(0.0, 1 - front * _fraction(b, a, rest) / b)


def _fraction(a: float, b: float, x: float) -> float:
    c = 1.0
    d = _inverse(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MAX_TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = _inverse(1 + term * d)
            c = 1 + term / c
            c = c if abs(c) > _TINY else _TINY
            value *= c * d
        if abs(c * d - 1) < _ENOUGH:
            break
    return value


def _inverse(value: float) -> float:
    return 1 / (value if abs(value) > _TINY else _TINY)


def _log_beta(a: float, b: float) -> float:
    """Return ln B(a, b). Of large numbers, the logarithms of gamma alone would leave no digit of their difference."""
    small, large = sorted((a, b))
    if large < 100:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    # ln gamma(large) - ln gamma(large + small) by Stirling's series (DLMF 5.11.1), term by term.
    total = large + small
    difference = small - (large - 0.5) * math.log1p(small / large) - small * math.log(total)
    return math.lgamma(small) + difference + _stirling(large) - _stirling(total)


def _stirling(x: float) -> float:
    """Return what Stirling's formula leaves out of ln gamma(x), for x of 100 and more."""
    return (1 - (1 - 2 / (7 * x * x)) / (10 * x * x) / 3) / (12 * x)
