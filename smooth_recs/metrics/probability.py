"""Keras metrics of probabilities: log loss, normalised entropy, calibration; relative PD of two models (eq. 2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.metrics._sums import (
    SumMetric,
    column,
    column_like,
    is_label,
    is_probability,
    nan_unless,
    weight_column,
)

# As in `sr.accuracy.log_loss`: a certain but wrong prediction costs 36, not infinity.
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
        loss = nan_unless(is_probability(prediction) & is_label(label), _log_loss_per_row(label, prediction))
        self.loss.assign_add(tf.reduce_sum(weight * loss))
        self.weight.assign_add(tf.reduce_sum(weight))

    def result(self) -> tf.Tensor:
        return tf.convert_to_tensor(self.loss) / tf.convert_to_tensor(self.weight)  # 0 / 0 before the first row


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
        self.loss.assign_add(tf.reduce_sum(weight * _log_loss_per_row(label, prediction)))
        self.positive.assign_add(tf.reduce_sum(weight * label))
        self.negative.assign_add(tf.reduce_sum(weight * (1 - label)))

    def result(self) -> tf.Tensor:
        loss, positive, negative = (tf.convert_to_tensor(x) for x in (self.loss, self.positive, self.negative))
        weight = positive + negative
        # The entropy times the weight of all rows, as the loss is; 0 where a class is missing.
        entropy = -tf.math.xlogy(positive, positive / weight) - tf.math.xlogy(negative, negative / weight)
        return nan_unless(positive * negative != 0, loss / entropy)


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


def _log_loss_per_row(label: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """Computes each row's term of the log loss, [batch] float64."""
    p = tf.clip_by_value(prediction, _EPSILON, 1 - _EPSILON)
    return -tf.where(label == 1, tf.math.log(p), tf.math.log1p(-p))


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
