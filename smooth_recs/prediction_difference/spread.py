"""How the relative PD of single examples is spread."""

from __future__ import annotations

from typing import Any

import numpy as np

from smooth_recs.errors import InputError
from smooth_recs.prediction_difference.two_models import per_example
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array

QUANTILES = (0.5, 0.9, 0.99)


def histogram(a: Any, b: Any, sample_weight: Any = None, *, bins: int = 40) -> tuple[Array, Array]:
    """The shares of the weight whose relative PD lies in each of `bins` equal parts of [0, 2].

    Args:
      a, b, sample_weight: those of `relative`.
      bins: how many.

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
    """Weighted quantiles of the relative PD of single examples, those of `per_example`.

    Each is the least value at which the cumulated share of the weight reaches q.

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
    order = order[weight[order] > 0]
    cumulated = np.cumsum(weight[order])
    return difference[order[np.searchsorted(cumulated / cumulated[-1], levels)]]


def _weighted(a: Any, b: Any, sample_weight: Any) -> tuple[Array, Array]:
    difference = per_example(a, b)
    weight = arrays.weights(sample_weight, difference.size)
    arrays.refuse_weightless("prediction difference", weight)
    return difference, weight
