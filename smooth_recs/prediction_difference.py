"""Prediction difference (PD): how far two models of the same configuration are apart (section 3), in NumPy, float64.

Predictions are probabilities, [n] or [n, 1]; those of R models together are [n, R]. Every function raises InputError, a
ValueError, in one line for NaN, values outside [0, 1], unequal lengths, negative weights or nothing to average.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs import arrays
from smooth_recs.arrays import Array
from smooth_recs.bootstrap import PoissonBootstrap, request_keys
from smooth_recs.errors import InputError
from smooth_recs.exact_sum import ExactSum
from smooth_recs.logit_shift import shifted_to_mean


def per_example(a: Any, b: Any) -> Array:
    """Relative PD of each example: 2 |a - b| / (a + b), from 0 to 2; 0 where both are 0 (the summand of eq. 2).

    ```python
    per_example([0.125, 0.0], [0.375, 0.0])  # [1.0, 0.0]
    ```
    """
    a = arrays.probabilities("a", a)
    b = arrays.probabilities("b", b, a.size)
    return np.divide(2 * np.abs(a - b), a + b, out=np.zeros_like(a), where=a + b > 0)


def relative(a: Any, b: Any, sample_weight: Any = None) -> float:
    """Relative PD of two models, the weighted mean over t of 2 |a_t - b_t| / (a_t + b_t) (eq. 2).

    Sums are exact: the result depends neither on the order of the examples nor on how they are split.

    Args:
      a, b: [n] probabilities that the two models predict.
      sample_weight: [n], at or above 0; None: eq. 2 verbatim.

    ```python
    relative([0.125, 0.2], [0.375, 0.2])  # 0.5
    ```
    """
    accumulator = Accumulator()
    accumulator.add(a, b, sample_weight)
    return accumulator.result()


class Accumulator:
    """`relative`, fed batch by batch; merging any partition in any order gives its result to the last bit.

    ```python
    first, second = Accumulator(), Accumulator()
    first.add([0.125], [0.375])
    second.add([0.2], [0.2])
    first.merge(second)
    first.result()  # 0.5
    ```
    """

    def __init__(self) -> None:
        self._difference = ExactSum()
        self._weight = ExactSum()

    def add(self, a: Any, b: Any, sample_weight: Any = None) -> None:
        """Adds a batch, which may be empty."""
        difference = per_example(a, b)
        weight = arrays.weights(sample_weight, difference.size)
        self._difference.add(weight * difference)
        self._weight.add(weight)

    def merge(self, other: Accumulator) -> None:
        """Adds what `other` has seen; it stays as it is."""
        self._difference.merge(other._difference)
        self._weight.merge(other._weight)

    def result(self) -> float:
        """The relative PD so far."""
        if not self._weight.units:
            raise InputError("prediction difference needs examples of positive weight, got none")
        return self._difference.units / self._weight.units


def pairs(predictions: Any, sample_weight: Any = None) -> list[tuple[int, int, float]]:
    """(i, j, relative PD) of every unordered pair i < j of the models in predictions [n, R].

    ```python
    pairs([[0.125, 0.375, 0.375]])  # [(0, 1, 1.0), (0, 2, 1.0), (1, 2, 0.0)]
    ```
    """
    matrix = arrays.prediction_matrix(predictions)
    models = itertools.combinations(range(matrix.shape[1]), 2)
    return [(i, j, relative(matrix[:, i], matrix[:, j], sample_weight)) for i, j in models]


def mean_over_pairs(predictions: Any, sample_weight: Any = None) -> float:
    """Relative PD, averaged over all unordered pairs of the models in predictions [n, R]."""
    values = [value for _, _, value in pairs(predictions, sample_weight)]
    return float(np.mean(values))


def interval(
    predictions: Any,
    sample_weight: Any = None,
    *,
    query_id: Any = None,
    confidence: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of `mean_over_pairs` for these very models, by a Poisson bootstrap over requests.

    It says how exactly the examples determine the PD of these models; it says nothing about another training run.

    Args:
      predictions: [n, R] probabilities.
      sample_weight: [n], at or above 0.
      query_id: [n], which request an example belongs to; None: every example is its own. The examples of a request are
        alike, so intervals by example are too narrow where there are requests.
      confidence: share of the replicates that the interval holds.
      replicates, seed: of the bootstrap.

    ```python
    rng = np.random.default_rng(0)
    a = rng.uniform(size=1000)
    interval(np.stack([a, 0.9 * a], axis=1), query_id=np.arange(1000) // 4)  # both ends near 0.105
    ```
    """
    matrix = arrays.prediction_matrix(predictions)
    arrays.refuse_empty("predictions", matrix)
    weight = arrays.weights(sample_weight, len(matrix))
    models = itertools.combinations(matrix.T, 2)
    difference = weight * np.mean([per_example(a, b) for a, b in models], axis=0)
    bootstrap = PoissonBootstrap(replicates, seed)
    if query_id is None:
        bootstrap.add(difference, weight, np.arange(len(matrix), dtype=np.uint64))
    else:
        keys = request_keys(arrays.identifiers("query_id", query_id, len(matrix)))
        requests, request = np.unique(keys, return_inverse=True)
        bootstrap.add(_sum_by(request, difference), _sum_by(request, weight), requests)
    return bootstrap.interval(confidence)


def _sum_by(group: npt.NDArray[np.intp], values: Array) -> Array:
    return np.bincount(group, values).astype(np.float64)


def histogram(a: Any, b: Any, sample_weight: Any = None, *, bins: int = 40) -> tuple[Array, Array]:
    """How the relative PD of single examples is spread over [0, 2].

    Returns:
      The share of the weight in each bin, [bins], which adds up to 1, and the edges, [bins + 1].

    ```python
    histogram([0.125, 0.2], [0.375, 0.2], bins=2)  # ([0.5, 0.5], [0, 1, 2])
    ```
    """
    difference = per_example(a, b)
    weight = arrays.weights(sample_weight, difference.size)
    if not weight.sum() > 0:
        raise InputError("prediction difference needs examples of positive weight, got none")
    counts, edges = np.histogram(difference, bins, (0.0, 2.0), weights=weight)
    return counts / weight.sum(), edges


def after_matching_means(a: Any, b: Any, sample_weight: Any = None) -> float:
    """Relative PD that is left once a mere difference in calibration is taken away.

    Each model's predictions are shifted by one constant in logit space, sigma(logit(y) + c), so that both mean
    predictions become the average of the two; then eq. 2.

    Args: those of `relative`.

    ```python
    after_matching_means([0.5, 0.5], [0.6, 0.6])  # 0.0, where relative(...) is 0.18
    ```
    """
    a = arrays.probabilities("a", a)
    b = arrays.probabilities("b", b, a.size)
    weight = arrays.weights(sample_weight, a.size)
    if not weight.sum() > 0:
        raise InputError("prediction difference needs examples of positive weight, got none")
    mean = (np.average(a, weights=weight) + np.average(b, weights=weight)) / 2
    return relative(shifted_to_mean(a, mean, weight), shifted_to_mean(b, mean, weight), weight)
