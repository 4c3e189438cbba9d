"""What is watched while a run trains: PD, accuracy, speed, learned activations."""

from __future__ import annotations

import os
import time
from typing import Any

import tensorflow as tf

from smooth_recs import activations
from smooth_recs import workdir as workdirs
from smooth_recs.callbacks import PredictionDifference
from smooth_recs.config import Config

EVALUATION_BATCH = 2_000


def callbacks(
    config: Config, log_dir: str, held_out: tf.data.Dataset, steps: int, measured: list[dict[str, float]]
) -> list[Any]:
    """PD and AUC on some held-out rows; TensorBoard; a progress bar that shows them.

    Args:
      config: the run; `train.evaluations` and `train.evaluation_examples` say how much is measured.
      log_dir: of TensorBoard.
      held_out: chunks of (features, label, weight).
      steps: of an epoch.
      measured: receives the measurements.
    """
    watching: list[Any] = [
        activations.LearnedActivations(log_dir),
        tf.keras.callbacks.TensorBoard(log_dir, write_graph=False),
        tf.keras.callbacks.ProgbarLogger("steps", stateful_metrics=["loss", "pd", "auc", "log_loss"]),
    ]
    if config.siblings.replicas == 1:
        return watching
    batches = -(-config.train.evaluation_examples // EVALUATION_BATCH)
    sample = held_out.rebatch(EVALUATION_BATCH).take(batches).cache()
    evaluations = config.train.evaluations
    every = max(steps * config.train.epochs // evaluations, 1) if evaluations else "epoch"
    difference = PredictionDifference(sample, every=every, log_dir=log_dir)
    difference.history = measured
    return [difference, *watching]


class Curve:
    """Held-out measurements of a run, kept over its interruptions."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.measured: list[dict[str, float]] = []

    def restore(self, step: int) -> list[dict[str, float]]:
        """The list to append to, with what was measured up to `step`."""
        if step and os.path.exists(self._path):
            self.measured += [entry for entry in workdirs.read_json(self._path) if entry["step"] <= step]
        return self.measured

    def save(self) -> None:
        workdirs.write_json(self._path, self.measured)


class Speed(tf.keras.callbacks.Callback):
    """Training steps a second, measurements included, without the first execution of a `fit`, which may compile."""

    def __init__(self) -> None:
        super().__init__()
        self._began = self._seconds = self._compiling = 0.0
        self._first: int | None = None
        self._last = self._steps = self._first_steps = 0

    def on_train_begin(self, logs: Any = None) -> None:
        self._began, self._first = time.monotonic(), None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._compiling += now - self._began
            self._first_steps += batch + 1
            self._began, self._first = now, batch
        self._last = batch

    def on_train_end(self, logs: Any = None) -> None:
        if self._first is not None:
            self._steps += self._last - self._first
            self._seconds += time.monotonic() - self._began

    @property
    def steps_per_second(self) -> float:
        """Of the first executions where there were no others; 0 without any step."""
        steps, seconds = (self._steps, self._seconds) if self._steps else (self._first_steps, self._compiling)
        return steps / seconds if steps else 0.0
