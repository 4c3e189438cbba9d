"""Sibling replicas: the same model trained several times side by side, so that its irreproducibility can be measured.

`ProgressiveMetrics` measures them on every example before any of them trains on it (progressive validation, section 2,
reference [8]).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import fields, keras_generation
from smooth_recs.config import Differ
from smooth_recs.data.shuffling import SiblingBatches
from smooth_recs.metrics import AUCLoss, LogLoss, RelativePredictionDifference
from smooth_recs.metrics._sums import column
from smooth_recs.models.averaging import WeightAverage, share_admission


class SiblingModel(keras_generation.keras().Model):  # type: ignore[misc]
    """R replicas of one model in one `fit`: one training step trains them all.

    Args:
      build_fn: returns a new, compiled Keras model each time it is called. Its output is a probability of shape [batch]
        or [batch, 1].
      replicas: R, how many; 2 by default.
      differ: what differs between the replicas. `order`, the default: the examples' order, from the same
        initialisation; `init`: the initialisation, on the same batches; `both`; `nothing`: what still differs is due to
        the hardware.

    `fit` takes a dataset of `SiblingBatches` (`data.shuffling.shuffled`), one batch a replica, or of usual (x, y) or
    (x, y, sample_weight) batches, which all replicas train on. `differ="order"` and `"both"` need the former.

    The model maps a batch of inputs to the predictions of all replicas, float32 [batch, R].

    Attributes:
      replicas: the models that are trained.
      weight_average: the average of their weights, once `keep_average` was called; None before.

    Raises:
      ValueError: fewer than one replica, an unknown `differ`, replicas of different shapes.

    ```python
    def build():
        model = tf.keras.Sequential([
            tf.keras.layers.Dense(8, activation="smelu"), tf.keras.layers.Dense(1, activation="sigmoid")])
        model.compile(optimizer="adagrad", loss="binary_crossentropy")
        return model

    siblings = sr.models.SiblingModel(build, replicas=2, differ="init")
    siblings.compile()
    siblings.fit(dataset, callbacks=[sr.callbacks.PredictionDifference(validation)])  # the progress bar shows pd
    ```
    """

    def __init__(self, build_fn: Callable[[], Any], replicas: int = 2, differ: Differ = "order", **kwargs: Any) -> None:
        if replicas < 1:
            raise ValueError(f"replicas must be at least 1, got {replicas!r}")
        fields.check("differ", differ, Differ)
        super().__init__(**kwargs)
        self.replicas = [build_fn() for _ in range(replicas)]
        self.differ = differ
        self.weight_average: WeightAverage | None = None
        self._build_fn = build_fn
        self._element_spec: Callable[[], Any] = lambda: None
        self.progressive: ProgressiveMetrics | None = None
        self._replicas_built = False

    @property
    def metrics(self) -> list[Any]:
        """The metrics of all replicas; `fit` resets them at the beginning of an epoch."""
        return [metric for replica in self.replicas for metric in replica.metrics]

    @property
    def metrics_names(self) -> list[str]:
        """The metrics' names, each once: the mean over the replicas is reported."""
        return list(self.replicas[0].metrics_names)

    def compile(self, *, progressive: bool = False, **kwargs: Any) -> None:
        """Sets up the loop (`steps_per_execution`, `run_eagerly`); every replica keeps its own optimizer.

        Args:
          progressive: before each training step all replicas predict rows that none has trained on yet: `ahead` of
            `SiblingBatches`, or the batch itself where they share it. `progressive_pd`, `progressive_log_loss` and
            `progressive_auc_loss` in the logs are over all such rows since `callbacks.ProgressiveValidation` last reset
            them. `fit` does not reset them, so that a resumed run continues them.
          kwargs: those of `tf.keras.Model.compile` that concern the loop.
        """
        super().compile(**kwargs)
        self.progressive = ProgressiveMetrics(len(self.replicas)) if progressive else None

    def fit(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Does what `tf.keras.Model.fit` does, for a `tf.data.Dataset`."""
        if not self._replicas_built:  # a parameter server's DatasetCreator has no element_spec
            self.build_replicas(x.element_spec)
        return super().fit(x, *args, **kwargs)

    def build_replicas(self, element_spec: Any) -> None:
        """Makes the replicas' variables for batches of this specification, with equal values unless `init` differs.

        `fit` does it before the first step; later calls do nothing.

        Raises:
          ValueError: the replicas' variables have different shapes.
        """
        if self._replicas_built:
            return
        self._element_spec = lambda: element_spec  # Keras would make a tuple a part of the model

        def one_row(spec: tf.TensorSpec) -> tf.Tensor:
            shape = [1, *(size or 1 for size in spec.shape[1:])]
            return tf.fill(shape, "") if spec.dtype == tf.string else tf.zeros(shape, spec.dtype)

        batch = element_spec.batches[0] if isinstance(element_spec, SiblingBatches) else element_spec
        for replica in self.replicas:
            replica(tf.nest.map_structure(one_row, batch[0]), training=False)
        self._replicas_built = True
        if self.differ in ("order", "nothing"):
            first = self.replicas[0].variables
            for replica in self.replicas[1:]:
                if [v.shape for v in replica.variables] != [v.shape for v in first]:
                    raise ValueError("build_fn must return the same model each time, got variables of other shapes")
                for variable, value in zip(replica.variables, first, strict=True):
                    variable.assign(value)

    def keep_average(
        self, half_life: float, build_fn: Callable[[], Any] | None = None, *, by_row: bool = False
    ) -> None:
        """Keeps an average of all weights of all replicas from now on, which is measured, exported and taught by.

        `callbacks.AverageWeights` brings it up to date while the siblings train; `models.averaging` has the formula.

        Args:
          half_life: in steps.
          build_fn: returns a new model of a replica's variables; None: what makes the replicas.
          by_row: embedding tables are kept by row instead of in passes; see `models.averaging.WeightAverage`.

        Raises:
          InputError: the half-life is not above 0.
          ValueError: the replicas have no variables yet, or the new models have different ones.
        """
        if not self._replicas_built:
            raise ValueError("replicas must have their variables before they are averaged: call build_replicas")
        averaged = SiblingModel(build_fn or self._build_fn, len(self.replicas), "init")
        for copy, replica in zip(averaged.replicas, self.replicas, strict=True):
            share_admission(copy, replica)
        averaged.build_replicas(self._element_spec())
        self.weight_average = WeightAverage(self, averaged, half_life, by_row)

    @property
    def deployed(self) -> SiblingModel:
        """The siblings that are measured, exported and taught by: the averages where they are kept, else these."""
        return self if self.weight_average is None else self.weight_average.averaged

    def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
        predictions = [replica(inputs, training=training) for replica in self.replicas]
        return tf.stack([tf.reshape(tf.cast(p, tf.float32), [-1]) for p in predictions], axis=1)

    def train_step(self, data: Any) -> dict[str, Any]:
        batches: Sequence[Any] = data.batches if isinstance(data, SiblingBatches) else [data] * len(self.replicas)
        if len(batches) != len(self.replicas):
            raise ValueError(f"there must be one batch a replica, got {len(batches)} for {len(self.replicas)} replicas")
        progressive = {}
        if self.progressive is not None:  # before the step, or the rows would not be new
            new = new_rows(data)
            if new is not None:
                x, label, weight = new
                self.progressive.update(self.deployed.call(x, training=False), label, weight)
            progressive = self.progressive.result()
        logs = [replica.train_step(batch) for replica, batch in zip(self.replicas, batches, strict=True)]
        return {**_means(logs), **progressive}

    def test_step(self, data: Any) -> dict[str, Any]:
        return _means([replica.test_step(data) for replica in self.replicas])

    def get_metrics_result(self) -> dict[str, Any]:
        """The means over the replicas, which `fit` and `evaluate` report."""
        return _means([replica.get_metrics_result() for replica in self.replicas])


def _means(logs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of each value over the replicas' logs."""
    return {name: tf.add_n([log[name] for log in logs]) / len(logs) for name in logs[0]}


class ProgressiveMetrics(tf.Module):
    """Streaming metrics of what R replicas predict for rows that are new to all of them.

    `progressive_pd` is the mean over the pairs of replicas, and absent with one replica; `progressive_log_loss` and
    `progressive_auc_loss` are means over the replicas.
    """

    def __init__(self, replicas: int) -> None:
        super().__init__()
        self.pairs = list(itertools.combinations(range(replicas), 2))
        self.difference = RelativePredictionDifference()
        self.log_loss = LogLoss()
        self.auc_losses = [AUCLoss() for _ in range(replicas)]

    def update(self, predictions: tf.Tensor, label: Any, weight: Any) -> None:
        """Adds a batch: predictions [batch, R], label and weight [batch] or [batch, 1]."""
        columns = tf.unstack(predictions, num=len(self.auc_losses), axis=1)
        for one, other in self.pairs:
            self.difference.update_state(columns[one], columns[other], weight)
        for prediction, auc_loss in zip(columns, self.auc_losses, strict=True):
            self.log_loss.update_state(label, prediction, weight)
            auc_loss.update_state(label, prediction, weight)

    def result(self) -> dict[str, tf.Tensor]:
        pd = {"progressive_pd": self.difference.result()} if self.pairs else {}
        auc_loss = tf.add_n([metric.result() for metric in self.auc_losses]) / len(self.auc_losses)
        return pd | {"progressive_log_loss": self.log_loss.result(), "progressive_auc_loss": auc_loss}

    @property
    def rows(self) -> float:
        """The weight of the rows so far, in one replica."""
        return float(tf.convert_to_tensor(self.log_loss.weight)) / len(self.auc_losses)

    def reset(self) -> None:
        for metric in (self.difference, self.log_loss, *self.auc_losses):
            metric.reset_state()


def new_rows(data: Any) -> tuple[Any, Any, Any] | None:
    """Finds (x, y, weight) of a step's rows that no replica has trained on; None where the step has none.

    A plain batch, which all replicas share, is new itself. Rows that only pad `ahead` to its size weigh 0.
    """
    unpack = keras_generation.keras().utils.unpack_x_y_sample_weight
    if not isinstance(data, SiblingBatches):
        x, y, weight = unpack(data)
        return x, y, weight
    if not tf.nest.flatten(data.ahead):
        return None
    x, y, weight = unpack(data.ahead)
    counts = tf.cast(data.is_ahead, tf.float64)
    return x, y, counts if weight is None else counts * column(weight)
