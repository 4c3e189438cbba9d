"""The embeddings of `StackedEmbedding` on a TPU's embedding hardware, through TensorFlow Recommenders."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.layers import embedding_tables
from smooth_recs.layers.embedding import EmbeddedFeature, by_kind, checked_features

tfrs = keras_generation.recommenders("TPUStackedEmbedding")


@keras_generation.serializable
class TPUStackedEmbedding(keras_generation.keras().layers.Layer):  # type: ignore[misc]
    """A `StackedEmbedding` over `tfrs.layers.embedding.TPUEmbedding`: the same inputs, output and training.

    Each feature has a table, since a TPU takes its ids straight from the input pipeline, where nothing has shifted
    them; the TPU itself stacks tables of equal width. Without a TPU these are ordinary variables with sparse gradients.

    Args:
      features, dim: as in `StackedEmbedding`.
      embeddings_initializer: the initializer of every table.
      optimizer: a `tf.keras.optimizers.legacy` one. On a TPU it updates the tables while gradients are computed, and
        the model must apply its other gradients with the same object; elsewhere it may be left out. It belongs to the
        model: `get_config` does not have it.

    Inputs: as in `StackedEmbedding`. On a TPU they must be those that `prepare` returns in the input pipeline, and
      arrive on the host (`tf.distribute.InputOptions(experimental_fetch_to_device=False)`).
    Output: [batch, number of features, dim], the single-valued features first.

    Raises:
      ValueError: dim below 1, an unknown combiner, no optimizer on a TPU.

    ```python
    embed = TPUStackedEmbedding([EmbeddedFeature("user", 100), EmbeddedFeature("tags", 20, max_values=3)], dim=8)
    embed({"user": tf.constant([5]), "tags": tf.constant([[1, 2, -1]])})  # [1, 2, 8]
    ```
    """

    def __init__(
        self,
        features: Sequence[EmbeddedFeature | Mapping[str, Any]],
        dim: int,
        embeddings_initializer: Any = "uniform",
        optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        checked = checked_features(features, dim)
        if optimizer is None and isinstance(tf.distribute.get_strategy(), tf.distribute.TPUStrategy):
            raise ValueError("optimizer must be given under a TPUStrategy, got None")
        super().__init__(**kwargs)
        self.features = checked
        self.single, self.multiple = by_kind(self.features)
        self.dim = int(dim)
        self.embeddings_initializer = keras_generation.keras().initializers.get(embeddings_initializer)
        initializers = keras_generation.keras().initializers
        configs = {}
        for feature in self.features:
            # An initializer object draws the same numbers again for every table: each table gets a copy.
            own = initializers.get(initializers.serialize(self.embeddings_initializer))
            table = tf.tpu.experimental.embedding.TableConfig(
                vocabulary_size=feature.rows,
                dim=self.dim,
                initializer=embedding_tables.in_place(own),
                combiner=feature.combiner,
                name=feature.name,
            )
            configs[feature.name] = tf.tpu.experimental.embedding.FeatureConfig(table=table, name=feature.name)
        self.optimizer = optimizer
        self.embedding = tfrs.layers.embedding.TPUEmbedding(configs, optimizer)

    def prepare(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Makes the multi-valued features SparseTensors, as a TPU takes no padding; for `dataset.map`."""
        prepared = dict(inputs)
        for feature in self.multiple:
            ids = inputs[feature.name]
            if not isinstance(ids, tf.SparseTensor):
                ids = tf.convert_to_tensor(ids)
                present = tf.where(ids >= 0)
                prepared[feature.name] = tf.SparseTensor(present, tf.gather_nd(ids, present), tf.shape(ids, tf.int64))
        return prepared

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> tf.Tensor:
        del training  # there is no admission here, so nothing depends on it
        prepared = self.prepare(inputs)
        vectors = self.embedding({feature.name: prepared[feature.name] for feature in self.features})
        return tf.stack([vectors[feature.name] for feature in [*self.single, *self.multiple]], axis=1)

    @property
    def tables(self) -> dict[str, Any]:
        """{feature name: variable [rows, dim]} of a built layer; on a TPU up to date only in checkpoints."""
        return {config.name: table for config, table in self.embedding.embedding_tables.items()}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "features": [dataclasses.asdict(feature) for feature in self.features],
            "dim": self.dim,
            "embeddings_initializer": keras_generation.keras().initializers.serialize(self.embeddings_initializer),
        }
