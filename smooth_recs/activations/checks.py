"""Checks of hyperparameters that are numbers. Tensors pass as they are: their values are not known yet."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.errors import InputError


def is_tensor(value: Any) -> bool:
    """True for a tensor or variable of either Keras; False for numbers, NumPy arrays and everything else."""
    return hasattr(value, "dtype") and not isinstance(value, np.ndarray | np.generic)


def floating(x: Any) -> Any:
    """`x` as a tensor. Raises TypeError unless its type is a floating-point type."""
    if type(x).__name__ == "KerasTensor":  # of either Keras, which answer this with a page, or not at all
        raise TypeError(f"x must be a tensor, got {x}: between the layers of a model use Activation(function)")
    x = tf.convert_to_tensor(x)
    floating_type(x.dtype)
    return x


def floating_type(dtype: Any) -> None:
    """Raises TypeError unless it is a floating-point type."""
    dtype = tf.as_dtype(dtype)
    if not dtype.is_floating:
        raise TypeError(f"x must be of a floating-point type, got {dtype.name}")


@tf.autograph.experimental.do_not_convert
def number(
    name: str, value: Any, *, at_least: float = -math.inf, above: float = -math.inf, at_most: float = math.inf
) -> None:
    """Raises TypeError unless `value` is a number or an array of them, InputError unless finite and within bounds."""
    if is_tensor(value):
        return
    for item in np.ravel(np.asarray(value, dtype=object)):
        if not isinstance(item, int | float | np.integer | np.floating) or isinstance(item, bool):
            raise TypeError(f"{name} must be a number, got {item!r}")
        if not math.isfinite(item):
            raise InputError(f"{name} must be finite, got {item}")
        for holds, bound in (
            (item >= at_least, f"at least {at_least:g}"),
            (item > above, f"above {above:g}"),
            (item <= at_most, f"at most {at_most:g}"),
        ):
            if not holds:
                raise InputError(f"{name} must be {bound}, got {item}")


def increasing(name: str, values: Sequence[Any]) -> None:
    """Raises InputError unless every number in `values` is above the one before it."""
    for left, right in itertools.pairwise(values):
        if not (is_tensor(left) or is_tensor(right)) and np.any(np.asarray(left) >= np.asarray(right)):
            raise InputError(f"{name} must increase, got {right} after {left}")


def of_type(name: str, value: Any, dtype: Any) -> Any:
    """`value` in `dtype`: a tensor cast, numbers rounded (in NumPy). Raises InputError where one is too large."""
    if is_tensor(value):
        return tf.cast(value, dtype)
    largest = float(dtype.max)
    if np.any(np.abs(np.asarray(value, np.float64)) > largest):
        raise InputError(f"{name} must be at most {largest:g} in {dtype.name}, got {value}")
    return np.asarray(value).astype(dtype.as_numpy_dtype)[()]
