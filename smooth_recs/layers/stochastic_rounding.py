"""Rows in 16 bits: read as float32, updated in float32, and written back by stochastic rounding.

Rounding to the nearest number loses every update below half of the distance between two numbers of the stored type, so
that a table stands still once an adaptive rate has become small. Stochastic rounding (Gupta et al. 2015, section 3)
takes the two numbers next to a value x, at distance e, with chances that make x their mean:

    floor(x / e) e        with chance  1 - (x / e - floor(x / e))
    floor(x / e) e + e    with chance       x / e - floor(x / e)

An update is kept in expectation however small it is, and a value that the type has stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

STORED = tf.float16  # whose 10 bits lose eight times less than the 7 of bfloat16: benchmarks/small_updates.py


def is_rounded(dtype: Any) -> bool:
    """Whether numbers of this type are stored in 16 bits and computed with in float32."""
    return bool(tf.as_dtype(dtype).base_dtype == STORED)


@tf.custom_gradient
def in_float32(rows: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Casts rows to float32, with a gradient that stays in float32."""
    # A cast's own gradient would be rounded to 16 bits, each occurrence of a row by itself, before these are summed.
    return tf.cast(rows, tf.float32), lambda upstream: upstream


def rounded(values: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Rounds float32 numbers to float16, up or down with the chances above.

    Infinities and NaN stay what they are. Beyond 65,504, the greatest number, a value becomes the nearest of that and
    infinity.

    Args:
      values: float32, of any shape.
      seed: two integers; with equal seeds and shapes the chances fall alike, on every device.
    """
    nearest = tf.cast(values, STORED)
    exact = tf.cast(nearest, tf.float32)
    off = values - exact
    # The number on the other side of the value: the bits of numbers of one sign are in the order of their sizes.
    away = tf.cast(tf.sign(off * values), tf.int16)
    other = tf.bitcast(tf.bitcast(nearest, tf.int16) + away, STORED)
    # No number where the value is exact or infinite, and then no draw is below it.
    chance = off / (tf.cast(other, tf.float32) - exact)
    return tf.where(_uniform(tf.shape(values), seed) < chance, other, nearest)


def _uniform(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draws multiples of 2^-16 in [0, 1): float32 has 13 bits more than float16, so a chance is a multiple of 2^-13."""
    count = tf.reduce_prod(shape)
    drawn = tf.random.stateless_uniform([(count + 1) // 2], seed, None, None, tf.int32, alg="philox")
    halves = tf.reshape(tf.bitcast(drawn, tf.int16), [-1])[:count]  # half of the draws, which cost most of the time
    return (tf.cast(tf.reshape(halves, shape), tf.float32) + 2.0**15) * 2.0**-16
