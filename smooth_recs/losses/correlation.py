"""The loss of anti-distillation: how much the components of an ensemble are alike (reference [46])."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_CONSTANT = 1e-5  # a standard deviation below this share of the root mean square is rounding


def decorrelation(logits: Any, sample_weight: Any = None) -> tf.Tensor:
    """The squared Pearson correlation of two components' logits over the batch, averaged over the pairs of components.

    r_ij^2 = (sum_n w_n x_ni x_nj)^2 / (sum_n w_n x_ni^2 sum_n w_n x_nj^2) with x the logits less their weighted means;
    0 for a pair with a constant component. In a replica context of `tf.distribute` the sums go over the batches of all
    devices: each device gets the value for the whole batch, and its gradient, divided by the number of devices, is its
    part of the whole one.

    Args:
      logits: [batch, M] of M components, M at least 2.
      sample_weight: [batch] or [batch, 1]; None weighs all examples the same.

    Returns:
      A scalar in [0, 1], of the type of `logits`: 1 for equal components, 0 for uncorrelated ones.

    Raises:
      ValueError: fewer than two components.

    ```python
    decorrelation([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])  # 0
    decorrelation([[0.0, 0.0], [1.0, -2.0]])  # 1
    ```
    """
    logits = tf.convert_to_tensor(logits)
    components = logits.shape[1]
    if components < 2:
        raise ValueError(f"logits must be of two or more components, got {components}")
    weight = tf.ones_like(logits[:, :1]) if sample_weight is None else tf.cast(sample_weight, logits.dtype)
    weight = tf.reshape(weight, [-1, 1])
    total, first, second = _over_devices(
        [tf.reduce_sum(weight), tf.reduce_sum(weight * logits, axis=0), tf.reduce_sum(weight * logits**2, axis=0)]
    )
    centred = logits - tf.math.divide_no_nan(first, total)
    (rest,) = _over_devices([tf.reduce_sum(weight * centred, axis=0)])  # what rounding left of the mean
    centred -= tf.math.divide_no_nan(rest, total)
    (products,) = _over_devices([tf.matmul(weight * centred, centred, transpose_a=True)])
    scale = _inverse_root(tf.linalg.diag_part(products), tf.stop_gradient(second) * _CONSTANT**2)
    correlation = products * scale[:, None] * scale[None, :]
    pairs = components * (components - 1)  # each twice
    squares = tf.square(correlation)
    return (tf.reduce_sum(squares) - tf.reduce_sum(tf.linalg.diag_part(squares))) / pairs


def _inverse_root(variance: tf.Tensor, least: tf.Tensor) -> tf.Tensor:
    """1 / sqrt(variance) where it is above `least`, else 0 with gradient 0."""
    varies = variance > least
    return tf.where(varies, tf.math.rsqrt(tf.where(varies, variance, tf.ones_like(variance))), tf.zeros_like(variance))


def _over_devices(sums: list[tf.Tensor]) -> list[tf.Tensor]:
    """Summed over the devices of a synchronous strategy; the gradient is too."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return sums
    return list(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, sums))
