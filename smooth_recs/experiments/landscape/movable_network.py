"""A trained network whose weights can be moved: along the line between two siblings, or in random directions."""

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

TOLERANCE = 1e-4  # the difference of two predictions: graphs of the same network may add up in another order


@dataclasses.dataclass(frozen=True)
class Rows:
    """What is known of the held-out rows, [n] each: label, weight, and a key that the rows of a request share."""

    label: Array
    weight: Array
    keys: Keys

    def equal(self, other: Rows) -> bool:
        """Whether both are the same rows, in the same order."""
        pairs = ((self.label, other.label), (self.weight, other.weight), (self.keys, other.keys))
        return all(np.array_equal(one, another) for one, another in pairs)


@dataclasses.dataclass(frozen=True)
class Sibling:
    """One trained network.

    Attributes:
      name: for a reader, such as `replica 0`.
      model: whose variables live as long as it does.
      variables: the trained ones, which are floats, in an order that all siblings share.
      is_table: whether each variable is a table of embeddings.
      predict: the probabilities of the held-out rows, [n], with what the variables hold at that moment.
    """

    name: str
    model: Any
    variables: Sequence[Any]
    is_table: Sequence[bool]
    predict: Callable[[], Array]


class Network:
    """The first of the siblings, which can be given the weights of any other and whatever lies between them.

    Args:
      label: the network's name for a reader.
      siblings: one or more, in one order of variables.
      rows: those that the siblings' `predict` is about.

    Raises:
      InputError: the siblings' variables have different shapes, or the first one with another's weights does not
        predict what that one predicts, so that they differ in more than their weights.
    """

    def __init__(self, label: str, siblings: Sequence[Sibling], rows: Rows) -> None:
        self.label = label
        self.rows = rows
        self.names = [sibling.name for sibling in siblings]
        self.is_table = list(siblings[0].is_table)
        self._first = siblings[0]
        self.weights: list[Weights] = [[np.array(v.numpy()) for v in sibling.variables] for sibling in siblings]
        for name, weights in zip(self.names, self.weights, strict=True):
            for number, (first, value) in enumerate(zip(self.weights[0], weights, strict=False)):
                if first.shape != value.shape:
                    raise InputError(
                        f"{label}: siblings must have equal variables, got shapes {list(first.shape)} in "
                        f"{self.names[0]} and {list(value.shape)} in {name} for variable {number}"
                    )
            if len(self.weights[0]) != len(weights):
                counts = f"{len(self.weights[0])} in {self.names[0]} and {len(weights)} in {name}"
                raise InputError(f"{label}: siblings must have equal variables, got {counts}")
        # All before any weight is moved, as the first sibling is the one that moves.
        own = [sibling.predict() for sibling in siblings]
        for name, weights, prediction in zip(self.names, self.weights, own, strict=True):
            moved = self.predict(weights)
            apart = np.abs(moved - prediction)
            row = int(np.argmax(apart))
            # Siblings that also differ in vocabularies, clips or activations would make a line between different
            # functions. Written so that NaN is refused too.
            if not apart[row] <= TOLERANCE:
                raise InputError(
                    f"{label}: siblings must differ in their weights only, but with those of {name} {self.names[0]} "
                    f"predicts {moved[row]:.4g} for row {row}, {name} itself {prediction[row]:.4g}"
                )

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The numbers of any two siblings, each pair once."""
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


def between(a: Weights, b: Weights, t: float, moves: Sequence[bool]) -> Weights:
    """The weights (1 - t) a + t b for the variables that move, a for the others."""
    return [((1 - t) * x + t * y).astype(x.dtype) if move else x for x, y, move in zip(a, b, moves, strict=True)]


def moved(weights: Weights, *steps: tuple[float, Weights]) -> Weights:
    """The weights, plus the sum of size * direction over the steps."""
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
    found = []
    for number, (value, table) in enumerate(zip(weights, is_table, strict=True)):
        if table or value.ndim < 2:
            found.append(np.zeros_like(value))
            continue
        # A generator for each variable, so that a variable more or less leaves the draws of the others as they are.
        drawn = np.random.default_rng([seed, number]).standard_normal(value.shape)
        norms, drawn_norms = (np.linalg.norm(each, axis=-2, keepdims=True) for each in (value, drawn))
        found.append((drawn * norms / drawn_norms).astype(value.dtype))
    return found
