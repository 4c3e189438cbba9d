"""Normalised entropy as a Keras metric (He et al. 2014)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.metrics.log_loss import log_loss_per_row
from smooth_recs.metrics.sums import SumMetric, column, column_like, is_label, is_probability, nan_unless, weight_column


@keras_generation.serializable
class NormalizedEntropy(SumMetric):
    """Log loss over the entropy of the base rate: 1 is what the constant base rate scores, 0 perfect.

    log_loss / -[r log(r) + (1 - r) log(1 - r)], r the weighted mean label of what was seen.

    `update_state(y_true, y_pred, sample_weight=None)`: labels 0 or 1 and probabilities, [batch] or [batch, 1].

    The result, float64, is that of `sr.accuracy.normalized_entropy`; NaN where it is not defined: until both classes
    were seen, and once a prediction was NaN or outside [0, 1] or a label neither 0 nor 1.

    ```python
    metric = sr.metrics.NormalizedEntropy()
    metric.update_state([1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25])
    float(metric.result())  # 1.0
    ```
    """

    def __init__(self, name: str = "normalized_entropy", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.loss = self.add_sum("loss")
        self.positive = self.add_sum("positive")
        self.negative = self.add_sum("negative")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        prediction = column(y_pred)
        label = column_like(y_true, prediction)
        valid = is_probability(prediction) & is_label(label)
        weight = nan_unless(valid, weight_column(sample_weight, prediction))
        self.loss.assign_add(tf.reduce_sum(weight * log_loss_per_row(label, prediction)))
        self.positive.assign_add(tf.reduce_sum(weight * label))
        self.negative.assign_add(tf.reduce_sum(weight * (1 - label)))

    def result(self) -> tf.Tensor:
        loss, positive, negative = (tf.convert_to_tensor(x) for x in (self.loss, self.positive, self.negative))
        weight = positive + negative
        # Times the weight of all rows, as the loss is; 0 where a class is missing.
        entropy = -tf.math.xlogy(positive, positive / weight) - tf.math.xlogy(negative, negative / weight)
        return nan_unless(positive * negative != 0, loss / entropy)
