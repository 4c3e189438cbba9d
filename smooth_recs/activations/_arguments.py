"""Checks of an activation's arguments. Tensors pass as they are: their values are not known while a graph is made."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from smooth_recs import keras_generation
from smooth_recs.backends import is_tensor, ops
from smooth_recs.errors import InputError


def floating(x: Any) -> Any:
    """`x` as a tensor. Raises TypeError unless its type is a floating-point type."""
    keras_generation.check_backend()
    if type(x).__name__ == "KerasTensor":  # TensorFlow's own error is a page long in tf_keras, absent in Keras 3
        raise TypeError(f"x must be a tensor, got {x}: between the layers of a model use Activation(function)")
    x = ops.convert(x)
    floating_type(x.dtype)
    return x


def floating_type(dtype: Any) -> None:
    """Raises TypeError unless `dtype`, a name or a type of any backend, is a floating-point type."""
    name = str(getattr(dtype, "name", dtype)).removeprefix("torch.")
    if "float" not in name:
        raise TypeError(f"x must be of a floating-point type, got {name}")


@ops.not_converted
def number(
    name: str, value: Any, *, at_least: float = -math.inf, above: float = -math.inf, at_most: float = math.inf
) -> None:
    """Raises TypeError unless `value` is a number or an array of them, InputError unless finite and within bounds."""
    if is_tensor(value):
        return
    # torch.compile follows no arrays of objects, and no unions of types.
    for item in [value] if isinstance(value, (int, float)) else np.ravel(np.asarray(value, dtype=object)):
        if not isinstance(item, (int, float, np.integer, np.floating)) or isinstance(item, bool):
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


def anywhere(condition: Callable[..., Any], *values: Any) -> bool:
    """Whether a condition on numbers, or on arrays of them, holds anywhere."""
    # Not by NumPy for numbers alone: torch.compile would make operations of it, whose outcome it does not know.
    found = condition(*(value if isinstance(value, (int, float)) else np.asarray(value) for value in values))
    return found if isinstance(found, bool) else bool(np.any(found))


def increasing(name: str, values: Sequence[Any]) -> None:
    """Raises InputError unless every number in `values` is above the one before it."""
    for left, right in itertools.pairwise(values):
        if not (is_tensor(left) or is_tensor(right)) and anywhere(operator.ge, left, right):
            raise InputError(f"{name} must increase, got {right} after {left}")
