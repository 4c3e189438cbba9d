"""Learned activations in TensorBoard, while they train."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

from smooth_recs import activations
from smooth_recs.callbacks.periodic import Periodic

_STATISTICS = {"minimum": tf.reduce_min, "mean": tf.reduce_mean, "maximum": tf.reduce_max}


class LearnedActivations(Periodic):
    """Writes what the learned hyperparameters of the model's activations are, as TensorBoard scalars.

    One number is written as `activations/LAYER/NAME`, one a unit as `.../minimum`, `.../mean` and `.../maximum`.

    ```python
    model.fit(data, callbacks=[sr.callbacks.LearnedActivations("runs/tensorboard", every=100)])
    ```

    Args:
      log_dir: folder of the event files.
      every: training steps between two points; the start of a `fit` and the end of every epoch are points too.

    Raises:
      ValueError: every below 1.
    """

    def __init__(self, log_dir: str | os.PathLike[str], every: int = 100):
        super().__init__(every, log_dir)
        self._layers: list[Any] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._layers = [layer for layer in activations.find(self.model) if layer.learn]
        self.report(logs)

    def report(self, logs: dict[str, Any] | None) -> None:
        with self._writer.as_default(step=self.step):
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
