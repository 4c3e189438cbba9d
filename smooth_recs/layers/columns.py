"""A component's part of the rows in which the embeddings of all components of an ensemble lie side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.layers.embedding import StackedEmbedding


class Columns(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """Part k of M equal parts of the embeddings that a wider layer looks up.

    Components that share the wider layer cost one lookup: who trains them together looks up once, and gives each its
    `part`.

    Args:
      shared: a `StackedEmbedding` (or `TPUStackedEmbedding`) of M d columns.
      index: k, from 0.
      of: M.

    Inputs: those of `shared`. Output: [batch, features, d].

    Raises:
      ValueError: `shared` cannot be divided into M parts, or has no part k.

    ```python
    shared = StackedEmbedding([EmbeddedFeature("user", 100)], dim=6)
    Columns(shared, index=2, of=3)({"user": tf.constant([5])})  # [1, 1, 2]: the last two of its six columns
    ```
    """

    def __init__(self, shared: Any, index: int, of: int, **kwargs: Any) -> None:
        if of < 1 or shared.dim % of:
            raise ValueError(f"of must divide the {shared.dim} columns of shared, got {of!r}")
        if not 0 <= index < of:
            raise ValueError(f"index must be at least 0 and below {of}, got {index!r}")
        super().__init__(**kwargs)
        self.shared = shared
        self.index = int(index)
        self.of = int(of)
        self.dim = shared.dim // self.of

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        return self.part(self.shared(inputs, training=training))

    def part(self, vectors: tf.Tensor) -> tf.Tensor:
        """The columns of this part, of vectors [..., M d]."""
        return vectors[..., self.index * self.dim : (self.index + 1) * self.dim]

    def alone(self) -> StackedEmbedding:
        """A layer of its own with the values that these columns have now; ids are counted by `shared` still."""
        features = self.shared.features
        layer = StackedEmbedding(features, self.dim, "zeros", name=self.shared.name)
        layer.build(None)
        layer.embeddings.assign(self.part(_table(self.shared)))
        layer.admission, layer.admitted = getattr(self.shared, "admission", 0), getattr(self.shared, "admitted", None)
        return layer


def _table(layer: Any) -> tf.Tensor:
    """[rows of all features, dim] of an embedding layer with one table, or with one a feature."""
    if isinstance(layer, StackedEmbedding):
        return tf.convert_to_tensor(layer.embeddings)
    return tf.concat([tf.convert_to_tensor(layer.tables[feature.name]) for feature in layer.features], axis=0)
