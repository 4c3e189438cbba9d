"""Embeddings of all features in one table: one lookup and one sparse update a batch."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation


@dataclasses.dataclass(frozen=True)
class EmbeddedFeature:
    """A feature to look up: its name, the ids [0, rows) it may have, and how several values become one vector."""

    name: str
    rows: int
    max_values: int = 1
    combiner: str = "mean"


@keras_generation.serializable
class StackedEmbedding(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """Looks up every feature in one stored table, so that a batch costs one gather and one sparse update.

    The rows of feature k follow those of feature k - 1. A feature's own ids start at 0.

    Args:
      features: `EmbeddedFeature`s (or dictionaries of their fields). The output has the single-valued ones first.
      dim: width of an embedding.
      embeddings_initializer: of the table.

    Inputs: {name: int64 [batch] or [batch, max_values]}; in the second, -1 is padding and the vector of a row without
      any value is 0.
    Output: [batch, number of features, dim].

    ```python
    embed = StackedEmbedding([EmbeddedFeature("user", 100), EmbeddedFeature("tags", 20, max_values=3)], dim=8)
    embed({"user": tf.constant([5]), "tags": tf.constant([[1, 2, -1]])})  # [1, 2, 8]
    ```
    """

    def __init__(
        self,
        features: Sequence[EmbeddedFeature | Mapping[str, Any]],
        dim: int,
        embeddings_initializer: Any = "uniform",
        **kwargs: Any,
    ) -> None:
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim!r}")
        super().__init__(**kwargs)
        self.features = [f if isinstance(f, EmbeddedFeature) else EmbeddedFeature(**f) for f in features]
        for feature in self.features:
            if feature.combiner not in ("mean", "sum", "sqrtn"):
                raise ValueError(f"combiner of {feature.name!r} must be mean, sum or sqrtn, got {feature.combiner!r}")
        self.single = [feature for feature in self.features if feature.max_values == 1]
        self.multiple = [feature for feature in self.features if feature.max_values > 1]
        self.dim = int(dim)
        self.embeddings_initializer = keras_generation.keras().initializers.get(embeddings_initializer)

    def build(self, input_shape: Any) -> None:
        del input_shape
        rows = sum(feature.rows for feature in self.features)
        self.embeddings = self.add_weight(
            name="embeddings", shape=(rows, self.dim), initializer=self.embeddings_initializer
        )
        self.built = True

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        starts = itertools.accumulate((feature.rows for feature in self.features), initial=0)
        offsets = {feature.name: start for feature, start in zip(self.features, starts, strict=False)}
        parts = []
        if self.single:
            columns = [tf.cast(inputs[feature.name], tf.int64) for feature in self.single]
            parts.append(tf.stack(columns, axis=1) + [offsets[feature.name] for feature in self.single])
        for feature in self.multiple:
            ids = tf.cast(inputs[feature.name], tf.int64)
            parts.append(tf.where(ids < 0, ids, ids + offsets[feature.name]))
        vectors = tf.gather(self.embeddings, tf.maximum(tf.concat(parts, axis=1), 0))
        if not self.multiple:
            return vectors
        pieces = tf.split(vectors, [tf.shape(part)[1] for part in parts], axis=1)
        first = len(parts) - len(self.multiple)
        combined = [
            _combine(piece, ids, feature.combiner)
            for feature, ids, piece in zip(self.multiple, parts[first:], pieces[first:], strict=True)
        ]
        # The number of values of a feature may be free, as in an export; the number of features never is.
        return tf.ensure_shape(tf.concat(pieces[:first] + combined, axis=1), [None, len(self.features), self.dim])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "features": [dataclasses.asdict(feature) for feature in self.features],
            "dim": self.dim,
            "embeddings_initializer": keras_generation.keras().initializers.serialize(self.embeddings_initializer),
        }


def _combine(vectors: tf.Tensor, ids: tf.Tensor, combiner: str) -> tf.Tensor:
    """[batch, values, dim] to [batch, 1, dim] over the values that are there."""
    present = tf.cast(ids >= 0, vectors.dtype)[:, :, None]
    total = tf.reduce_sum(vectors * present, axis=1, keepdims=True)
    if combiner == "sum":
        return total
    count = tf.maximum(tf.reduce_sum(present, axis=1, keepdims=True), 1.0)
    return total / (count if combiner == "mean" else tf.sqrt(count))
