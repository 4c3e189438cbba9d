"""Metrics whose state is sums in float64, and how they read what they are given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation


class SumMetric(keras_generation.keras().metrics.Metric):  # type: ignore[misc]
    """A metric whose state is sums, so that replicas of `tf.distribute` and shards merge by addition.

    The sums are float64, which counts exactly up to 2^53; float32 stops at 2^24 = 16.8 million rows.
    """

    def add_sum(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        return self.add_weight(name=name, shape=shape, initializer="zeros", dtype="float64")

    def reset_state(self) -> None:
        for total in self.variables:
            total.assign(tf.zeros(total.shape, total.dtype))

    def merge_state(self, metrics: Iterable[Any]) -> None:
        """Adds the states of other metrics of the same class and settings, which stay as they are."""
        for metric in metrics:
            settings = {key: value for key, value in self.get_config().items() if key not in ("name", "dtype")}
            if type(metric) is not type(self) or not settings.items() <= metric.get_config().items():
                raise ValueError(
                    f"merge_state needs metrics of the same class and settings as {self!r}, got {metric!r}"
                )
            self._merge(metric)

    def _merge(self, other: Any) -> None:
        """Adds the state of one other metric."""
        for total, more in zip(self.variables, other.variables, strict=True):
            total.assign_add(more)


def column(values: Any, dtype: tf.DType = tf.float64) -> tf.Tensor:
    """Flattens [batch] or [batch, 1] to [batch]."""
    return tf.reshape(tf.cast(values, dtype), [-1])


def column_like(values: Any, other: tf.Tensor) -> tf.Tensor:
    """Does what `column` does, and raises where the batch is not that of `other`: nothing is broadcast."""
    return tf.reshape(tf.cast(values, tf.float64), tf.shape(other))


def weight_column(sample_weight: Any, other: tf.Tensor) -> tf.Tensor:
    return tf.ones_like(other) if sample_weight is None else column_like(sample_weight, other)


def nan_unless(valid: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Puts NaN where the input was not valid, and so into the result: inside a compiled step a metric cannot raise."""
    return tf.where(valid, values, tf.constant(float("nan"), values.dtype))


def is_probability(values: tf.Tensor) -> tf.Tensor:
    return (values >= 0) & (values <= 1)


def is_label(values: tf.Tensor) -> tf.Tensor:
    return (values == 0) | (values == 1)
