"""From the raw features of a log to the inputs of a model, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs.errors import InputError

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
