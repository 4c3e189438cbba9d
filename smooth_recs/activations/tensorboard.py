"""Learned activations in TensorBoard, while they train."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.activations import checks, freezing

_STATISTICS = {"minimum": tf.reduce_min, "mean": tf.reduce_mean, "maximum": tf.reduce_max}


class LearnedActivations(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """Writes what the learned hyperparameters of the model's activations are, as TensorBoard scalars.

    One number is written as `activations/LAYER/NAME`, one a unit as `.../minimum`, `.../mean` and `.../maximum`.

    ```python
    model.fit(data, callbacks=[sr.activations.LearnedActivations("runs/tensorboard", every=100)])
    ```

    Args:
      log_dir: folder of the event files.
      every: training steps between two points; the start and the end of every epoch are points too.

    Raises:
      InputError: every below 1.
    """

    def __init__(self, log_dir: str, every: int = 100):
        super().__init__()
        checks.number("every", every, at_least=1)
        self._log_dir = log_dir
        self._every = every
        self._epoch_start = self._seen = self._written = 0
        self._supports_tf_logs = True  # else tf_keras refuses the callback under parameter servers

    def on_train_begin(self, logs: Any = None) -> None:
        self._writer = tf.summary.create_file_writer(self._log_dir)
        self._layers = [layer for layer in freezing.find(self.model) if layer.learn]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch_start = self._seen
        self._write()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._seen = self._epoch_start + batch + 1
        if self._seen >= self._written + self._every:
            self._write()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._write()

    def on_train_end(self, logs: Any = None) -> None:
        self._writer.close()

    def _write(self) -> None:
        self._written = self._seen
        with self._writer.as_default(step=self._seen):
            for layer in self._layers:
                now = layer.hyperparameters() if layer.built else {}
                for name in set(layer.learn).intersection(now):
                    _scalars(f"activations/{layer.name}/{name}", now[name])


def _scalars(name: str, value: Any) -> None:
    if isinstance(value, list):  # one a knot
        for i, item in enumerate(value):
            _scalars(f"{name}_{i}", item)
    elif value.shape.rank == 0:
        tf.summary.scalar(name, value)
    else:
        for statistic, of in _STATISTICS.items():
            tf.summary.scalar(f"{name}/{statistic}", of(value))
