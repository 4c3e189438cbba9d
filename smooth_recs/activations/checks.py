"""Checks of hyperparameters that are plain numbers; tensors pass as they are, since their values are not known yet."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.errors import InputError


def is_tensor(value: Any) -> bool:
    """True for tensors and variables of either Keras; False for numbers, sequences of numbers and NumPy arrays."""
    return not isinstance(value, numbers.Number | np.ndarray | np.generic | Sequence)


def floating(x: Any, name: str = "x") -> Any:
    """`x` as a tensor. Raises TypeError unless it is of a floating-point type."""
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise TypeError(f"{name} must be a tensor of a floating-point type, got {x.dtype.name}")
    return x


def number(name: str, value: Any, *, at_least: float | None = None, above: float | None = None) -> None:
    """Raises TypeError or InputError unless `value` is a finite number (or all of an array are) within the bounds.

    Tensors are not looked at.
    """
    if is_tensor(value):
        return
    for item in np.ravel(np.asarray(value, dtype=object)):
        if isinstance(item, bool | np.bool_) or not isinstance(item, numbers.Real):
            raise TypeError(f"{name} must be a number, got {item!r}")
        if not math.isfinite(item):
            raise InputError(f"{name} must be finite, got {item}")
        if at_least is not None and item < at_least:
            raise InputError(f"{name} must be at least {at_least:g}, got {item}")
        if above is not None and item <= above:
            raise InputError(f"{name} must be above {above:g}, got {item}")


def increasing(name: str, values: Sequence[Any]) -> None:
    """Raises InputError where a number in `values` is not above the number before it."""
    for left, right in zip(values, values[1:], strict=False):
        if not is_tensor(left) and not is_tensor(right) and np.any(np.asarray(left) >= np.asarray(right)):
            raise InputError(f"{name} must increase strictly, got {right} after {left}")


def as_dtype(name: str, value: Any, dtype: Any) -> Any:
    """`value` as a tensor of `dtype`. Raises InputError where a number is too large for it."""
    if is_tensor(value):
        return tf.cast(value, dtype)
    if np.any(np.abs(np.asarray(value, np.float64)) > dtype.max):
        raise InputError(f"{name} must be at most {float(dtype.max):g} in {dtype.name}, got {value}")
    return tf.constant(value, dtype)
