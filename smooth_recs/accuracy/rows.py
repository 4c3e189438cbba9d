"""Labels, predictions and weights that belong together, checked."""

from __future__ import annotations

from typing import Any

from smooth_recs.errors import InputError
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array


def checked(label: Any, prediction: Array, sample_weight: Any) -> tuple[Array, Array, Array]:
    """Label, prediction and weight, [n] each, n at least 1; `prediction` was checked by itself before."""
    y = arrays.labels(label)
    if prediction.size != y.size:
        raise InputError(f"label and prediction must have the same length, got {y.size} and {prediction.size}")
    arrays.refuse_empty("label", y)
    return y, prediction, arrays.weights(sample_weight, y.size)
