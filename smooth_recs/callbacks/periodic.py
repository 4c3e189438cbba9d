"""Callbacks that report every so many training steps and at every epoch's end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation


class Periodic(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """Calls `report(logs)` when it is time, knows the training step and writes for TensorBoard.

    Args:
      every: "epoch", or a number of training steps: then also at every multiple of it, at the same steps in a resumed
        run. With `steps_per_execution` above 1, after the execution that passes one.
      log_dir: where `write` leaves values for TensorBoard; None: nowhere.

    Attributes:
      step: training steps made, those before this `fit` included.
      ends_epoch: set it to false where a `fit` makes a part of an epoch only: then nothing is reported at its end.
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
        # Without these tf_keras turns the logs of every execution into NumPy for this callback, and Keras 3 waits for
        # each execution before it starts the next one.
        self._supports_tf_logs = True
        self.async_safe = every == "epoch"

    def report(self, logs: dict[str, Any] | None) -> None:
        raise NotImplementedError

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.step = max(self.step, _steps_made(self.model))
        if self.log_dir is not None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch_start = self.step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # The last execution of an epoch may be a short one.
        in_epoch = min(batch + 1, self.params.get("steps") or batch + 1)
        before, self.step = self.step, max(self.step, self._epoch_start + in_epoch)
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
        """To TensorBoard, at this step."""
        if self._writer is None:
            return
        with self._writer.as_default(step=self.step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()


def _steps_made(model: Any) -> int:
    """Training steps before this `fit`, by the model's optimizer or that of its first replica."""
    trained = (getattr(model, "replicas", None) or [model])[0]
    iterations = getattr(getattr(trained, "optimizer", None), "iterations", None)
    return 0 if iterations is None else int(iterations.numpy())
