"""What is left of the PD where a difference in calibration is taken away."""

from __future__ import annotations

from typing import Any

import numpy as np

from smooth_recs import arrays
from smooth_recs.errors import InputError
from smooth_recs.prediction_difference.logit_shift import shifted_to_mean
from smooth_recs.prediction_difference.two_models import relative


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
    if not weight.any():
        raise InputError("prediction difference needs examples of positive weight, got none")
    weight = weight / weight.max()  # averages of the least numbers would underflow
    mean = (np.average(a, weights=weight) + np.average(b, weights=weight)) / 2
    return relative(shifted_to_mean(a, mean, weight), shifted_to_mean(b, mean, weight), weight)
