"""Siblings of a user's own model on any backend of Keras: a `fit` for each, epoch by epoch, and PD between them.

`sr.models.SiblingModel` trains all siblings in one step of TensorFlow. The training steps of Keras 3 on jax and PyTorch
leave no place for that: jax's takes the variables of one model and of one optimizer as its state, PyTorch's calls one
optimizer. So here the siblings take turns: each trains an epoch on rows in an order of its own, then all are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs import fields, keras_generation
from smooth_recs.backends import ops
from smooth_recs.config import Differ
from smooth_recs.errors import InputError

BATCH_SIZE = 32  # Keras' own default


class Siblings:
    """What callbacks see as their model, and what `train_siblings` returns.

    Attributes:
      replicas: the trained models.
      history: the values of each epoch by name, means over the models, as `fit(...).history` of one model has them.
      stop_training: whether a callback has ended the training.
    """

    def __init__(self, replicas: Sequence[Any]) -> None:
        self.replicas = list(replicas)
        self.history: dict[str, list[float]] = {}
        self.stop_training = False

    def predict(self, x: Any, **kwargs: Any) -> npt.NDArray[Any]:
        """What the models predict, a column a model: [rows, R]. Takes what `predict` of one model takes."""
        return np.stack([replica.predict(x, **kwargs).reshape(-1) for replica in self.replicas], axis=-1)

    def get_weights(self) -> list[Any]:
        """The weights of all models, one model after the other."""
        return [weight for replica in self.replicas for weight in replica.get_weights()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets what `get_weights` gave, as `EarlyStopping(restore_best_weights=True)` does."""
        rest = list(weights)
        for replica in self.replicas:
            count = len(replica.get_weights())
            replica.set_weights(rest[:count])
            rest = rest[count:]


def train_siblings(
    build: Callable[[], Any],
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    replicas: int = 2,
    differ: Differ = "order",
    seed: int | None = None,
    batch_size: int = BATCH_SIZE,
    epochs: int = 1,
    callbacks: Sequence[Any] = (),
    verbose: Any = "auto",
    **kwargs: Any,
) -> Siblings:
    """Trains R models of one function side by side, on any backend of Keras, and measures between epochs.

    Args:
      build: returns a new compiled Keras model each time it is called. For PD its output is a probability, [batch] or
        [batch, 1].
      x, y, sample_weight: arrays with one entry a row, or dictionaries or lists of them; or, for data of any other
        kind, x alone as a function of the number of the model and of the epoch, both from 0, which returns what `fit`
        takes and has the orders.
      replicas: R, how many models; 2 by default.
      differ: what differs between them. `order`, the default: the examples' order, from equal initial weights; `init`:
        the initial weights, on the same batches; `both`; `nothing`. Whatever it is, all drop the same units in dropout
        layers.
      seed: makes orders and initial weights the same in each call; chance by default.
      batch_size: rows of a batch of the arrays.
      epochs: how often all rows are seen, each time in a new order.
      callbacks: of the siblings as a whole, at the ends of epochs: `sr.callbacks.PredictionDifference`, `EarlyStopping`
        (which reads `pd` too), `CSVLogger`. What sets the rate of an optimizer belongs to `build`, as a schedule.
      verbose: 0 for no progress bar.
      **kwargs: of `fit` of one model, such as `class_weight` and `validation_data`.

    Returns:
      The siblings, with `history`: `loss`, metrics and `val_...` as means over the models, and `pd`, `auc` and
      `log_loss` of `PredictionDifference`.

    Raises:
      InputError: fewer than one replica; arrays of different lengths; `shuffle=False` where orders differ; a callback
        that reports between steps, when the siblings are at different ones; models of different shapes.

    ```python
    measured = sr.callbacks.PredictionDifference((held_out_x, held_out_y))
    siblings = sr.train_siblings(build, train_x, train_y, batch_size=64, epochs=2, callbacks=[measured])
    siblings.history["pd"]  # one value an epoch
    ```
    """
    fields.check("differ", differ, Differ)
    if replicas < 1:
        raise InputError(f"replicas must be at least 1, got {replicas!r}")
    shuffle = kwargs.pop("shuffle", True)
    orders_differ = differ in ("order", "both") and replicas > 1
    if orders_differ and not (shuffle or callable(x)):
        raise InputError("shuffle must be True where siblings differ in order, got False: all would have one order")
    for callback in callbacks:
        if getattr(callback, "every", "epoch") != "epoch":
            raise InputError(f"every must be 'epoch' where siblings take turns, got {callback.every!r}")
    data = x if callable(x) else _Rows(x, y, sample_weight, seed, orders_differ, shuffle)
    siblings = Siblings(_models(build, replicas, differ, seed, data))
    own = {} if callable(x) else {"batch_size": batch_size}

    keras = keras_generation.keras()
    steps = -(-data.count // batch_size) if isinstance(data, _Rows) else None
    history = keras.callbacks.History()
    bar = [] if verbose == 0 else [_ProgressBar(verbose, epochs, None if steps is None else steps * replicas)]
    told = keras.callbacks.CallbackList([*callbacks, history, *bar], model=siblings, epochs=epochs, steps=steps)
    told.on_train_begin()
    for epoch in range(epochs):
        told.on_epoch_begin(epoch)
        found = []
        randomness = ops.random_state()
        for k, replica in enumerate(siblings.replicas):
            ops.set_random_state(randomness)
            passed_on = _PassedOn(bar, told if k == replicas - 1 else None, k * (steps or 0))
            given = {"epochs": epoch + 1, "initial_epoch": epoch, "verbose": 0, "shuffle": False, **own, **kwargs}
            fitted = replica.fit(**_arguments(data(k, epoch)), **given, callbacks=[passed_on])
            found.append({name: values[-1] for name, values in fitted.history.items()})
        logs = {name: float(np.mean([each[name] for each in found])) for name in found[0]}
        told.on_epoch_end(epoch, logs)
        if siblings.stop_training:
            break
    told.on_train_end()
    siblings.history = history.history
    return siblings


class _Rows:
    """Arrays whose rows are permuted by a seed: for each model and epoch, or for each epoch alone."""

    def __init__(self, x: Any, y: Any, weight: Any, seed: int | None, orders_differ: bool, shuffle: bool) -> None:
        self._tree = keras_generation.keras().tree if not keras_generation.is_legacy() else _nest()
        self._arrays = (x, y, weight)
        counts = {len(array) for array in self._tree.flatten(self._arrays) if array is not None}
        if len(counts) != 1 or 0 in counts:
            raise InputError(f"x, y and sample_weight must have as many rows each, at least one, got {sorted(counts)}")
        (self.count,) = counts
        self._seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self._orders_differ, self._shuffle = orders_differ, shuffle

    def __call__(self, model: int, epoch: int) -> Any:
        if not self._shuffle:
            return self._arrays
        own = model if self._orders_differ else 0
        order = np.random.default_rng([self._seed, epoch, own]).permutation(self.count)
        return self._tree.map_structure(lambda array: None if array is None else np.asarray(array)[order], self._arrays)

    def first(self) -> Any:
        """x of one row."""
        return self._tree.map_structure(lambda array: np.asarray(array)[:1], self._arrays[0])


def _nest() -> Any:
    import tensorflow as tf

    return tf.nest


def _arguments(data: Any) -> dict[str, Any]:
    """What `fit` takes as data."""
    if isinstance(data, tuple) and len(data) <= 3:
        return dict(zip(("x", "y", "sample_weight"), data, strict=False))
    return {"x": data}


def _models(build: Callable[[], Any], replicas: int, differ: str, seed: int | None, data: Any) -> list[Any]:
    """The models, built; with equal weights where these must not differ, and one random state for dropout."""
    models = []
    for k in range(replicas):
        if seed is not None:
            keras_generation.keras().utils.set_random_seed(seed + k)
        models.append(build())
        if not models[-1].built:
            if not isinstance(data, _Rows):
                raise InputError("build must return a model with an Input where x is a function, got one without")
            models[-1](data.first())  # after the seed: tf_keras draws the weights here
    shapes = [[weight.shape for weight in model.get_weights()] for model in models]
    if any(each != shapes[0] for each in shapes):
        raise InputError("build must return models of the same shapes, got different ones")
    if differ in ("order", "nothing"):
        for model in models[1:]:
            model.set_weights(models[0].get_weights())
    keras_generation.share_randomness(models)
    return models


class _ProgressBar(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """One bar an epoch, over the steps of all models; at its end it shows what callbacks before it have measured."""

    def __init__(self, verbose: Any, epochs: int, steps: int | None) -> None:
        super().__init__()
        self._bar = keras_generation.progress_lines([])
        self._bar.set_params({"verbose": 1 if verbose == "auto" else verbose, "epochs": epochs, "steps": steps})

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._bar.on_epoch_begin(epoch)

    def show(self, step: int, logs: dict[str, Any] | None) -> None:
        self._bar.on_train_batch_end(step, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._bar.on_epoch_end(epoch, logs)


class _PassedOn(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """Passes the ends of one model's batches on to the progress bar, and of the last model's to the callbacks."""

    def __init__(self, bar: Sequence[_ProgressBar], told: Any, before: int) -> None:
        super().__init__()
        self._bar, self._told, self._before = bar, told, before

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._told is not None:
            self._told.on_train_batch_begin(batch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        for bar in self._bar:
            bar.show(self._before + batch, logs)
        if self._told is not None:
            self._told.on_train_batch_end(batch, dict(logs or {}))
