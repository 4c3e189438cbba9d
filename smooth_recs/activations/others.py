"""The activations that the paper compares with (section 4): SoftPlus (eq. 3), Swish (eq. 4), GELU (eq. 5) and others.

As in `functions`, `x` is a float tensor of any shape, and the result is of its type and shape. Each raises TypeError
where `x` is not of a floating-point type or a hyperparameter is not a number, and InputError where a hyperparameter
breaks its bound.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from smooth_recs.activations._arguments import anywhere, floating, number
from smooth_recs.activations.functions import integral
from smooth_recs.backends import is_tensor, ops
from smooth_recs.backends._formula import Partials
from smooth_recs.errors import InputError

Gate = tuple[Any, Callable[[], Any]]  # a gate's value, and what computes its derivative

GELU_AS_SWISH = (8 / np.pi) ** 0.5  # GELU(x) is close to x * sigmoid(GELU_AS_SWISH * x) (section 4)
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def softplus(x: Any, *, beta: Any = 1.0) -> Any:
    """SoftPlus (eq. 3): y = log(1 + exp(beta x)) / beta, beta > 0. A smaller beta is smoother.

    >>> print(softplus([0.0], beta=2.0).numpy().round(4))
    [0.3466]

    Raises:
      TypeError, InputError: as `smelu`, and where `beta` is 0.
    """
    x = floating(x)
    number("beta", beta, above=0)
    if ops.HAS_KERNELS and not is_tensor(beta) and np.all(np.equal(beta, 1)):
        return ops.softplus(x)

    def value(x: Any, beta: Any) -> Any:
        # Eq. 3 as  y = max(x, 0) + log(1 + exp(-beta |x|)) / beta,  which does not overflow.
        return ops.relu(x) + ops.log1p(ops.exp(-ops.absolute(x) * beta)) / beta

    def partials(x: Any, beta: Any) -> Partials:
        size = ops.minimum(
            ops.absolute(x), ops.constant(ops.largest(x), x)
        )  # so that the products below are 0, not NaN, at infinity

        def of_beta() -> Any:
            return -(size * ops.sigmoid(-size * beta) + ops.log1p(ops.exp(-size * beta)) / beta) / beta

        return [lambda: ops.sigmoid(x * beta), of_beta]

    return ops.differentiable(value, partials, x, {"beta": beta})


def swish(x: Any, *, beta: Any = 1.0) -> Any:
    """Swish (eq. 4): y = x sigmoid(beta x), beta >= 0. A smaller beta is smoother; 0 is x / 2.

    >>> print(swish([-1.0, 0.0], beta=2.0).numpy().round(4))
    [-0.1192  0.    ]

    Raises:
      TypeError, InputError: as `smelu`.
    """
    x = floating(x)
    number("beta", beta, at_least=0)

    def density(z: Any) -> Any:
        return ops.sigmoid(z) * ops.sigmoid(-z)  # sigmoid (1 - sigmoid) cancels where sigmoid is near 1

    return _gated(x, beta, ops.sigmoid, density)  # eq. 4


def gelu(x: Any, *, beta: Any = 1.0, form: str = "erf") -> Any:
    """GELU (eq. 5): y = x Phi(beta x), Phi the standard normal CDF, beta >= 0. A smaller beta is smoother.

    >>> print(gelu([-1.0, 1.0]).numpy().round(4))
    [-0.1587  0.8413]

    Args:
      x: float tensor of any shape.
      beta: inverse of the width of the transition region, in units of 1 / x.
      form: "erf", exact, or "sigmoid", the paper's approximation x sigmoid(sqrt(8 / pi) beta x), which is a Swish.

    Raises:
      TypeError, InputError: as `smelu`, and for an unknown `form`.
    """
    check_form(form)
    x = floating(x)
    number("beta", beta, at_least=0)
    if form == "sigmoid":
        factor = ops.cast(beta, x.dtype) if is_tensor(beta) else beta if isinstance(beta, float) else np.asarray(beta)
        return swish(x, beta=factor * GELU_AS_SWISH)

    def cdf(z: Any) -> Any:
        return 0.5 * ops.erfc(-z * 0.5**0.5)  # (1 + erf) / 2 cancels where erf is near -1

    def density(z: Any) -> Any:
        return ops.exp(-0.5 * ops.square(z)) * 0.3989422804014327  # 1 / sqrt(2 pi)

    def value(x: Any, beta: Any) -> Any:
        # Eq. 5 as  y = GELU(z) / beta,  GELU(z) = z / 2 erfc(-z / sqrt(2)),  z = beta x.  TensorFlow Lite (2.21) has no
        # erfc, but a GELU, which it knows by these very operations. Below -40 GELU is 0 in every type.
        z = ops.maximum(x * beta, ops.constant(-40, x))
        y = (z * 0.5) * ops.erfc(-z * 0.5**0.5)
        return (
            y / beta if above_0 else ops.where(beta == 0, x * 0.5, y / ops.where(beta == 0, ops.ones_like(beta), beta))
        )

    above_0 = not is_tensor(beta) and not anywhere(operator.eq, beta, 0)
    return _gated(x, beta, cdf, density, value)


def check_form(form: str) -> None:
    """Raises InputError unless `gelu` has that form."""
    if form not in ("erf", "sigmoid"):
        raise InputError(f"form must be 'erf' or 'sigmoid', got {form!r}")


def relu(x: Any) -> Any:
    """Rectified linear unit: y = max(x, 0). Its gradient at 0 is 0.

    >>> relu([-1.0, 2.0]).numpy().tolist()
    [0.0, 2.0]
    """
    return ops.relu(floating(x))


def leaky_relu(x: Any, *, alpha: Any = 0.2) -> Any:
    """Leaky ReLU: y = x for x > 0, alpha x otherwise; alpha >= 0.

    >>> leaky_relu([-1.0, 2.0], alpha=0.5).numpy().tolist()
    [-0.5, 2.0]
    """
    x = floating(x)
    number("alpha", alpha, at_least=0)
    if (
        ops.HAS_KERNELS and isinstance(alpha, int | float) and alpha > 0
    ):  # for alpha = 0 it gives NaN at -infinity (TensorFlow 2.21)
        return ops.leaky_relu(x, alpha)
    # The slope jumps from alpha to 1 at 0: two knots in the same place.
    return integral(x, {"left": 0.0, "right": 0.0}, {"alpha": alpha, "one": 1.0}, 0.0)


def elu(x: Any, *, alpha: Any = 1.0) -> Any:
    """Exponential linear unit: y = x for x > 0, alpha (exp(x) - 1) otherwise; alpha >= 0.

    >>> print(elu([-1.0, 2.0]).numpy().round(4))
    [-0.6321  2.    ]
    """
    x = floating(x)
    number("alpha", alpha, at_least=0)
    if ops.HAS_KERNELS and not is_tensor(alpha) and np.all(np.equal(alpha, 1)):
        return ops.elu(x)
    return ops.differentiable(_elu, _elu_partials, x, {"alpha": alpha})


def _elu(x: Any, alpha: Any) -> Any:
    # expm1 is exact near 0; it sees no positive x, of which it would be infinite, and its gradient with it.
    return ops.where(x > 0, x, ops.expm1(_negative(x)) * alpha)


def _elu_partials(x: Any, alpha: Any) -> Partials:
    low = _negative(x)
    return [lambda: ops.where(x > 0, ops.ones_like(x), ops.exp(low) * alpha), lambda: ops.expm1(low)]


def selu(x: Any) -> Any:
    """Self-normalizing ELU: 1.0507 times `elu` of alpha = 1.6733.

    >>> print(selu([1.0]).numpy().round(4))
    [1.0507]
    """

    def value(x: Any) -> Any:
        return _elu(x, SELU_ALPHA) * SELU_SCALE

    def partials(x: Any) -> Partials:
        return [lambda: _elu_partials(x, SELU_ALPHA)[0]() * SELU_SCALE]

    # tf.nn.selu (TensorFlow 2.21) takes its gradient from its output, which in half precision may have rounded to the
    # other side of 0.
    return ops.differentiable(value, partials, floating(x), {})


def celu(x: Any, *, alpha: Any = 1.0) -> Any:
    """Continuously differentiable ELU: y = x for x > 0, alpha (exp(x / alpha) - 1) otherwise; alpha > 0.

    >>> print(celu([-2.0, 2.0], alpha=2.0).numpy().round(4))
    [-1.2642  2.    ]
    """
    x = floating(x)
    number("alpha", alpha, above=0)

    def value(x: Any, alpha: Any) -> Any:
        return ops.where(x > 0, x, ops.expm1(_negative(x) / alpha) * alpha)

    def partials(x: Any, alpha: Any) -> Partials:
        z = ops.maximum(
            _negative(x) / alpha, ops.constant(ops.lowest(x), x)
        )  # so that z exp(z) is 0, not NaN, at -infinity
        return [lambda: ops.exp(z), lambda: ops.expm1(z) - z * ops.exp(z)]

    return ops.differentiable(value, partials, x, {"alpha": alpha})


def _negative(x: Any) -> Any:
    """The negative part of x: min(x, 0)."""
    return ops.minimum(x, ops.constant(0, x))


def mish(x: Any) -> Any:
    """Mish: y = x tanh(log(1 + exp(x))).

    >>> print(mish([-1.0, 1.0]).numpy().round(4))
    [-0.3034  0.8651]
    """

    def gate(z: Any) -> Gate:
        # With n = exp(z) the gate is w / (w + 2) for w = n (n + 2), and its derivative 4 n (1 + n) / (w + 2)^2: sums
        # and products of what is above 0, which lose no digits, where 1 - tanh^2 does.
        n = ops.exp(z)
        w = n * (n + 2)
        return w / (w + 2), lambda: (n / (w + 2)) * ((n * 4 + 4) / (w + 2))

    return _fixed_gate(floating(x), gate, one_from=40)  # where n^2 still is a number of float32


def tanhexp(x: Any) -> Any:
    """TanhExp: y = x tanh(exp(x)).

    >>> print(tanhexp([-1.0, 1.0]).numpy().round(4))
    [-0.3521  0.9913]
    """

    def gate(z: Any) -> Gate:
        def density() -> Any:
            # 1 / cosh(n)^2 = q (2 / (1 + q))^2 for q = exp(-2 n), which loses no digits, where 1 - tanh^2 does.
            q = ops.exp(n * -2)
            return (n * q) * ops.square(2 / (q + 1))

        n = ops.exp(z)
        return ops.tanh(n), density

    return _fixed_gate(floating(x), gate, one_from=5)


def _gated(
    x: Any,
    beta: Any,
    gate: Callable[[Any], Any],
    density: Callable[[Any], Any],
    value: Callable[[Any, Any], Any] | None = None,
) -> Any:
    """Multiplies x by gate(beta x); the gate g rises from 0 to 1, and `density` is its derivative g'.

    y = x g(z),  dy/dx = g(z) + z g'(z),  dy/dbeta = x^2 g'(z),  z = beta x; `value` may compute y in another way.
    """

    def product(x: Any, beta: Any) -> Any:
        # -infinity times a gate of 0 is 0; tf.nn.silu and tf.nn.gelu (TensorFlow 2.21) give NaN there.
        return ops.multiply_no_nan(x, gate(x * beta))

    def partials(x: Any, beta: Any) -> Partials:
        finite = _finite(x)
        z = _finite(finite * beta)
        return [lambda: gate(z) + z * density(z), lambda: finite * (finite * density(z))]

    return ops.differentiable(value or product, partials, x, {"beta": beta})


def _fixed_gate(x: Any, gate: Callable[[Any], Gate], one_from: float) -> Any:
    """Multiplies x by a gate without hyperparameters, which is 1 from `one_from` on, in every type."""

    def held(x: Any) -> Any:
        # Below -1e4 gate and derivative are 0 in every type, which times infinity would be NaN; so would be the largest
        # number, once TensorFlow's optimizer of graphs (2.21) has multiplied it by a constant factor of the derivative.
        return ops.clip(x, -1e4, one_from)

    def value(x: Any) -> Any:
        return ops.multiply_no_nan(x, gate(held(x))[0])

    def partials(x: Any) -> Partials:
        z = held(x)
        share, density = gate(z)
        return [lambda: share + z * density()]

    return ops.differentiable(value, partials, x, {})


def _finite(x: Any) -> Any:
    """Replaces infinity by the largest number, which times 0 is 0 and not NaN."""
    return ops.clip(x, ops.lowest(x), ops.largest(x))
