"""How good predictions are as probabilities: log loss, normalised entropy, calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from smooth_recs.accuracy.rows import checked
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array


def log_loss(label: Any, prediction: Any, sample_weight: Any = None) -> float:
    """Weighted mean of -[y log(p) + (1 - y) log(1 - p)].

    Probabilities nearer to 0 or 1 than 2.2e-16, the spacing of float64 at 1, count as that near: a certain prediction
    that is wrong costs 36.04.

    ```python
    log_loss([1, 0], [0.5, 0.5])  # 0.6931...
    ```
    """
    y, p, weight = checked(label, arrays.probabilities("prediction", prediction), sample_weight)
    arrays.refuse_weightless("log_loss", weight)
    return float(np.average(log_loss_per_example(y, p), weights=weight))


def log_loss_per_example(label: Array, prediction: Array) -> Array:
    """The terms of `log_loss`, [n], of arrays that were checked."""
    epsilon = np.finfo(np.float64).eps
    p = np.clip(prediction, epsilon, 1 - epsilon)
    return np.where(label == 1, -np.log(p), -np.log1p(-p))


def normalized_entropy(label: Any, prediction: Any, sample_weight: Any = None) -> float | None:
    """Log loss over the entropy of the base rate (He et al. 2014): 1 is what the constant base rate scores, 0 perfect.

    log_loss / -[r log(r) + (1 - r) log(1 - r)], r the weighted mean label: comparable across data whose click
    rates are unlike.

    Args:
      label, prediction, sample_weight: those of `log_loss`.

    Returns:
      The quotient, or None unless both classes have positive weight.

    ```python
    normalized_entropy([1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25])  # 1.0
    ```
    """
    loss = log_loss(label, prediction, sample_weight)
    y = arrays.labels(label)
    weight = arrays.weights(sample_weight, y.size)
    positive, negative = weight @ y, weight @ (1 - y)
    if not (positive > 0 and negative > 0):
        return None
    rates = np.array([positive, negative]) / (positive + negative)
    return float(loss / -(rates @ np.log(rates)))


def calibration(label: Any, prediction: Any, sample_weight: Any = None) -> float | None:
    """Weighted sum of predictions over weighted sum of labels; 1 is right on average, None: there is no positive row.

    ```python
    calibration([1, 0], [0.5, 0.25])  # 0.75
    ```
    """
    y, p, weight = checked(label, arrays.probabilities("prediction", prediction), sample_weight)
    observed = weight @ y
    return float(weight @ p / observed) if observed > 0 else None
