"""Progressive validation of siblings: each row is predicted before any trains on it (section 2, reference [8])."""

from __future__ import annotations

import itertools
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.data.shuffling import SiblingBatches
from smooth_recs.metrics import AUCLoss, LogLoss, RelativePredictionDifference
from smooth_recs.metrics._sums import column


class ProgressiveMetrics(tf.Module):
    """Streaming metrics of what R replicas predict for rows that are new to all of them.

    `progressive_pd` is the mean over the pairs of replicas, and absent with one replica; `progressive_log_loss` and
    `progressive_auc_loss` are means over the replicas.
    """

    def __init__(self, replicas: int) -> None:
        super().__init__()
        self.pairs = list(itertools.combinations(range(replicas), 2))
        self.difference = RelativePredictionDifference()
        self.log_loss = LogLoss()
        self.auc_losses = [AUCLoss() for _ in range(replicas)]

    def update(self, predictions: tf.Tensor, label: Any, weight: Any) -> None:
        """Adds a batch: predictions [batch, R], label and weight [batch] or [batch, 1]."""
        columns = tf.unstack(predictions, num=len(self.auc_losses), axis=1)
        for one, other in self.pairs:
            self.difference.update_state(columns[one], columns[other], weight)
        for prediction, auc_loss in zip(columns, self.auc_losses, strict=True):
            self.log_loss.update_state(label, prediction, weight)
            auc_loss.update_state(label, prediction, weight)

    def result(self) -> dict[str, tf.Tensor]:
        pd = {"progressive_pd": self.difference.result()} if self.pairs else {}
        auc_loss = tf.add_n([metric.result() for metric in self.auc_losses]) / len(self.auc_losses)
        return pd | {"progressive_log_loss": self.log_loss.result(), "progressive_auc_loss": auc_loss}

    @property
    def rows(self) -> float:
        """The weight of the rows so far, in one replica."""
        return float(tf.convert_to_tensor(self.log_loss.weight)) / len(self.auc_losses)

    def reset(self) -> None:
        for metric in (self.difference, self.log_loss, *self.auc_losses):
            metric.reset_state()


def new_rows(data: Any) -> tuple[Any, Any, Any] | None:
    """Finds (x, y, weight) of a step's rows that no replica has trained on; None where the step has none.

    A plain batch, which all replicas share, is new itself. Rows that only pad `ahead` to its size weigh 0.
    """
    unpack = keras_generation.keras().utils.unpack_x_y_sample_weight
    if not isinstance(data, SiblingBatches):
        x, y, weight = unpack(data)
        return x, y, weight
    if not tf.nest.flatten(data.ahead):
        return None
    x, y, weight = unpack(data.ahead)
    counts = tf.cast(data.is_ahead, tf.float64)
    return x, y, counts if weight is None else counts * column(weight)
