"""Self-ensembles (section 1.2): components that are trained together and averaged, and driven apart or together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import fields, keras_generation, losses
from smooth_recs.config import Average, Deployed, Initialization
from smooth_recs.layers import embedding_tables
from smooth_recs.layers.embedding import Columns
from smooth_recs.models.ranking import Features, Ranker, RankingModel, batch_mean, weighted


class EnsembleModel(Ranker):
    """M ranking models in one training step; their average, or the first of them, predicts.

    What is minimised is the sum of the components' own losses, so that each trains as it would alone, plus

    - anti-distillation: `decorrelation` times the squared correlation of the components' logits (reference [46]);
    - co-distillation: `codistillation` times the sum over the components of `losses.soft_label` towards the mean
      probability of all others (reference [4]).

    The loss of the prediction is reported as `loss`.

    Args:
      components: two or more models of one output each, or of the same tasks; of several tasks each is averaged, and
        the two losses above are those of the main one. Those whose embeddings are `Columns` of one layer, one part
        each, cost one lookup; others have tables of their own. A linear part must be the same object in all: it is
        added to the logits of each, and `decorrelation` leaves it out.
      average: what is averaged, the components' `probability` (the default) or their `logit`.
      deployed: what predicts, the `average` (the default) or the `first` component.
      init: `same` gives all components the initial values of the first, so that only their dropout is different;
        `different` is the default.
      decorrelation, codistillation: weights, each a number or a `losses.Ramp`; 0 by default.
      stale: an ensemble of the same shapes that holds earlier weights, whose predictions `codistillation` takes for
        those of the others; None takes the predictions of this step. It is saved in checkpoints, and is not part of
        `variables`. Parameter servers cannot keep it, since their workers have no steps in common.
      stale_steps: how many steps lie between two updates of `stale`, which copies the weights then.

    Inputs and output: those of `RankingModel`.

    Raises:
      ValueError: an argument breaks a rule above.

    ```python
    table = sr.layers.StackedEmbedding([sr.layers.EmbeddedFeature("user", 100)], dim=3 * 8)
    ensemble = sr.models.EnsembleModel([
        sr.models.RankingModel(
            embeddings=Columns(table, k, of=3),
            interaction=interactions.Concatenation(),
            top_stack=sr.layers.Tower([32, 16], activation="relu"),
        )
        for k in range(3)
    ])
    ensemble.compile(optimizer="adagrad")
    ensemble.fit(tf.data.Dataset.from_tensor_slices(({"user": users}, clicks)).batch(256))
    ```
    """

    def __init__(
        self,
        components: Sequence[RankingModel],
        *,
        average: Average = "probability",
        deployed: Deployed = "average",
        init: Initialization = "different",
        decorrelation: float | losses.Ramp = 0.0,
        codistillation: float | losses.Ramp = 0.0,
        stale: EnsembleModel | None = None,
        stale_steps: int = 0,
    ) -> None:
        if len(components) < 2:
            raise ValueError(f"components must be two or more, got {len(components)}")
        outputs = [component.outputs for component in components]
        tasks = components[0].task_weights
        if set(outputs) != {max(len(tasks), 1)} or any(component.task_weights != tasks for component in components):
            raise ValueError(f"components must have one output each, or the same tasks, got {outputs}")
        if len({id(component.linear) for component in components}) > 1:
            raise ValueError("components must have one linear part, the same object, or none, got several")
        layers = [component.embeddings for component in components]
        shared = next((layer.shared for layer in layers if isinstance(layer, Columns)), None)
        parts = {(id(layer.shared), layer.of, layer.index) for layer in layers if isinstance(layer, Columns)}
        if parts and parts != {(id(shared), len(layers), k) for k in range(len(layers))}:
            raise ValueError(f"components must have all Columns of one layer, one part each, or none, got {layers}")
        fields.check("average", average, Average)
        fields.check("deployed", deployed, Deployed)
        fields.check("init", init, Initialization)
        if (stale is None) != (stale_steps == 0) or stale_steps < 0:
            raise ValueError(f"stale_steps must be above 0 with stale, and 0 without, got {stale_steps!r}")
        super().__init__(outputs[0], tasks)
        self.embeddings = shared
        self.components = list(components)
        self.average = average
        self.deployed = deployed
        self.init = init
        self.decorrelation, self.codistillation = (
            weight if isinstance(weight, losses.Ramp) else losses.Ramp(weight)
            for weight in (decorrelation, codistillation)
        )
        self.stale_steps = stale_steps
        # In a Checkpoint: Keras (tf_keras 2.21) takes a model in an attribute for a part of this one, and would train
        # and export its weights.
        self._stale: Any = None if stale is None else tf.train.Checkpoint(model=stale)
        self._has_variables = False

    def logits(self, features: Features, training: bool = False, embedded: tf.Tensor | None = None) -> tf.Tensor:
        """Log-odds of the prediction, float32 [batch, outputs]; `embedded`: the shared embeddings, looked up before."""
        self._make_variables(features)
        if self.deployed == "first":
            parts = self._parts(features, training, embedded)
            return self.components[0].logits(features, training, parts[0])
        return self._predicted(_with_linear(*self.component_logits(features, training, embedded)))

    def component_logits(
        self, features: Features, training: bool = False, embedded: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Computes the components' log-odds, float32 [batch, M], and the linear part's, [batch, 1], if there is one.

        Of T tasks they are [batch, M * T], all tasks of one component after those of another, and [batch, T].
        """
        self._make_variables(features)
        parts = self._parts(features, training, embedded)
        deep = [c.deep_logits(features, training, part) for c, part in zip(self.components, parts, strict=True)]
        linear = self.components[0].linear
        return tf.concat(deep, axis=1), None if linear is None else linear(features, training=training)

    def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """Computes this device's share of what is minimised; where not training, of the loss of the prediction."""
        features, labels, weight = keras_generation.keras().utils.unpack_x_y_sample_weight(inputs)
        if not training:
            per_example = self.components[0].label_loss(labels, self.logits(features), weight)
            self.report_loss(per_example, weight)
            return batch_mean(per_example)
        self._refresh_stale()
        deep, linear = self.component_logits(features, training=True)
        logits = _with_linear(deep, linear)
        self.report_loss(self.components[0].label_loss(labels, self._predicted(logits), weight), weight)

        distillations: list[Any] = [component.distillation for component in self.components]
        distils = any(distillation is not None for distillation in distillations)
        steps = 0  # unless something depends on them
        if distils or self.decorrelation.active or self.codistillation.active:
            steps = self.optimizer.iterations
        if hasattr(distillations[0], "with_teacher") and len({id(d) for d in distillations}) == 1:
            features = distillations[0].with_teacher(features)  # asks the one teacher once for all components
        count = len(self.components)
        pairs = zip(self.components, tf.split(logits, count, axis=1), strict=True)
        loss = batch_mean(tf.add_n([c.objective(labels, z, weight, features, steps) for c, z in pairs]))

        if self.codistillation.active:
            taught = self._main(logits)
            if self._stale is not None:
                taught = self._main(_with_linear(*self._stale.model.component_logits(features)))
            # The mean probability of all components but one, [batch, M], which gets no gradient.
            shares = (tf.ones([count, count]) - tf.eye(count)) / (count - 1)
            others = tf.stop_gradient(tf.matmul(tf.sigmoid(taught), shares))
            towards = tf.reduce_sum(losses.soft_label(self._main(logits), others), axis=1)
            loss += self.codistillation(steps) * batch_mean(weighted(towards, weight))
        if self.decorrelation.active:
            # Every device has the correlation over the whole batch, so its share is that over their number.
            devices = tf.distribute.get_strategy().num_replicas_in_sync
            loss += self.decorrelation(steps) * losses.decorrelation(self._main(deep), weight) / devices
        return loss

    def component_model(self, k: int) -> RankingModel:
        """Makes a model of component k alone, to predict with.

        It shares its dense layers with the ensemble. Of a shared table it has a copy of its part, of the values now.
        """
        component = self.components[k]
        shared = isinstance(component.embeddings, Columns)
        return component.with_embeddings(component.embeddings.alone()) if shared else component

    def deployed_model(self) -> Ranker:
        """The model that is exported: the ensemble, or the first component alone."""
        return self if self.deployed == "average" else self.component_model(0)

    @property
    def embedding_layers(self) -> list[Any]:
        return [layer for component in self.components for layer in component.embedding_layers]

    @property
    def copies(self) -> list[Any]:
        """Copies of earlier weights that are saved beside the weights: the anchor, and the stale ensemble."""
        return [*super().copies, *([] if self._stale is None else [self._stale])]

    def _parts(self, features: Features, training: bool, embedded: tf.Tensor | None) -> list[tf.Tensor | None]:
        """Looks the shared embeddings up once and gives each component its part; None where nothing is shared."""
        if self.embeddings is None:
            return [None] * len(self.components)
        vectors = self.embeddings(features, training=training) if embedded is None else embedded
        parts = tf.split(vectors, len(self.components), axis=2)
        return [parts[component.embeddings.index] for component in self.components]

    def _main(self, logits: tf.Tensor) -> tf.Tensor:
        """The components' log-odds of the main task, [batch, M], among those of all."""
        return logits if self.outputs == 1 else logits[:, :: self.outputs]

    def _predicted(self, logits: tf.Tensor) -> tf.Tensor:
        """Computes the log-odds of the prediction, [batch, outputs], from those of the components."""
        if self.deployed == "first":
            return logits[:, : self.outputs]
        several = self.outputs > 1
        if several:
            logits = tf.reshape(logits, [-1, len(self.components), self.outputs])
        if self.average == "logit":
            return tf.reduce_mean(logits, axis=1, keepdims=not several)
        # log(mean p / mean (1 - p)), in logarithms, so that no probability near 0 or 1 is rounded away.
        yes, no = (tf.reduce_logsumexp(tf.math.log_sigmoid(z), axis=1, keepdims=not several) for z in (logits, -logits))
        return yes - no

    def _refresh_stale(self) -> None:
        """Copies the weights to the stale ensemble every `stale_steps` steps, the first step included."""
        if self._stale is None:
            return

        def take_over() -> tf.Tensor:
            # Each device copies for itself: the copies of a mirrored variable are equal, so nothing is exchanged.
            for copy, variable in zip(self._stale.model.variables, self.variables, strict=True):
                embedding_tables.local(copy).assign(embedding_tables.local(variable))
            return tf.constant(True)

        tf.cond(tf.equal(self.optimizer.iterations % self.stale_steps, 0), take_over, lambda: tf.constant(False))

    def _make_variables(self, features: Features) -> None:
        """Makes the variables of all components before the first use, whichever of them predicts."""
        if self._has_variables:
            return
        self._has_variables = True
        with tf.init_scope():  # the first use may be inside a tf.function, which may make variables only once
            row = {name: tf.zeros([1, *(size or 1 for size in x.shape[1:])], x.dtype) for name, x in features.items()}
            self.component_logits(row)
            if self.init == "same":
                first, *others = self.components
                for other in others:
                    for variable, value in zip(other.variables, first.variables, strict=True):
                        if variable is not value:  # the linear part and a shared table are the same object in all
                            variable.assign(value)
                for table in [] if self.embeddings is None else self.embeddings.trainable_variables:
                    width = table.shape[1] // len(self.components)
                    table.assign(tf.tile(tf.convert_to_tensor(table)[:, :width], [1, len(self.components)]))
            if self._stale is not None:
                self._stale.model.component_logits(row)


def _with_linear(deep: tf.Tensor, linear: tf.Tensor | None) -> tf.Tensor:
    """Adds the linear part's logits, if there is one, to those of each component."""
    if linear is None:
        return deep
    tasks = linear.shape[1]
    return deep + (linear if tasks == 1 else tf.tile(linear, [1, deep.shape[1] // tasks]))
