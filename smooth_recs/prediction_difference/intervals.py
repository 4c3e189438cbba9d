"""Intervals of the PD: over requests for the given models, over models trained together, over independent runs.

They answer different questions. Only `interval_over_seeds` supports a claim about an activation or a configuration.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from smooth_recs.errors import InputError
from smooth_recs.prediction_difference import terms
from smooth_recs.prediction_difference.differences import pairs
from smooth_recs.statistics import arrays
from smooth_recs.statistics.bootstrap import PoissonBootstrap, row_keys


def interval(
    predictions: Any,
    sample_weight: Any = None,
    *,
    query_id: Any = None,
    against_first: bool = False,
    confidence: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Percentile interval of `mean_over_pairs` for the given models, by a Poisson bootstrap over requests.

    It says how exactly the examples determine the PD of these models; it says nothing about another training run.

    Args:
      predictions: [n, R] probabilities.
      sample_weight: [n], at or above 0.
      query_id: [n], which request an example belongs to; None: every example is a request of its own. The examples of
        a request resemble each other, so intervals by example are too narrow where there are requests.
      against_first: only the pairs of the first model, such as the live one, with each of the others count.
      confidence: share of the replicates within the interval, between 0 and 1.
      replicates, seed: how many the bootstrap draws, and its seed.

    Returns:
      Both ends; None where the examples are of one request, which says nothing of others.

    ```python
    rng = np.random.default_rng(0)
    a = rng.uniform(size=1000)
    interval(np.stack([a, 0.9 * a], axis=1), query_id=np.arange(1000) // 4)  # both ends near 0.105
    ```
    """
    matrix = arrays.prediction_matrix(predictions)
    arrays.refuse_empty("predictions", matrix)
    weight = arrays.weights(sample_weight, len(matrix))
    bootstrap = PoissonBootstrap(replicates, seed)
    difference = terms.mean_over_pairs(terms.relative, matrix.T, against_first)
    bootstrap.add(weight * difference, weight, row_keys(query_id, len(matrix)))
    ends = bootstrap.interval(confidence)
    return None if ends is None else (ends[0], ends[1])


def interval_over_replicas(
    predictions: Any, sample_weight: Any = None, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of `mean_over_pairs` for other models of the same configuration and data, by the jackknife.

    Mean over the pairs, plus and minus Student's t (R - 1 degrees of freedom) times the jackknife's standard error,
    sqrt((R - 1) / R * sum over r of (PD without model r - the mean of these)^2). Models are left out, not pairs,
    because pairs that share a model depend on each other. The lower end is at least 0.

    Args:
      predictions: [n, R] probabilities of R >= 3 models.
      sample_weight: [n], at or above 0.
      confidence: between 0 and 1.

    ```python
    interval_over_replicas([[0.125, 0.375, 0.375]])  # (0.0, 3.53...)
    ```
    """
    matrix = arrays.prediction_matrix(predictions)
    if matrix.shape[1] < 3:
        raise InputError(f"predictions must be of at least 3 models for an interval over them, got {matrix.shape[1]}")
    return jackknife(pairs(matrix, sample_weight), confidence)


def jackknife(of_pairs: list[tuple[int, int, float]], confidence: float = 0.95) -> tuple[float, float]:
    """The interval of `interval_over_replicas`, from the PD of every pair of the models."""
    models = 1 + max(j for _, j, _ in of_pairs)
    table = np.zeros([models, models])
    for i, j, value in of_pairs:
        table[i, j] = table[j, i] = value
    without = (table.sum() / 2 - table.sum(axis=0)) / math.comb(models - 1, 2)
    error = math.sqrt((models - 1) * without.var())
    low, high = student_interval(float(table.sum()) / (models * (models - 1)), error, models - 1, confidence)
    return max(low, 0.0), high


def interval_over_seeds(values: Any, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a mean over independent training runs, which supports claims about a configuration.

    Mean plus and minus Student's t (n - 1 degrees of freedom) times the standard error.

    Args:
      values: [n >= 2], one for each run: PDs, or differences of losses.
      confidence: between 0 and 1.

    ```python
    interval_over_seeds([0.08, 0.10, 0.12])  # (0.050..., 0.149...)
    ```
    """
    runs = arrays.scores("values", values)
    if runs.size < 2:
        raise InputError(f"values must be of at least 2 training runs, got {runs.size}")
    error = float(runs.std(ddof=1)) / math.sqrt(runs.size)
    return student_interval(float(runs.mean()), error, runs.size - 1, confidence)


def student_interval(mean: float, error: float, degrees: int, confidence: float = 0.95) -> tuple[float, float]:
    """`mean` plus and minus the quantile of Student's t times the standard error `error`."""
    # Not scipy.stats.t.interval: scipy.stats takes a second to import, and its interval is NaN where the error is 0.
    from scipy.special import stdtrit

    if not 0 < confidence < 1:
        raise InputError(f"confidence must be between 0 and 1, got {confidence!r}")
    reach = float(stdtrit(degrees, (1 + confidence) / 2)) * error
    return mean - reach, mean + reach
