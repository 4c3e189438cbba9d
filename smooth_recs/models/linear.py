"""The wide part: a linear model over the same features (section 1.2 mentions such components)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs.layers import EmbeddedFeature, StackedEmbedding


class Linear(tf.keras.layers.Layer):
    """Logits [batch, 1]: the sum of one weight a categorical value, and of numeric values times weights.

    Args:
      features: the categorical ones.
      numeric: names of the numeric ones, float [batch, width] each.
    """

    def __init__(self, features: Sequence[EmbeddedFeature], numeric: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._numeric = tuple(numeric)
        self.table = StackedEmbedding(features, 1, "zeros", name="weights") if features else None
        self._slopes = tf.keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="slopes")

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        terms = []
        if self.table is not None:
            terms.append(tf.reduce_sum(self.table(inputs), axis=1))
        if self._numeric:
            terms.append(self._slopes(tf.concat([inputs[name] for name in self._numeric], axis=1)))
        return tf.add_n(terms)
