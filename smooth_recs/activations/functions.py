"""The activations of the paper, as pure functions of tensors.

All take a tensor of any floating-point type and shape. Hyperparameters are keyword-only: numbers (or arrays of them,
one a unit), which are checked, or tensors that broadcast with `x`, which are not checked and get gradients. At infinite
`x` all give the mathematical limit; NaN stays NaN; higher derivatives exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.activations import checks, gated, piecewise
from smooth_recs.activations.gradients import Partials, differentiable
from smooth_recs.errors import InputError

DEFAULT_BETA = 0.1  # of SmeLU, everywhere: function, layer and string; docs/beta.md says how it was measured

GELU_AS_SWISH = (8 / np.pi) ** 0.5  # GELU(x) is close to x * sigmoid(GELU_AS_SWISH * x) (section 4)


def smelu(x: Any, *, beta: Any = DEFAULT_BETA) -> Any:
    """Smooth ReLU (eq. 7).

    y = 0 for x <= -beta,  (x + beta)^2 / (4 beta) for |x| <= beta,  x for x >= beta.

    >>> smelu([-1.0, 0.0, 0.5], beta=0.5).numpy().tolist()
    [0.0, 0.125, 0.5]

    Args:
      x: float tensor of any shape.
      beta: half-width of the transition region, in units of `x`; 0.1 by default, 0 is ReLU. Wider is smoother: better
        reproducibility, up to a point where accuracy is lost.

    Returns:
      A tensor of the type and shape of `x` (broadcast with `beta`).

    Raises:
      TypeError: `x` is not of a floating-point type, or `beta` is not a number.
      InputError: `beta` is negative, not finite, or above a quarter of the largest number of the type of `x`.
    """
    x = checks.floating(x)
    checks.number("beta", beta, at_least=0, at_most=float(x.dtype.max) / 4)
    if checks.is_tensor(beta) or np.any(np.equal(beta, 0)):
        return differentiable(_smelu, _smelu_partials, x, {"beta": beta})
    widen = x.dtype == tf.bfloat16  # where XLA rounds after every operation, which costs more than two casts
    return differentiable(_smelu, _fixed_smelu_partials, x, {"beta": beta}, widen)


def _smelu(x: Any, beta: Any) -> Any:
    u = piecewise.clip(x, -beta, beta) + beta
    return tf.maximum(x, u * (u / piecewise.not_zero(beta * 4)))  # the parabola touches the line y = x from above


def _smelu_partials(x: Any, beta: Any) -> Partials:
    slope = piecewise.share(x + beta, beta * 2)
    return [lambda: slope, lambda: slope * (1 - slope)]


def _fixed_smelu_partials(x: Any, beta: Any) -> Partials:
    u = piecewise.clip(x, -beta, beta) + beta  # as in the value, which costs nothing more once both are one graph
    return [lambda: u / (beta * 2)]


def gsmelu(x: Any, *, alpha: Any = 1.0, beta: Any = 1.0, g_minus: Any = 0.0, g_plus: Any = 1.0, t: Any = 0.0) -> Any:
    """Generalized SmeLU (eqs. 9 and 10).

    The slope is g_minus for x <= -alpha, g_plus for x >= beta, and linear between; y(-alpha) = t. SmeLU is
    alpha = beta, g_minus = 0, g_plus = 1, t = 0.

    >>> gsmelu([-2.0, -1.0, 1.0], g_minus=0.5).numpy().tolist()
    [-0.5, 0.0, 1.5]

    Args:
      x: float tensor of any shape.
      alpha, beta: where the transition region ends, left and right of 0, in units of `x`; both 0 is the
        piecewise-linear limit.
      g_minus, g_plus: slopes left and right of it, g_plus > g_minus.
      t: value at -alpha, at most 0, so that the activation crosses the origin.

    Returns:
      A tensor of the type and shape of `x` (broadcast with the hyperparameters).

    Raises:
      TypeError: `x` is not of a floating-point type, or a hyperparameter is not a number.
      InputError: a hyperparameter is not finite or breaks one of the bounds above.
    """
    x = checks.floating(x)
    check_gsmelu(alpha, beta, g_minus, g_plus, t)
    knots = {"alpha": -alpha if checks.is_tensor(alpha) else np.negative(alpha), "beta": beta}
    return piecewise.integral(x, knots, {"g_minus": g_minus, "g_plus": g_plus}, t)


def check_gsmelu(alpha: Any, beta: Any, g_minus: Any, g_plus: Any, t: Any) -> None:
    """The bounds of `gsmelu` for those hyperparameters that are numbers."""
    checks.number("alpha", alpha, at_least=0)
    checks.number("beta", beta, at_least=0)
    checks.number("g_minus", g_minus)
    checks.number("g_plus", g_plus)
    checks.increasing("g_minus, g_plus", (g_minus, g_plus))
    checks.number("t", t, at_most=0)


def rescu(x: Any, *, knots: Sequence[Any], slopes: Sequence[Any], t: Any = 0.0) -> Any:
    """Rectified smooth continuous unit (section 5.2), of any number of quadratic segments.

    The slope is the continuous piecewise-linear function through (knots, slopes), constant outside; y(knots[0]) = t.
    SmeLU is knots (-beta, beta), slopes (0, 1); gSmeLU is knots (-alpha, beta), slopes (g_minus, g_plus).

    >>> rescu([-2.0, 0.0, 1.0, 3.0], knots=(-1, 1, 2), slopes=(0, 1, 0)).numpy().tolist()
    [0.0, 0.25, 1.0, 1.5]

    Args:
      x: float tensor of any shape.
      knots: two or more positions, increasing, in units of `x`: numbers, or tensors that broadcast with `x`.
      slopes: as many slopes.
      t: value at the first knot.

    Returns:
      A tensor of the type and shape of `x` (broadcast with the hyperparameters).

    Raises:
      TypeError: `x` is not of a floating-point type, or a hyperparameter is not a number.
      InputError: fewer than two knots, knots that do not increase, another number of slopes, or one that is not finite.
    """
    x = checks.floating(x)
    check_rescu(knots, slopes, t)
    named = [{f"{name}[{i}]": v for i, v in enumerate(vs)} for name, vs in (("knots", knots), ("slopes", slopes))]
    return piecewise.integral(x, named[0], named[1], t)


def check_rescu(knots: Sequence[Any], slopes: Sequence[Any], t: Any) -> None:
    """The bounds of `rescu` for those hyperparameters that are numbers."""
    if len(knots) < 2:
        raise InputError(f"knots must be at least two, got {knots}")
    if len(slopes) != len(knots):
        raise InputError(f"slopes must be one a knot ({len(knots)}), got {slopes}")
    for name, values in (("knots", knots), ("slopes", slopes)):
        for i, value in enumerate(values):
            checks.number(f"{name}[{i}]", value)
    checks.increasing("knots", knots)
    checks.number("t", t)


def softplus(x: Any, *, beta: Any = 1.0) -> Any:
    """SoftPlus (eq. 3): y = log(1 + exp(beta x)) / beta, beta > 0. A smaller beta is smoother.

    >>> print(softplus([0.0], beta=2.0).numpy().round(4))
    [0.3466]

    Raises:
      TypeError, InputError: as `smelu`, and where `beta` is 0.
    """
    x = checks.floating(x)
    checks.number("beta", beta, above=0)
    if not checks.is_tensor(beta) and np.all(np.equal(beta, 1)):
        return tf.nn.softplus(x)
    return differentiable(_softplus, _softplus_partials, x, {"beta": beta})


def _softplus(x: Any, beta: Any) -> Any:
    return tf.nn.relu(x) + tf.math.log1p(tf.exp(-tf.abs(x) * beta)) / beta


def _softplus_partials(x: Any, beta: Any) -> Partials:
    size = tf.minimum(tf.abs(x), x.dtype.max)  # so that inf * 0 is 0

    def of_beta() -> Any:
        return -(size * tf.sigmoid(-size * beta) + tf.math.log1p(tf.exp(-size * beta)) / beta) / beta

    return [lambda: tf.sigmoid(x * beta), of_beta]


def swish(x: Any, *, beta: Any = 1.0) -> Any:
    """Swish (eq. 4): y = x sigmoid(beta x), beta >= 0. A smaller beta is smoother; 0 is x / 2.

    >>> print(swish([-1.0, 0.0], beta=2.0).numpy().round(4))
    [-0.1192  0.    ]

    Raises:
      TypeError, InputError: as `smelu`.
    """
    x = checks.floating(x)
    checks.number("beta", beta, at_least=0)
    return gated.gated(x, beta, tf.sigmoid, gated.logistic_density)


def gelu(x: Any, *, beta: Any = 1.0, form: str = "erf") -> Any:
    """GELU (eq. 5): y = x Phi(beta x), Phi the standard normal CDF, beta >= 0. A smaller beta is smoother.

    >>> print(gelu([-1.0, 1.0]).numpy().round(4))
    [-0.1587  0.8413]

    Args:
      x: float tensor of any shape.
      beta: inverse of the width of the transition region, in units of 1 / x.
      form: "erf", exact, or "sigmoid", the paper's approximation x sigmoid(sqrt(8 / pi) beta x), which is a Swish.

    Raises:
      TypeError, InputError: as `smelu`, and for another `form`.
    """
    check_form(form)
    x = checks.floating(x)
    checks.number("beta", beta, at_least=0)
    if form == "sigmoid":
        scaled = tf.cast(beta, x.dtype) if checks.is_tensor(beta) else np.asarray(beta)
        return swish(x, beta=scaled * GELU_AS_SWISH)
    return gated.gated(x, beta, gated.normal_cdf, gated.normal_density)


def check_form(form: str) -> None:
    """Raises InputError unless `gelu` has that form."""
    if form not in ("erf", "sigmoid"):
        raise InputError(f"form must be 'erf' or 'sigmoid', got {form!r}")
