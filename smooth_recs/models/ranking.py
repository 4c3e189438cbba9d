"""A ranking model put together from injected parts (section 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation

keras_generation.require_legacy("RankingModel (TensorFlow Recommenders)")

import tensorflow_recommenders as tfrs  # noqa: E402  needs the check above

Features = Mapping[str, tf.Tensor]


class RankingModel(tfrs.models.Model):
    """Predicts the probability of engagement: sigmoid(top(interaction(embeddings, bottom(numeric)))) (section 2).

    Any part may be left out, but there must be embeddings or numeric features.

    Args:
      embeddings: maps the features to [batch, features, dim], such as `sr.layers.StackedEmbedding`.
      numeric: names of the numeric features, float [batch, width] each, concatenated in this order.
      bottom_stack: maps the numeric inputs [batch, n] to [batch, m]; None leaves them as they are.
      interaction: maps (embeddings [batch, features, dim] or None, numeric [batch, m] or None) to [batch, inputs]; see
        `models.interactions`.
      top_stack: maps [batch, inputs] to [batch, hidden], such as `sr.layers.Tower`.
      linear: maps the features to [batch, outputs] logits that are added (a wide part); None for none.
      outputs: how many labels are predicted.
      task: maps (labels, logits, sample_weight) to a loss per example [batch]; default: a `tfrs.tasks.Ranking` with
        the logistic loss.

    Inputs: {name: tensor}, encoded (`data.encoding.Encoder`). Output: probabilities, float32 [batch], or [batch,
    outputs] for several outputs.

    Train it with a `tfrs.experimental.optimizers.CompositeOptimizer`, one optimizer for `embedding_variables` and one
    for `dense_variables`, or with any single optimizer:

    ```python
    model = sr.models.RankingModel(
        embeddings=sr.layers.StackedEmbedding([sr.layers.EmbeddedFeature("user", 100)], dim=8),
        interaction=interactions.Concatenation(),
        top_stack=sr.layers.Tower([32, 16], activation="smelu"),
    )
    model.compile(optimizer="adagrad")
    model.fit(tf.data.Dataset.from_tensor_slices(({"user": users}, clicks)).batch(256))
    ```
    """

    def __init__(
        self,
        *,
        embeddings: Any = None,
        numeric: Sequence[str] = (),
        bottom_stack: Callable[..., tf.Tensor] | None = None,
        interaction: Callable[[Any, Any], tf.Tensor],
        top_stack: Callable[..., tf.Tensor],
        linear: Any = None,
        outputs: int = 1,
        task: Callable[..., tf.Tensor] | None = None,
    ) -> None:
        if embeddings is None and not numeric:
            raise ValueError("a RankingModel needs embeddings or numeric features, got neither")
        super().__init__()
        keras = keras_generation.keras()
        self.embeddings = embeddings
        self.numeric = tuple(numeric)
        self.bottom_stack = bottom_stack
        self.interaction = interaction
        self.top_stack = top_stack
        self.linear = linear
        self.outputs = outputs
        self.output_layer = keras.layers.Dense(outputs, name="logits")
        self.task = task or tfrs.tasks.Ranking(
            loss=keras.losses.BinaryCrossentropy(from_logits=True, reduction=keras.losses.Reduction.NONE)
        )
        self.loss_mean = keras.metrics.Mean(name="loss")

    def logits(self, features: Features, training: bool = False) -> tf.Tensor:
        """Log-odds of the outputs, float32 [batch, outputs]."""
        embedded = None if self.embeddings is None else self.embeddings(features, training=training)
        dense = None
        if self.numeric:
            dense = tf.concat([tf.cast(features[name], tf.float32) for name in self.numeric], axis=1)
            dense = dense if self.bottom_stack is None else self.bottom_stack(dense, training=training)
        hidden = self.top_stack(self.interaction(embedded, dense), training=training)
        logits = tf.cast(self.output_layer(hidden), tf.float32)
        return logits if self.linear is None else logits + self.linear(features)

    def call(self, inputs: Features, training: bool = False) -> tf.Tensor:
        probabilities = tf.sigmoid(self.logits(inputs, training=training))
        return tf.squeeze(probabilities, axis=1) if self.outputs == 1 else probabilities

    def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """This device's share of the mean loss of a batch: the sum over the devices is the loss of the whole batch."""
        features, labels, weight = keras_generation.keras().utils.unpack_x_y_sample_weight(inputs)
        logits = self.logits(features, training=training)
        labels = tf.reshape(tf.cast(labels, tf.float32), tf.shape(logits))
        per_example = self.task(labels, logits, sample_weight=weight, training=training, compute_metrics=False)
        self.loss_mean.update_state(per_example)
        return tf.reduce_sum(per_example) / _examples_on_all_devices(per_example)

    def train_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = self.compute_loss(inputs, training=True)
            if self.losses:
                loss += tf.add_n(self.losses) / tf.distribute.get_strategy().num_replicas_in_sync
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": self.loss_mean.result()}

    def test_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        self.compute_loss(inputs, training=False)
        return {"loss": self.loss_mean.result()}

    @property
    def embedding_variables(self) -> list[tf.Variable]:
        """Variables with sparse gradients: the embeddings, and the table of a `models.linear.Linear` part."""
        parts = (self.embeddings, getattr(self.linear, "table", None))
        return [variable for part in parts if part is not None for variable in part.trainable_variables]

    @property
    def dense_variables(self) -> list[tf.Variable]:
        """All other trainable variables."""
        sparse = {variable.ref() for variable in self.embedding_variables}
        return [variable for variable in self.trainable_variables if variable.ref() not in sparse]


def _examples_on_all_devices(per_example: tf.Tensor) -> tf.Tensor:
    """float32, at least 1. Devices get unequal parts of a last batch, perhaps none: a mean of their means is wrong."""
    examples = tf.cast(tf.shape(per_example)[0], tf.float32)
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        examples = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, examples)
    return tf.maximum(examples, 1.0)
