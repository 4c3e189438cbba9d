"""The networks of random weights of figures 2 and 3, the losses of their scores, and the local minima of the losses."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import activations, constraints
from smooth_recs.activations import registry
from smooth_recs.layers import normalized_dense
from smooth_recs.statistics.arrays import Array

HIDDEN_UNITS = (256, 128, 64, 32, 16)


@dataclasses.dataclass(frozen=True)
class Kind:
    """How weights are drawn and held: zero-mean normal, of these variances.

    `normalization` is "weight" (rows of norm `norm_value`) or "layer" (pre-activations of mean 0 and variance 1); it
    applies to the hidden layers, and rows of weights to the output layer too where `normalize_output`.
    """

    normalization: str
    weight_variance: float
    bias_variance: float
    norm_value: float = 1.0
    clip: float = 6.0
    normalize_output: bool = False


class RandomNetwork:
    """s(x) = W~ a + b over five hidden layers a = clip(f(norm(W a + b))), in float64.

    The same `seed` gives the same draws for every activation, norm and clip, so that networks differ in those alone.

    ```python
    network = RandomNetwork(Kind("weight", 25.0, 0.25), inputs=1, seed=1)
    network.scores(inputs(3, points=5), activation(0.5))  # [5]
    ```
    """

    def __init__(self, kind: Kind, inputs: int, seed: int) -> None:
        # Drawn first and held afterwards, so that the draws are the same whatever holds the weights.
        rng = np.random.default_rng(seed)
        self.kind = kind
        self.layers: list[tuple[Any, Any]] = []
        for units in (*HIDDEN_UNITS, 1):
            kernel = rng.normal(0, kind.weight_variance**0.5, (inputs, units))
            bias = rng.normal(0, kind.bias_variance**0.5, units)
            held = tf.constant(kernel)
            if kind.normalization == "weight" and (units > 1 or kind.normalize_output):
                held = constraints.normalized_rows(held, norm_value=kind.norm_value)
            self.layers.append((held, tf.constant(bias)))
            inputs = units

    def scores(self, x: Array, f: Callable[[Any], Any]) -> Array:
        """The scores [n] of inputs [n, inputs], with the activation `f`."""
        outputs = tf.constant(x, tf.float64)
        *hidden, (kernel, bias) = self.layers
        for each, shift in hidden:
            outputs = tf.matmul(outputs, each) + shift
            if self.kind.normalization == "layer":
                mean, variance = tf.nn.moments(outputs, axes=[1], keepdims=True)
                # All units may have one value, as where all are cut off: then the result is 0.
                outputs = (outputs - mean) * tf.math.rsqrt(variance + 1e-12)
            outputs = normalized_dense.clip(f(outputs), limit=self.kind.clip)
        return (tf.matmul(outputs, kernel) + bias)[:, 0].numpy()


def activation(beta: float) -> Callable[[Any], Any]:
    """SmeLU of this width, ReLU for 0; as functions, which keep float64, where Keras layers cast to float32."""
    return functools.partial(activations.smelu, beta=beta) if beta else activations.relu


def activation_name(beta: float) -> str:
    """What a reader calls `activation(beta)`."""
    return f"{registry.label('smelu')} {beta:g}" if beta else registry.label("relu")


def inputs(reach: float, points: int) -> Array:
    """Even inputs from -reach to reach, [points, 1]."""
    return np.linspace(-reach, reach, points)[:, np.newaxis]


def plane(reach: float, points: int) -> Array:
    """Every pair of `inputs`, [points * points, 2], the first changing slowest."""
    axis = inputs(reach, points)[:, 0]
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


# As a share of the range of the values: smaller steps come from the rounding of float64.
_ROUNDING = 1e-12


def logistic(score: Array, p1: float) -> Array:
    """L = p1 log(1 + exp(-s)) + (1 - p1) log(1 + exp(s)), the loss of figure 2; smallest at s = log(p1 / (1 - p1)).

    >>> print(logistic(np.array([0.0]), 0.1).round(4))
    [0.6931]
    """
    # logaddexp, as exp(-s) overflows where a network of figure 2 scores below -709.
    return p1 * np.logaddexp(0, -score) + (1 - p1) * np.logaddexp(0, score)


def logit(p1: float) -> float:
    """The score at which `logistic` is smallest."""
    return math.log(p1 / (1 - p1))


def squared(score: Array, target: float) -> Array:
    """L = (s - target)^2, the loss of figure 3's middle row."""
    return np.square(score - target)


def minima(values: Array) -> int:
    """How many local minima a curve has between its ends; a flat valley is one.

    >>> minima(np.array([3.0, 1.0, 2.0, 0.0, 0.0, 4.0]))
    2

    Args:
      values: [n] in the order of the input. Steps below 1e-12 of their range are rounding, and count as flat.
    """
    steps = np.diff(np.asarray(values, np.float64))
    tolerance = _ROUNDING * np.ptp(values)
    directions = np.sign(steps[np.abs(steps) > tolerance])
    return int(np.sum((directions[:-1] < 0) & (directions[1:] > 0)))


def minima_off_target(score: Array, target: float) -> int:
    """How many local minima a loss that is smallest at s = `target` has on a grid, where s is not the target.

    Where s passes through the target the loss is smallest on a whole curve, whose points on a grid are not counted: a
    minimum is an inner point that is lower than its eight neighbours where all of them have s > target, or higher where
    all have s < target.

    >>> minima_off_target(np.array([[3, 3, 3], [3, 1, 3], [3, 3, 3]]), target=0)
    1

    Args:
      score: [n, m] over two inputs.
      target: the best score.
    """
    above = np.asarray(score, np.float64) - target
    (rows, columns), inner = above.shape, above[1:-1, 1:-1]
    shifts = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    around = [above[i : rows - 2 + i, j : columns - 2 + j] for i, j in shifts]  # the eight grids beside the inner one
    lowest = np.all([(inner < each) & (each > 0) for each in around], axis=0) & (inner > 0)
    highest = np.all([(inner > each) & (each < 0) for each in around], axis=0) & (inner < 0)
    return int(np.sum(lowest | highest))
