"""Checkpoints that know the position in the data, so that a killed run goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.callbacks.best import KeepBest
from smooth_recs.errors import InputError


class Checkpoints(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """Saves the model, its optimizers and the number of steps done, at most every `seconds` and at the end of `fit`.

    (Keras' `BackupAndRestore` saves the weights and the epoch, not the position in the data.)

    Args:
      model: the model to save.
      directory: where the checkpoints lie; the newest three are kept.
      seconds: least time between two of them.
      on_save: called with the number of steps done before each checkpoint is written, for what else belongs to it.
      best: its weights are saved too; the model must be built. Its history has to be restored apart.

    ```python
    checkpoints = Checkpoints(model, directory)
    done = checkpoints.restore()  # steps; 0 in a new run
    model.fit(dataset_from(done), callbacks=[checkpoints])
    ```
    """

    def __init__(
        self,
        model: Any,
        directory: str,
        seconds: float = 60.0,
        on_save: Callable[[int], None] | None = None,
        best: KeepBest | None = None,
    ) -> None:
        super().__init__()
        self._steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._best = best
        kept = {} if best is None else {"best": best.copies(model)}
        self._checkpoint = tf.train.Checkpoint(model=model, steps=self._steps, **kept)
        self._manager = tf.train.CheckpointManager(self._checkpoint, directory, max_to_keep=3)
        self._seconds = seconds
        self._on_save = on_save
        self._saved_at = time.monotonic()
        self._begun = 0
        self._done = 0

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one; returns the number of training steps done.

        Raises:
          InputError: the checkpoint lacks a variable of the model: it is another model's, or another version's.
        """
        newest = self._manager.latest_checkpoint
        if newest:
            try:
                self._checkpoint.restore(newest).assert_existing_objects_matched()
            except (AssertionError, ValueError) as error:
                raise InputError(f"checkpoint {newest} is not of this model, take another workdir: {error}") from error
            if self._best is not None:
                self._best.copies_restored()
        self._done = int(self._steps.numpy())
        return self._done

    @property
    def steps_done(self) -> int:
        return self._done

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begun = self._done

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._done = self._begun + batch + 1
        if time.monotonic() - self._saved_at >= self._seconds:
            self.save()

    def on_train_end(self, logs: Any = None) -> None:
        self.save()

    def save(self) -> str:
        """Writes a checkpoint now; returns its path."""
        if self._on_save is not None:
            self._on_save(self._done)
        self._steps.assign(self._done)
        path = self._manager.save(checkpoint_number=self._done)
        self._saved_at = time.monotonic()
        return str(path)
