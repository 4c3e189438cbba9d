"""The ranking model (section 2), put together from injected parts, and the training step that ensembles share with it.

`Ranker` has the step, the reported loss and the anchor. `RankingModel` has the network.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation, losses
from smooth_recs.errors import InputError
from smooth_recs.layers import compiled
from smooth_recs.models import generation

Features = Mapping[str, tf.Tensor]


class Ranker(generation.Model):
    """A model that predicts sigmoid(`logits`) and minimises `compute_loss`, both of which a subclass defines.

    Args:
      outputs: how many labels are predicted.
      task_weights: see `RankingModel`; none where the outputs are not tasks of which the first is the main one.

    Attributes:
      loss_mean: the metric that is reported as `loss`: the mean over all rows, by weight, of the prediction's loss, on
        the scale of `log_loss`. (TFRS 0.7.7 reports the last batch's, with what is added to it.)
      compile_dense: whether XLA compiles row norms, activations and clips of training steps (`layers.compiled`); False
        at first. Set it before the first step.
    """

    def __init__(self, outputs: int = 1, task_weights: Sequence[float] = ()) -> None:
        super().__init__()
        self.outputs = outputs
        self.task_weights = tuple(task_weights)
        self.loss_mean = keras_generation.keras().metrics.Mean(name="loss")
        self.compile_dense = False
        self._anchor: Any = None
        self._anchor_weight = 0.0

    def logits(self, features: Features, training: bool = False, embedded: tf.Tensor | None = None) -> tf.Tensor:
        """Log-odds of the outputs, float32 [batch, outputs]; `embedded`: the embeddings, looked up already."""
        raise NotImplementedError

    @property
    def embedding_layers(self) -> list[Any]:
        """The layers whose variables get sparse gradients."""
        raise NotImplementedError

    def deployed_model(self) -> Ranker:
        """The part of this model that predicts, which is exported."""
        return self

    @property
    def copies(self) -> list[Any]:
        """Copies of earlier weights that are saved beside the weights: the anchor."""
        return [] if self._anchor is None else [self._anchor]

    def call(self, inputs: Features, training: bool = False) -> tf.Tensor:
        probabilities = tf.sigmoid(self.logits(inputs, training=training))
        if self.task_weights:
            return probabilities[:, 0]
        return tf.squeeze(probabilities, axis=1) if self.outputs == 1 else probabilities

    def task_probabilities(self, features: Features, training: bool = False) -> tf.Tensor:
        """Probabilities of all tasks, float32 [batch, tasks], the main one first, which the model itself predicts."""
        return tf.sigmoid(self.logits(features, training=training))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Does what `tf.keras.Model.compile` does, with the loss and the metric that the model has.

        Raises:
          ValueError: a loss or metrics, which would be computed nowhere.
          InputError: a table is in 16 bits, and the optimizer is none of those that round.
        """
        given = inspect.signature(super().compile).bind(*args, **kwargs).arguments
        given = {**given, **given.get("kwargs", {})}
        for name in ("loss", "metrics", "weighted_metrics", "loss_weights"):
            if given.get(name):
                raise ValueError(
                    f"{name} must be left out: a ranking model has its own loss, and reports it alone; "
                    "callbacks.PredictionDifference measures the AUC of held-out rows"
                )
        super().compile(*args, **kwargs)
        tables = [getattr(layer, "shared", layer) for layer in self.embedding_layers]
        stored = {getattr(table, "embeddings_dtype", "float32") for table in tables} - {"float32"}
        optimizers = getattr(self.optimizer, "optimizers", [self.optimizer])
        if stored and not any(isinstance(each, generation.ROUNDING) for each in optimizers):
            names = ", ".join(kind.__name__ for kind in generation.ROUNDING)
            raise InputError(
                f"optimizer must be one of {names} of smooth_recs.models.generation, or a CompositeOptimizer with one, "
                f"where embeddings_dtype is {stored.pop()}, got a {type(self.optimizer).__name__}"
            )
        # Legacy optimizers (tf_keras 2.21) make the variable that counts steps when it is first read: inside a step of
        # one device that would be too late.
        _ = self.optimizer.iterations

    def make_slots(self) -> None:
        """Makes the optimizer's variables (slots); the model must have its own variables."""
        generation.make_slots(self.optimizer, self.trainable_variables)

    def train_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        self.built = True  # by the first step: nobody calls the model itself, which is what Keras 3 would see
        with tf.GradientTape() as tape, compiled.passes(self.compile_dense):
            loss = self.compute_loss(inputs, training=True)
            penalties = list(self.losses)
            if self._anchor is not None:
                pairs = zip(self.dense_variables, self._anchor.copies, strict=True)
                penalties += [self._anchor_weight * tf.nn.l2_loss(tf.convert_to_tensor(v) - copy) for v, copy in pairs]
            if penalties:  # each device adds its share: the devices' gradients are summed
                loss += tf.add_n(penalties) / tf.distribute.get_strategy().num_replicas_in_sync
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": self.loss_mean.result()}

    def test_step(self, inputs: Any) -> dict[str, tf.Tensor]:
        self.built = True
        self.compute_loss(inputs, training=False)
        return {"loss": self.loss_mean.result()}

    @property
    def metrics_names(self) -> list[str]:
        return ["loss"]  # the metrics of an ensemble's components are not updated

    def get_metrics_result(self) -> dict[str, tf.Tensor]:
        return {"loss": self.loss_mean.result()}

    def report_loss(self, weighted_loss: tf.Tensor, weight: tf.Tensor | None) -> None:
        """Adds weighted losses [batch] to the reported loss: sum(weight * loss) / sum(weight)."""
        if weight is None:
            self.loss_mean.update_state(weighted_loss)
        else:
            weight = tf.reshape(tf.cast(weight, weighted_loss.dtype), [-1])
            self.loss_mean.update_state(tf.math.divide_no_nan(weighted_loss, weight), weight)

    def set_anchor(self, weight: float) -> None:
        """Adds weight / 2 ||d - d_0||^2 to what is minimised from now on (the constraints of references [7], [45]).

        d are all `dense_variables`, and d_0 the values they have now: a copy that is in checkpoints, but not in
        `variables`. To resume a run, set its anchor before its checkpoint is restored.

        Args:
          weight: at least 0; 0 frees the model.

        Raises:
          ValueError: the weight is below 0, or the model has no variables yet.
        """
        if not weight >= 0:
            raise ValueError(f"weight must be at least 0, got {weight!r}")
        if not self.dense_variables:
            raise ValueError("the model must have its variables before it is anchored: call it once")
        copies = [tf.Variable(tf.convert_to_tensor(v), trainable=False) for v in self.dense_variables] if weight else []
        # In a Checkpoint: Keras (tf_keras 2.21) takes variables in a list for the model's weights, and exports them.
        self._anchor = tf.train.Checkpoint(copies=copies) if weight else None
        self._anchor_weight = float(weight)

    @property
    def embedding_variables(self) -> list[tf.Variable]:
        """The variables with sparse gradients: the embeddings, and the table of a `models.interactions.Linear` part."""
        found = {id(v): v for layer in self.embedding_layers for v in layer.trainable_variables}
        return list(found.values())

    @property
    def dense_variables(self) -> list[tf.Variable]:
        """All other trainable variables."""
        sparse = {id(variable) for variable in self.embedding_variables}
        return [variable for variable in self.trainable_variables if id(variable) not in sparse]


def batch_mean(per_example: tf.Tensor) -> tf.Tensor:
    """Computes this device's share of the mean over a batch; the sum of the shares is the mean over the whole batch."""
    # Devices get unequal parts of a last batch, perhaps none, so the mean of their means would be wrong.
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
      interaction: maps (embeddings [batch, features, dim] or None, numeric [batch, m] or None) to [batch, inputs], and
        adds its own `logit` of the embeddings if it has one; see `models.interactions`.
      top_stack: maps [batch, inputs] to [batch, hidden], such as `sr.layers.Tower`.
      linear: maps the features to [batch, outputs] logits that are added (a wide part); None for none.
      outputs: how many labels are predicted.
      task_weights: a number for each of two or more tasks, which share all but the output layer ("shared bottom",
        Caruana 1997), whose labels are [batch, tasks]. `losses.multi_task` with these weights is minimised. The first
        task is the main one: the model predicts its probability and reports its loss; `task_probabilities` has all.
        None, the default: the outputs are one prediction of several values.
      task: maps (labels, logits, sample_weight) to a loss per example [batch]; default: the logistic loss, in tf_keras
        a `tfrs.tasks.Ranking`.
      distillation: maps (the labels' loss per example [batch], logits [batch, outputs], features, steps made) to what
        is minimised per example [batch], before it is weighted, such as `losses.Distillation`; None minimises the
        labels' loss. The labels' loss is reported either way.

    Raises:
      ValueError: neither embeddings nor numeric features, or task weights that are not one for each output.

    Inputs: {name: tensor}, encoded (`data.encoding.Encoder`). Output: probabilities, float32 [batch], or [batch,
    outputs] for several outputs that are no tasks.

    Train it with a `models.generation.CompositeOptimizer` (in tf_keras that of TFRS), one optimizer for
    `embedding_variables` and one for `dense_variables`, or with any single optimizer:

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
        task_weights: Sequence[float] = (),
        task: Callable[..., tf.Tensor] | None = None,
        distillation: Callable[..., tf.Tensor] | None = None,
    ) -> None:
        if embeddings is None and not numeric:
            raise ValueError("a RankingModel needs embeddings or numeric features, got neither")
        if task_weights and not len(task_weights) == outputs > 1:
            raise ValueError(f"task_weights must be one for each of two or more outputs, got {task_weights}")
        super().__init__(outputs, task_weights)
        keras = keras_generation.keras()
        self.embeddings = embeddings
        self.numeric = tuple(numeric)
        self.bottom_stack = bottom_stack
        self.interaction = interaction
        self.top_stack = top_stack
        self.linear = linear
        # float32 under mixed precision too: bfloat16 has 3 digits, too few to tell predictions apart.
        self.output_layer = keras.layers.Dense(outputs, name="logits", dtype="float32")
        self.task = task or generation.logistic_task()
        self.distillation = distillation

    def logits(self, features: Features, training: bool = False, embedded: tf.Tensor | None = None) -> tf.Tensor:
        """Log-odds of the outputs, float32 [batch, outputs]; `embedded`: the embeddings, looked up already."""
        logits = self.deep_logits(features, training, embedded)
        return logits if self.linear is None else logits + tf.cast(self.linear(features, training=training), tf.float32)

    def deep_logits(self, features: Features, training: bool = False, embedded: tf.Tensor | None = None) -> tf.Tensor:
        """Computes `logits` without the linear part."""
        if embedded is None and self.embeddings is not None:
            embedded = self.embeddings(features, training=training)
        dense = None
        if self.numeric:
            dense = tf.concat([tf.cast(features[name], tf.float32) for name in self.numeric], axis=1)
            dense = dense if self.bottom_stack is None else self.bottom_stack(dense, training=training)
            dense = tf.cast(dense, self.compute_dtype if embedded is None else embedded.dtype)
        hidden = self.top_stack(self.interaction(embedded, dense), training=training)
        logits = self.output_layer(hidden)
        if embedded is not None and hasattr(self.interaction, "logit"):  # beside the network
            logits += self.interaction.logit(embedded)
        return logits

    def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """Computes this device's share of the mean loss of a batch, and updates the reported loss."""
        features, labels, weight = keras_generation.keras().utils.unpack_x_y_sample_weight(inputs)
        logits = self.logits(features, training=training)
        per_example = self.label_loss(labels, logits, weight)
        self.report_loss(per_example, weight)
        if training and (self.distillation is not None or self.task_weights):
            per_example = self.objective(labels, logits, weight, features, self.optimizer.iterations)
        return batch_mean(per_example)

    def label_loss(self, labels: tf.Tensor, logits: tf.Tensor, weight: tf.Tensor | None = None) -> tf.Tensor:
        """Computes the task's loss for each example, weighted, [batch]; of several tasks that of the main one."""
        labels = tf.reshape(tf.cast(labels, tf.float32), tf.shape(logits))
        if self.task_weights:
            labels, logits = labels[:, :1], logits[:, :1]
        return self.task(labels, logits, sample_weight=weight, compute_metrics=False)

    def objective(
        self, labels: tf.Tensor, logits: tf.Tensor, weight: tf.Tensor | None, features: Features, iterations: Any
    ) -> tf.Tensor:
        """Computes what is minimised for each example after so many steps, weighted, [batch]."""
        if self.task_weights:
            return weighted(losses.multi_task(logits, labels, self.task_weights), weight)
        if self.distillation is None:
            return self.label_loss(labels, logits, weight)
        return weighted(self.distillation(self.label_loss(labels, logits), logits, features, iterations), weight)

    def with_embeddings(self, embeddings: Any) -> RankingModel:
        """Makes a model of the same layers with other embeddings."""
        other = RankingModel(
            embeddings=embeddings,
            numeric=self.numeric,
            bottom_stack=self.bottom_stack,
            interaction=self.interaction,
            top_stack=self.top_stack,
            linear=self.linear,
            outputs=self.outputs,
            task_weights=self.task_weights,
            task=self.task,
        )
        other.output_layer = self.output_layer
        return other

    @property
    def embedding_layers(self) -> list[Any]:
        """The embeddings, and the table of a `models.interactions.Linear` part."""
        return [part for part in (self.embeddings, getattr(self.linear, "table", None)) if part is not None]


def weighted(per_example: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    """Multiplies losses [batch] by weights [batch] or [batch, 1], if there are any."""
    return per_example if weight is None else per_example * tf.reshape(tf.cast(weight, per_example.dtype), [-1])
