"""Measures of the difference between R >= 2 models.

The arguments of all: predictions, [n, R] probabilities; sample_weight, [n] at or above 0, or None for equal weights.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from smooth_recs.errors import InputError
from smooth_recs.prediction_difference import terms
from smooth_recs.prediction_difference.weighted_mean import weighted_mean
from smooth_recs.statistics import arrays


def pairs(predictions: Any, sample_weight: Any = None) -> list[tuple[int, int, float]]:
    """(i, j, relative PD) of every unordered pair i < j of the models.

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
    """L_p difference from the models' mean, relative to it (section 3).

    Weighted mean over t of (mean over m of |y_tm - ybar_t|^p)^(1/p) / ybar_t, where ybar_t is the mean over the models;
    0 where that is 0. For two models it is half of eq. 2, whatever p.

    Args:
      predictions, sample_weight: see above.
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
    """Weighted mean over t of sqrt(mean over m of (y_tm - ybar_t)^2), ybar_t being the mean over the models.

    ```python
    standard_deviation([[0.125, 0.375]])  # 0.125
    ```
    """
    columns = arrays.prediction_matrix(predictions).T
    return weighted_mean(terms.standard_deviation(columns), arrays.weights(sample_weight, columns.shape[1]))
