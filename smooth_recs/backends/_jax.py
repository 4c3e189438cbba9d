"""jax, of Keras 3 on its jax backend. `backends` says what each name means."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from smooth_recs import keras_generation
from smooth_recs.backends import _formula, is_tensor

HAS_KERNELS = False  # jax.nn's functions are compositions, whose gradients are those of their parts

absolute = jnp.abs
clip = jnp.clip
erfc = jax.lax.erfc
exp = jnp.exp
expm1 = jnp.expm1
is_finite = jnp.isfinite
is_nan = jnp.isnan
log1p = jnp.log1p
matmul = jnp.matmul
ones_like = jnp.ones_like
power = jnp.power
reciprocal = jnp.reciprocal
reduce_any = jnp.any
reduce_max = jnp.max
reduce_sum = jnp.sum
relu = jax.nn.relu
sigmoid = jax.nn.sigmoid
softplus = jax.nn.softplus
sqrt = jnp.sqrt
square = jnp.square
stop_gradient = jax.lax.stop_gradient
tanh = jnp.tanh
where = jnp.where


def not_converted(function: Any) -> Any:
    return function


def name_scope(name: str) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


def convert(x: Any) -> Any:
    """`x`, a Keras variable among others, as an array."""
    return x if isinstance(x, jax.Array) else keras_generation.keras().ops.convert_to_tensor(x)


def cast(x: Any, dtype: Any) -> Any:
    return convert(x).astype(dtype)


def bias_add(x: Any, bias: Any) -> Any:
    return x + bias


def minimum(x: Any, y: Any) -> Any:
    return jnp.where(x > y, y, x)  # jnp.minimum passes half of the gradient to each at a tie


def maximum(x: Any, y: Any) -> Any:
    return jnp.where(x < y, y, x)


def multiply_no_nan(x: Any, y: Any) -> Any:
    """x y, and 0 where y is 0."""
    return jnp.where(y == 0, jnp.zeros_like(x), x * y)


def divide_no_nan(x: Any, y: Any) -> Any:
    """x / y, and 0 where y is 0."""
    return jnp.where(y == 0, jnp.zeros_like(y), x / jnp.where(y == 0, jnp.ones_like(y), y))


def largest(x: Any) -> float:
    """The largest finite number of the type of `x`."""
    return float(jnp.finfo(x.dtype).max)


def lowest(x: Any) -> float:
    """The finite number of the type of `x` that is farthest below 0."""
    return float(jnp.finfo(x.dtype).min)


def is_half(x: Any) -> bool:
    """True where `x` is of a type of 16 bits or fewer."""
    return bool(x.dtype.itemsize < 4)


def constant(value: Any, like: Any) -> Any:
    """A number, or an array of them, in the type of `like`."""
    return np.asarray(value, like.dtype)


def one() -> Any:
    """1 in float32."""
    return jnp.ones((), jnp.float32)


def count(x: Any) -> float:
    """How many numbers `x` has."""
    return float(x.size)


def to_numpy(x: Any) -> Any:
    """A NumPy array of float32."""
    return np.asarray(cast(x, jnp.float32))


def is_symbolic(x: Any) -> bool:
    """True where `x` has no values yet."""
    return isinstance(x, jax.core.Tracer)


def random_state() -> None:
    """The random state that layers share; none, since each has its own."""


def set_random_state(state: None) -> None:
    """Makes layers draw from now on what they drew after `random_state`."""


def sum_over_devices(tensors: list[Any]) -> list[Any]:
    """The sums over devices that train in step: as they are, since arrays span the devices of `keras.distribution`."""
    return tensors


def value_and_slope(function: Callable[[Any], Any], point: float) -> tuple[float, float]:
    """The value of a function and its derivative at a point, in float64."""
    with jax.enable_x64(True):
        y, slope = jax.value_and_grad(function)(jnp.asarray(point, jnp.float64))
    return float(y), float(slope)


def clip_to(x: Any, limit: float) -> Any:
    """min(max(x, -limit), limit), with the gradient 1 where |x| <= limit and 0 elsewhere; NaN stays NaN."""
    bound = constant(limit, x)
    return maximum(minimum(x, bound), -bound)


def euclidean_rows(kernel: Any, norm_value: float) -> Any:
    """Scales the columns of a kernel [inputs, units] to L_2 norm v; those of a norm below 1e-19 stay as they are."""
    squares = jnp.sum(jnp.square(kernel), axis=0)
    none = squares < jnp.finfo(squares.dtype).tiny
    return kernel * (norm_value / jnp.sqrt(jnp.where(none, jnp.ones_like(squares), squares)))


def differentiable(
    value: Callable[..., Any],
    partials: Callable[..., _formula.Partials],
    x: Any,
    hyperparameters: Mapping[str, Any],
    exact_in_half: bool = False,
) -> Any:
    """`value(x, *hyperparameters)` with the gradients `partials(x, *hyperparameters)`; see `backends`."""
    dtype = jnp.dtype(jnp.float32) if is_half(x) else x.dtype  # the casts are part of the one kernel that jax compiles
    inputs = {}
    for name, given in hyperparameters.items():
        if is_tensor(given):
            inputs[name] = cast(given, dtype)
        else:
            inputs[name] = np.asarray(_formula.checked(name, given, float(jnp.finfo(dtype).max), dtype.name), dtype)
    tensors = {name: inputs[name] for name, given in hyperparameters.items() if is_tensor(given)}
    formula = _formula.Formula(value, partials, inputs, list(tensors), lambda x: x.astype(dtype))

    @jax.custom_jvp
    def function(x: Any, *args: Any) -> Any:
        return formula.value(x, *args).astype(x.dtype)

    def tangent(primals: Any, tangents: Any) -> Any:
        y = function(*primals)
        total = jnp.zeros(y.shape, dtype)
        for slope, direction in zip(formula.partials(*primals), tangents, strict=True):
            if not isinstance(direction, SymbolicZero):
                total = total + slope() * direction.astype(dtype)
        return y, total.astype(y.dtype)

    function.defjvp(tangent, symbolic_zeros=True)
    return function(x, *tensors.values())
