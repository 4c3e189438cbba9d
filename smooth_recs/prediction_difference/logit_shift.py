"""Predictions moved by one constant in logit space, which changes their calibration and not their order."""

from __future__ import annotations

import numpy as np

from smooth_recs.arrays import Array

# Predictions of exactly 0 and 1 have no logit: they count as these.
_LEAST, _GREATEST = 1e-300, 1.0 - 2.0**-53


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
