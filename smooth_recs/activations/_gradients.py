"""What every activation stands on: checks of its arguments, and gradients from partial derivatives written by hand.

Automatic differentiation gives a wrong slope where two pieces meet (3/4 for max(x, u^2 / 4 beta) at beta, where both
pieces have slope 1), and keeps every intermediate result for the backward pass. `differentiable` avoids both.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.errors import InputError

# Sums over more numbers than fit the caches are made in chunks. XLA on a processor (TensorFlow 2.21) would otherwise
# write every product to memory and read it again: a learned gSmeLU on 4096 x 1024 cost 4.7 times as much as ReLU that
# way, and costs about twice as much now.
LARGE = 2**20
CHUNKS = 16

Partials = Sequence[Callable[[], Any]]

# Checks. Tensors pass as they are: their values are not known while a graph is made.


def is_tensor(value: Any) -> bool:
    """True for a tensor or variable of either Keras; False for numbers, NumPy arrays and everything else."""
    return hasattr(value, "dtype") and not isinstance(value, np.ndarray | np.generic)


def floating(x: Any) -> Any:
    """`x` as a tensor. Raises TypeError unless its type is a floating-point type."""
    if type(x).__name__ == "KerasTensor":  # TensorFlow's own error is a page long in tf_keras, absent in Keras 3
        raise TypeError(f"x must be a tensor, got {x}: between the layers of a model use Activation(function)")
    x = tf.convert_to_tensor(x)
    floating_type(x.dtype)
    return x


def floating_type(dtype: Any) -> None:
    """Raises TypeError unless `dtype` is a floating-point type."""
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


@tf.autograph.experimental.do_not_convert
def differentiable(
    value: Callable[..., Any],
    partials: Callable[..., Partials],
    x: Any,
    hyperparameters: Mapping[str, Any],
    widen: bool = True,
) -> Any:
    """Computes `value(x, *hyperparameters)`, whose gradients are `partials(x, *hyperparameters)`.

    The partial derivatives are computed from `x`, by differentiable operations, when a gradient is asked for. So only
    `x` is kept for the backward pass, higher derivatives follow, and a compiler that sees both passes computes what
    they share only once.

    Args:
      value: function of `x` and the hyperparameters, in their order.
      partials: function of the same arguments. It returns a function for `x`, then one for each hyperparameter, each of
        which returns that derivative in a shape that broadcasts with the value.
      x: float tensor of any shape.
      hyperparameters: by name, numbers and arrays (which get no gradient) or tensors (which do) that broadcast with x.
      widen: computes in float32 where `x` is of a 16-bit type.

    Raises:
      InputError: a hyperparameter is larger than the largest number of the type it is computed in.
    """
    dtype = tf.float32 if widen and x.dtype.size < 4 else x.dtype
    inputs = {}
    for name, given in hyperparameters.items():
        if is_tensor(given):
            inputs[name] = tf.cast(given, dtype)
            continue
        largest = float(dtype.max)
        if np.any(np.abs(np.asarray(given, np.float64)) > largest):
            raise InputError(f"{name} must be at most {largest:g} in {dtype.name}, got {given}")
        # Rounded by NumPy, so that the graph has a constant here and not a cast of one.
        inputs[name] = tf.convert_to_tensor(np.asarray(given).astype(dtype.as_numpy_dtype)[()])
    tensors = {name: inputs[name] for name, given in hyperparameters.items() if is_tensor(given)}
    keeps_shape = all(_fits(h.shape, x.shape) for h in inputs.values())
    same_in_every_row = x.shape.rank and all(_fits(h.shape, x.shape[1:]) for h in inputs.values())

    @tf.custom_gradient
    def function(x: Any, *args: Any) -> Any:
        named = inputs | dict(zip(tensors, args, strict=True))

        def products(x: Any, upstream: Any) -> list[Any]:
            of = dict(zip(named, partials(tf.cast(x, dtype), *named.values())[1:], strict=False))
            return [tf.cast(upstream, dtype) * of[name]() for name in tensors]

        def gradient(upstream: Any) -> Any:
            slope = partials(tf.cast(x, dtype), *named.values())[0]()
            product = tf.cast(tf.cast(upstream, dtype) * slope, x.dtype)
            of_x = product if keeps_shape else _sum_to(product, x)
            if not tensors:
                return of_x
            large = (x.shape.num_elements() or 0) >= LARGE and x.shape.rank > 1 and x.shape[0] % CHUNKS == 0
            if large and same_in_every_row:
                by_chunk = list(map(products, tf.split(x, CHUNKS), tf.split(upstream, CHUNKS)))
                sums = [functools.reduce(tf.add, same) for same in zip(*by_chunk, strict=True)]
                # The stack makes the sums of all hyperparameters one kernel, which reads the inputs only once.
                sums = tf.unstack(tf.reduce_sum(tf.stack(sums, axis=1), axis=0))
            else:
                sums = products(x, upstream)
            return [of_x, *map(_sum_to, sums, args)]

        return tf.cast(value(tf.cast(x, dtype), *named.values()), x.dtype), gradient

    return function(x, *tensors.values())


def _fits(small: Any, large: Any) -> bool:
    """True where it is known that broadcasting both shapes gives the large one."""
    small, large = tf.TensorShape(small), tf.TensorShape(large)
    if small.rank is None or large.rank is None or small.rank > large.rank:
        return False
    pairs = zip(reversed(small), reversed(large), strict=False)
    return all(a == 1 or (a is not None and a == b) for a, b in pairs)


def _sum_to(gradient: Any, of: Any) -> Any:
    """Sums a gradient over the axes along which `of` was broadcast."""
    shape = tf.shape(of)
    axes, _ = tf.raw_ops.BroadcastGradientArgs(s0=shape, s1=tf.shape(gradient))
    return tf.reshape(tf.reduce_sum(gradient, axes), shape)
