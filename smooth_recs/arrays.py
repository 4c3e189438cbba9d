"""Checks of arrays of predictions, labels and weights: float64 comes back, or one line says what is wrong.

A prediction array is [n], or [n, 1] as `model.predict` returns it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs.errors import InputError

Array = npt.NDArray[np.float64]


def scores(name: str, values: Any, size: int | None = None) -> Array:
    """[n] finite numbers; `size`: the n that they must have."""
    array = np.asarray(values, np.float64)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(f"{name} must have shape [n] or [n, 1], got {list(array.shape)}")
    if size is not None and array.size != size:
        raise InputError(f"{name} must have {size} values like the others, got {array.size}")
    _refuse(name, array, ~np.isfinite(array), "finite")
    return array


def probabilities(name: str, values: Any, size: int | None = None) -> Array:
    """[n] numbers in [0, 1]."""
    array = scores(name, values, size)
    _refuse(name, array, (array < 0) | (array > 1), "in [0, 1]", "; are these logits?")
    return array


def prediction_matrix(values: Any) -> Array:
    """[n, R]: the probabilities that R >= 2 models predict for the same n examples."""
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or array.shape[1] < 2:
        raise InputError(f"predictions must have shape [n, R] with at least 2 models, got {list(array.shape)}")
    return np.stack([probabilities(f"predictions[:, {i}]", array[:, i]) for i in range(array.shape[1])], axis=1)


def weights(values: Any, size: int) -> Array:
    """[size] numbers at or above 0; ones for None."""
    if values is None:
        return np.ones(size)
    array = scores("sample_weight", values, size)
    _refuse("sample_weight", array, array < 0, "at or above 0")
    return array


def labels(values: Any) -> Array:
    """[n] zeros and ones."""
    array = scores("label", values)
    _refuse("label", array, (array != 0) & (array != 1), "0 or 1")
    return array


def identifiers(name: str, values: Any, size: int) -> npt.NDArray[Any]:
    """[size] integers, strings or bytes."""
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (size,):
        raise InputError(f"{name} must have {size} values like the others, got shape {list(array.shape)}")
    return array


def refuse_empty(name: str, array: Array) -> None:
    if not len(array):
        raise InputError(f"{name} must have at least one value, got none")


def _refuse(name: str, array: Array, wrong: npt.NDArray[np.bool_], rule: str, hint: str = "") -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{name} must be {rule}, got {array[row]:g} in row {row}{hint}")
