"""RESCU out of a user's own functions (section 5.2)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs.activations import checks
from smooth_recs.errors import InputError

Function = Callable[[Any], Any]
Piece = tuple[Function, tuple[float, float]]

TOLERANCE = 1e-6  # relative to the larger of the two sides, or to 1


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
        _check_joint(left, right, joint)

    def activation(x: Any) -> Any:
        x = checks.floating(x)
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


def _check_joint(left: Function, right: Function, joint: float) -> None:
    for what, a, b in zip(("values", "gradients"), _at(left, joint), _at(right, joint), strict=True):
        if not abs(a - b) <= TOLERANCE * max(abs(a), abs(b), 1):
            apart = f"{a:g} and {b:g}, apart by {abs(a - b):g}"
            raise InputError(f"the {what} of two pieces must meet at {joint:g}, got {apart}")


def _at(function: Function, point: float) -> tuple[float, float]:
    """Value and gradient at a point, in float64."""
    x = tf.constant(point, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    gradient = tape.gradient(y, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return float(y), float(gradient)
