"""Measures of the difference between two models, between R >= 2 models, and of its distribution over the examples.

All functions take a and b, [n] probabilities that two models predict for the same examples, or predictions, [n, R]; and
sample_weight, [n], at or above 0, or None for equal weights.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np

from smooth_recs.errors import InputError
from smooth_recs.prediction_difference import terms
from smooth_recs.prediction_difference.terms import weighted_mean
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array

QUANTILES = (0.5, 0.9, 0.99)

# Predictions of exactly 0 and 1 have no finite logit; these stand for them.
_LEAST, _GREATEST = 1e-300, 1.0 - 2.0**-53


def per_example(a: Any, b: Any) -> Array:
    """Relative PD of each example (the summand of eq. 2): 2 |a - b| / (a + b), from 0 to 2; 0 where both are 0.

    ```python
    per_example([0.125, 0.0], [0.375, 0.0])  # [1.0, 0.0]
    ```
    """
    return terms.relative(*_pair(a, b))


def relative(a: Any, b: Any, sample_weight: Any = None) -> float:
    """Relative PD, the weighted mean over t of 2 |a_t - b_t| / (a_t + b_t), from 0 to 2 (eq. 2).

    ```python
    relative([0.125, 0.2], [0.375, 0.2])  # 0.5
    ```
    """
    return _mean_of(terms.relative, a, b, sample_weight)


def absolute(a: Any, b: Any, sample_weight: Any = None) -> float:
    """Weighted mean of |a - b|, from 0 to 1.

    ```python
    absolute([0.125, 0.2], [0.375, 0.2])  # 0.125
    ```
    """
    return _mean_of(terms.absolute, a, b, sample_weight)


def kl(a: Any, b: Any, sample_weight: Any = None) -> float:
    """Weighted mean of the Kullback-Leibler divergence KL(Bernoulli(a) || Bernoulli(b)), in nats.

    a log(a / b) + (1 - a) log((1 - a) / (1 - b)), where 0 log 0 = 0. It is infinite where b is 0 or 1 for an example of
    positive weight, and a is not the same.

    ```python
    kl([1.0], [0.5])  # 0.6931..., log 2
    ```
    """
    return _mean_of(terms.kl, a, b, sample_weight)


def jensen_shannon(a: Any, b: Any, sample_weight: Any = None) -> float:
    """Weighted mean of the Jensen-Shannon divergence of Bernoulli(a) and Bernoulli(b), in nats, from 0 to log 2.

    [KL(a || m) + KL(b || m)] / 2, where m = (a + b) / 2.

    ```python
    jensen_shannon([1.0], [0.0])  # 0.6931..., log 2
    ```
    """
    return _mean_of(terms.jensen_shannon, a, b, sample_weight)


def logit_difference(a: Any, b: Any, sample_weight: Any = None) -> float:
    """Weighted mean of |logit(a) - logit(b)|, from 0; infinite where only one of a and b is 0, or only one is 1.

    ```python
    logit_difference([0.5, 1.0], [0.75, 1.0])  # 0.549..., log(3) / 2
    ```
    """
    return _mean_of(terms.logit_difference, a, b, sample_weight)


def flips(a: Any, b: Any, sample_weight: Any = None, *, threshold: float = 0.5) -> float:
    """Share of the weight where only one of the two predictions reaches the threshold.

    Args:
      a, b, sample_weight: those of `relative`.
      threshold: in [0, 1].

    ```python
    flips([0.25, 0.5], [0.5, 0.75])  # 0.5
    ```
    """
    term = partial(terms.flips, threshold=arrays.probability("threshold", threshold))
    return _mean_of(term, a, b, sample_weight)


def pairs(predictions: Any, sample_weight: Any = None) -> list[tuple[int, int, float]]:
    """Relative PD of every unordered pair i < j of the models, as (i, j, PD).

    ```python
    pairs([[0.125, 0.375, 0.375]])  # [(0, 1, 1.0), (0, 2, 1.0), (1, 2, 0.0)]
    ```
    """
    columns = arrays.prediction_matrix(predictions).T
    weight = arrays.weights(sample_weight, columns.shape[1])
    models = itertools.combinations(range(len(columns)), 2)
    return [(i, j, weighted_mean(terms.relative(columns[i], columns[j]), weight)) for i, j in models]


def mean_over_pairs(predictions: Any, sample_weight: Any = None) -> float:
    """Relative PD, averaged over all unordered pairs of the models.

    ```python
    mean_over_pairs([[0.125, 0.375, 0.375]])  # 0.6666...
    ```
    """
    return float(np.mean([value for _, _, value in pairs(predictions, sample_weight)]))


def relative_norm(predictions: Any, sample_weight: Any = None, *, p: float = 1) -> float:
    """L_p distance of the models from their mean, relative to the mean (section 3).

    Weighted mean over t of (mean over m of |y_tm - ybar_t|^p)^(1/p) / ybar_t, where ybar_t is the mean over the models;
    0 where that is 0. For two models it is half of eq. 2 with any p.

    Args:
      predictions: [n, R] probabilities.
      sample_weight: [n], at or above 0; None: equal weights.
      p: at least 1; infinity takes the greatest deviation.

    ```python
    relative_norm([[0.125, 0.375]])  # 0.5
    ```
    """
    if not p >= 1:
        raise InputError(f"p must be at least 1, got {p!r}")
    columns = arrays.prediction_matrix(predictions).T
    return weighted_mean(terms.relative_norm(columns, p), arrays.weights(sample_weight, columns.shape[1]))


def standard_deviation(predictions: Any, sample_weight: Any = None) -> float:
    """Weighted mean over t of sqrt(mean over m of (y_tm - ybar_t)^2), where ybar_t is the mean over the models.

    ```python
    standard_deviation([[0.125, 0.375]])  # 0.125
    ```
    """
    columns = arrays.prediction_matrix(predictions).T
    return weighted_mean(terms.standard_deviation(columns), arrays.weights(sample_weight, columns.shape[1]))


def after_matching_means(a: Any, b: Any, sample_weight: Any = None) -> float:
    """Relative PD that remains when both models are given the same mean prediction.

    Each model's predictions are shifted by a constant in logit space, sigma(logit(y) + c), so that both means become
    the average of the two; then eq. 2. Models that differ by such a shift alone have 0.

    Args:
      a, b, sample_weight: those of `relative`.

    ```python
    after_matching_means([0.5, 0.5], [0.6, 0.6])  # 0.0, where relative(...) is 0.18
    ```
    """
    a = arrays.probabilities("a", a)
    b = arrays.probabilities("b", b, a.size)
    weight = arrays.weights(sample_weight, a.size)
    arrays.refuse_weightless("prediction difference", weight)
    # The products of the smallest weights would underflow.
    weight = weight / weight.max()
    mean = (np.average(a, weights=weight) + np.average(b, weights=weight)) / 2
    return relative(shifted_to_mean(a, mean, weight), shifted_to_mean(b, mean, weight), weight)


def shifted_to_mean(predictions: Array, mean: float, weight: Array) -> Array:
    """Predictions shifted by a constant in logit space, sigma(logit(y) + c), so that their weighted mean is `mean`.

    Args:
      predictions: y, [n], in [0, 1].
      mean: in [0, 1].
      weight: [n], at or above 0, not all 0.
    """
    from scipy import optimize, special

    logits = special.logit(np.clip(predictions, _LEAST, _GREATEST))
    target = min(max(mean, _LEAST), _GREATEST)

    def excess(shift: float) -> float:
        return float(np.average(special.expit(logits + shift), weights=weight)) - target

    # The mean grows with the shift. It is too low when the highest prediction is shifted to the target, and too high
    # when the lowest is; with 1 more on either side, rounding cannot change the signs that brentq needs.
    low, high = special.logit(target) - logits.max() - 1, special.logit(target) - logits.min() + 1
    shift = optimize.brentq(excess, low, high, xtol=1e-15, rtol=4 * np.finfo(np.float64).eps, maxiter=1000)
    shifted: Array = special.expit(logits + shift)
    return shifted


def histogram(a: Any, b: Any, sample_weight: Any = None, *, bins: int = 40) -> tuple[Array, Array]:
    """Shares of the weight whose relative PD lies in each of `bins` equal parts of [0, 2].

    Args:
      a, b, sample_weight: those of `relative`.
      bins: the number of parts, at least 1.

    Returns:
      The shares, [bins], which add up to 1, and the edges, [bins + 1]. An edge belongs to the bin above it.

    ```python
    histogram([0.125, 0.2], [0.375, 0.2], bins=2)  # ([0.5, 0.5], [0, 1, 2])
    ```
    """
    if bins < 1:
        raise InputError(f"bins must be at least 1, got {bins!r}")
    difference, weight = _weighted(a, b, sample_weight)
    counts, edges = np.histogram(difference, bins, (0.0, 2.0), weights=weight)
    return counts / weight.sum(), edges


def quantiles(a: Any, b: Any, sample_weight: Any = None, *, q: Any = QUANTILES) -> Array:
    """Weighted quantiles of the examples' relative PD (see `per_example`).

    Each is the lowest value at which the cumulated share of the weight reaches q.

    Args:
      a, b, sample_weight: those of `relative`.
      q: numbers from 0 to 1.

    ```python
    quantiles([0.125, 0.2, 0.2], [0.375, 0.2, 0.2], q=(0.5, 0.9))  # [0.0, 1.0]
    ```
    """
    levels = arrays.probabilities("q", np.atleast_1d(q))
    difference, weight = _weighted(a, b, sample_weight)
    order = np.argsort(difference)
    # Otherwise q = 0 could find an example without weight.
    order = order[weight[order] > 0]
    cumulated = np.cumsum(weight[order])
    return difference[order[np.searchsorted(cumulated / cumulated[-1], levels)]]


def _mean_of(term: terms.Term, a: Any, b: Any, sample_weight: Any) -> float:
    """Weighted mean of a term of two models, after the arrays are checked."""
    a, b = _pair(a, b)
    return weighted_mean(term(a, b), arrays.weights(sample_weight, a.size))


def _pair(a: Any, b: Any) -> tuple[Array, Array]:
    """Two models' predictions after the check, [n] each."""
    a = arrays.probabilities("a", a)
    return a, arrays.probabilities("b", b, a.size)


def _weighted(a: Any, b: Any, sample_weight: Any) -> tuple[Array, Array]:
    """The examples' relative PD, and their checked weights."""
    difference = per_example(a, b)
    weight = arrays.weights(sample_weight, difference.size)
    arrays.refuse_weightless("prediction difference", weight)
    return difference, weight
