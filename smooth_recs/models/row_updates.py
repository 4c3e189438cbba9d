"""What an optimizer does to the rows of a table that a batch has: they are gathered, computed and written back.

TensorFlow's fused sparse operations (2.21) take one row after the other, in expressions of as many numbers as a row
has, and wait for memory at each: on a processor several times as long as these (benchmarks/row_updates.py). The numbers
are theirs, to the bit.

Rows are all different, and nobody else may write them meanwhile. On parameter servers, where several workers do, the
fused operation loses no update. On a GPU it has no row to wait for, while to write rows under op determinism TensorFlow
copies the whole table to the host and back.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from smooth_recs.layers import stochastic_rounding


def descend(table: Any, rows: tf.Tensor, step: tf.Tensor, seed: Any = None) -> tf.Operation:
    """Takes `step` [n, ...] from the rows [n] of a variable [rows, ...].

    A table in 16 bits is computed with in float32, and its new rows are rounded with `seed`
    (`stochastic_rounding.rounded`); elsewhere that is None.
    """
    found = tf.gather(table, rows)
    if stochastic_rounding.is_rounded(table.dtype):
        new = stochastic_rounding.rounded(tf.cast(found, tf.float32) - step, seed)
    else:
        new = found - step
    return table.scatter_update(tf.IndexedSlices(new, rows))


def adagrad(
    table: Any, sums: Any, rows: tf.Tensor, gradient: tf.Tensor, rate: tf.Tensor, epsilon: tf.Tensor, seed: Any = None
) -> tf.Operation:
    """Adagrad (Duchi et al. 2011) of the rows [n] of a variable: a = a + g^2, w = w - rate g / (sqrt(a) + epsilon).

    Args:
      table: w, a variable [rows, ...].
      sums: a, a variable of the same shape, in float32 where w is in 16 bits.
      rows: whole numbers [n], all different.
      gradient: g [n, ...], summed over the occurrences of a row.
      rate: the learning rate, a scalar.
      epsilon: a scalar.
      seed: of the rounding of a table in 16 bits; see `descend`.
    """
    place = tf.DeviceSpec.from_string(table.device)
    fused = place.job == "ps" or place.device_type not in (None, "CPU")
    if fused and not stochastic_rounding.is_rounded(table.dtype):
        return tf.raw_ops.ResourceSparseApplyAdagradV2(
            var=table.handle, accum=sums.handle, lr=rate, epsilon=epsilon, grad=gradient, indices=rows
        )
    added = tf.gather(sums, rows) + tf.square(gradient)
    step = rate * gradient / (tf.sqrt(added) + epsilon)
    return tf.group(sums.scatter_update(tf.IndexedSlices(added, rows)), descend(table, rows, step, seed))
