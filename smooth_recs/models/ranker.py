"""What a ranking model and an ensemble of them have in common: the training step and what it adds to their loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation

keras_generation.require_legacy("a ranking model (TensorFlow Recommenders)")

import tensorflow_recommenders as tfrs  # noqa: E402  needs the check above

Features = Mapping[str, tf.Tensor]


class Ranker(tfrs.models.Model):
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
