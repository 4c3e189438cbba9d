"""The other activations that the paper names, on the same terms as `functions`.

`x` is a float tensor of any shape, and the result is of its type and shape. TypeError: `x` is not of a floating-point
type, or `alpha` is not a number; InputError: `alpha` is out of its bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.activations import checks, gated, piecewise
from smooth_recs.activations.gradients import Partials, differentiable

SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def relu(x: Any) -> Any:
    """Rectified linear unit: y = max(x, 0). Its gradient at 0 is 0.

    >>> relu([-1.0, 2.0]).numpy().tolist()
    [0.0, 2.0]
    """
    return tf.nn.relu(checks.floating(x))


def leaky_relu(x: Any, *, alpha: Any = 0.2) -> Any:
    """Leaky ReLU: y = x for x > 0, alpha x otherwise; alpha >= 0.

    >>> leaky_relu([-1.0, 2.0], alpha=0.5).numpy().tolist()
    [-0.5, 2.0]
    """
    x = checks.floating(x)
    checks.number("alpha", alpha, at_least=0)
    if isinstance(alpha, int | float) and alpha > 0:  # TensorFlow's own gives NaN for 0 * -inf
        return tf.nn.leaky_relu(x, alpha)
    return piecewise.integral(x, {"left": 0.0, "right": 0.0}, {"alpha": alpha, "one": 1.0}, 0.0)


def elu(x: Any, *, alpha: Any = 1.0) -> Any:
    """Exponential linear unit: y = x for x > 0, alpha (exp(x) - 1) otherwise; alpha >= 0.

    >>> print(elu([-1.0, 2.0]).numpy().round(4))
    [-0.6321  2.    ]
    """
    x = checks.floating(x)
    checks.number("alpha", alpha, at_least=0)
    if not checks.is_tensor(alpha) and np.all(np.equal(alpha, 1)):
        return tf.nn.elu(x)
    return differentiable(_elu, _elu_partials, x, {"alpha": alpha})


def _elu(x: Any, alpha: Any) -> Any:
    return tf.where(x > 0, x, tf.math.expm1(_negative(x)) * alpha)


def _elu_partials(x: Any, alpha: Any) -> Partials:
    low = _negative(x)
    return [lambda: tf.where(x > 0, tf.ones_like(x), tf.exp(low) * alpha), lambda: tf.math.expm1(low)]


def selu(x: Any) -> Any:
    """Self-normalizing ELU: 1.0507 times `elu` of alpha = 1.6733.

    >>> print(selu([1.0]).numpy().round(4))
    [1.0507]
    """
    # TensorFlow's own takes its gradient from its output, which in half precision is on the wrong side near 0.
    return differentiable(_selu, _selu_partials, checks.floating(x), {})


def _selu(x: Any) -> Any:
    return _elu(x, SELU_ALPHA) * SELU_SCALE


def _selu_partials(x: Any) -> Partials:
    return [lambda: _elu_partials(x, SELU_ALPHA)[0]() * SELU_SCALE]


def celu(x: Any, *, alpha: Any = 1.0) -> Any:
    """Continuously differentiable ELU: y = x for x > 0, alpha (exp(x / alpha) - 1) otherwise; alpha > 0.

    >>> print(celu([-2.0, 2.0], alpha=2.0).numpy().round(4))
    [-1.2642  2.    ]
    """
    x = checks.floating(x)
    checks.number("alpha", alpha, above=0)
    return differentiable(_celu, _celu_partials, x, {"alpha": alpha})


def _celu(x: Any, alpha: Any) -> Any:
    return tf.where(x > 0, x, tf.math.expm1(_negative(x) / alpha) * alpha)


def _celu_partials(x: Any, alpha: Any) -> Partials:
    z = tf.maximum(_negative(x) / alpha, x.dtype.min)  # so that inf * 0 is 0
    return [lambda: tf.exp(z), lambda: tf.math.expm1(z) - z * tf.exp(z)]


def _negative(x: Any) -> Any:
    return tf.minimum(x, tf.zeros([], x.dtype))


def mish(x: Any) -> Any:
    """Mish: y = x tanh(log(1 + exp(x))).

    >>> print(mish([-1.0, 1.0]).numpy().round(4))
    [-0.3034  0.8651]
    """
    return gated.gated(checks.floating(x), 1.0, gated.mish_gate, gated.mish_density)


def tanhexp(x: Any) -> Any:
    """TanhExp: y = x tanh(exp(x)).

    >>> print(tanhexp([-1.0, 1.0]).numpy().round(4))
    [-0.3521  0.9913]
    """
    return gated.gated(checks.floating(x), 1.0, gated.tanhexp_gate, gated.tanhexp_density)
