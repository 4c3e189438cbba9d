"""Checks of arrays of predictions, labels, weights and identifiers.

Functions return the values as an array, numbers as float64 [n], or raise InputError with one line that names the array,
the rule, the first wrong value and its row. Predictions may be [n, 1], which is what `model.predict` returns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs.errors import InputError

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def scores(name: str, values: Any, size: int | None = None) -> Array:
    """Finite numbers, [n]; `size` is the required n."""
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
    """Numbers in [0, 1], [n]."""
    array = scores(name, values, size)
    _refuse(name, array, (array < 0) | (array > 1), "in [0, 1]", "; are these logits?")
    return array


def probability(name: str, value: float) -> float:
    """A single number in [0, 1]."""
    if not 0 <= value <= 1:
        raise InputError(f"{name} must be in [0, 1], got {value!r}")
    return value


def at_or_above_0(name: str, values: Any, size: int | None = None, *, where: str = "") -> Array:
    """Finite numbers that are at or above 0, [n]; an error message states the rule with `where` at its end."""
    array = scores(name, values, size)
    _refuse(name, array, array < 0, f"at or above 0{where}")
    return array


def prediction_matrix(values: Any) -> Array:
    """Probabilities that R >= 2 models predict for the same n examples, [n, R]."""
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or array.shape[1] < 2:
        raise InputError(f"predictions must have shape [n, R] with at least 2 models, got {list(array.shape)}")
    # Stacked as rows and transposed, each model's column is contiguous: sorts and sums over a column are faster.
    return np.stack([probabilities(f"predictions[:, {i}]", array[:, i]) for i in range(array.shape[1])]).T


def weights(values: Any, size: int) -> Array:
    """Numbers from 0 to 1e100, [size]; ones for None."""
    if values is None:
        return np.ones(size)
    array = at_or_above_0("sample_weight", values, size)
    # So that no sum of weights overflows.
    _refuse("sample_weight", array, array > 1e100, "at most 1e100")
    return array


def labels(values: Any) -> Array:
    """Zeros and ones, [n]."""
    array = scores("label", values)
    _refuse("label", array, (array != 0) & (array != 1), "0 or 1")
    return array


def identifiers(name: str, values: Any, size: int | None = None) -> npt.NDArray[Any]:
    """Integers, strings or bytes, all of one kind, [n]; `size` is the required n.

    An empty text, None or NaN is an unknown identifier. Each becomes one that no other row has, so that rows of unknown
    requests are never taken for one request.
    """
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 and size is None:
        raise InputError(f"{name} must have shape [n] or [n, 1], got {list(array.shape)}")
    if array.shape != (size,) and size is not None:
        raise InputError(f"{name} must have {size} values like the others, got shape {list(array.shape)}")
    unknown = _unknown(array)
    if unknown.any():
        return _told_apart(identifiers(name, np.array(array[~unknown].tolist())), unknown)
    # pandas turns integers into floats where another row lacks one; below 2^53 floats still hold each of them exactly.
    if array.dtype.kind == "f" and (np.abs(array) < 2**53).all() and (array == np.floor(array)).all():
        return array.astype(np.int64)
    kinds = {type(value) for value in array.tolist()} if array.dtype.kind == "O" else set()
    if array.dtype.kind not in "biuSUO" or (array.size and len(kinds) > 1) or not kinds <= {int, str, bytes}:
        found = ", ".join(sorted(kind.__name__ for kind in kinds)) or array.dtype
        raise InputError(f"{name} must be integers, strings or bytes, all of one kind, got {found}")
    return array


def _unknown(array: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each identifier is none: an empty text, None, NaN, or what pandas has in their place."""
    if array.dtype.kind in "SU":
        return array == array.dtype.type()
    if array.dtype.kind == "f":
        return np.isnan(array)
    if array.dtype.kind != "O":
        return np.zeros(array.shape, bool)
    nothing = ("NoneType", "NAType", "NaTType")
    values = array.tolist()
    return np.array([type(v).__name__ in nothing or v in ("", b"") or (v != v) is True for v in values], bool)


def _told_apart(known: npt.NDArray[Any], unknown: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """The known identifiers in their rows, and in those of the unknown ones identifiers that occur nowhere else."""
    rows = np.flatnonzero(unknown)
    found = np.empty(unknown.size, known.dtype if known.dtype.kind in "iu" else np.int64 if not known.size else object)
    found[~unknown] = known
    if found.dtype == object:
        # A text with a zero byte, which no identifier has.
        texts = [f"\0{row}" for row in rows]
        found[rows] = [text.encode() for text in texts] if isinstance(found[~unknown][0], bytes) else texts
        return np.array(found.tolist())
    free = np.setdiff1d(np.arange(unknown.size, dtype=found.dtype), known)
    found[rows] = free[: rows.size]
    return found


def numbered(name: str, values: Any, size: int | None = None) -> tuple[npt.NDArray[Any], Integers]:
    """The distinct `identifiers`, ascending, and the number of each row's identifier among them, [n]."""
    distinct, number = np.unique(identifiers(name, values, size), return_inverse=True)
    return distinct, number


def refuse_empty(name: str, array: Array) -> None:
    """Raises InputError for an array without values."""
    if not len(array):
        raise InputError(f"{name} must have at least one value, got none")


def refuse_weightless(what: str, weight: Array) -> None:
    """Raises InputError where all weights are 0; `what` is the measure that the message names."""
    if not weight.any():
        raise InputError(f"{what} needs examples of positive weight, got none")


def _refuse(name: str, array: Array, wrong: npt.NDArray[np.bool_], rule: str, hint: str = "") -> None:
    """Raises InputError for the first value that is marked as wrong."""
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{name} must be {rule}, got {array[row]:g} in row {row}{hint}")
