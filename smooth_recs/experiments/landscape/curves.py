"""What is read off a curve of losses: its barrier, and its local minima."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smooth_recs.statistics.arrays import Array

LEAST_DEPTH = 1e-5  # nats: shallower dips are rounding


class Barrier(NamedTuple):
    """How far the loss rises between two networks.

    Attributes:
      height: the largest of the loss above the straight line between the losses of the ends; 0 where it never is.
      at: where on the line, 0 to 1.
      middle: the loss halfway above the mean of the ends; negative where the mean of the weights is better than that.
    """

    height: float
    at: float
    middle: float


def above_chord(at: Array, loss: Array) -> Array:
    """loss(t) - [(1 - t) loss(0) + t loss(1)], for losses [points] or [points, curves] at t [points], 0 and 1 included.

    ```python
    above_chord(np.array([0.0, 0.5, 1.0]), np.array([0.25, 0.75, 0.5]))  # [0, 0.375, 0]
    ```
    """
    t = at.reshape([-1] + [1] * (loss.ndim - 1))
    return loss - (1 - t) * loss[at == 0] - t * loss[at == 1]


def barrier(at: Array, loss: Array) -> Barrier:
    """The loss barrier: max over t in [0, 1] of `above_chord` (Frankle et al. 2020).

    Args:
      at: [points], 0, 0.5 and 1 among them; others may lie beyond the ends and do not count.
      loss: [points].

    ```python
    barrier(np.array([0.0, 0.5, 1.0]), np.array([0.25, 0.75, 0.5]))  # height 0.375 at 0.5
    ```
    """
    between = (at >= 0) & (at <= 1)
    above = np.where(between, above_chord(at, loss), -np.inf)
    highest = int(np.argmax(above))
    return Barrier(float(above[highest]), float(at[highest]), float(above[at == 0.5][0]))


def minima(curves: Array, least: float = LEAST_DEPTH) -> npt.NDArray[np.int64]:
    """How many local minima each curve has, at either end of it none.

    A minimum counts where the curve falls by `least` before it and rises by `least` after it.

    Args:
      curves: [points, ...], in order.
      least: above 0.

    Returns:
      int64 [...].

    ```python
    minima(np.array([2.0, 1.0, 3.0, 2.5, 4.0]), least=0.75)  # 1: the fall to 2.5 is too small
    ```
    """
    count = np.zeros(curves.shape[1:], np.int64)
    falling = np.zeros(curves.shape[1:], bool)
    extreme = curves[0]  # the highest since the last minimum or, while falling, the lowest since
    for values in curves[1:]:
        extreme = np.where(falling, np.minimum(extreme, values), np.maximum(extreme, values))
        turned = np.abs(values - extreme) >= least
        count += turned & falling
        falling = falling ^ turned
        extreme = np.where(turned, values, extreme)
    return count
