"""The relative prediction difference of two models as a streaming Keras metric (eq. 2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.metrics._sums import SumMetric, column, column_like, is_probability, nan_unless, weight_column


@keras_generation.serializable
class RelativePredictionDifference(SumMetric):
    """Relative PD of two models, the weighted mean over t of 2 |a_t - b_t| / (a_t + b_t) (eq. 2).

    `update_state(a, b, sample_weight=None)` takes what the two models predict for a batch: probabilities, [batch] or
    [batch, 1], of any float dtype. An example whose predictions are both 0 counts as 0.

    The result, float64, is 0 before the first example, and NaN once a prediction was NaN or outside [0, 1] (a logit,
    most likely).

    ```python
    metric = sr.metrics.RelativePredictionDifference()
    metric.update_state([0.125, 0.2], [0.375, 0.2])
    float(metric.result())  # 0.5
    ```
    """

    def __init__(self, name: str = "pd", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.difference = self.add_sum("difference")
        self.weight = self.add_sum("weight")

    def update_state(self, a: Any, b: Any, sample_weight: Any = None) -> None:
        a = column(a)
        b = column_like(b, a)
        weight = weight_column(sample_weight, a)
        # Eq. 2; 0 / 0 of two predictions of 0 is 0.
        relative = 2 * tf.math.divide_no_nan(tf.abs(a - b), a + b)
        relative = nan_unless(is_probability(a) & is_probability(b), relative)
        self.difference.assign_add(tf.reduce_sum(weight * relative))
        self.weight.assign_add(tf.reduce_sum(weight))

    def result(self) -> tf.Tensor:
        difference, weight = tf.convert_to_tensor(self.difference), tf.convert_to_tensor(self.weight)
        return tf.math.divide_no_nan(difference, weight)
