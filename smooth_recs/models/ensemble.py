"""Self-ensembles: components that are trained together, averaged, driven apart or towards each other (section 1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import fields, keras_generation, losses
from smooth_recs.config import Average, Deployed, Initialization
from smooth_recs.layers import tables
from smooth_recs.layers.embedding import Columns
from smooth_recs.models.ranking import Features, Ranker, RankingModel, batch_mean, weighted


class EnsembleModel(Ranker):
    """M ranking models in one training step; their average, or the first of them, predicts.

    Minimised is the sum of the components' own losses, so that each trains as it would alone, and

    - anti-distillation: `decorrelation` times the squared correlation of the components' logits (reference [46]);
    - co-distillation: `codistillation` times the sum over the components of `losses.soft_label` towards the mean
      probability of all others (reference [4]).

    Reported as `loss` is the loss of the prediction.

    Args:
      components: two or more, of one output each. Those whose embeddings are `Columns` of one layer, one part each,
        cost one lookup; others have tables of their own. A linear part must be the same object in all: it is added to
        the logits of each, and `decorrelation` leaves it out.
      average: of the components' `probability`, or of their `logit`.
      deployed: what predicts: the `average`, or the `first` component.
      init: `same` gives all components the initial values of the first; they differ by their dropout only.
      decorrelation, codistillation: weights, each a number or a `losses.Ramp`.
      stale: another ensemble of the same shapes, which holds what the others' weights were, for `codistillation`; None
        takes their predictions of this very step. It is saved in checkpoints, and no part of `variables`. Parameter
        servers, which have no steps in common, cannot keep it.
      stale_steps: `stale` takes over the weights whenever so many steps were made.

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
        _validate_components(components)
        fields.check("average", average, Average)
        fields.check("deployed", deployed, Deployed)
        fields.check("init", init, Initialization)
        if (stale is None) != (stale_steps == 0) or stale_steps < 0:
            raise ValueError(f"stale_steps must be above 0 with stale, and 0 without, got {stale_steps!r}")
        super().__init__()
        self.embeddings = _shared_embeddings(components)
        self.components = list(components)
        self.average = average
        self.deployed = deployed
        self.init = init
        self.decorrelation = _ramp(decorrelation)
        self.codistillation = _ramp(codistillation)
        self.stale_steps = stale_steps
        # A Checkpoint, since Keras would take its weights for the model's, and train and export them.
        self._stale: Any = None if stale is None else tf.train.Checkpoint(model=stale)
        self._has_variables = False

    def logits(self, features: Features, training: bool = False, embedded: tf.Tensor | None = None) -> tf.Tensor:
        """Log-odds of the prediction, float32 [batch, 1]; `embedded`: the shared embeddings, looked up already."""
        self._make_variables(features)
        if self.deployed == "first":
            parts = self._parts(features, training, embedded)
            return self.components[0].logits(features, training, parts[0])
        return self._predicted(_with_linear(*self.component_logits(features, training, embedded)))

    def component_logits(
        self, features: Features, training: bool = False, embedded: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The components' own log-odds, float32 [batch, M], and those of the linear part [batch, 1] if there is one."""
        self._make_variables(features)
        parts = self._parts(features, training, embedded)
        deep = [c.deep_logits(features, training, part) for c, part in zip(self.components, parts, strict=True)]
        linear = self.components[0].linear
        return tf.concat(deep, axis=1), None if linear is None else linear(features)

    def compute_loss(self, inputs: Any, training: bool = False) -> tf.Tensor:
        """This device's share of what is minimised; where not training, of the loss of the prediction."""
        features, labels, weight = keras_generation.keras().utils.unpack_x_y_sample_weight(inputs)
        if not training:
            per_example = self.components[0].label_loss(labels, self.logits(features), weight)
            self.loss_mean.update_state(per_example)
            return batch_mean(per_example)
        self._refresh()
        deep, linear = self.component_logits(features, training=True)
        logits = _with_linear(deep, linear)
        self.loss_mean.update_state(self.components[0].label_loss(labels, self._predicted(logits), weight))
        columns = tf.split(logits, len(self.components), axis=1)
        pairs, taught = zip(self.components, columns, strict=True), self._taught(features)
        own = [component.objective(labels, z, weight, taught, self._steps) for component, z in pairs]
        loss = batch_mean(tf.add_n(own))
        if self.codistillation.active:
            towards = losses.soft_label(logits, self._others(logits, features))
            loss += self.codistillation(self._steps) * batch_mean(weighted(tf.reduce_sum(towards, axis=1), weight))
        if self.decorrelation.active:
            alike = losses.decorrelation(deep, weight)
            devices = tf.distribute.get_strategy().num_replicas_in_sync
            loss += self.decorrelation(self._steps) * alike / devices
        return loss

    def component_model(self, k: int) -> RankingModel:
        """Component k alone: it shares its dense layers with the ensemble; of a shared table it has a copy of its part.

        The copy is of the values now: it serves to predict.
        """
        component = self.components[k]
        shared = isinstance(component.embeddings, Columns)
        return component.with_embeddings(component.embeddings.alone()) if shared else component

    def deployed_model(self) -> Ranker:
        """What is exported: the ensemble, or the first component alone."""
        return self if self.deployed == "average" else self.component_model(0)

    @property
    def embedding_layers(self) -> list[Any]:
        return [layer for component in self.components for layer in component.embedding_layers]

    @property
    def copies(self) -> list[Any]:
        """What was copied from the weights and is saved beside them: the anchor, and what the others' weights were."""
        return [*super().copies, *([] if self._stale is None else [self._stale])]

    @property
    def _steps(self) -> Any:
        """Made so far; 0 where nothing depends on them."""
        needed = self.decorrelation.active or self.codistillation.active or self._distils
        return self.optimizer.iterations if needed else 0

    def _taught(self, features: Features) -> Features:
        """With what the teacher predicts, where all components have one that can be asked for all of them at once."""
        teachers = {id(component.distillation) for component in self.components}
        ask = getattr(self.components[0].distillation, "with_teacher", None)
        return features if ask is None or len(teachers) > 1 else ask(features)

    @property
    def _distils(self) -> bool:
        return any(component.distillation is not None for component in self.components)

    def _parts(self, features: Features, training: bool, embedded: tf.Tensor | None) -> list[tf.Tensor | None]:
        """Each component's part of the shared embeddings, by one lookup; None where it has its own, or none."""
        if self.embeddings is None:
            return [None] * len(self.components)
        vectors = self.embeddings(features, training=training) if embedded is None else embedded
        parts = tf.split(vectors, len(self.components), axis=2)
        return [parts[component.embeddings.index] for component in self.components]

    def _predicted(self, logits: tf.Tensor) -> tf.Tensor:
        """[batch, M] to log-odds of the prediction [batch, 1]."""
        if self.deployed == "first":
            return logits[:, :1]
        if self.average == "logit":
            return tf.reduce_mean(logits, axis=1, keepdims=True)
        yes, no = (tf.reduce_logsumexp(tf.math.log_sigmoid(z), axis=1, keepdims=True) for z in (logits, -logits))
        return yes - no

    def _others(self, logits: tf.Tensor, features: Features) -> tf.Tensor:
        """The mean probability of all components but one, [batch, M]; no gradient passes."""
        if self._stale is not None:
            logits = _with_linear(*self._stale.model.component_logits(features))
        components = len(self.components)
        shares = (tf.ones([components, components]) - tf.eye(components)) / (components - 1)
        return tf.stop_gradient(tf.matmul(tf.sigmoid(logits), shares))

    def _refresh(self) -> None:
        """Takes over the weights where it is time to, which it is in the first step; each device for itself."""
        if self._stale is None:
            return

        def take_over() -> tf.Tensor:
            for copy, variable in zip(self._stale.model.variables, self.variables, strict=True):
                tables.local(copy).assign(tables.local(variable))
            return tf.constant(True)

        tf.cond(tf.equal(self.optimizer.iterations % self.stale_steps, 0), take_over, lambda: tf.constant(False))

    def _make_variables(self, features: Features) -> None:
        """Before the first use, also one inside a `tf.function`: those of all components, whichever predicts."""
        if self._has_variables:
            return
        self._has_variables = True
        with tf.init_scope():
            row = {name: tf.zeros([1, *(size or 1 for size in x.shape[1:])], x.dtype) for name, x in features.items()}
            self.component_logits(row)
            if self.init == "same":
                self._make_equal()
            if self._stale is not None:
                self._stale.model.component_logits(row)

    def _make_equal(self) -> None:
        first, *others = self.components
        for other in others:
            for variable, value in zip(other.variables, first.variables, strict=True):
                if variable is not value:
                    variable.assign(value)
        for table in [] if self.embeddings is None else self.embeddings.trainable_variables:
            width = table.shape[1] // len(self.components)
            table.assign(tf.tile(tf.convert_to_tensor(table)[:, :width], [1, len(self.components)]))


def _with_linear(deep: tf.Tensor, linear: tf.Tensor | None) -> tf.Tensor:
    return deep if linear is None else deep + linear


def _ramp(value: float | losses.Ramp) -> losses.Ramp:
    return value if isinstance(value, losses.Ramp) else losses.Ramp(value)


def _shared_embeddings(components: Sequence[RankingModel]) -> Any:
    """The layer that holds the embeddings of all components; None where each has its own, or none."""
    layers = [component.embeddings for component in components]
    if not any(isinstance(layer, Columns) for layer in layers):
        return None
    parts = {(id(layer.shared), layer.of, layer.index) for layer in layers if isinstance(layer, Columns)}
    if parts != {(id(layers[0].shared), len(layers), k) for k in range(len(layers))}:
        raise ValueError(f"components must have all Columns of one layer, one part each, or none, got {layers}")
    return layers[0].shared


def _validate_components(components: Sequence[RankingModel]) -> None:
    if len(components) < 2:
        raise ValueError(f"components must be two or more, got {len(components)}")
    outputs = [component.outputs for component in components]
    if set(outputs) != {1}:
        raise ValueError(f"components must have one output each, got {outputs}")
    if len({id(component.linear) for component in components}) > 1:
        raise ValueError("components must have one linear part, the same object, or none, got several")
