"""Terms of the measures, one for each example, and weighted means of terms.

Functions take the predictions of two models, [n] each, or of all models, [R, n], unchecked, and return [n].
Logarithms of ratios are computed so that nothing cancels where two predictions are close, which they mostly are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array

Term = Callable[[Array, Array], Array]
Model = TypeVar("Model")


def relative(a: Array, b: Array) -> Array:
    """The summand of eq. 2, 2 |a - b| / (a + b); 0 where both are 0."""
    return np.divide(2 * np.abs(a - b), a + b, out=np.zeros_like(a), where=a + b > 0)


def absolute(a: Array, b: Array) -> Array:
    """The distance |a - b|."""
    return np.abs(a - b)


def kl(a: Array, b: Array) -> Array:
    """The divergence KL(a || b), a log(a / b) + (1 - a) log((1 - a) / (1 - b))."""
    terms = -_times(a, _log_ratio(b, a, b - a)) - _times(1 - a, _log_ratio(1 - b, 1 - a, a - b))
    # Rounding can leave the sum of the two a little below 0, where no divergence lies.
    return np.maximum(terms, 0.0)


def kl_both_ways(a: Array, b: Array) -> Array:
    """The mean of KL(a || b) and KL(b || a)."""
    return (kl(a, b) + kl(b, a)) / 2


def jensen_shannon(a: Array, b: Array) -> Array:
    """The divergence [KL(a || m) + KL(b || m)] / 2, where m = (a + b) / 2."""
    # Written with a + b in place of m, which rounds to 0 where the predictions are the smallest numbers.
    up, down = 1 - a, 1 - b
    of_ones = _times(a, _log_ratio(2 * a, a + b, a - b)) + _times(b, _log_ratio(2 * b, a + b, b - a))
    of_zeros = _times(up, _log_ratio(2 * up, up + down, b - a)) + _times(down, _log_ratio(2 * down, up + down, a - b))
    return np.clip((of_ones + of_zeros) / 2, 0.0, np.log(2.0))


def logit_difference(a: Array, b: Array) -> Array:
    """The distance |logit(a) - logit(b)|; 0 where a = b."""
    # Where both are 0, or both are 1, the difference of the logits would be NaN.
    difference = np.zeros_like(a)
    np.subtract(_log_ratio(a, b, a - b), _log_ratio(1 - a, 1 - b, b - a), out=difference, where=a != b)
    return np.abs(difference)


def flips(a: Array, b: Array, threshold: float) -> Array:
    """One where only one of the two predictions reaches the threshold, else zero."""
    return ((a >= threshold) != (b >= threshold)).astype(np.float64)


def relative_norm(columns: Array, p: float) -> Array:
    """The distance from the mean of all models, (mean over m of |y_m - ybar|^p)^(1/p) / ybar; `columns` is [R, n]."""
    _, mean, deviation = _deviations(columns)
    return np.divide(_norm(deviation, p), mean, out=np.zeros_like(mean), where=mean > 0)


def standard_deviation(columns: Array) -> Array:
    """The standard deviation over the models, sqrt(mean over m of (y_m - ybar)^2); `columns` is [R, n]."""
    greatest, _, deviation = _deviations(columns)
    return greatest * _norm(deviation, 2)


def pairs_of(columns: Sequence[Model], against_first: bool = False) -> list[tuple[Model, Model]]:
    """The unordered pairs of the models, or those of the first model with each of the others."""
    pairs = itertools.combinations(columns, 2)
    return [(columns[0], other) for other in columns[1:]] if against_first else list(pairs)


def mean_over_pairs(term: Term, columns: Array, against_first: bool = False) -> Array:
    """The mean of a term over pairs of the models (see `pairs_of`); `columns` is [R, n]."""
    total = np.zeros(columns.shape[1])
    pairs = pairs_of(list(columns), against_first)
    for a, b in pairs:
        total += term(a, b)
    return total / len(pairs)


def by_name(threshold: float) -> dict[str, Callable[[Array], Array]]:
    """The terms of all measures except the relative PD, as functions of predictions [R, n]."""
    of_two: dict[str, Term] = {
        "absolute": absolute,
        "kl": kl_both_ways,
        "jensen_shannon": jensen_shannon,
        "logit_difference": logit_difference,
        "flips": partial(flips, threshold=threshold),
    }
    return {
        **{name: partial(mean_over_pairs, term) for name, term in of_two.items()},
        "relative_norm_1": partial(relative_norm, p=1),
        "relative_norm_2": partial(relative_norm, p=2),
        "standard_deviation": standard_deviation,
    }


def weighted_mean(terms: Array, weight: Array) -> float:
    """The weighted mean of `terms`, [n]; infinite where a term of positive weight is infinite."""
    arrays.refuse_weightless("prediction difference", weight)
    scaled = scaled_weights(weight)
    return float(weighted_sum(terms, scaled) / np.sum(scaled))


def scaled_weights(weight: Array) -> Array:
    """The weights times 2^500, an exact operation."""
    # Without it, products of the smallest weights and terms would underflow. Weights are at most 1e100 (2^333), so that
    # no sum overflows.
    return weight * 2.0**500


def weighted_sum(terms: Array, weight: Array) -> float:
    """The sum of weight times term; a term of weight 0 adds 0, even if it is infinite."""
    return float(np.sum(np.multiply(weight, terms, out=np.zeros_like(weight), where=weight > 0)))


def _deviations(columns: Array) -> tuple[Array, Array, Array]:
    """The highest prediction of each example and, in units of it, the mean, [n], and the deviations from it, [R, n]."""
    # In these units no power underflows, and the mean of equal predictions is exactly their value.
    greatest = columns.max(axis=0)
    scaled = np.divide(columns, greatest, out=np.zeros_like(columns), where=greatest > 0)
    mean = scaled.mean(axis=0)
    return greatest, mean, np.abs(scaled - mean)


def _norm(deviation: Array, p: float) -> Array:
    """The norm (mean over m of d_m^p)^(1/p)."""
    # In units of the greatest deviation, so that no power underflows.
    greatest = deviation.max(axis=0)
    if np.isinf(p):
        return greatest
    share = np.divide(deviation, greatest, out=np.zeros_like(deviation), where=greatest > 0)
    return greatest * np.mean(share**p, axis=0) ** (1 / p)


def _log_ratio(q: Array, p: Array, difference: Array) -> Array:
    """The logarithm of q / p, where difference = q - p is more exact than the rounded q and p."""
    # Far ratios: q / p could overflow, the difference of two logarithms cannot. Divisions by 0 are meant: the caller
    # drops them (0 log 0 = 0), or the measure is infinite.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        near = np.log1p(difference / p)
        return np.where(np.abs(difference) <= p / 2, near, np.log(q) - np.log(p))


def _times(probability: Array, logarithm: Array) -> Array:
    """The product, where 0 log 0 = 0."""
    return np.multiply(probability, logarithm, out=np.zeros_like(probability), where=probability > 0)
