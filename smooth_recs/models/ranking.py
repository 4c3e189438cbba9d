"""What a ranking model and an ensemble of them have in common: the training step and what it adds to their loss.

A ranking model put together from injected parts (section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation

tfrs = keras_generation.recommenders("a ranking model")

Features = Mapping[str, tf.Tensor]


class Ranker(tfrs.models.Model):  # type: ignore[name-defined]
    """Predicts sigmoid(`logits`); trains on the `compute_loss` that a subclass defines.

    Args:
      outputs: how many labels are predicted.

    Attributes:
      loss_mean: the metric that is reported as `loss`, of the prediction.
    """

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.outputs = outputs
        self.loss_mean = keras_generation.keras().metrics.Mean(name="loss")
        self._anchor: Any = None
        self._anchor_weight = 0.0

    def logits(self, features: Features, training: bool = False, embedded: tf.Tensor | None = None) -> tf.Tensor:
        """Log-odds of the outputs, float32 [batch, outputs]; `embedded`: the embeddings, looked up already."""
        raise NotImplementedError

    @property
    def embedding_layers(self) -> list[Any]:
        """Layers whose variables get sparse gradients."""
        raise NotImplementedError

    def deployed_model(self) -> Ranker:
        """What is exported: the part of this model that predicts."""
        return self

    @property
    def copies(self) -> list[Any]:
        """What was copied from the weights and is saved beside them: the anchor."""
        return [] if self._anchor is None else [self._anchor]

    def call(self, inputs: Features, training: bool = False) -> tf.Tensor:
        probabilities = tf.sigmoid(self.logits(inputs, training=training))
        return tf.squeeze(probabilities, axis=1) if self.outputs == 1 else probabilities

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As `tf.keras.Model.compile`."""
        super().compile(*args, **kwargs)
        # The steps made are a variable, which legacy optimizers make when first asked: too late in a device's own step.
        _ = self.optimizer.iterations

    def make_slots(self) -> None:
        """Makes the optimizer's variables, if the model has its own.

        Legacy optimizers make them in the first training step otherwise, which TensorFlow has to trace again then.
        """
        whole = [(self.optimizer, lambda: self.trainable_variables)]
        for optimizer, variables in getattr(self.optimizer, "_optimizers_and_vars", whole):  # of TFRS' composite
            if hasattr(optimizer, "_create_all_weights"):  # a legacy one
                optimizer._create_all_weights(variables())

    def train_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = self.compute_loss(inputs, training=True)
            penalties = [*self.losses, *self._anchor_losses()]
            if penalties:
                loss += tf.add_n(penalties) / tf.distribute.get_strategy().num_replicas_in_sync
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": self.loss_mean.result()}

    def test_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        self.compute_loss(inputs, training=False)
        return {"loss": self.loss_mean.result()}

    @property
    def metrics_names(self) -> list[str]:
        return ["loss"]  # those of an ensemble's components stand still

    def get_metrics_result(self) -> dict[str, tf.Tensor]:
        return {"loss": self.loss_mean.result()}

    def set_anchor(self, weight: float) -> None:
        """From now on adds weight / 2 ||d - d_0||^2 to what is minimised (the constraints of references [7], [45]).

        d are all `dense_variables`, and d_0 what they are now: a copy that is in checkpoints, but not in `variables`.
        To resume a run, set its anchor before its checkpoint is restored.

        Args:
          weight: at least 0; 0 frees the model.

        Raises:
          ValueError: a weight below 0, or a model without variables yet.
        """
        if not weight >= 0:
            raise ValueError(f"weight must be at least 0, got {weight!r}")
        if not self.dense_variables:
            raise ValueError("the model must have its variables before it is anchored: call it once")
        copies = [tf.Variable(tf.convert_to_tensor(v), trainable=False) for v in self.dense_variables] if weight else []
        # A Checkpoint, since Keras would take variables in a list for weights of the model, and export them.
        self._anchor = tf.train.Checkpoint(copies=copies) if weight else None
        self._anchor_weight = float(weight)

    def _anchor_losses(self) -> list[tf.Tensor]:
        if self._anchor is None:
            return []
        pairs = zip(self.dense_variables, self._anchor.copies, strict=True)
        return [self._anchor_weight * tf.nn.l2_loss(tf.convert_to_tensor(v) - copy) for v, copy in pairs]

    @property
    def embedding_variables(self) -> list[tf.Variable]:
        """Variables with sparse gradients: the embeddings, and the table of a `models.linear.Linear` part."""
        found = {v.ref(): v for layer in self.embedding_layers for v in layer.trainable_variables}
        return list(found.values())

    @property
    def dense_variables(self) -> list[tf.Variable]:
        """All other trainable variables."""
        sparse = {variable.ref() for variable in self.embedding_variables}
        return [variable for variable in self.trainable_variables if variable.ref() not in sparse]


def batch_mean(per_example: tf.Tensor) -> tf.Tensor:
    """This device's share of the mean over a batch: the sum over the devices is the mean over the whole batch.

    Devices get unequal parts of a last batch, perhaps none: a mean of their means is wrong.
    """
    examples = tf.cast(tf.shape(per_example)[0], tf.float32)
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        examples = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, examples)
    return tf.reduce_sum(per_example) / tf.maximum(examples, 1.0)


class RankingModel(Ranker):
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
      distillation: maps (the labels' loss per example [batch], logits [batch, outputs], features, steps made) to what
        is minimised per example [batch], before it is weighted, such as `models.distillation.Distillation`; None
        minimises the labels' loss, which is what is reported with both.

    Raises:
      ValueError: neither embeddings nor numeric features.

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
        distillation: Callable[..., tf.Tensor] | None = None,
    ) -> None:
        if embeddings is None and not numeric:
            raise ValueError("a RankingModel needs embeddings or numeric features, got neither")
        super().__init__(outputs)
        keras = keras_generation.keras()
        self.embeddings = embeddings
        self.numeric = tuple(numeric)
        self.bottom_stack = bottom_stack
        self.interaction = interaction
        self.top_stack = top_stack
        self.linear = linear
        self.output_layer = keras.layers.Dense(outputs, name="logits", dtype="float32")  # also under mixed precision
        self.task = task or tfrs.tasks.Ranking(
            loss=keras.losses.BinaryCrossentropy(from_logits=True, reduction=keras.losses.Reduction.NONE)
        )
        self.distillation = distillation

    def logits(self, features: Features, training: bool = False, embedded: tf.Tensor | None = None) -> tf.Tensor:
        """Log-odds of the outputs, float32 [batch, outputs]; `embedded`: the embeddings, looked up already."""
        logits = self.deep_logits(features, training, embedded)
        return logits if self.linear is None else logits + tf.cast(self.linear(features), tf.float32)

    def deep_logits(self, features: Features, training: bool = False, embedded: tf.Tensor | None = None) -> tf.Tensor:
        """`logits` without the linear part."""
        if embedded is None and self.embeddings is not None:
            embedded = self.embeddings(features, training=training)
        dense = None
        if self.numeric:
            dense = tf.concat([tf.cast(features[name], tf.float32) for name in self.numeric], axis=1)
            dense = dense if self.bottom_stack is None else self.bottom_stack(dense, training=training)
            dense = tf.cast(dense, self.compute_dtype if embedded is None else embedded.dtype)
        hidden = self.top_stack(self.interaction(embedded, dense), training=training)
        return self.output_layer(hidden)

    def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """This device's share of the mean loss of a batch: the sum over the devices is the loss of the whole batch."""
        features, labels, weight = keras_generation.keras().utils.unpack_x_y_sample_weight(inputs)
        logits = self.logits(features, training=training)
        per_example = self.label_loss(labels, logits, weight)
        self.loss_mean.update_state(per_example)
        if training and self.distillation is not None:
            per_example = self.objective(labels, logits, weight, features, self.optimizer.iterations)
        return batch_mean(per_example)

    def label_loss(self, labels: tf.Tensor, logits: tf.Tensor, weight: tf.Tensor | None = None) -> tf.Tensor:
        """The task's loss for each example, weighted, [batch]."""
        labels = tf.reshape(tf.cast(labels, tf.float32), tf.shape(logits))
        return self.task(labels, logits, sample_weight=weight, compute_metrics=False)

    def objective(
        self, labels: tf.Tensor, logits: tf.Tensor, weight: tf.Tensor | None, features: Features, iterations: Any
    ) -> tf.Tensor:
        """What is minimised for each example after so many steps, weighted, [batch]."""
        if self.distillation is None:
            return self.label_loss(labels, logits, weight)
        return weighted(self.distillation(self.label_loss(labels, logits), logits, features, iterations), weight)

    def with_embeddings(self, embeddings: Any) -> RankingModel:
        """A model of the same layers but for the embeddings."""
        other = RankingModel(
            embeddings=embeddings,
            numeric=self.numeric,
            bottom_stack=self.bottom_stack,
            interaction=self.interaction,
            top_stack=self.top_stack,
            linear=self.linear,
            outputs=self.outputs,
            task=self.task,
        )
        other.output_layer = self.output_layer
        return other

    @property
    def embedding_layers(self) -> list[Any]:
        """The embeddings, and the table of a `models.linear.Linear` part."""
        return [part for part in (self.embeddings, getattr(self.linear, "table", None)) if part is not None]


def weighted(per_example: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    """[batch], times weights [batch] or [batch, 1] where there are any."""
    return per_example if weight is None else per_example * tf.reshape(tf.cast(weight, per_example.dtype), [-1])
