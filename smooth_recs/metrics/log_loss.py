"""Log loss as a Keras metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.metrics.sums import SumMetric, column, column_like, is_label, is_probability, nan_unless, weight_column

_EPSILON = np.finfo(np.float64).eps


@keras_generation.serializable
class LogLoss(SumMetric):
    """Weighted mean of -[y log(p) + (1 - y) log(1 - p)].

    `update_state(y_true, y_pred, sample_weight=None)`: labels 0 or 1 and probabilities, [batch] or [batch, 1].
    Probabilities nearer to 0 or 1 than 2.2e-16 count as that near.

    The result, float64, is that of `sr.accuracy.log_loss`; NaN before the first row, and once a prediction was NaN or
    outside [0, 1] or a label neither 0 nor 1.

    ```python
    metric = sr.metrics.LogLoss()
    metric.update_state([1, 0], [0.5, 0.5])
    float(metric.result())  # 0.6931..., log 2
    ```
    """

    def __init__(self, name: str = "log_loss", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.loss = self.add_sum("loss")
        self.weight = self.add_sum("weight")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        prediction = column(y_pred)
        label = column_like(y_true, prediction)
        weight = weight_column(sample_weight, prediction)
        loss = nan_unless(is_probability(prediction) & is_label(label), log_loss_per_row(label, prediction))
        self.loss.assign_add(tf.reduce_sum(weight * loss))
        self.weight.assign_add(tf.reduce_sum(weight))

    def result(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.loss) / tf.convert_to_tensor(self.weight)  # 0 / 0 before the first row


def log_loss_per_row(label: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """The terms of the log loss, [batch] float64, of columns."""
    p = tf.clip_by_value(prediction, _EPSILON, 1 - _EPSILON)
    return -tf.where(label == 1, tf.math.log(p), tf.math.log1p(-p))
