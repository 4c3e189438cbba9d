"""Ridge regression in closed form, from second moments that add up over blocks of rows, so that one pass is enough."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from smooth_recs.statistics.arrays import Array


@dataclasses.dataclass(frozen=True)
class Linear:
    """Linear map x @ weights + intercept, of inputs [..., inputs] to outputs [..., targets]."""

    weights: Array
    intercept: Array

    def __call__(self, x: Any) -> Array:
        outputs: Array = np.asarray(x, np.float64) @ self.weights + self.intercept
        return outputs


class Moments:
    """Sums over rows of the outer product of (1, x, y) with itself, for inputs x and targets y, in float64.

    ```python
    moments = Moments(inputs=1, targets=1)
    moments.add([[0.0], [1.0]], [[1.0], [3.0]])
    moments.solve(penalty=0.0)([[2.0]])  # [[5.0]]
    ```
    """

    def __init__(self, inputs: int, targets: int) -> None:
        self._inputs = inputs
        self._sums = np.zeros([1 + inputs + targets, 1 + inputs + targets])

    def add(self, x: Any, y: Any) -> None:
        """Adds a block of rows: x [n, inputs], y [n, targets]."""
        rows = np.concatenate([np.ones([len(x), 1]), x, y], axis=1, dtype=np.float64)
        self._sums += rows.T @ rows

    def __add__(self, other: Moments) -> Moments:
        """Moments of the rows of both."""
        both = Moments(self._inputs, len(self._sums) - 1 - self._inputs)
        both._sums = self._sums + other._sums
        return both

    def solve(self, penalty: float) -> Linear:
        """Least squares plus `penalty` times the number of rows times the squared weights of standardised inputs.

        Each target has its own weights. Inputs that do not vary have weight 0.
        """
        rows, inputs = self._sums[0, 0], slice(1, 1 + self._inputs)
        means = self._sums[0] / rows
        covariance = self._sums / rows - np.outer(means, means)
        scale = np.sqrt(np.maximum(np.diag(covariance)[inputs], 0))
        # What is left of a constant input is the rounding of its mean square: an infinite scale gives it weight 0.
        scale = np.where(scale > 1e-6 * np.sqrt(np.diag(self._sums)[inputs] / rows), scale, np.inf)
        # Without a penalty, inputs that are copies of each other would make the matrix singular.
        matrix = covariance[inputs, inputs] / np.outer(scale, scale) + max(penalty, 1e-12) * np.eye(self._inputs)
        weights = np.linalg.solve(matrix, covariance[inputs, 1 + self._inputs :] / scale[:, None]) / scale[:, None]
        return Linear(weights, means[1 + self._inputs :] - means[inputs] @ weights)
