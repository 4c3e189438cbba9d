"""Checkpoints that know the position in the data, so that a killed run resumes where it was."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from smooth_recs import _files, _paths, keras_generation
from smooth_recs.callbacks.keep_best import KeepBest
from smooth_recs.cluster.preemption import Preemption
from smooth_recs.errors import InputError
from smooth_recs.interruption import Interruption
from smooth_recs.layers import embedding_tables
from smooth_recs.layers.dropout import DropoutState
from smooth_recs.models.trackable import make_optimizer_variables, trackable

_UNREADABLE = (tf.errors.OpError, IndexError)  # IndexError is what TensorFlow 2.21 raises for a file that is too short
# A process of the cluster is gone: the file is not to blame.
_OTHERS_GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
_AVERAGE = "average/"  # where the names of an average's variables begin
_COMPLETED = "checkpoint"  # the file that lists the checkpoints; TensorFlow writes it once one is complete


class Checkpoints(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """Saves the model, its optimizers and the number of steps done, at intervals and at the end of `fit`.

    Keras' own `BackupAndRestore` saves the weights and the epoch, but not the position in the data.

    Args:
      model: the model to save.
      directory: the folder of the checkpoints; the newest three are kept.
      seconds: least time between two of them, 60 by default.
      steps: saves at every multiple of so many steps instead: processes that train in step must save together.
      newest_in: the folder of another process, whose checkpoints `restore` takes.
      on_save: a function that is called with the number of steps done before each checkpoint is written, to write what
        else belongs to it.
      interruption: ends `fit` once a signal has come and a checkpoint is saved; of processes that train in step all
        after the same one.
      best: a callback whose best weights are saved too; the model must be built. Its history is restored separately.

    An average of the model's weights (`SiblingModel.keep_average`) is saved with it.

    Attributes:
      ends_epoch: set it to False where a `fit` is only a part of an epoch and another follows at once: then its end is
        not saved.

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
        steps: int | None = None,
        newest_in: str | None = None,
        interruption: Interruption | Preemption | None = None,
    ) -> None:
        super().__init__()
        self._steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._best = best
        kept = {} if best is None else {"best": best.copies(model)}
        self._model, self._parts = model, {"steps": self._steps, **kept}
        checkpoint = tf.train.Checkpoint(**_with_average(model), **self._parts)
        _files.makedirs(directory)
        self._manager = tf.train.CheckpointManager(checkpoint, _paths.literal_folder(directory), max_to_keep=3)
        self._newest_in = newest_in or directory
        self._seconds, self._every = seconds, steps
        self._on_save = on_save
        self._interruption = interruption
        self._saved_at = time.monotonic()
        self._begun = 0
        self._done = self._saved = 0
        self.ends_epoch = True
        self._supports_tf_logs = True  # else tf_keras (2.21) refuses the callback under parameter servers

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one; returns the number of training steps done.

        A damaged one is skipped for the one before it, and one line on stderr says so.

        Raises:
          InputError: see `restore_newest`.
        """
        if restore_newest(self._model, self._newest_in, **self._parts) and self._best is not None:
            self._best.copies_restored()
        self._done = self._saved = int(self._steps.numpy())
        return self._done

    @property
    def steps_done(self) -> int:
        return self._done

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begun = self._done

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        before, self._done = self._done, self._begun + keras_generation.steps_done(self, batch)
        if self._every is not None:
            due = self._done // self._every > before // self._every
        else:
            due = time.monotonic() - self._saved_at >= self._seconds
        # What is measured at the end of an epoch comes after its last batch, and belongs into the checkpoint of then.
        last = self.ends_epoch and batch + 1 >= ((self.params or {}).get("steps") or math.inf)
        if last:
            return
        ends = self._interruption is not None and self._interruption.is_due(self._done)
        if due or ends:
            self.save()
        if ends and self._interruption is not None:
            self._interruption.end()

    def on_train_end(self, logs: Any = None) -> None:
        if self.ends_epoch:
            self.save()
            if self._interruption is not None:
                self._interruption.end()

    def save_new(self) -> None:
        """Writes a checkpoint if there is something new to save."""
        if self._done > self._saved:
            self.save()

    def save(self) -> str:
        """Writes a checkpoint now; returns its path."""
        coordinator = getattr(self.model, "_cluster_coordinator", None)
        if coordinator is not None:
            coordinator.join()  # under parameter servers the steps so far are still on their way
        # First what belongs to the checkpoint: a process killed in between leaves a record without a checkpoint, which
        # the one before it covers, and never a checkpoint without its record.
        if self._on_save is not None:
            self._on_save(self._done)
        self._steps.assign(self._done)
        with writing(f"{self._manager.directory}/ckpt-{self._done}"):
            path = self._manager.save(checkpoint_number=self._done)
        self._saved_at, self._saved = time.monotonic(), self._done
        return str(path)


def _matched(checkpoint: Any, path: str) -> None:
    """Restores; AssertionError where an object is not in the file, but for the random state of dropout.

    Version 0.1.0 did not save that.
    """
    # A file may hold more, such as variables that an optimizer makes in its first step.
    status = checkpoint.restore(path).expect_partial()
    drops = any(isinstance(each, DropoutState) for each in tf.train.TrackableView(checkpoint).descendants())
    if drops and not any("/_state/value/" in name for name in reader(path).get_variable_to_shape_map()):
        status.assert_nontrivial_match()
    else:
        status.assert_existing_objects_matched()


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """Says of a file that becomes too large what it is; Keras (tf_keras 2.21) would end `fit` in silence.

    TensorFlow 2.21 has one error for a file over the limit of its size and for data that have ended.

    Raises:
      OSError: `what` is larger than the process may write.
    """
    try:
        yield
    except tf.errors.OutOfRangeError as error:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        limited = "" if limit == resource.RLIM_INFINITY else f" (the limit is {limit:,} bytes: ulimit -f)"
        raise OSError(errno.EFBIG, f"{what} cannot be written: it is too large a file{limited}") from error


def newest_first(directory: str) -> list[str]:
    """Finds the checkpoints in a folder, most steps first, even where the file that lists them is damaged."""
    names = _files.listdir(directory) if _files.isdir(directory) else []
    found = [re.fullmatch(r"ckpt-(\d+)\.(?:index|data-.*)", name) for name in names]
    return [os.path.join(directory, f"ckpt-{n}") for n in sorted({int(f[1]) for f in found if f}, reverse=True)]


def reader(path: str) -> Any:
    """TensorFlow's reader of the checkpoint at `path`, such as `checkpoints/ckpt-100`."""
    folder, name = os.path.split(path)
    # `tf.train.load_checkpoint` asks whether it is a folder, and takes any beginning of a file's name at ram:// for one
    # (TensorFlow 2.21).
    return tf.compat.v1.train.NewCheckpointReader(os.path.join(_paths.literal_folder(folder), name))


def holds_average(directory: str, prefix: str = "") -> bool | None:
    """Whether the newest checkpoint in a folder that can be read has parts of an average whose names begin so.

    None where there is no checkpoint with an average.
    """
    for path in newest_first(directory):
        try:
            names = [name for name in reader(path).get_variable_to_shape_map() if name.startswith(_AVERAGE)]
        except (*_UNREADABLE, RuntimeError, ValueError):  # depending on where the damage is (TensorFlow 2.21)
            continue
        return any(name.startswith(f"{_AVERAGE}{prefix}") for name in names) if names else None
    return None


def restore_newest(
    model: Any, directory: str, called: str = "this model, take another workdir", **parts: Any
) -> str | None:
    """Restores the newest checkpoint in a folder that can be read; one line on stderr names each that cannot.

    The average of a model that keeps one begins anew, as the weights, where the checkpoint has none.

    Args:
      model: what `Checkpoints` saved, all of whose objects must be in the files.
      directory: the folder where it did.
      called: the model as an error message calls it.
      parts: other objects that must be in the files.

    Returns:
      Its path, or None where there is no checkpoint, or only a first one that a killed process was still writing.

    Raises:
      InputError: there are checkpoints, but none can be read; or one lacks a variable, so it is of another model or
        version.
    """
    paths, given_up = newest_first(directory), False
    for path in paths:
        try:
            given_up |= _give_up_tables(model, path)
            _restore(os.path.join(_paths.literal_folder(directory), os.path.basename(path)), model, parts)
        except _OTHERS_GONE:
            raise
        except _UNREADABLE as error:
            reason = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", str(error).splitlines()[0])  # without names of graph nodes
            print(f"checkpoint {path} cannot be read, the one before it is tried: {reason}", file=sys.stderr)
        except (AssertionError, ValueError) as error:
            raise InputError(f"checkpoint {path} is not of {called}: {error}") from error
        else:
            return path
    if given_up or (paths and _files.exists(os.path.join(directory, _COMPLETED))):
        raise InputError(f"no checkpoint in {directory} can be read: repair it, or take another workdir")
    return None


def _with_average(model: Any) -> dict[str, Any]:
    """The model and the average of its weights, if it keeps one, as parts of a checkpoint."""
    average, parts = getattr(model, "weight_average", None), {"model": trackable(model)}
    return parts if average is None else {**parts, "average": average.checkpoint}


def _give_up_tables(model: Any, path: str) -> bool:
    """Frees the memory of large tables, and of what optimizers keep of them, before values are read; whether it did.

    TensorFlow (2.21) reads all values of a checkpoint before it gives the first variable its own. With the values from
    before that would take the memory of two models.
    """
    if isinstance(tf.distribute.get_strategy(), tf.distribute.ParameterServerStrategy):
        return False  # on each server a part, which is a variable of its own
    try:
        reader(path)
    except (*_UNREADABLE, RuntimeError, ValueError):  # one that was never completed: the values from before may stay
        return False
    given_up = False
    for replica in getattr(model, "replicas", [model]):
        for table in getattr(replica, "embedding_variables", ()):
            for each in (table, *_slots(getattr(replica, "optimizer", None), table)):
                given_up |= embedding_tables.give_up(each)
    return given_up


def _slots(optimizer: Any, variable: Any) -> Iterator[Any]:
    """What an optimizer, or each of those that it consists of, keeps for a variable."""
    for one in getattr(optimizer, "optimizers", ()):
        for name in one.get_slot_names():
            with contextlib.suppress(KeyError, AttributeError):  # another optimizer's variable
                yield one.get_slot(variable, name)


def _restore(path: str, model: Any, parts: dict[str, Any]) -> None:
    """Restores a checkpoint; AssertionError where it lacks something other than the average."""
    make_optimizer_variables(model)
    saved = _with_average(model)
    try:
        _matched(tf.train.Checkpoint(**saved, **parts), path)
    except AssertionError:
        found = [name for name in reader(path).get_variable_to_shape_map() if name.startswith(_AVERAGE)]
        if saved.pop("average", None) is None or found:
            raise
        _matched(tf.train.Checkpoint(**saved, **parts), path)
        model.weight_average.reset()
