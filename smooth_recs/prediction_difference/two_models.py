"""Measures of the difference between two models.

The arguments of all: a and b, [n] probabilities that the two models predict for the same examples; sample_weight, [n],
at or above 0, or None for equal weights. Sums are exact: no result depends on the order of the examples.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from smooth_recs.prediction_difference import terms
from smooth_recs.prediction_difference.weighted_mean import weighted_mean
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array


def per_example(a: Any, b: Any) -> Array:
    """Relative PD of each example: 2 |a - b| / (a + b), from 0 to 2; 0 where both are 0 (the summand of eq. 2).

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

    a log(a / b) + (1 - a) log((1 - a) / (1 - b)), where 0 log 0 = 0; infinite where an example of positive weight has a
    b of 0 or 1 that rules out what a allows.

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
    """Weighted mean of |logit(a) - logit(b)|; equal predictions add 0, others infinity where one is 0 or 1.

    ```python
    logit_difference([0.5, 1.0], [0.75, 1.0])  # 0.549..., log(3) / 2
    ```
    """
    return _mean_of(terms.logit_difference, a, b, sample_weight)


def flips(a: Any, b: Any, sample_weight: Any = None, *, threshold: float = 0.5) -> float:
    """Share of the weight where a >= threshold and b >= threshold are not the same answer.

    ```python
    flips([0.25, 0.5], [0.5, 0.75])  # 0.5
    ```
    """
    term = partial(terms.flips, threshold=arrays.probability("threshold", threshold))
    return _mean_of(term, a, b, sample_weight)


def _mean_of(term: terms.Term, a: Any, b: Any, sample_weight: Any) -> float:
    a, b = _pair(a, b)
    return weighted_mean(term(a, b), arrays.weights(sample_weight, a.size))


def _pair(a: Any, b: Any) -> tuple[Array, Array]:
    a = arrays.probabilities("a", a)
    return a, arrays.probabilities("b", b, a.size)
