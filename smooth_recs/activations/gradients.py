"""A function of a tensor and its hyperparameters, with the partial derivatives written out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs.activations import checks

Partials = Sequence[Callable[[], Any]]


@tf.autograph.experimental.do_not_convert
def differentiable(
    value: Callable[..., Any], partials: Callable[..., Partials], x: Any, hyperparameters: Mapping[str, Any]
) -> Any:
    """`value(x, *hyperparameters)`, whose gradients are `partials(x, *hyperparameters)`.

    The partial derivatives are computed from `x`, out of differentiable operations, when a gradient is asked for. So
    nothing but `x` is kept for the backward pass, higher derivatives follow, and whoever optimises the graph of both
    passes computes only once what they have in common.

    Args:
      value: function of `x` and the hyperparameters, in their order.
      partials: function of the same; returns one function for `x` and one for each hyperparameter, each of which
        returns the derivative, in a shape that broadcasts with the value.
      x: float tensor of any shape.
      hyperparameters: by name, numbers and arrays (which get no gradient) or tensors (which do) that broadcast with x.
    """
    inputs = {name: tf.convert_to_tensor(checks.of_type(name, h, x.dtype)) for name, h in hyperparameters.items()}
    tensors = {name: inputs[name] for name, h in hyperparameters.items() if checks.is_tensor(h)}
    keeps_shape = all(_fits(h.shape, x.shape) for h in inputs.values())

    @tf.custom_gradient
    def function(x: Any, *args: Any) -> Any:
        named = inputs | dict(zip(tensors, args, strict=True))

        def gradient(upstream: Any) -> Any:
            of_x, *of_rest = partials(x, *named.values())
            product = upstream * of_x()
            found = [product if keeps_shape else _sum_to(product, x)]
            wanted = [(of, named[name]) for name, of in zip(named, of_rest, strict=True) if name in tensors]
            found += [_sum_to(upstream * of(), h) for of, h in wanted]
            return found if tensors else found[0]

        return value(x, *named.values()), gradient

    return function(x, *tensors.values())


def _fits(small: Any, large: Any) -> bool:
    """True where it is known that broadcasting both shapes gives the large one."""
    small, large = tf.TensorShape(small), tf.TensorShape(large)
    if small.rank is None or large.rank is None or small.rank > large.rank:
        return False
    pairs = zip(reversed(small), reversed(large), strict=False)
    return all(a == 1 or (a is not None and a == b) for a, b in pairs)


def _sum_to(gradient: Any, of: Any) -> Any:
    """Sums the gradient over the axes along which `of` was broadcast, in float32 at least."""
    shape = tf.shape(of)
    axes, _ = tf.raw_ops.BroadcastGradientArgs(s0=shape, s1=tf.shape(gradient))
    wide = tf.cast(gradient, tf.float32) if gradient.dtype.size < 4 else gradient
    return tf.reshape(tf.cast(tf.reduce_sum(wide, axes), of.dtype), shape)
