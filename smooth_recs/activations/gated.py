"""x times a gate that rises from 0 to 1: Swish, GELU, Mish, TanhExp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from smooth_recs.activations.gradients import Partials, differentiable


def gated(x: Any, beta: Any, gate: Callable[[Any], Any], density: Callable[[Any], Any]) -> Any:
    """x * gate(beta * x), where `density` is the derivative of `gate` and both vanish at -infinity."""

    def value(x: Any, beta: Any) -> Any:
        return tf.math.multiply_no_nan(x, gate(x * beta))  # TensorFlow's own Swish and GELU give NaN at -inf

    def partials(x: Any, beta: Any) -> Partials:
        finite = _finite(x)
        z = _finite(finite * beta)
        return [lambda: gate(z) + z * density(z), lambda: finite * (finite * density(z))]

    return differentiable(value, partials, x, {"beta": beta})


def _finite(x: Any) -> Any:
    """The largest number for infinity, so that times 0 it is 0."""
    return tf.clip_by_value(x, x.dtype.min, x.dtype.max)


def logistic_density(z: Any) -> Any:
    return tf.sigmoid(z) * tf.sigmoid(-z)


def normal_cdf(z: Any) -> Any:
    return 0.5 * tf.math.erfc(z * -(0.5**0.5))  # not 1 + erf(z), which cancels on the left


def normal_density(z: Any) -> Any:
    return tf.exp(-0.5 * tf.square(z)) * 0.3989422804014327


def mish_gate(z: Any) -> Any:
    return tf.tanh(tf.nn.softplus(z))


def mish_density(z: Any) -> Any:
    return (1 - tf.square(mish_gate(z))) * tf.sigmoid(z)


def tanhexp_gate(z: Any) -> Any:
    return tf.tanh(tf.exp(z))


def tanhexp_density(z: Any) -> Any:
    exp = tf.exp(tf.minimum(z, tf.constant(5.0, z.dtype)))  # beyond, the gate is 1 in every type
    return (1 - tf.square(tf.tanh(exp))) * exp
