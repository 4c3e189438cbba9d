"""Losses of a score, and how many local minima they have along inputs."""

from __future__ import annotations

import math

import numpy as np

from smooth_recs.statistics.arrays import Array

_ROUNDING = 1e-12  # of the range of the values: smaller steps are those of float64


def logistic(score: Array, p1: float) -> Array:
    """L = p1 log(1 + exp(-s)) + (1 - p1) log(1 + exp(s)), the loss of figure 2; smallest at s = log(p1 / (1 - p1)).

    >>> print(logistic(np.array([0.0]), 0.1).round(4))
    [0.6931]
    """
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
    inner, around = above[1:-1, 1:-1], _neighbours(above)
    lowest = np.all([(inner < each) & (each > 0) for each in around], axis=0) & (inner > 0)
    highest = np.all([(inner > each) & (each < 0) for each in around], axis=0) & (inner < 0)
    return int(np.sum(lowest | highest))


def _neighbours(grid: Array) -> list[Array]:
    """The eight grids that lie beside the inner points."""
    rows, columns = grid.shape
    shifts = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    return [grid[i : rows - 2 + i, j : columns - 2 + j] for i, j in shifts]
