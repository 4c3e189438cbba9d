"""Callbacks that report every so many training steps: learned activations, and the curve of progressive validation."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from smooth_recs import activations, keras_generation
from smooth_recs.backends import ops
from smooth_recs.errors import InputError

_STATISTICS: dict[str, Callable[[Any], Any]] = {"minimum": np.min, "mean": np.mean, "maximum": np.max}


class Periodic(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """A callback that calls `report(logs)` at intervals, knows the training step and writes for TensorBoard.

    Args:
      every: "epoch" reports at every epoch's end; a number of training steps also at every multiple of it, which are
        the same steps in a resumed run. With `steps_per_execution` above 1, the report follows the execution that
        passes one.
      log_dir: the folder where `write` leaves values for TensorBoard; None for nowhere.

    Attributes:
      step: training steps made, those before this `fit` included.
      ends_epoch: set it to False where a `fit` is only a part of an epoch: then nothing is reported at its end.

    Raises:
      ValueError: `every` is neither "epoch" nor a number of at least 1.
    """

    def __init__(self, every: str | int, log_dir: str | os.PathLike[str] | None) -> None:
        super().__init__()
        if every != "epoch" and (not isinstance(every, int) or every < 1):
            raise ValueError(f"every must be 'epoch' or a number of steps of at least 1, got {every!r}")
        self.every = every
        self.log_dir = log_dir
        self.step = self._epoch_start = 0
        self.ends_epoch = True
        self._writer: Any = None
        # Without these tf_keras (2.21) turns the logs of every execution into NumPy for this callback, and Keras 3
        # (3.15) waits for each execution before it starts the next one.
        self._supports_tf_logs = True
        self.async_safe = every == "epoch"

    def report(self, logs: dict[str, Any] | None) -> None:
        raise NotImplementedError

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        # Steps before this `fit`, as the model's optimizer counted them, or that of its first replica.
        trained = (getattr(self.model, "replicas", None) or [self.model])[0]
        iterations = getattr(getattr(trained, "optimizer", None), "iterations", None)
        self.step = max(self.step, 0 if iterations is None else int(iterations.numpy()))
        if self.log_dir is not None:
            self._writer = _summary().create_file_writer(str(self.log_dir))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch_start = self.step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        before, self.step = self.step, max(self.step, self._epoch_start + keras_generation.steps_done(self, batch))
        if self.every != "epoch" and self.step // int(self.every) > before // int(self.every):
            self.report(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.ends_epoch:
            self.report(logs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def write(self, values: Mapping[str, float]) -> None:
        """Writes values by name for TensorBoard, at this step."""
        if self._writer is None:
            return
        with self._writer.as_default(step=self.step):
            for name, value in values.items():
                _summary().scalar(name, value)
        self._writer.flush()


class LearnedActivations(Periodic):
    """Writes the learned and the relative hyperparameters of the model's activations as TensorBoard scalars.

    A single number is written as `activations/LAYER/NAME`, one number a unit as `.../minimum`, `.../mean` and
    `.../maximum`.

    ```python
    model.fit(data, callbacks=[sr.callbacks.LearnedActivations("runs/tensorboard", every=100)])
    ```

    Args:
      log_dir: the folder of the event files.
      every: training steps between two points, 100 by default; the start of a `fit` and the end of every epoch are
        points too.

    Raises:
      ValueError: every below 1.
    """

    def __init__(self, log_dir: str | os.PathLike[str], every: int = 100):
        super().__init__(every, log_dir)
        self._layers: list[Any] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._layers = [layer for layer in activations.find(self.model) if layer.moving]
        self.report(logs)

    def report(self, logs: dict[str, Any] | None) -> None:
        with self._writer.as_default(step=self.step):
            for layer in self._layers:
                now = layer.hyperparameters() if layer.built else {}
                for name in set(layer.moving).intersection(now):
                    _scalars(f"activations/{layer.name}/{name}", now[name])


class ProgressiveValidation(Periodic):
    """Reads and resets the progressive metrics of a `SiblingModel` at intervals: each point measures a window of rows.

    All replicas predict each row of the log before any of them trains on it (section 2, reference [8]), so no rows are
    held out, and every row counts once. It needs `sr.models.SiblingModel.compile(progressive=True)` and
    `data.shuffling.shuffled(..., ahead=True)`. Rows of the first shuffle window are not predicted. From the second
    epoch on no row is new, and nothing is recorded.

    Args:
      every: a number of training steps, or "epoch", the default; see `Periodic`. A window also ends with an epoch.
      log_dir: the folder where the same values are written for TensorBoard, by training step; None for nowhere.

    Attributes:
      history: dicts with `step` (where the window ended), `progressive_pd` (with two or more replicas),
        `progressive_log_loss` and `progressive_auc_loss`, in order. A window without a new row has none, and its values
        are taken out of `logs` too.

    The metrics are saved and restored with the model: a run that resumes within a window completes it.

    Raises:
      ValueError: the model was compiled without `progressive=True`.

    ```python
    siblings.compile(progressive=True)
    validation = sr.callbacks.ProgressiveValidation(every=100)
    siblings.fit(shuffled(open_rows, window=1000, batch_size=50, seeds=[1, 2], ahead=True), callbacks=[validation])
    validation.history  # [{"step": 100, "progressive_pd": ..., ...}, ...]
    ```
    """

    def __init__(self, every: str | int = "epoch", log_dir: str | os.PathLike[str] | None = None) -> None:
        super().__init__(every, log_dir)
        self.history: list[dict[str, float]] = []
        self._rows_are_new = True

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if getattr(self.model, "progressive", None) is None:
            raise ValueError(
                "ProgressiveValidation needs a SiblingModel compiled with progressive=True, "
                f"got a {type(self.model).__name__} without"
            )
        super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._rows_are_new = epoch == 0

    def report(self, logs: dict[str, Any] | None) -> None:
        metrics = self.model.progressive
        values = {name: float(value) for name, value in metrics.result().items()}
        if self._rows_are_new and metrics.rows > 0:
            self.history.append({"step": self.step, **values})
            self.write(values)
        if logs is not None and not (self.history and self.history[-1]["step"] == self.step):
            for name in values:  # they are of no row, or of rows that were trained on
                logs.pop(name, None)
        metrics.reset()


def _summary() -> Any:
    """TensorFlow's writers of event files, which the other backends of Keras do without."""
    if importlib.util.find_spec("tensorflow") is None:
        raise InputError("log_dir needs TensorFlow, which is not installed: pip install smooth-recs[tensorflow]")
    import tensorflow as tf

    return tf.summary


def _scalars(name: str, value: Any) -> None:
    """Writes a number, the statistics of one number a unit, or a list of these, one a knot."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            _scalars(f"{name}_{i}", item)
    elif len(value.shape) == 0:
        _summary().scalar(name, ops.to_numpy(value))
    else:
        for statistic, of in _STATISTICS.items():
            _summary().scalar(f"{name}/{statistic}", of(ops.to_numpy(value)))
