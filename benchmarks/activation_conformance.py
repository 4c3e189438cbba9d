"""SmeLU (eq. 7) as it is often written, and ours, on the inputs that tell them apart.

    python benchmarks/activation_conformance.py

For each implementation: the worst error in the value, in units of the last place of the exact result, and in the
gradient, with where it is; "none" where no value is off by more than 4 units and no gradient by more than 4 epsilons.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from smooth_recs import activations

TYPES = (tf.float16, tf.bfloat16, tf.float32, tf.float64)
BETAS = (0.0, 1e-3, 0.1, 0.5, 1.0, 300.0)
TOLERANCE = 4


def nested_where(x: Any, beta: Any) -> Any:
    """The three cases of eq. 7 as they stand: both branches are computed, and differentiated, everywhere."""
    return tf.where(x <= -beta, tf.zeros_like(x), tf.where(x >= beta, x, tf.square(x + beta) / (4 * beta)))


def division_by_beta(x: Any, beta: Any) -> Any:
    """By the slope g: y = g (x + beta (1 - g)), which cancels near -beta."""
    g = tf.clip_by_value(x / (2 * beta) + 0.5, tf.zeros([], x.dtype), tf.ones([], x.dtype))
    return g * (x + beta * (1 - g))


def clip_plus_max(x: Any, beta: Any) -> Any:
    """The parabola of the clipped input plus what is beyond: both have slope 1 at beta."""
    return tf.square(tf.clip_by_value(x, -beta, beta) + beta) / (4 * beta) + tf.maximum(x - beta, tf.zeros([], x.dtype))


def ours(x: Any, beta: Any) -> Any:
    return activations.smelu(x, beta=float(beta))


def ours_of_a_tensor(x: Any, beta: Any) -> Any:
    return activations.smelu(x, beta=beta)


class Worst(NamedTuple):
    """An error, in units of the tolerance's unit, and where it is."""

    error: float = 0.0
    where: str = ""

    def __str__(self) -> str:
        return "none" if self.error <= TOLERANCE else f"{self.error:.3g} at {self.where}"


def main() -> None:
    print("| implementation | worst value (units of the last place) | worst gradient (epsilons) |\n| --- | --- | --- |")
    for function in (nested_where, division_by_beta, clip_plus_max, ours_of_a_tensor, ours):
        value, gradient = worst(function)
        print(f"| {function.__name__.replace('_', ' ')} | {value} | {gradient} |")


def worst(function: Callable[[Any, Any], Any]) -> tuple[Worst, Worst]:
    """The largest errors of value and gradient over all types, betas and inputs."""
    values, gradients = Worst(), Worst()
    for dtype in TYPES:
        for beta in BETAS:
            for x, y, slope in evaluated(function, tf.constant(beta, dtype), inputs(dtype, beta)):
                exact, exact_slope = reference(x, float(tf.constant(beta, dtype)))
                where = f"x = {x:g}, beta = {beta:g}, {dtype.name}"
                last_place = max(math.ulp(float(exact)) * epsilon(dtype) / epsilon(tf.float64), smallest(dtype))
                values = max(values, Worst(distance(y, exact) / last_place, where))
                gradients = max(gradients, Worst(distance(slope, exact_slope) / epsilon(dtype), where))
    return values, gradients


def inputs(dtype: Any, beta: float) -> Any:
    """Where the cases meet, what is next to it on both sides, the inside, far away, infinity and NaN."""
    steps = [2.0**-k for k in range(1, 12)]
    near = [end * (1 + sign * step) for end in (-beta, beta) for step in steps for sign in (-1, 1)]
    inside = np.linspace(-beta, beta, 101)
    far = [1.5, 40.0, 300.0, 3e4, math.inf]
    return tf.constant([-beta, beta, 0.0, *near, *inside, *far, *(-x for x in far), math.nan], dtype)


def evaluated(function: Callable[[Any, Any], Any], beta: Any, x: Any) -> Iterator[tuple[float, float, float]]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x, beta)
    return zip(*(tf.cast(t, tf.float64).numpy().tolist() for t in (x, y, tape.gradient(y, x))), strict=True)


def reference(x: float, beta: float) -> tuple[Fraction | float, Fraction | float]:
    """Eq. 7 and its slope in rational numbers; of beta = 0 the slope at 0 is 0, as TensorFlow's ReLU has it."""
    if not math.isfinite(x):
        return (x, x) if math.isnan(x) else (max(x, 0.0), float(x > 0))
    if abs(x) >= beta:
        return Fraction(max(x, 0.0)), Fraction(int(x > 0))
    share = (Fraction(x) + Fraction(beta)) / (2 * Fraction(beta))
    return share * share * Fraction(beta), share


def distance(found: float, wanted: Fraction | float) -> float:
    """0 where both are the same infinity or NaN; infinite where only one is."""
    if math.isfinite(found) and math.isfinite(wanted):
        return float(abs(Fraction(found) - Fraction(wanted)))
    return 0.0 if found == wanted or (math.isnan(found) and math.isnan(wanted)) else math.inf


def epsilon(dtype: Any) -> float:
    """The distance from 1 to the next number."""
    bits = {tf.float16: 10, tf.bfloat16: 7, tf.float32: 23, tf.float64: 52}
    return 2.0 ** -bits[dtype]


def smallest(dtype: Any) -> float:
    """The unit of the last place of the smallest normal numbers."""
    return 4 / float(dtype.max) * epsilon(dtype)


if __name__ == "__main__":
    main()
