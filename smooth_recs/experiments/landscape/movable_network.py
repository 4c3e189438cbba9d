"""A trained network whose weights can be moved, and the siblings between which they can.

Where the weights of a network are moved: along the line between two siblings, or in random directions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs.errors import InputError
from smooth_recs.measures.accuracy import log_loss_per_example
from smooth_recs.statistics.arrays import Array
from smooth_recs.statistics.bootstrap import Keys

Weights = list[npt.NDArray[Any]]
Predict = Callable[[], Array]

TOLERANCE = 1e-4  # of a prediction: graphs of the same network may add up in another order


@dataclasses.dataclass(frozen=True)
class Rows:
    """What is known of the held-out rows, [n] each: label, weight, and a key that the rows of a request share."""

    label: Array
    weight: Array
    keys: Keys

    def equal(self, other: Rows) -> bool:
        pairs = ((self.label, other.label), (self.weight, other.weight), (self.keys, other.keys))
        return all(np.array_equal(one, another) for one, another in pairs)


@dataclasses.dataclass(frozen=True)
class Sibling:
    """One trained network.

    Attributes:
      name: for a reader, such as `replica 0`.
      model: whose variables live as long as it does.
      variables: those of floats, in an order that all siblings share.
      is_table: of each variable, whether it is a table of embeddings.
      predict: the probabilities of the held-out rows, [n], with what the variables hold at that moment.
    """

    name: str
    model: Any
    variables: Sequence[Any]
    is_table: Sequence[bool]
    predict: Predict


class Network:
    """The first of the siblings, which can be given the weights of any other and whatever lies between them.

    Args:
      label: the network's name for a reader.
      siblings: one or more, in one order of variables.
      rows: those that `predict` is of.

    Raises:
      InputError: the siblings' variables have other shapes, or the first one with another's weights does not predict
        what that one predicts, so that they differ in more than their weights.
    """

    def __init__(self, label: str, siblings: Sequence[Sibling], rows: Rows) -> None:
        self.label = label
        self.rows = rows
        self.names = [sibling.name for sibling in siblings]
        self.is_table = list(siblings[0].is_table)
        self._first = siblings[0]
        self.weights: list[Weights] = [[np.array(v.numpy()) for v in sibling.variables] for sibling in siblings]
        for sibling, weights in zip(siblings, self.weights, strict=True):
            self._check_shapes(sibling.name, weights)
        own = [sibling.predict() for sibling in siblings]  # before the first one's weights are moved
        for name, weights, prediction in zip(self.names, self.weights, own, strict=True):
            self._check_predictions(name, self.predict(weights), prediction)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        count = len(self.names)
        return [(i, j) for i in range(count) for j in range(i + 1, count)]

    def predict(self, weights: Weights) -> Array:
        """The probabilities of the held-out rows, [n], with these weights."""
        for variable, value in zip(self._first.variables, weights, strict=True):
            variable.assign(value)
        return self._first.predict()

    def losses(self, prediction: Array) -> Array:
        """The logistic loss of each row, for predictions [..., n]."""
        return log_loss_per_example(self.rows.label, prediction)

    def mean(self, values: Array) -> Array:
        """Weighted mean over the rows of values [..., n]."""
        return np.average(values, axis=-1, weights=self.rows.weight)

    def _check_shapes(self, name: str, weights: Weights) -> None:
        here, there = ([list(value.shape) for value in each] for each in (self.weights[0], weights))
        for number, (one, other) in enumerate(zip(here, there, strict=False)):
            if one != other:
                raise InputError(
                    f"{self.label}: siblings must have equal variables, got shapes {one} in {self.names[0]} and "
                    f"{other} in {name} for variable {number}"
                )
        if len(here) != len(there):
            counts = f"{len(here)} in {self.names[0]} and {len(there)} in {name}"
            raise InputError(f"{self.label}: siblings must have equal variables, got {counts}")

    def _check_predictions(self, name: str, moved: Array, own: Array) -> None:
        apart = np.abs(moved - own)
        row = int(np.argmax(apart))
        if not apart[row] <= TOLERANCE:
            raise InputError(
                f"{self.label}: siblings must differ in their weights only, but with those of {name} {self.names[0]} "
                f"predicts {moved[row]:.4g} for row {row}, {name} itself {own[row]:.4g}"
            )


def between(a: Weights, b: Weights, t: float, moves: Sequence[bool]) -> Weights:
    """(1 - t) a + t b for the variables that move, a for the others."""
    return [((1 - t) * x + t * y).astype(x.dtype) if move else x for x, y, move in zip(a, b, moves, strict=True)]


def moved(weights: Weights, *steps: tuple[float, Weights]) -> Weights:
    """weights + the sum of size * direction over the steps."""
    return [
        sum((size * direction[k] for size, direction in steps), start=value).astype(value.dtype)
        for k, value in enumerate(weights)
    ]


def filter_normalised(weights: Weights, is_table: Sequence[bool], seed: int) -> Weights:
    """A random direction in which every unit moves in proportion to its own weights (Li et al. 2018).

    d_j = z_j ||w_j|| / ||z_j||, z_j standard normal, for the weights w_j into unit j of every dense layer: a column of
    a Keras kernel. Biases, other vectors and tables of embeddings do not move. Networks of equal shapes get the same z.

    ```python
    filter_normalised([np.array([[3.0], [4.0]])], [False], seed=1)  # one column of norm 5
    ```
    """
    return [
        np.zeros_like(value) if table or value.ndim < 2 else _scaled(value, np.random.default_rng([seed, k]))
        for k, (value, table) in enumerate(zip(weights, is_table, strict=True))
    ]


def _scaled(kernel: npt.NDArray[np.floating], rng: np.random.Generator) -> npt.NDArray[np.floating]:
    drawn = rng.standard_normal(kernel.shape)
    norms = [np.linalg.norm(each, axis=-2, keepdims=True) for each in (kernel, drawn)]
    return (drawn * norms[0] / norms[1]).astype(kernel.dtype)
