"""TensorFlow: of `tf_keras`, and of Keras 3 on its TensorFlow backend. `backends` says what each name means."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.backends import _formula, is_tensor

# Sums over more numbers than fit the caches are made in chunks. XLA on a processor (TensorFlow 2.21) would otherwise
# write every product to memory and read it again: a learned gSmeLU on 4096 x 1024 cost 4.7 times as much as ReLU that
# way, and costs about twice as much now.
LARGE = 2**20
CHUNKS = 16

# Softplus, ELU and leaky ReLU are single operations with exact gradients.
HAS_KERNELS = True

absolute = tf.abs
bias_add = tf.nn.bias_add
cast = tf.cast
clip = tf.clip_by_value
convert = tf.convert_to_tensor
divide_no_nan = tf.math.divide_no_nan
elu = tf.nn.elu
erfc = tf.math.erfc
exp = tf.exp
expm1 = tf.math.expm1
is_finite = tf.math.is_finite
is_nan = tf.math.is_nan
leaky_relu = tf.nn.leaky_relu
log1p = tf.math.log1p
matmul = tf.matmul
maximum = tf.maximum
minimum = tf.minimum
multiply_no_nan = tf.math.multiply_no_nan
name_scope = tf.name_scope
ones_like = tf.ones_like
power = tf.pow
reciprocal = tf.math.reciprocal
reduce_any = tf.reduce_any
reduce_max = tf.reduce_max
reduce_sum = tf.reduce_sum
relu = tf.nn.relu
sigmoid = tf.sigmoid
softplus = tf.nn.softplus
sqrt = tf.sqrt
square = tf.square
stop_gradient = tf.stop_gradient
tanh = tf.tanh
where = tf.where

# AutoGraph would rewrite what it decorates, to no effect.
not_converted = tf.autograph.experimental.do_not_convert


def largest(x: Any) -> float:
    """The largest finite number of the type of `x`."""
    return float(x.dtype.max)


def lowest(x: Any) -> float:
    """The finite number of the type of `x` that is farthest below 0."""
    return float(x.dtype.min)


def is_half(x: Any) -> bool:
    """True where `x` is of a type of 16 bits or fewer."""
    return x.dtype.size < 4


def constant(value: Any, like: Any) -> Any:
    """A number, or an array of them, in the type of `like`."""
    return tf.constant(value, like.dtype)


def one() -> Any:
    """1 in float32."""
    return tf.ones(())


def count(x: Any) -> Any:
    """How many numbers `x` has, in float32."""
    return tf.cast(tf.size(x), tf.float32)


def to_numpy(x: Any) -> Any:
    """A NumPy array of float32."""
    return np.asarray(tf.cast(x, tf.float32))


def is_symbolic(x: Any) -> bool:
    """True where `x` has no values yet."""
    return bool(tf.is_symbolic_tensor(tf.convert_to_tensor(x)))


def random_state() -> None:
    """The random state that layers share; none, since each has its own."""


def set_random_state(state: None) -> None:
    """Makes layers draw from now on what they drew after `random_state`."""


def sum_over_devices(tensors: list[Any]) -> list[Any]:
    """The sums over devices that train in step."""
    context = tf.distribute.get_replica_context()
    if context is None or tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def value_and_slope(function: Callable[[Any], Any], point: float) -> tuple[float, float]:
    """The value of a function and its derivative at a point, in float64."""
    x = tf.constant(point, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return float(y), float(tape.gradient(y, x, unconnected_gradients=tf.UnconnectedGradients.ZERO))


def clip_to(x: Any, limit: float) -> Any:
    """min(max(x, -limit), limit), with the gradient 1 where |x| <= limit and 0 elsewhere; NaN stays NaN.

    The values and gradients are those of `tf.clip_by_value`, in fewer passes over `x`.
    """
    bound = x.dtype.as_numpy_dtype(limit)
    beyond = np.nextafter(bound, x.dtype.as_numpy_dtype(np.inf))  # the first number that is clipped

    @tf.custom_gradient
    def clipped(x: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            # ReLU's own gradient passes `upstream` where beyond - |x| > 0: one fused op, where a comparison, a cast and
            # a product would be three passes over x.
            return tf.raw_ops.ReluGrad(gradients=upstream, features=tf.constant(beyond, x.dtype) - tf.abs(x))

        # Not tf.raw_ops.ClipByValue, one operation, which TensorFlow Lite (2.21) does not have.
        return tf.maximum(tf.minimum(x, bound), -bound), gradient

    return clipped(x)


def euclidean_rows(kernel: Any, norm_value: float) -> Any:
    """Scales the columns of a kernel [inputs, units] to L_2 norm v; those of a norm below 1e-19 stay as they are.

    The gradient of w_j <- f w_j is f (G - u <u, G>) for the upstream gradient G, with f = v / ||w_j|| and
    u = w_j / ||w_j||. It takes a quarter of the operations of automatic differentiation. Where value and gradient are
    one graph, what they share is computed once, and higher derivatives follow from its operations.
    """

    def factor_of(kernel: Any) -> Any:
        # BiasAddGrad is the one sum over axis 0 that is fast on a processor (TensorFlow 2.21).
        squares = tf.raw_ops.BiasAddGrad(out_backprop=kernel * kernel)
        none = squares < np.finfo(squares.dtype.as_numpy_dtype).tiny
        return norm_value / tf.sqrt(tf.where(none, tf.ones_like(squares), squares))

    @tf.custom_gradient
    def rows_of(kernel: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            factor = factor_of(kernel)
            rows = kernel * factor
            along = tf.raw_ops.BiasAddGrad(out_backprop=rows * upstream) * (1 / norm_value**2)
            return (upstream - rows * along) * factor

        return kernel * factor_of(kernel), gradient

    return rows_of(kernel)


@not_converted
def differentiable(
    value: Callable[..., Any],
    partials: Callable[..., _formula.Partials],
    x: Any,
    hyperparameters: Mapping[str, Any],
    exact_in_half: bool = False,
) -> Any:
    """`value(x, *hyperparameters)` with the gradients `partials(x, *hyperparameters)`; see `backends`."""
    # In bfloat16 XLA (TensorFlow 2.21) rounds after every operation, which costs more than the two casts to float32 and
    # back; float16 is computed as it is where the formula allows it.
    widen = x.dtype.size < 4 and not (exact_in_half and x.dtype != tf.bfloat16)
    dtype = tf.float32 if widen else x.dtype
    inputs = {}
    for name, given in hyperparameters.items():
        if is_tensor(given):
            inputs[name] = tf.cast(given, dtype)
            continue
        array = np.asarray(_formula.checked(name, given, float(dtype.max), dtype.name))
        # Rounded by NumPy, so that the graph has a constant here and not a cast of one.
        inputs[name] = tf.convert_to_tensor(array.astype(dtype.as_numpy_dtype)[()])
    tensors = {name: inputs[name] for name, given in hyperparameters.items() if is_tensor(given)}
    formula = _formula.Formula(value, partials, inputs, list(tensors), lambda x: tf.cast(x, dtype))
    keeps_shape = all(_fits(h.shape, x.shape) for h in inputs.values())
    same_in_every_row = x.shape.rank and all(_fits(h.shape, x.shape[1:]) for h in inputs.values())

    @tf.custom_gradient
    def function(x: Any, *args: Any) -> Any:
        def products(x: Any, upstream: Any) -> list[Any]:
            return [tf.cast(upstream, dtype) * of() for of in formula.partials(x, *args)[1:]]

        def gradient(upstream: Any) -> Any:
            slope = formula.partials(x, *args)[0]()
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

        return tf.cast(formula.value(x, *args), x.dtype), gradient

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
