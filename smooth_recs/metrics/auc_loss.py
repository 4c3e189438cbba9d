"""AUC loss as a streaming Keras metric (eq. 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.metrics.sums import SumMetric, column, column_like, is_label, is_probability, nan_unless, weight_column

BINS = 16384
GREATEST_LOGIT = 12.0
BLOCK = 16
HIGHER = np.tril(np.ones([BLOCK, BLOCK]), -1) + np.eye(BLOCK) / 2


@keras_generation.serializable
class AUCLoss(SumMetric):
    """Share of the positive-negative pairs that are in the wrong order (eq. 1), 1 - AUC: ties count one half.

    `update_state(y_true, y_pred, sample_weight=None)`: labels 0 or 1 and probabilities, [batch] or [batch, 1].

    Predictions fall into 16384 bins of equal width in logits, from -12 to 12 (6e-6 to 1 - 6e-6), and those of one bin
    are tied. Click rates of a percent and below get as many bins as any other: from 1,000 positives on, the result is
    within 1e-4 of the exact one (`sr.accuracy.auc_loss`) where the logits' standard deviation is 0.1 or more.

    The result, float64, is NaN where it is not defined: until both classes were seen, and once a prediction was NaN or
    outside [0, 1] or a label neither 0 nor 1.

    ```python
    metric = sr.metrics.AUCLoss()
    metric.update_state([1, 1, 0, 0], [0.9, 0.3, 0.3, 0.1])
    float(metric.result())  # 0.125: one of four pairs is a tie
    ```
    """

    def __init__(self, name: str = "auc_loss", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.weights_by_class = self.add_sum("weights_by_class", (2, BINS))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        prediction = column(y_pred)
        label = column_like(y_true, prediction)
        valid = is_probability(prediction) & is_label(label)
        weight = nan_unless(valid, weight_column(sample_weight, prediction))
        # A scatter into the variable would be cheaper, but variables that are mirrored for reading have none.
        cell = _bin(tf.where(valid, prediction, 0.5)) + BINS * tf.cast(label == 1, tf.int32)
        counts = tf.math.unsorted_segment_sum(weight, cell, 2 * BINS)
        self.weights_by_class.assign_add(tf.reshape(counts, [2, BINS]))

    def result(self) -> tf.Tensor:
        negative, positive = tf.unstack(tf.convert_to_tensor(self.weights_by_class))
        # 0 / 0 where a class is missing.
        return _wrong_pairs(negative, positive) / (tf.reduce_sum(positive) * tf.reduce_sum(negative))


def _wrong_pairs(negative: tf.Tensor, positive: tf.Tensor) -> tf.Tensor:
    """Sum over bins of positive * (negative in higher bins + half of those in the same)."""
    # In blocks: this runs after every training step, and a cumulative sum over all bins takes twice as long.
    negative, positive = (tf.reshape(weights, [-1, BLOCK]) for weights in (negative, positive))
    within = positive * tf.matmul(negative, tf.constant(HIGHER))
    across = tf.reduce_sum(positive, 1) * tf.cumsum(tf.reduce_sum(negative, 1), exclusive=True, reverse=True)
    return tf.reduce_sum(within) + tf.reduce_sum(across)


def _bin(prediction: tf.Tensor) -> tf.Tensor:
    """Number of the bin of each probability, int32 in [0, BINS)."""
    logit = tf.math.log(prediction) - tf.math.log1p(-prediction)  # -inf at 0, inf at 1
    logit = tf.clip_by_value(logit, -GREATEST_LOGIT, GREATEST_LOGIT)
    position = (logit + GREATEST_LOGIT) * (BINS / (2 * GREATEST_LOGIT))
    return tf.minimum(tf.cast(position, tf.int32), BINS - 1)
