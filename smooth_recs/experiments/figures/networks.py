"""Networks of random weights: what figures 2 and 3 look at."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import activations, constraints
from smooth_recs.activations import registry
from smooth_recs.layers import clipping
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
        rng = np.random.default_rng(seed)
        self.kind = kind
        self.layers: list[tuple[Any, Any]] = []
        for units in (*HIDDEN_UNITS, 1):
            kernel = rng.normal(0, kind.weight_variance**0.5, (inputs, units))
            bias = rng.normal(0, kind.bias_variance**0.5, units)
            self.layers.append((self._held(tf.constant(kernel), units == 1), tf.constant(bias)))
            inputs = units

    def _held(self, kernel: Any, is_output: bool) -> Any:
        free = self.kind.normalization != "weight" or (is_output and not self.kind.normalize_output)
        return kernel if free else constraints.normalized_rows(kernel, norm_value=self.kind.norm_value)

    def scores(self, x: Array, f: Callable[[Any], Any]) -> Array:
        """[n, inputs] to [n], for the activation `f`."""
        outputs = tf.constant(x, tf.float64)
        *hidden, (kernel, bias) = self.layers
        for each, shift in hidden:
            outputs = tf.matmul(outputs, each) + shift
            if self.kind.normalization == "layer":
                outputs = _of_unit_variance(outputs)
            outputs = clipping.clip(f(outputs), limit=self.kind.clip)
        return (tf.matmul(outputs, kernel) + bias)[:, 0].numpy()


def _of_unit_variance(outputs: Any) -> Any:
    mean, variance = tf.nn.moments(outputs, axes=[1], keepdims=True)
    return (outputs - mean) * tf.math.rsqrt(variance + 1e-12)


def activation(beta: float) -> Callable[[Any], Any]:
    """SmeLU of this width, ReLU for 0; as functions, which keep float64, unlike Keras layers."""
    return functools.partial(activations.smelu, beta=beta) if beta else activations.relu


def activation_name(beta: float) -> str:
    return f"{registry.label('smelu')} {beta:g}" if beta else registry.label("relu")


def inputs(reach: float, points: int) -> Array:
    """[points, 1], from -reach to reach."""
    return np.linspace(-reach, reach, points)[:, np.newaxis]


def plane(reach: float, points: int) -> Array:
    """[points * points, 2]: every pair of `inputs`, the first changing slowest."""
    axis = inputs(reach, points)[:, 0]
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
