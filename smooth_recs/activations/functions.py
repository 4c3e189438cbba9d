"""The paper's own activations (section 5), as pure functions of tensors: SmeLU, gSmeLU, RESCU.

All take a tensor of any floating-point type and shape. Hyperparameters are keyword-only: numbers (or arrays of them,
one a unit), which are checked, or tensors that broadcast with `x`, which are not checked and get gradients. At infinite
`x` all give the mathematical limit; NaN stays NaN; higher derivatives exist.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from smooth_recs.activations._gradients import Partials, differentiable, floating, increasing, is_tensor, number
from smooth_recs.errors import InputError

DEFAULT_BETA = 0.1  # of SmeLU, everywhere: function, layer and string; docs/beta.md says how it was measured

JOINT_TOLERANCE = 1e-6  # relative to the larger of the two sides, or to 1

Function = Callable[[Any], Any]
Piece = tuple[Function, tuple[float, float]]


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
    x = floating(x)
    number("beta", beta, at_least=0, at_most=float(x.dtype.max) / 4)

    def value(x: Any, beta: Any) -> Any:
        # (7)  y = max(x, u^2 / 4 beta),  u = clip(x, -beta, beta) + beta
        # The parabola touches the line y = x from above, so that the maximum chooses the piece; u (u / 4 beta) does not
        # overflow where u^2 would.
        u = _clip(x, -beta, beta) + beta
        return tf.maximum(x, u * (u / _not_zero(beta * 4)))

    def partials(x: Any, beta: Any) -> Partials:
        # dy/dx = s = (x + beta) / 2 beta held in [0, 1],  dy/dbeta = s (1 - s); unlike u / 2 beta also at beta = 0
        slope = _share(x + beta, beta * 2)
        return [lambda: slope, lambda: slope * (1 - slope)]

    def fixed_partials(x: Any, beta: Any) -> Partials:
        # dy/dx = u / 2 beta: u as in the value, which costs nothing more once both passes are one graph
        u = _clip(x, -beta, beta) + beta
        return [lambda: u / (beta * 2)]

    if is_tensor(beta) or np.any(np.equal(beta, 0)):
        return differentiable(value, partials, x, {"beta": beta})
    widen = x.dtype == tf.bfloat16  # where XLA rounds after every operation, which costs more than two casts
    return differentiable(value, fixed_partials, x, {"beta": beta}, widen)


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
    x = floating(x)
    check_gsmelu(alpha, beta, g_minus, g_plus, t)
    # (9)  t plus the integral of the slope from -alpha on: the parabola's a, b and c of (10) cancel where it is narrow
    knots = {"alpha": -alpha if is_tensor(alpha) else np.negative(alpha), "beta": beta}
    return integral(x, knots, {"g_minus": g_minus, "g_plus": g_plus}, t)


def check_gsmelu(alpha: Any, beta: Any, g_minus: Any, g_plus: Any, t: Any) -> None:
    """The bounds of `gsmelu` for those hyperparameters that are numbers."""
    number("alpha", alpha, at_least=0)
    number("beta", beta, at_least=0)
    number("g_minus", g_minus)
    number("g_plus", g_plus)
    increasing("g_minus, g_plus", (g_minus, g_plus))
    number("t", t, at_most=0)


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
    x = floating(x)
    check_rescu(knots, slopes, t)
    named = [{f"{name}[{i}]": v for i, v in enumerate(vs)} for name, vs in (("knots", knots), ("slopes", slopes))]
    return integral(x, named[0], named[1], t)


def check_rescu(knots: Sequence[Any], slopes: Sequence[Any], t: Any) -> None:
    """The bounds of `rescu` for those hyperparameters that are numbers."""
    if len(knots) < 2:
        raise InputError(f"knots must be at least two, got {knots}")
    if len(slopes) != len(knots):
        raise InputError(f"slopes must be one a knot ({len(knots)}), got {slopes}")
    for name, values in (("knots", knots), ("slopes", slopes)):
        for i, value in enumerate(values):
            number(f"{name}[{i}]", value)
    increasing("knots", knots)
    number("t", t)


@tf.autograph.experimental.do_not_convert  # autograph would rewrite the functions inside, to no effect
def integral(x: Any, knots: Mapping[str, Any], slopes: Mapping[str, Any], t: Any) -> Any:
    """t plus the integral, from the first knot to `x`, of the slope that is piecewise linear through (knots, slopes).

    With share_i in [0, 1], the part of segment i (from knot i to knot i + 1) that lies left of x, the slope is

        s(x) = sum_i slopes[i] * hat_i(x),   hat_i = share_(i-1) - share_i   (share_(-1) = 1, share_n = 0)

    and its integral from the first knot on is sum_i slopes[i] * basis_i(x): parabolas that meet smoothly, between two
    straight tails.

    Args:
      x: float tensor of any shape.
      knots, slopes: numbers or tensors by name; the names are for messages. Knots may coincide: there the slope jumps.
      t: value at the first knot.
    """
    n = len(knots)

    def value(x: Any, *hyperparameters: Any) -> Any:
        knots, slopes, t = hyperparameters[:n], hyperparameters[n:-1], hyperparameters[-1]
        bases = _bases(x, knots, _segments(x, knots))
        products = list(map(tf.math.multiply_no_nan, bases, slopes))  # a tail of slope 0 is 0 at infinity too
        return sum(products[1:], products[0]) + t

    def partials(x: Any, *hyperparameters: Any) -> Partials:
        knots, slopes = hyperparameters[:n], hyperparameters[n:-1]
        segments = _segments(x, knots)
        shares = [tf.ones([], x.dtype), *(s.share for s in segments), tf.zeros([], x.dtype)]

        def of_x() -> Any:
            pairs = zip(itertools.pairwise(shares), slopes, strict=True)
            hats = [(left - right) * slope for (left, right), slope in pairs]
            return sum(hats[1:], hats[0])

        def of_knot(i: int) -> Any:
            """A knot that moves right takes from the slope on both its sides, in proportion to its hat."""
            total = (slopes[i - 1] - slopes[i]) * 0.5 * tf.square(shares[i]) if i > 0 else -slopes[0]
            if i + 1 < n:
                total += (slopes[i] - slopes[i + 1]) * (shares[i + 1] * (1 - shares[i + 1] * 0.5))
            return total

        def of_slope(i: int) -> Any:
            return _bases(x, knots, segments)[i]

        return [
            of_x,
            *(lambda i=i: of_knot(i) for i in range(n)),
            *(lambda i=i: of_slope(i) for i in range(n)),
            lambda: tf.ones([], x.dtype),
        ]

    return differentiable(value, partials, x, {**knots, **slopes, "t": t})


class _Segment(NamedTuple):
    width: Any
    share: Any


def _segments(x: Any, knots: Sequence[Any]) -> list[_Segment]:
    return [_Segment(right - left, _share(x - left, right - left)) for left, right in itertools.pairwise(knots)]


def _bases(x: Any, knots: Sequence[Any], segments: Sequence[_Segment]) -> list[Any]:
    """basis_i, the integral of hat_i from the first knot to x."""
    rises = [s.share * s.share * (s.width * 0.5) for s in segments]
    falls = [s.share * (1 - s.share * 0.5) * s.width for s in segments]
    before = tf.minimum(x - knots[0], tf.zeros([], x.dtype))
    after = tf.maximum(x - knots[-1], tf.zeros([], x.dtype))
    return [a + b for a, b in zip([before, *rises], [*falls, after], strict=True)]


def _clip(x: Any, low: Any, high: Any) -> Any:
    """`x` held in [low, high]; in one operation for scalar bounds."""
    if low.shape.rank == high.shape.rank == 0:
        return tf.raw_ops.ClipByValue(t=x, clip_value_min=low, clip_value_max=high)
    return tf.maximum(tf.minimum(x, high), low)  # tf.clip_by_value does not broadcast x (TensorFlow 2.21)


def _not_zero(width: Any) -> Any:
    """`width`, or the smallest normal number where it is 0: then 0 / 0 is 0, and all above 0 far more than 1."""
    return tf.maximum(width, tf.constant(4 / float(width.dtype.max), width.dtype))


def _share(length: Any, width: Any) -> Any:
    """`length / width` held in [0, 1]. Its derivative at 0 is 0: of two neighbours only one counts at a knot."""
    return tf.minimum(tf.nn.relu(length * tf.math.reciprocal(_not_zero(width))), tf.ones([], length.dtype))


def join(pieces: Sequence[Piece]) -> Function:
    """A rectified smooth continuous unit made of given pieces (section 5.2).

    ```python
    lower = (lambda x: tf.exp(x) - 1, (-math.inf, 0.0))
    upper = (lambda x: x, (0.0, math.inf))
    elu = sr.activations.join([lower, upper])
    ```

    Args:
      pieces: (function, (low, high)) from left to right: functions of a float tensor, made of TensorFlow operations,
        over intervals that touch and together cover all numbers. At a joint the left piece counts.

    Returns:
      A function of a float tensor. Each piece is only ever evaluated inside its own interval. Make it once, outside of
      any `tf.function`: the joints are looked at then.

    Raises:
      InputError: an interval is empty, there is a gap or an overlap, or the values or the gradients of two neighbours
        differ at their joint by more than 1e-6 of the larger (or of 1); the message says where and by how much.
    """
    _check_intervals([interval for _, interval in pieces])
    for (left, (_, joint)), (right, _) in itertools.pairwise(pieces):
        sides = (_value_and_gradient(function, joint) for function in (left, right))
        for what, a, b in zip(("values", "gradients"), *sides, strict=True):
            if not abs(a - b) <= JOINT_TOLERANCE * max(abs(a), abs(b), 1):
                apart = f"{a:g} and {b:g}, apart by {abs(a - b):g}"
                raise InputError(f"the {what} of two pieces must meet at {joint:g}, got {apart}")

    def activation(x: Any) -> Any:
        x = floating(x)
        y = _inside(pieces[-1], x)
        for piece in reversed(pieces[:-1]):
            y = tf.where(x <= piece[1][1], _inside(piece, x), y)
        return y * tf.where(tf.math.is_nan(x), x, tf.ones_like(x))  # a constant piece would lose NaN

    return activation


def _inside(piece: Piece, x: Any) -> Any:
    """The piece at `x`, or at the end of its interval where `x` is beyond: what is not used must stay finite."""
    function, (low, high) = piece
    if high < math.inf:
        x = tf.minimum(x, tf.constant(high, x.dtype))
    if low > -math.inf:
        x = tf.maximum(x, tf.constant(low, x.dtype))
    return function(x)


def _check_intervals(intervals: Sequence[tuple[float, float]]) -> None:
    if not intervals:
        raise InputError("pieces must be at least one, got none")
    for low, high in intervals:
        if not low < high:
            raise InputError(f"the interval of a piece must not be empty, got ({low:g}, {high:g})")
    ends = [-math.inf, *(end for interval in intervals for end in interval), math.inf]
    for left, right in zip(ends[::2], ends[1::2], strict=True):
        if left != right:
            raise InputError(f"the pieces' intervals must touch and cover all numbers, got {left:g} before {right:g}")


def _value_and_gradient(function: Function, point: float) -> tuple[float, float]:
    """Both at a point, in float64."""
    x = tf.constant(point, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    gradient = tape.gradient(y, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return float(y), float(gradient)
