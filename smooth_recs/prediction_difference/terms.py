"""What one example adds to each measure, and the weighted means of such terms.

The terms of n examples are computed from arrays [n] and are an array [n]; predictions are not checked here. Logarithms
of ratios are taken so that nothing cancels where two predictions are close, as they mostly are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np

from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array

Term = Callable[[Array, Array], Array]


def relative(a: Array, b: Array) -> Array:
    """2 |a - b| / (a + b); 0 where both are 0."""
    return np.divide(2 * np.abs(a - b), a + b, out=np.zeros_like(a), where=a + b > 0)


def absolute(a: Array, b: Array) -> Array:
    """|a - b|."""
    return np.abs(a - b)


def kl(a: Array, b: Array) -> Array:
    """a log(a / b) + (1 - a) log((1 - a) / (1 - b))."""
    terms = -_times(a, _log_ratio(b, a, b - a)) - _times(1 - a, _log_ratio(1 - b, 1 - a, a - b))
    return np.maximum(terms, 0.0)


def kl_both_ways(a: Array, b: Array) -> Array:
    """The mean of the two directions."""
    return (kl(a, b) + kl(b, a)) / 2


def jensen_shannon(a: Array, b: Array) -> Array:
    """[KL(a || m) + KL(b || m)] / 2, where m = (a + b) / 2, without m, which may round to 0."""
    up, down = 1 - a, 1 - b
    of_ones = _times(a, _log_ratio(2 * a, a + b, a - b)) + _times(b, _log_ratio(2 * b, a + b, b - a))
    of_zeros = _times(up, _log_ratio(2 * up, up + down, b - a)) + _times(down, _log_ratio(2 * down, up + down, a - b))
    return np.clip((of_ones + of_zeros) / 2, 0.0, np.log(2.0))


def logit_difference(a: Array, b: Array) -> Array:
    """|logit(a) - logit(b)|; 0 where a = b."""
    difference = np.zeros_like(a)
    np.subtract(_log_ratio(a, b, a - b), _log_ratio(1 - a, 1 - b, b - a), out=difference, where=a != b)
    return np.abs(difference)


def flips(a: Array, b: Array, threshold: float) -> Array:
    """1 where only one of the two reaches the threshold."""
    return ((a >= threshold) != (b >= threshold)).astype(np.float64)


def relative_norm(columns: Array, p: float) -> Array:
    """(mean over m of |y_m - ybar|^p)^(1/p) / ybar; `columns`: [R, n], the predictions of one model after another."""
    _, mean, deviation = _deviations(columns)
    return np.divide(_norm(deviation, p), mean, out=np.zeros_like(mean), where=mean > 0)


def standard_deviation(columns: Array) -> Array:
    """sqrt(mean over m of (y_m - ybar)^2); `columns`: [R, n]."""
    greatest, _, deviation = _deviations(columns)
    return greatest * _norm(deviation, 2)


def mean_over_pairs(term: Term, columns: Array) -> Array:
    """The mean of a term over the unordered pairs of the models; `columns`: [R, n]."""
    total = np.zeros(columns.shape[1])
    pairs = list(itertools.combinations(columns, 2))
    for a, b in pairs:
        total += term(a, b)
    return total / len(pairs)


def by_name(threshold: float) -> dict[str, Callable[[Array], Array]]:
    """The terms of [R, n] predictions, those of two models averaged over the pairs, but for the relative PD."""
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
    """The mean of `terms`, [n]; infinite where a term of positive weight is."""
    arrays.refuse_weightless("prediction difference", weight)
    scaled = scaled_weights(weight)
    return float(weighted_sum(terms, scaled) / np.sum(scaled))


def scaled_weights(weight: Array) -> Array:
    """The weights times 2^500, which rounds none of them."""
    # The products of the smallest weights and terms would underflow; with weights up to 1e100 no sum overflows.
    return weight * 2.0**500


def weighted_sum(terms: Array, weight: Array) -> float:
    """The sum of weight times term; a term of weight 0 adds nothing, even if it is infinite."""
    return float(np.sum(np.multiply(weight, terms, out=np.zeros_like(weight), where=weight > 0)))


def _deviations(columns: Array) -> tuple[Array, Array, Array]:
    """The greatest prediction of each example; the mean and the deviations from it in units of that one."""
    # In these units no power underflows, and equal predictions have a mean that is just them.
    greatest = columns.max(axis=0)
    scaled = np.divide(columns, greatest, out=np.zeros_like(columns), where=greatest > 0)
    mean = scaled.mean(axis=0)
    return greatest, mean, np.abs(scaled - mean)


def _norm(deviation: Array, p: float) -> Array:
    greatest = deviation.max(axis=0)
    if np.isinf(p):
        return greatest
    share = np.divide(deviation, greatest, out=np.zeros_like(deviation), where=greatest > 0)
    return greatest * np.mean(share**p, axis=0) ** (1 / p)


def _log_ratio(q: Array, p: Array, difference: Array) -> Array:
    """log(q / p), where difference = q - p: it is more exact than the rounded q and p are."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        near = np.log1p(difference / p)
        return np.where(np.abs(difference) <= p / 2, near, np.log(q) - np.log(p))


def _times(probability: Array, logarithm: Array) -> Array:
    """0 log 0 = 0."""
    return np.multiply(probability, logarithm, out=np.zeros_like(probability), where=probability > 0)
