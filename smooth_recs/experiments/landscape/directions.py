"""Where the weights of a network are moved: along the line between two siblings, or in random directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from smooth_recs.experiments.landscape.network import Weights


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
