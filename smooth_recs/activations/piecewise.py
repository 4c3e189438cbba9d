"""The integral of a piecewise-linear slope: parabolas that meet smoothly, between two straight tails.

With share_i in [0, 1], the part of segment i (from knot i to knot i + 1) that lies left of x, the slope is

    s(x) = sum_i slopes[i] * hat_i(x),   hat_i = share_(i-1) - share_i   (share_(-1) = 1, share_n = 0)

and its integral from the first knot on is sum_i slopes[i] * basis_i(x).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from smooth_recs.activations.gradients import Partials, differentiable


class Segment(NamedTuple):
    width: Any
    share: Any


def integral(x: Any, knots: Mapping[str, Any], slopes: Mapping[str, Any], t: Any) -> Any:
    """t plus the integral, from the first knot to `x`, of the slope that is piecewise linear through (knots, slopes).

    Numbers or tensors by name; the names are for messages. Knots may coincide: there the slope jumps.
    """
    return differentiable(_value, _partials, x, {**knots, **slopes, "t": t})


def clip(x: Any, low: Any, high: Any) -> Any:
    """`x` held in [low, high]; in one operation for scalar bounds."""
    if low.shape.rank == high.shape.rank == 0:
        return tf.raw_ops.ClipByValue(t=x, clip_value_min=low, clip_value_max=high)
    return tf.maximum(tf.minimum(x, high), low)  # tf.clip_by_value does not broadcast x


def not_zero(width: Any) -> Any:
    """`width`, or the smallest normal number where it is 0: then 0 / 0 is 0, and all above 0 far more than 1."""
    return tf.maximum(width, tf.constant(4 / float(width.dtype.max), width.dtype))


def share(length: Any, width: Any) -> Any:
    """`length / width` held in [0, 1]. Its derivative at 0 is 0: of two neighbours only one counts at a knot."""
    return tf.minimum(tf.nn.relu(length * tf.math.reciprocal(not_zero(width))), tf.ones([], length.dtype))


def _segments(x: Any, knots: Sequence[Any]) -> list[Segment]:
    return [Segment(right - left, share(x - left, right - left)) for left, right in itertools.pairwise(knots)]


def _bases(x: Any, knots: Sequence[Any], segments: Sequence[Segment]) -> list[Any]:
    """basis_i, the integral of hat_i from the first knot to x."""
    rises = [s.share * s.share * (s.width * 0.5) for s in segments]
    falls = [s.share * (1 - s.share * 0.5) * s.width for s in segments]
    before = tf.minimum(x - knots[0], tf.zeros([], x.dtype))
    after = tf.maximum(x - knots[-1], tf.zeros([], x.dtype))
    return [a + b for a, b in zip([before, *rises], [*falls, after], strict=True)]


def _split(hyperparameters: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Any]:
    *points, t = hyperparameters
    return points[: len(points) // 2], points[len(points) // 2 :], t


def _value(x: Any, *hyperparameters: Any) -> Any:
    knots, slopes, t = _split(hyperparameters)
    bases = _bases(x, knots, _segments(x, knots))
    products = list(map(tf.math.multiply_no_nan, bases, slopes))  # a tail of slope 0 is 0 at infinity too
    return sum(products[1:], products[0]) + t


def _partials(x: Any, *hyperparameters: Any) -> Partials:
    knots, slopes, _ = _split(hyperparameters)
    segments = _segments(x, knots)
    shares = [tf.ones([], x.dtype), *(s.share for s in segments), tf.zeros([], x.dtype)]

    def of_x() -> Any:
        hats = [(left - right) * slope for (left, right), slope in zip(itertools.pairwise(shares), slopes, strict=True)]
        return sum(hats[1:], hats[0])

    def of_knot(i: int) -> Any:
        """A knot that moves right takes from the slope on both its sides, in proportion to its hat."""
        total = (slopes[i - 1] - slopes[i]) * 0.5 * tf.square(shares[i]) if i > 0 else -slopes[0]
        if i + 1 < len(knots):
            total += (slopes[i] - slopes[i + 1]) * (shares[i + 1] * (1 - shares[i + 1] * 0.5))
        return total

    def of_slope(i: int) -> Any:
        return _bases(x, knots, segments)[i]

    n = range(len(knots))
    return [
        of_x,
        *(lambda i=i: of_knot(i) for i in n),
        *(lambda i=i: of_slope(i) for i in n),
        lambda: tf.ones([], x.dtype),
    ]
