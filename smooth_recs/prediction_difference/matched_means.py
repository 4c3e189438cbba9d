"""What is left of the PD where a difference in calibration, a shift in logit space, is taken away."""

from __future__ import annotations

from typing import Any

import numpy as np

from smooth_recs.prediction_difference.two_models import relative
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array

# Predictions of exactly 0 and 1 have no logit: they count as these.
_LEAST, _GREATEST = 1e-300, 1.0 - 2.0**-53


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
    arrays.refuse_weightless("prediction difference", weight)
    weight = weight / weight.max()  # averages of the least numbers would underflow
    mean = (np.average(a, weights=weight) + np.average(b, weights=weight)) / 2
    return relative(shifted_to_mean(a, mean, weight), shifted_to_mean(b, mean, weight), weight)


def shifted_to_mean(predictions: Array, mean: float, weight: Array) -> Array:
    """sigma(logit(y) + c), where c is such that the weighted mean becomes `mean`.

    Args:
      predictions: y, [n], in [0, 1].
      mean: in [0, 1].
      weight: [n], at or above 0, not all 0.
    """
    inside = np.clip(predictions, _LEAST, _GREATEST)
    logits = np.log(inside) - np.log1p(-inside)
    target = _logit(mean)
    # The mean of sigma(logits + c) grows with c: between these ends it passes `mean`.
    low, high = target - logits.max(), target - logits.min()
    shift = target - _logit(float(np.average(inside, weights=weight)))
    for _ in range(100):
        shifted = _sigmoid(logits + shift)
        excess = float(np.average(shifted, weights=weight)) - mean
        low, high = (low, shift) if excess > 0 else (shift, high)
        slope = float(np.average(shifted * (1 - shifted), weights=weight))
        step = -excess / slope if slope > 0 else np.inf
        if abs(step) <= 1e-13 * (1 + abs(shift)):
            break
        newton = shift + step
        shift = newton if low < newton < high else (low + high) / 2
    return _sigmoid(logits + shift)


def _logit(probability: float) -> float:
    inside = min(max(probability, _LEAST), _GREATEST)
    return float(np.log(inside) - np.log1p(-inside))


def _sigmoid(logits: Array) -> Array:
    # exp(-|x|) never overflows.
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)
