"""A function of a tensor and its hyperparameters, with the partial derivatives written out by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from smooth_recs.activations import checks

Partials = Mapping[str, Callable[[], Any]]


@tf.autograph.experimental.do_not_convert
def differentiable(
    value: Callable[..., Any], partials: Callable[..., Partials], x: Any, hyperparameters: Mapping[str, Any]
) -> Any:
    """`value(x, **hyperparameters)`, whose gradients are `partials(x, **hyperparameters)`.

    The partial derivatives are computed from `x` when the gradient is asked for, out of differentiable ops. So nothing
    but `x` is kept for the backward pass, derivatives of any order follow, and a compiler that sees both passes shares
    what they have in common.

    Args:
      value: function of `x` and the hyperparameters.
      partials: function of the same that returns, by name ("x" and the hyperparameters'), what gives the derivative.
      x: a float tensor of any shape.
      hyperparameters: numbers, which get no gradient, or tensors that broadcast with `x`, which do.
    """
    fixed = {k: checks.as_dtype(k, v, x.dtype) for k, v in hyperparameters.items() if not checks.is_tensor(v)}
    learned = {k: tf.cast(v, x.dtype) for k, v in hyperparameters.items() if checks.is_tensor(v)}

    @tf.custom_gradient
    def function(x: Any, *tensors: Any) -> Any:
        inputs = dict(zip(learned, tensors, strict=True))

        def gradient(upstream: Any) -> Any:
            partial = partials(x, **fixed, **inputs)
            products = [_product(upstream, partial[name](), of) for name, of in {"x": x, **inputs}.items()]
            return products if learned else products[0]

        return value(x, **fixed, **inputs), gradient

    return function(x, *learned.values())


def _product(upstream: Any, partial: Any, of: Any) -> Any:
    """`upstream * partial`, summed over the axes along which `of` was broadcast."""
    product = upstream * partial
    if product.shape.is_fully_defined() and product.shape == of.shape:
        return product
    shape = tf.shape(of)
    _, axes = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(product), s1=shape)
    total = tf.reduce_sum(tf.cast(product, tf.float32) if product.dtype.size < 4 else product, axes)
    return tf.reshape(tf.cast(total, of.dtype), shape)
