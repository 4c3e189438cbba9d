"""The paper's activations (section 5) as pure functions of tensors: SmeLU (eq. 7), gSmeLU (eqs. 9 and 10), RESCU.

Each takes a tensor of any floating-point type and shape. Hyperparameters are keyword-only: numbers (or arrays of them,
one a unit), which are checked, or tensors that broadcast with `x`, which are not checked and get gradients. At infinite
`x` each gives its mathematical limit; NaN stays NaN; higher derivatives exist. `join` makes an activation of a user's
own pieces (section 5.2).
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from smooth_recs.activations._arguments import anywhere, floating, increasing, number
from smooth_recs.backends import is_tensor, ops
from smooth_recs.backends._formula import Partials
from smooth_recs.errors import InputError

# SmeLU's width where none is given: in the function, the layer and the string. docs/beta.md says how it was measured.
DEFAULT_BETA = 0.1

# How far apart two pieces of `join` may be where they meet, relative to the larger of the two, or to 1.
JOINT_TOLERANCE = 1e-6

_LEAST = float(np.finfo(np.float32).tiny)

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
    number("beta", beta, at_least=0, at_most=ops.largest(x) / 4)

    def value(x: Any, beta: Any) -> Any:
        # Eq. 7:  y = u (u / 4 beta) for x < beta, else x;  u = clip(x + beta, 0, 2 beta).
        # Left of -beta u is 0, and so is y. The parabola touches the line y = x from above at beta and stays at
        # y = beta from there on, so the maximum of the two is the right piece everywhere, without a comparison.
        # u (u / 4 beta) does not overflow where u^2 would.
        u = _clip(x + beta, beta * 2)
        return ops.maximum(x, u * (u / _not_zero(beta * 4)))

    def partials(x: Any, beta: Any) -> Partials:
        # dy/dx = s = clip((x + beta) / 2 beta, 0, 1),  dy/dbeta = s (1 - s): defined at beta = 0, unlike u / 2 beta.
        slope = _share(x + beta, beta * 2)
        return [lambda: slope, lambda: slope * (1 - slope)]

    def fixed_partials(x: Any, beta: Any) -> Partials:
        # dy/dx = u / 2 beta, with the u of the value: a graph of both passes computes it once.
        u = _clip(x + beta, beta * 2)
        return [lambda: u / (beta * 2)]

    # The processor takes a number below the least normal one for 0: 0 / 0 would be NaN.
    if is_tensor(beta) or anywhere(operator.lt, beta, _LEAST):
        return ops.differentiable(value, partials, x, {"beta": beta})
    return ops.differentiable(value, fixed_partials, x, {"beta": beta}, exact_in_half=True)


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
    # Eq. 9:  y = g_minus x + t + g_minus alpha                                      for x <= -alpha
    #         y = a x^2 + b x + c                                                    between
    #         y = g_plus x + t + (alpha + beta) g_minus / 2 + (alpha - beta) g_plus / 2  for x >= beta
    # It is computed as t plus the integral of the slope from -alpha on. Eq. 10's a, b and c are numbers divided by
    # alpha + beta, so their terms cancel where the transition is narrow.
    knots = {
        "alpha": -alpha if is_tensor(alpha) or isinstance(alpha, (int, float)) else np.negative(alpha),
        "beta": beta,
    }
    return integral(x, knots, {"g_minus": g_minus, "g_plus": g_plus}, t)


def check_gsmelu(alpha: Any, beta: Any, g_minus: Any, g_plus: Any, t: Any) -> None:
    """Raises TypeError or InputError where a hyperparameter of `gsmelu` that is a number breaks a bound."""
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
      InputError: fewer than two knots, knots that do not increase, more or fewer slopes, or a value that is not finite.
    """
    x = floating(x)
    check_rescu(knots, slopes, t)
    named = [{f"{name}[{i}]": v for i, v in enumerate(vs)} for name, vs in (("knots", knots), ("slopes", slopes))]
    return integral(x, named[0], named[1], t)


def check_rescu(knots: Sequence[Any], slopes: Sequence[Any], t: Any) -> None:
    """Raises TypeError or InputError where a hyperparameter of `rescu` that is a number breaks a bound."""
    if len(knots) < 2:
        raise InputError(f"knots must be at least two, got {knots}")
    if len(slopes) != len(knots):
        raise InputError(f"slopes must be one a knot ({len(knots)}), got {slopes}")
    for name, values in (("knots", knots), ("slopes", slopes)):
        for i, value in enumerate(values):
            number(f"{name}[{i}]", value)
    increasing("knots", knots)
    number("t", t)


@ops.not_converted
def integral(x: Any, knots: Mapping[str, Any], slopes: Mapping[str, Any], t: Any) -> Any:
    """Computes t plus the integral, from the first knot to x, of the piecewise-linear slope through (knots, slopes).

    Let share_i in [0, 1] be the part of segment i (from knot i to knot i + 1) that lies left of x. Then the slope is

        s(x) = sum_i slopes[i] hat_i(x),   hat_i = share_(i-1) - share_i,   share_(-1) = 1,   share_(n-1) = 0

    for n knots, and its integral from the first knot on is sum_i slopes[i] basis_i(x): parabolas that meet smoothly,
    between two straight tails.

    Args:
      x: float tensor of any shape.
      knots, slopes: numbers or tensors by name; the names are for messages. Knots may coincide: there the slope jumps.
      t: value at the first knot.
    """
    n = len(knots)

    def value(x: Any, *hyperparameters: Any) -> Any:
        knots, slopes, t = hyperparameters[:n], hyperparameters[n:-1], hyperparameters[-1]
        bases = _bases(x, knots, _segments(x, knots))
        products = list(map(ops.multiply_no_nan, bases, slopes))  # so a tail of slope 0 stays 0 at infinity
        return sum(products[1:], products[0]) + t

    def partials(x: Any, *hyperparameters: Any) -> Partials:
        knots, slopes = hyperparameters[:n], hyperparameters[n:-1]
        segments = _segments(x, knots)
        shares = [ops.constant(1, x), *(s.share for s in segments), ops.constant(0, x)]

        def of_x() -> Any:
            pairs = zip(itertools.pairwise(shares), slopes, strict=True)
            hats = [(left - right) * slope for (left, right), slope in pairs]
            return sum(hats[1:], hats[0])

        def of_knot(i: int) -> Any:
            # A knot that moves right shifts its hat: dy/dknot_i is minus the integral of the slope's change there,
            # (slopes[i] - slopes[i-1]) share_(i-1)^2 / 2 left of it, and alike on its right.
            total = (slopes[i - 1] - slopes[i]) * 0.5 * ops.square(shares[i]) if i > 0 else -slopes[0]
            if i + 1 < n:
                total = total + (slopes[i] - slopes[i + 1]) * (shares[i + 1] * (1 - shares[i + 1] * 0.5))
            return total

        def of_slope(i: int) -> Any:
            return _bases(x, knots, segments)[i]

        return [
            of_x,
            *(lambda i=i: of_knot(i) for i in range(n)),
            *(lambda i=i: of_slope(i) for i in range(n)),
            lambda: ops.constant(1, x),
        ]

    return ops.differentiable(value, partials, x, {**knots, **slopes, "t": t})


class _Segment(NamedTuple):
    """A piece between two knots: its width, and the share of it, in [0, 1], that lies left of x."""

    width: Any
    share: Any


def _segments(x: Any, knots: Sequence[Any]) -> list[_Segment]:
    return [_Segment(right - left, _share(x - left, right - left)) for left, right in itertools.pairwise(knots)]


def _bases(x: Any, knots: Sequence[Any], segments: Sequence[_Segment]) -> list[Any]:
    """Makes every basis_i, the integral of hat_i from the first knot to x."""
    # Over a segment of width w, at share s: the hat that falls from 1 to 0 has the integral w s (1 - s / 2), the one
    # that rises from 0 to 1 has w s^2 / 2. The first basis has the left tail, the last one the right tail.
    rises = [s.share * s.share * (s.width * 0.5) for s in segments]
    falls = [s.share * (1 - s.share * 0.5) * s.width for s in segments]
    before = ops.minimum(x - knots[0], ops.constant(0, x))
    after = ops.maximum(x - knots[-1], ops.constant(0, x))
    return [a + b for a, b in zip([before, *rises], [*falls, after], strict=True)]


def _clip(x: Any, high: Any) -> Any:
    """Holds x in [0, high]."""
    # tf.raw_ops.ClipByValue is one operation, but does not broadcast, and TensorFlow Lite (2.21) does not have it.
    return ops.minimum(ops.relu(x), high)


def _not_zero(width: Any) -> Any:
    """Replaces a width of 0 by a tiny number, so that 0 / width is 0 and anything above 0 over it is far above 1."""
    # 4 / largest is the smallest normal number of every type: its reciprocal is finite, and no device flushes it to 0.
    return ops.maximum(width, ops.constant(4 / ops.largest(width), width))


def _share(length: Any, width: Any) -> Any:
    """Holds `length / width` in [0, 1]."""
    # relu, whose derivative at 0 is 0, and not maximum, which passes a half: of two neighbours one counts at a knot.
    return ops.minimum(ops.relu(length * ops.reciprocal(_not_zero(width))), ops.constant(1, length))


def join(pieces: Sequence[Piece]) -> Function:
    """Makes a rectified smooth continuous unit of given pieces (section 5.2).

    ```python
    lower = (lambda x: tf.exp(x) - 1, (-math.inf, 0.0))
    upper = (lambda x: x, (0.0, math.inf))
    elu = sr.activations.join([lower, upper])
    ```

    Args:
      pieces: (function, (low, high)) from left to right: functions of a float tensor, made of operations of the backend
        (TensorFlow, jax or PyTorch), over intervals that touch and together cover all numbers. At a joint the left
        piece counts.

    Returns:
      A function of a float tensor. Each piece is only ever evaluated inside its own interval. Make it once, outside of
      anything that is compiled: that is when the joints are checked.

    Raises:
      InputError: an interval is empty, there is a gap or an overlap, or the values or the gradients of two neighbours
        differ at their joint by more than 1e-6 of the larger (or of 1); the message says where and by how much.
    """
    if not pieces:
        raise InputError("pieces must be at least one, got none")
    intervals = [interval for _, interval in pieces]
    for low, high in intervals:
        if not low < high:
            raise InputError(f"the interval of a piece must not be empty, got ({low:g}, {high:g})")
    ends = [-math.inf, *itertools.chain.from_iterable(intervals), math.inf]
    for left, right in zip(ends[::2], ends[1::2], strict=True):
        if left != right:
            raise InputError(f"the pieces' intervals must touch and cover all numbers, got {left:g} before {right:g}")

    for (function, (_, joint)), (neighbour, _) in itertools.pairwise(pieces):
        sides = ops.value_and_slope(function, joint), ops.value_and_slope(neighbour, joint)
        for what, a, b in zip(("values", "gradients"), *sides, strict=True):
            if not abs(a - b) <= JOINT_TOLERANCE * max(abs(a), abs(b), 1):  # a NaN is apart too
                apart = f"{a:g} and {b:g}, apart by {abs(a - b):g}"
                raise InputError(f"the {what} of two pieces must meet at {joint:g}, got {apart}")

    def activation(x: Any) -> Any:
        x = floating(x)
        y = None
        for function, (low, high) in reversed(pieces):
            # A piece sees x held in its interval: where `where` leaves it out its gradient must still be finite, since
            # 0 times infinity is NaN.
            inside = x if high == math.inf else ops.minimum(x, ops.constant(high, x))
            inside = inside if low == -math.inf else ops.maximum(inside, ops.constant(low, x))
            y = function(inside) if y is None else ops.where(x <= high, function(inside), y)
        return y * ops.where(ops.is_nan(x), x, ops.ones_like(x))  # a constant piece would lose NaN

    return activation
