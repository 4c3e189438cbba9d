"""The integral of a piecewise-linear slope: parabolas that meet smoothly, between two straight tails.

With share_i, the part of segment i (from knot i to knot i + 1) that lies left of x, the slope is

    s(x) = sum_i slopes[i] * hat_i(x),   hat_i = share_(i-1) - share_i   (share_(-1) = 1, share_n = 0)

and its integral from the first knot is sum_i slopes[i] * basis_i(x). Lengths are kept as their halves, since the whole
of a number near the end of the type's range may overflow.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from smooth_recs.activations import checks
from smooth_recs.activations.gradients import Partials, differentiable


class Segment(NamedTuple):
    half: Any  # half of the length that lies left of x
    share: Any  # of the segment, in [0, 1]


def integral(x: Any, knots: Mapping[str, Any], slopes: Mapping[str, Any], t: Any) -> Any:
    """t plus the integral, from the first knot to `x`, of the slope that is piecewise linear through (knots, slopes).

    Numbers or tensors by name; the names are for messages. Knots may coincide: there the slope jumps.
    """
    rounded = [checks.of_type(name, knot, x.dtype) for name, knot in knots.items()]
    wide = [is_wide(left, right) for left, right in itertools.pairwise(rounded)]
    value, partials = functools.partial(_value, wide), functools.partial(_partials, wide)
    return differentiable(value, partials, x, {**knots, **slopes, "t": t})


def clip(x: Any, low: Any, high: Any) -> Any:
    """`x` held in [low, high]; in one operation for scalar bounds."""
    if low.shape.rank == high.shape.rank == 0:
        return tf.raw_ops.ClipByValue(t=x, clip_value_min=low, clip_value_max=high)
    return tf.clip_by_value(x, low, high)


def is_wide(left: Any, right: Any) -> bool:
    """True where it is known that left < right everywhere."""
    return not (checks.is_tensor(left) or checks.is_tensor(right)) and bool(np.all(left < right))


def quotient(length: Any, width: Any, wide: bool) -> Any:
    """`length / width`, and 0, with all derivatives, where the width is 0 (it never is where `wide`)."""
    return length / (width if wide else tf.where(width > 0, width, tf.constant(np.inf, width.dtype)))


def _segments(x: Any, knots: Sequence[Any], wide: Sequence[bool]) -> list[Segment]:
    ends = zip(knots, knots[1:], wide, strict=False)
    return [_segment(x, left, right, is_wide, first=i == 0) for i, (left, right, is_wide) in enumerate(ends)]


def _segment(x: Any, left: Any, right: Any, wide: bool, first: bool) -> Segment:
    half = clip(x, left, right) * 0.5 - left * 0.5
    share = quotient(half, right * 0.5 - left * 0.5, wide)
    if not first:  # the second derivative at a knot is that of one side, not the sum of both
        share = tf.where(x <= left, tf.zeros_like(share), share)
    if not wide:
        share = tf.where(x > right, tf.ones_like(share), share)
    return Segment(half, share)


def _half_bases(x: Any, knots: Sequence[Any], segments: Sequence[Segment]) -> list[Any]:
    """Halves of basis_i, the integral of hat_i from the first knot to x."""
    rises = [s.half * s.share * 0.5 for s in segments]
    falls = [s.half * (1 - s.share * 0.5) for s in segments]
    before = tf.minimum(x * 0.5 - knots[0] * 0.5, tf.zeros([], x.dtype))
    after = tf.maximum(x * 0.5 - knots[-1] * 0.5, tf.zeros([], x.dtype))
    return [a + b for a, b in zip([before, *rises], [*falls, after], strict=True)]


def _split(hyperparameters: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Any]:
    *points, t = hyperparameters
    return points[: len(points) // 2], points[len(points) // 2 :], t


def _value(wide: Sequence[bool], x: Any, *hyperparameters: Any) -> Any:
    knots, slopes, t = _split(hyperparameters)
    bases = _half_bases(x, knots, _segments(x, knots, wide))
    products = list(map(tf.math.multiply_no_nan, bases, slopes))  # a tail of slope 0 is 0 at infinity too
    return sum(products[1:], products[0]) * 2 + t


def _partials(wide: Sequence[bool], x: Any, *hyperparameters: Any) -> Partials:
    knots, slopes, _ = _split(hyperparameters)
    segments = _segments(x, knots, wide)
    shares = [tf.ones([], x.dtype), *(s.share for s in segments), tf.zeros([], x.dtype)]

    def of_x() -> Any:
        hats = [(a - b) * slope for a, b, slope in zip(shares, shares[1:], slopes, strict=False)]
        return sum(hats[1:], hats[0])

    def of_knot(i: int) -> Any:
        """Moving a knot right lowers the slope on both sides of it in proportion to its hat."""
        total = -slopes[0] if i == 0 else (slopes[i - 1] - slopes[i]) * 0.5 * tf.square(shares[i])
        if i + 1 < len(knots):
            total += (slopes[i] - slopes[i + 1]) * (shares[i + 1] * (1 - shares[i + 1] * 0.5))
        return total

    def of_slope(i: int) -> Any:
        return _half_bases(x, knots, segments)[i] * 2

    n = range(len(knots))
    return [
        of_x,
        *(lambda i=i: of_knot(i) for i in n),
        *(lambda i=i: of_slope(i) for i in n),
        lambda: tf.ones_like(x),
    ]
