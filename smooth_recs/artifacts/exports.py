"""Versions of an export, as TF Serving has them: folders whose names are numbers; the highest is the newest.

What a path holds: an export, a Keras model or a file of predictions.

From the raw features of a log to the inputs of a model, by name.

SavedModels, ours and others', through their serving signature: no Keras and no custom object is needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs.data import files
from smooth_recs.errors import InputError

SAVED_MODEL = "saved_model.pb"


def versions(base: str) -> list[int]:
    """Numbers of the exports under `base`, oldest first; none where there is no such folder."""
    return sorted(int(name) for name in (os.listdir(base) if os.path.isdir(base) else ()) if name.isdecimal())


def following(base: str) -> str:
    """The path of the version that comes next."""
    return os.path.join(base, str(max(versions(base), default=0) + 1))


def is_export(path: str) -> bool:
    return os.path.exists(os.path.join(path, SAVED_MODEL))


def newest_version(path: str) -> str | None:
    """`path` itself where it is an export, else the newest version under it that is one; None where none is."""
    numbered = [os.path.join(path, str(version)) for version in reversed(versions(path))]
    return next(filter(is_export, [path, *numbered]), None)


EXPORT, KERAS, PREDICTIONS = "export", "keras", "predictions"
PREDICTION_FILES = (".csv", ".csv.gz", ".tfrecord", ".tfrecord.gz", ".parquet")


class Artifact(NamedTuple):
    """One side of a comparison.

    Attributes:
      flag: `--a` or `--b`, which error messages begin with.
      path: the file or folder itself; of a folder of versions, the newest one.
      kind: `export`, `keras` or `predictions`.
    """

    flag: str
    path: str
    kind: str


def identify(flag: str, path: str) -> Artifact:
    """What `path` is; raises InputError where it is nothing that can be compared."""
    if os.path.isdir(path):
        return Artifact(flag, _newest(flag, path), EXPORT)
    if not os.path.exists(path):
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
    if os.path.isdir(artifact.path):
        found = sorted(os.path.join(folder, name) for folder, _, names in os.walk(artifact.path) for name in names)
    return files.fingerprint(found, *(os.path.relpath(file, artifact.path) for file in found))


def _newest(flag: str, path: str) -> str:
    """The folder itself if it is a SavedModel, else that of its versions with the highest number."""
    newest = newest_version(path)
    if newest is None:
        kind = SAVED_MODEL
        raise InputError(f"{flag}: the folder holds neither {kind} nor a folder of a version that does: {path}")
    return newest


Columns = dict[str, npt.NDArray[Any]]


class Input(NamedTuple):
    """`dtype`: `int64`, `string`, ...; `shape`: that of a batch, None where it is free."""

    dtype: str
    shape: tuple[int | None, ...]


class Model(Protocol):
    """A model that predicts from raw features.

    Attributes:
      inputs: by name; None: it takes the dictionary of all features.
    """

    inputs: dict[str, Input] | None

    def predict(self, features: Columns) -> npt.NDArray[Any]:
        """Probabilities [n] or [n, 1] of n rows."""

    def close(self) -> None:
        """Frees what the model holds."""


def check(flag: str, inputs: Mapping[str, Input] | None, features: Mapping[str, Any]) -> None:
    """Raises InputError for an input that the features cannot give.

    Args:
      flag: begins the message.
      inputs: of the model.
      features: `Encoder.raw_signature()` of the data.
    """
    for name, wanted in sorted((inputs or {}).items()):
        if name not in features:
            raise InputError(
                f"{flag}: the model's input {name!r} is no feature of --config, which has {_names(features)}"
            )
        there = features[name]
        if ("string" in (wanted.dtype, there.dtype.name)) and wanted.dtype != there.dtype.name:
            raise InputError(f"{flag}: the model's input {name!r} is {wanted.dtype}, the feature {there.dtype.name}")
        allowed = ((None,),) if there.shape.rank == 2 else ((), (1,), (None,))
        if wanted.shape[1:] not in allowed and not (there.shape.rank == len(wanted.shape) == 2):
            shapes = f"shape {_shape(wanted.shape)}, the feature {_shape(there.shape)}"
            raise InputError(f"{flag}: the model's input {name!r} has {shapes}")


def feed(flag: str, inputs: Mapping[str, Input] | None, features: Columns) -> Columns:
    """The features as the inputs want them: [n] as [n, 1] where that is the shape, other numbers where they are equal.

    Raises:
      InputError: the number of values a row does not fit, or a number is another one in the input's type.
    """
    if inputs is None:
        return features
    return {name: _converted(f"{flag}: the model's input {name!r}", inputs[name], features[name]) for name in inputs}


def _converted(what: str, wanted: Input, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if len(wanted.shape) == 2 and values.ndim == 1:
        values = values[:, None]
    if values.ndim == 2 and wanted.shape[1] not in (None, values.shape[1]):
        raise InputError(f"{what} takes {wanted.shape[1]} values a row, the feature has {values.shape[1]}")
    if wanted.dtype == "string":
        return values
    dtype = tf.as_dtype(wanted.dtype).as_numpy_dtype
    with np.errstate(invalid="ignore"):  # a NaN has no integer: refused below
        converted = values.astype(dtype)
        lost = converted.astype(values.dtype) != values
    whole = [np.issubdtype(kind, np.integer) for kind in (values.dtype, dtype)]
    if any(whole) and lost.any():
        raise InputError(f"{what} is {wanted.dtype}, which cannot hold the feature's {values[lost][0]}")
    return converted


def _names(features: Mapping[str, Any]) -> str:
    return ", ".join(features)


def _shape(shape: Any) -> str:
    return str(["n", *(("any" if size is None else size) for size in list(shape)[1:])]).replace("'", "")


SIGNATURE, OUTPUT = "serving_default", "probability"


class SavedModel:
    """A `Model` from a folder with `saved_model.pb`.

    Args:
      flag: begins error messages.
      path: the folder.

    Raises:
      InputError: it cannot be loaded, or which signature or output is meant cannot be told.
    """

    def __init__(self, flag: str, path: str) -> None:
        try:
            self._loaded = tf.saved_model.load(path)  # kept: the variables live as long as it does
        except Exception as error:  # of many types, depending on what is damaged
            raise InputError(f"{flag}: {path} is no whole SavedModel: {' '.join(str(error).split())[:200]}") from error
        signatures = self._loaded.signatures
        name = _only(f"{flag}: the SavedModel {path} must have a signature", SIGNATURE, list(signatures))
        self._serve = signatures[name]
        specs = self._serve.structured_input_signature[1]
        self.inputs: dict[str, Input] | None = {
            name: Input(spec.dtype.name, tuple(spec.shape)) for name, spec in specs.items()
        }
        outputs = list(self._serve.structured_outputs)
        self._output = _only(f"{flag}: the signature of {path} must have an output", OUTPUT, outputs)

    @property
    def variables(self) -> list[Any]:
        """Those that the signature reads, in an order that models of one program share."""
        return list(self._serve.variables)

    def __call__(self, features: Mapping[str, Any]) -> Any:
        """Of tensors in the inputs' own types and shapes, the output; in a graph too."""
        return self._serve(**features)[self._output]

    def predict(self, features: Columns) -> npt.NDArray[Any]:
        return self({name: tf.constant(values) for name, values in features.items()}).numpy()

    def close(self) -> None:
        del self._serve, self._loaded


def _only(what: str, wanted: str, names: list[str]) -> str:
    """The wanted name where it is there, else the only one."""
    if wanted in names:
        return wanted
    if len(names) == 1:
        return names[0]
    raise InputError(f"{what} {wanted!r} or only one, got {', '.join(sorted(names)) or 'none'}")
