"""The activations of the paper as pure functions of tensors.

All take a tensor of any floating-point type and shape, and keyword-only hyperparameters: numbers, which are checked, or
tensors that broadcast with it (one a layer, or one a unit), which get gradients and are not checked. Infinite inputs
give the mathematical limit, NaN stays NaN, and derivatives of any order are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from smooth_recs.activations import checks
from smooth_recs.activations.gradients import Partials, differentiable

DEFAULT_BETA = 0.5  # of SmeLU, everywhere: function, layer, string and documentation


def smelu(x: Any, *, beta: Any = DEFAULT_BETA) -> Any:
    """Smooth ReLU: 0 up to -beta, x from beta on, a parabola between (eq. 7)."""
    x = checks.floating(x)
    checks.number("beta", beta, at_least=0)
    return differentiable(_smelu, _smelu_partials, x, {"beta": beta})


def _smelu(x: Any, beta: Any) -> Any:
    half = _clip(0.5 * x + 0.5 * beta, beta)  # half of x + beta, which may overflow
    return tf.maximum(x, half * (half / _divisor(beta)))  # the parabola touches the line y = x from above


def _smelu_partials(x: Any, beta: Any) -> Partials:
    slope = tf.where(x > beta, tf.ones([], x.dtype), _clip(0.5 * x + 0.5 * beta, beta) / _divisor(beta))
    return {"x": lambda: slope, "beta": lambda: slope * (1 - slope)}


def gsmelu(
    x: Any, *, alpha: Any = 1.0, beta: Any = 1.0, g_minus: Any = 0.0, g_plus: Any = 1.0, t: Any = 0.0
) -> Any:
    """Generalized SmeLU: slope g_minus up to -alpha, g_plus from beta on, a parabola between (eqs. 9, 10)."""
    x = checks.floating(x)
    checks.number("alpha", alpha, at_least=0)
    checks.number("beta", beta, at_least=0)
    checks.number("t", t)
    checks.increasing("g_minus, g_plus", (g_minus, g_plus))
    left = -alpha if checks.is_tensor(alpha) else -1.0 * alpha
    return _piecewise(x, (left, beta), (g_minus, g_plus), t)


def rescu(x: Any, *, knots: Sequence[Any], slopes: Sequence[Any], t: Any = 0.0) -> Any:
    """Rectified smooth continuous unit: the slope is piecewise linear through (knots, slopes) (section 5.2)."""
    x = checks.floating(x)
    for name, values in (("knots", knots), ("slopes", slopes)):
        for i, value in enumerate(values):
            checks.number(f"{name}[{i}]", value)
    checks.increasing("knots", knots)
    checks.number("t", t)
    return _piecewise(x, knots, slopes, t)


def _piecewise(x: Any, knots: Sequence[Any], slopes: Sequence[Any], t: Any) -> Any:
    """The integral of the slope from the first knot to x, plus t: a sum of a left tail, one parabola a segment, a right tail."""
    named = {f"knot{i}": k for i, k in enumerate(knots)} | {f"slope{i}": s for i, s in enumerate(slopes)} | {"t": t}
    return differentiable(_rescu, _rescu_partials, x, named)


def _split(named: dict[str, Any]) -> tuple[list[Any], list[Any], Any]:
    n = len(named) // 2
    return [named[f"knot{i}"] for i in range(n)], [named[f"slope{i}"] for i in range(n)], named["t"]


def _tails(x, knots):
    return tf.minimum(x - knots[0], 0), tf.maximum(x - knots[-1], 0)


def _segments(x, knots):
    """(half of the part of each segment that lies left of x, its share of the segment)."""
    out = []
    for left, right in zip(knots, knots[1:]):
        width = 0.5 * right - 0.5 * left
        half = _clip(0.5 * x - 0.5 * left, width)
        share = half / _divisor(width)
        share = tf.where(x > right, tf.ones([], x.dtype), tf.where(x <= left, tf.zeros([], x.dtype), share))
        out.append((half, share))
    return out


def _rescu(x: Any, **named: Any) -> Any:
    knots, slopes, t = _split(named)
    left, right = _tails(x, knots)
    y = t + tf.math.multiply_no_nan(left, slopes[0])
    for (half, share), s0, s1 in zip(_segments(x, knots), slopes, slopes[1:]):
        y += half * (s0 + (s0 * (1 - share) + s1 * share))
    return y + tf.math.multiply_no_nan(right, slopes[-1])


def _rescu_partials(x: Any, **named: Any) -> Partials:
    knots, slopes, t = _split(named)
    left, right = _tails(x, knots)
    segments = _segments(x, knots)
    n = len(knots)

    def slope():
        y = slopes[0] if n == 1 else 0
        y = 0
        for i, (_, share) in enumerate(segments):
            if i == 0:
                y = slopes[0] * (1 - share) + slopes[1] * share
            else:
                y += (slopes[i + 1] - slopes[i]) * share
        return y

    def d_slope(i):
        y = 0
        if i > 0:
            half, share = segments[i - 1]
            y += half * share
        if i < n - 1:
            half, share = segments[i]
            y += half * (2 - share)
        if i == 0:
            y += left
        if i == n - 1:
            y += right
        return y

    def d_knot(i):
        y = 0
        if i > 0:
            _, share = segments[i - 1]
            y -= (slopes[i] - slopes[i - 1]) * (0.5 * share * share)
        if i < n - 1:
            _, share = segments[i]
            y -= (slopes[i + 1] - slopes[i]) * (share - 0.5 * share * share)
        if i == 0:
            y -= slopes[0]
        return y

    return (
        {"x": slope, "t": lambda: tf.ones_like(x)}
        | {f"knot{i}": (lambda i=i: d_knot(i)) for i in range(n)}
        | {f"slope{i}": (lambda i=i: d_slope(i)) for i in range(n)}
    )


def _clip(x: Any, upper: Any) -> Any:
    return tf.clip_by_value(x, tf.zeros([], x.dtype), upper)


def _divisor(width: Any) -> Any:
    """`width`, or infinity where there is no transition region: x / inf is 0, and so are its derivatives."""
    return tf.where(width > 0, width, tf.constant(float("inf"), width.dtype))


def softplus(x: Any, *, beta: Any = 1.0) -> Any:
    x = checks.floating(x)
    return tf.nn.softplus(beta * x) / beta


def swish(x: Any, *, beta: Any = 1.0) -> Any:
    x = checks.floating(x)
    return x * tf.sigmoid(beta * x)


def gelu(x: Any, *, beta: Any = 1.0) -> Any:
    x = checks.floating(x)
    return 0.5 * x * tf.math.erfc(-beta * x / 2**0.5)


def relu(x: Any) -> Any:
    return tf.nn.relu(checks.floating(x))
