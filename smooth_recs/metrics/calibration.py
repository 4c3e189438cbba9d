"""Calibration as a Keras metric."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.metrics.sums import SumMetric, column, column_like, is_label, is_probability, nan_unless, weight_column


@keras_generation.serializable
class Calibration(SumMetric):
    """Weighted sum of predictions over weighted sum of labels; 1 is right on average.

    `update_state(y_true, y_pred, sample_weight=None)`: labels 0 or 1 and probabilities, [batch] or [batch, 1].

    The result, float64, is that of `sr.accuracy.calibration`; NaN where it is not defined: until there was a positive
    row, and once a prediction was NaN or outside [0, 1] or a label neither 0 nor 1.

    ```python
    metric = sr.metrics.Calibration()
    metric.update_state([1, 0], [0.5, 0.25])
    float(metric.result())  # 0.75
    ```
    """

    def __init__(self, name: str = "calibration", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.predicted = self.add_sum("predicted")
        self.observed = self.add_sum("observed")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        prediction = column(y_pred)
        label = column_like(y_true, prediction)
        valid = is_probability(prediction) & is_label(label)
        weight = nan_unless(valid, weight_column(sample_weight, prediction))
        self.predicted.assign_add(tf.reduce_sum(weight * prediction))
        self.observed.assign_add(tf.reduce_sum(weight * label))

    def result(self) -> tf.Tensor:
        predicted, observed = tf.convert_to_tensor(self.predicted), tf.convert_to_tensor(self.observed)
        return nan_unless(observed != 0, predicted / observed)
