"""Exports on disk: versions, what a path holds, and models that predict from the raw features of a log.

An export is a SavedModel. A folder of exports has versions, as TensorFlow Serving knows them: folders whose names are
numbers, the highest of which is the newest. `identify` tells an export from a Keras model and from a file of
predictions. `SavedModel` predicts through the serving signature, so that models of other programs do too, and no Keras
and no custom object is needed; `check_inputs` and `as_inputs` fit raw features to the inputs of any model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs import _files, _paths
from smooth_recs.data import files
from smooth_recs.errors import InputError

SAVED_MODEL = "saved_model.pb"
EXPORT, KERAS, PREDICTIONS = "export", "keras", "predictions"
PREDICTION_FILES = (".csv", ".csv.gz", ".tfrecord", ".tfrecord.gz", ".parquet")
_REPLICA_0 = (("export", "replica_0"), ("replica_0",))  # from a workdir, from its folder of exports
SIGNATURE, OUTPUT = "serving_default", "probability"

Columns = dict[str, npt.NDArray[Any]]


def versions(base: str) -> list[int]:
    """Numbers of the exports under `base`, oldest first; none where there is no such folder."""
    # isdecimal, as int() reads it: isdigit is true of a superscript two as well.
    return sorted(int(name) for name in (_files.listdir(base) if _files.isdir(base) else ()) if name.isdecimal())


def next_version(base: str) -> str:
    """The path of the version that follows the newest one under `base`."""
    return os.path.join(base, str(max(versions(base), default=0) + 1))


def is_export(path: str) -> bool:
    """Whether the folder `path` is a SavedModel."""
    return _files.exists(os.path.join(path, SAVED_MODEL))


def newest_version(path: str) -> str | None:
    """`path` itself where it is an export, else the newest version under it that is one; None where there is none.

    Of a run's workdir, and of its folder of exports, the newest version of replica 0.
    """
    folders = [path, *(os.path.join(path, *names) for names in _REPLICA_0)]
    numbered = [os.path.join(base, str(version)) for base in folders for version in reversed(versions(base))]
    return next(filter(is_export, [path, *numbered]), None)


class Artifact(NamedTuple):
    """Something that has predictions, or makes them.

    Attributes:
      flag: `--a` or `--b` for example, which error messages begin with.
      path: the file or folder itself; of a folder of versions, the newest one.
      kind: `export`, `keras` or `predictions`.
    """

    flag: str
    path: str
    kind: str


def identify(flag: str, path: str) -> Artifact:
    """What `path` holds.

    Args:
      flag: begins error messages.
      path: an export, a folder of its versions, the workdir of a run (replica 0 is taken), a `.keras` file, or a file
        of predictions.

    Raises:
      InputError: there is no such file or folder, or it is of no kind that predictions can come from.
    """
    if _files.isdir(path):
        newest = newest_version(path)
        if newest is None and _files.exists(os.path.join(path, "config.json")):
            raise InputError(f"{flag}: the run in {path} has no export of replica 0; is it finished?")
        if newest is None:
            raise InputError(
                f"{flag}: the folder holds neither {SAVED_MODEL} nor a folder of a version that does: {path}"
            )
        return Artifact(flag, newest, EXPORT)
    if not _files.exists(path):
        raise InputError(f"{flag}: no such file or folder: {path}")
    if path.endswith(".keras"):
        return Artifact(flag, path, KERAS)
    if path.endswith(PREDICTION_FILES):
        return Artifact(flag, path, PREDICTIONS)
    kinds = ", ".join(PREDICTION_FILES)
    raise InputError(f"{flag} must be a SavedModel, a .keras file or predictions ({kinds}), got {path}")


def fingerprint(artifact: Artifact) -> str:
    """Digest of the contents and of the names within a folder; where the artifact lies does not count."""
    found = [artifact.path]
    if _files.isdir(artifact.path):
        found = _files.files_in(artifact.path)
    return files.fingerprint(found, *(os.path.relpath(file, artifact.path) for file in found))


class Input(NamedTuple):
    """An input of a model: `dtype` by name, such as `int64`; `shape` of a batch, None where a size is free."""

    dtype: str
    shape: tuple[int | None, ...]


class Model(Protocol):
    """A model that predicts from raw features.

    Attributes:
      inputs: by name; None where the model takes the dictionary of all features.
    """

    inputs: dict[str, Input] | None

    def predict(self, features: Columns) -> npt.NDArray[Any]:
        """Probabilities [n] or [n, 1] of n rows."""

    def close(self) -> None:
        """Frees what the model holds."""


def check_inputs(flag: str, inputs: Mapping[str, Input] | None, features: Mapping[str, Any]) -> None:
    """Refuses a model with an input that the features cannot give.

    Args:
      flag: begins the message.
      inputs: those of the model.
      features: `Encoder.raw_signature()` of the data.

    Raises:
      InputError: an input is no feature, or is of another type or shape; the message names the first of them.
    """

    def shown(shape: Any) -> str:
        return f"[{', '.join(['n', *('any' if size is None else str(size) for size in list(shape)[1:])])}]"

    for name, wanted in sorted((inputs or {}).items()):
        what = f"{flag}: the model's input {name!r}"
        if name not in features:
            raise InputError(f"{what} is no feature of --config, which has {', '.join(features)}")
        there = features[name]
        # Numbers of different types may still be equal, which only the values tell: `as_inputs` looks at those.
        if "string" in (wanted.dtype, there.dtype.name) and wanted.dtype != there.dtype.name:
            raise InputError(f"{what} is {wanted.dtype}, the feature {there.dtype.name}")
        # A single value a row may be wanted as [n] or as a column [n, 1]; of several values, how many a row has is
        # known only once rows are there.
        allowed = ((None,),) if there.shape.rank == 2 else ((), (1,), (None,))
        if wanted.shape[1:] not in allowed and not (there.shape.rank == len(wanted.shape) == 2):
            raise InputError(f"{what} has shape {shown(wanted.shape)}, the feature {shown(there.shape)}")


def as_inputs(flag: str, inputs: Mapping[str, Input] | None, features: Columns) -> Columns:
    """The features in the types and shapes that a model wants: [n] as [n, 1], and numbers in another type if equal.

    Args:
      flag: begins error messages.
      inputs: those of the model; None: all features as they are.
      features: arrays of n rows, by name.

    Raises:
      InputError: the number of values a row does not fit, or the input's type cannot hold a number.
    """
    if inputs is None:
        return features
    found = {}
    for name, wanted in inputs.items():
        what, values = f"{flag}: the model's input {name!r}", features[name]
        if len(wanted.shape) == 2 and values.ndim == 1:
            values = values[:, None]
        if values.ndim == 2 and wanted.shape[1] not in (None, values.shape[1]):
            raise InputError(f"{what} takes {wanted.shape[1]} values a row, the feature has {values.shape[1]}")
        if wanted.dtype != "string":
            given, dtype = values, tf.as_dtype(wanted.dtype).as_numpy_dtype
            with np.errstate(invalid="ignore"):  # a NaN has no integer: refused below
                values = given.astype(dtype)
                lost = values.astype(given.dtype) != given
            # An id that its type cannot hold would be another id, and look up a row that is not its own. Between two
            # types of floats a difference is rounding, which the model itself would do.
            if lost.any() and any(np.issubdtype(kind, np.integer) for kind in (given.dtype, dtype)):
                raise InputError(f"{what} is {wanted.dtype}, which cannot hold the feature's {given[lost][0]}")
        found[name] = values
    return found


def probabilities(flag: str, model: Model, features: Columns, first: int) -> npt.NDArray[np.float64]:
    """What a model predicts for a batch of rows, [n].

    Args:
      flag: begins error messages.
      model: the model.
      features: raw features of the rows, by name.
      first: number of the first row, for messages.

    Raises:
      InputError: the model does not take the features, or gives something else than one probability a row.
    """
    return _checked(flag, model.predict(as_inputs(flag, model.inputs, features)), features, first)


def task_probabilities(
    flag: str, model: SavedModel, features: Columns, first: int, tasks: Sequence[str]
) -> list[npt.NDArray[np.float64]]:
    """What a model predicts for a batch of rows and each of those of its `tasks`, after `probabilities` of the first.

    Args and Raises: as `probabilities`.
    """
    found = model.predict_all(as_inputs(flag, model.inputs, features))
    return [_checked(flag, found[name], features, first) for name in (model.output, *tasks)]


def _checked(flag: str, predicted: Any, features: Columns, first: int) -> npt.NDArray[np.float64]:
    """Predictions as [n], once they are one probability for each row of the features."""
    size = len(next(iter(features.values())))
    values = np.asarray(predicted, np.float64)
    if values.shape not in ((size,), (size, 1)):
        raise InputError(f"{flag}: the model must give one probability a row, got shape {list(values.shape)}")
    check_predictions(flag, values.reshape(size), np.arange(first, first + size))
    return values.reshape(size)


def check_predictions(flag: str, prediction: npt.NDArray[Any], row: npt.NDArray[np.int64]) -> None:
    """Raises InputError for a prediction that is no probability; `row`: the rows' numbers."""
    wrong = ~((prediction >= 0) & (prediction <= 1))  # NaN too
    if wrong.any():
        first = int(np.argmax(wrong))
        hint = "" if np.isnan(prediction[first]) else "; are these logits?"
        raise InputError(f"{flag}: predictions must be in [0, 1], got {prediction[first]:g} in row {row[first]}{hint}")


class SavedModel:
    """A `Model` from a folder with `saved_model.pb`.

    Args:
      flag: begins error messages.
      path: the folder.

    Attributes:
      inputs: those of the signature `serving_default`, or of the only one.
      output: the name of the prediction among its outputs.
      outputs: the names of all of them.

    Raises:
      InputError: it cannot be loaded, or has several signatures or outputs of which none has the usual name.
    """

    def __init__(self, flag: str, path: str) -> None:
        try:
            # Kept: of its variables a signature has weak references only (TensorFlow 2.21), so that it could no longer
            # name them once the loaded object is gone.
            self._loaded = tf.saved_model.load(_paths.literal_folder(path))
        except Exception as error:  # of many types, depending on what is damaged
            raise InputError(f"{flag}: {path} is no whole SavedModel: {' '.join(str(error).split())[:200]}") from error
        signatures = self._loaded.signatures
        name = _named_or_only(f"{flag}: the SavedModel {path} must have a signature", SIGNATURE, list(signatures))
        self._serve = signatures[name]
        specs = self._serve.structured_input_signature[1]
        self.inputs: dict[str, Input] | None = {
            name: Input(spec.dtype.name, tuple(spec.shape)) for name, spec in specs.items()
        }
        self.outputs = list(self._serve.structured_outputs)
        self.output = _named_or_only(f"{flag}: the signature of {path} must have an output", OUTPUT, self.outputs)

    @property
    def variables(self) -> list[Any]:
        """The variables that the signature reads, in an order that models of one program share."""
        return list(self._serve.variables)

    def __call__(self, features: Mapping[str, Any]) -> Any:
        """The output for tensors in the inputs' own types and shapes; within a `tf.function` too."""
        return self._serve(**features)[self.output]

    def predict(self, features: Columns) -> npt.NDArray[Any]:
        """Probabilities [n] or [n, 1] of n rows, whose arrays have the inputs' own types and shapes."""
        return self({name: tf.constant(values) for name, values in features.items()}).numpy()

    def predict_all(self, features: Columns) -> Columns:
        """All outputs for such arrays, by name."""
        found = self._serve(**{name: tf.constant(values) for name, values in features.items()})
        return {name: values.numpy() for name, values in found.items()}

    def close(self) -> None:
        """Frees the variables."""
        del self._serve, self._loaded


def _named_or_only(what: str, wanted: str, names: list[str]) -> str:
    """The wanted name where it is there, else the only one; `what` begins the message where neither is."""
    if wanted in names:
        return wanted
    if len(names) == 1:
        return names[0]
    raise InputError(f"{what} {wanted!r} or only one, got {', '.join(sorted(names)) or 'none'}")
