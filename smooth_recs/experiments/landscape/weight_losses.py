"""The losses of a network along lines and over planes of weights, and what is read off them: barriers and minima.

All results are plain values that JSON can hold.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tqdm

from smooth_recs import prediction_difference
from smooth_recs.experiments.drawing_settings import Plan
from smooth_recs.experiments.landscape import movable_network
from smooth_recs.experiments.landscape.movable_network import Network, Weights
from smooth_recs.prediction_difference.intervals import jackknife
from smooth_recs.statistics.arrays import Array
from smooth_recs.statistics.bootstrap import PoissonBootstrap

LEAST_DEPTH = 1e-5  # nats: shallower dips are rounding of float32


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
    """The loss above the straight line between its ends: loss(t) - [(1 - t) loss(0) + t loss(1)].

    Args:
      at: t [points], 0 and 1 among them.
      loss: [points], or [points, curves].

    ```python
    above_chord(np.array([0.0, 0.5, 1.0]), np.array([0.25, 0.75, 0.5]))  # [0, 0.375, 0]
    ```
    """
    t = at.reshape([-1] + [1] * (loss.ndim - 1))
    return loss - (1 - t) * loss[at == 0] - t * loss[at == 1]


def find_barrier(at: Array, loss: Array) -> Barrier:
    """The loss barrier: max over t in [0, 1] of `above_chord` (Frankle et al. 2020).

    Args:
      at: [points], 0, 0.5 and 1 among them; others may lie beyond the ends and do not count.
      loss: [points].

    ```python
    find_barrier(np.array([0.0, 0.5, 1.0]), np.array([0.25, 0.75, 0.5]))  # height 0.375 at 0.5
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
    # All curves at once, as there is one for every held-out row. `extreme` is the highest value since the last minimum
    # or, while a curve falls, the lowest since.
    extreme = curves[0]
    for values in curves[1:]:
        extreme = np.where(falling, np.minimum(extreme, values), np.maximum(extreme, values))
        turned = np.abs(values - extreme) >= least
        count += turned & falling
        falling = falling ^ turned
        extreme = np.where(turned, values, extreme)
    return count


def measure(network: Network, plan: Plan) -> dict[str, Any]:
    """Lines between all pairs of siblings, and the surroundings of the first.

    Returns:
      `label`, `siblings` (names), `rows`, `loss` (of each sibling), `lines`, `barrier` (the mean over the pairs, with
      its 95% interval over siblings where there are 3 or more), `directions`, `surface` (or None).
    """

    def direction(number: int) -> Weights:
        seed = plan.directions_seed * 1000 + number
        return movable_network.filter_normalised(network.weights[0], network.is_table, seed)

    total = plan.evaluations(len(network.pairs))
    # As data.files.progress has it, which loads TensorFlow: it shows itself after two seconds, on a terminal only.
    title, unit = f"landscape of {network.label}", " evaluations"
    with tqdm.tqdm(
        desc=title, total=total, unit=unit, unit_scale=True, delay=2.0, leave=False, disable=None, file=sys.stderr
    ) as bar:
        lines = [_line(network, i, j, plan, bar) for i, j in network.pairs]
        directions = [_direction(network, plan, direction(number), bar) for number in range(plan.directions)]
        surface = _surface(network, plan, direction(0), direction(1), bar) if plan.surface_steps else None
    barrier = None
    if lines:
        heights = [(*line["siblings"], line["barrier"]["height"]) for line in lines]
        interval = jackknife(heights) if len(network.names) > 2 else None
        barrier = {"value": float(np.mean([height for _, _, height in heights])), "interval": interval}
    return {
        "label": network.label,
        "siblings": network.names,
        "rows": network.rows.label.size,
        "loss": [float(network.mean(network.losses(network.predict(weights)))) for weights in network.weights],
        "lines": lines,
        "barrier": barrier,
        "directions": directions,
        "surface": surface,
    }


def _line(network: Network, i: int, j: int, plan: Plan, bar: Any) -> dict[str, Any]:
    half = plan.line_steps // 2
    at = np.arange(-half, plan.line_steps + half + 1) / plan.line_steps
    moves = [not (plan.dense_only and table) for table in network.is_table]
    a, b = network.weights[i], network.weights[j]
    predictions = _predictions(network, (movable_network.between(a, b, float(t), moves) for t in at), bar)
    of_rows = network.losses(predictions)
    loss = network.mean(of_rows)
    barrier = find_barrier(at, loss)
    # Over requests: how exactly the rows determine the height for these very siblings.
    bootstrap = PoissonBootstrap()
    above, weight = above_chord(at, of_rows)[at == barrier.at][0], network.rows.weight
    bootstrap.add(weight * above, weight, network.rows.keys)
    between = of_rows[(at >= 0) & (at <= 1)]
    to_a, to_b = (
        [prediction_difference.relative(each, predictions[at == end][0], weight) for each in predictions]
        for end in (0, 1)
    )
    return {
        "siblings": [i, j],
        "at": at.tolist(),
        "loss": loss.tolist(),
        "pd_to_a": to_a,
        "pd_to_b": to_b,
        "barrier": {**barrier._asdict(), "interval": bootstrap.interval()},
        "minima": int(minima(loss)),
        "minima_of_a_row": float(network.mean(minima(between).astype(np.float64))),
    }


def _direction(network: Network, plan: Plan, direction: Weights, bar: Any) -> dict[str, Any]:
    at = np.arange(-plan.direction_steps, plan.direction_steps + 1) / plan.direction_steps
    weights = (movable_network.moved(network.weights[0], (float(t), direction)) for t in at)
    of_rows = network.losses(_predictions(network, weights, bar))
    loss = network.mean(of_rows)
    return {
        "at": at.tolist(),
        "loss": loss.tolist(),
        "minima": int(minima(loss)),
        "minima_of_a_row": float(network.mean(minima(of_rows).astype(np.float64))),
    }


def _surface(network: Network, plan: Plan, first: Weights, second: Weights, bar: Any) -> dict[str, Any]:
    """The `loss[y][x]` over the plane of two directions."""
    at = np.arange(-plan.surface_steps, plan.surface_steps + 1) / plan.surface_steps
    rows = []
    for y in at:
        weights = (movable_network.moved(network.weights[0], (float(x), first), (float(y), second)) for x in at)
        rows.append(network.mean(network.losses(_predictions(network, weights, bar))).tolist())
    return {"at": at.tolist(), "loss": rows}


def _predictions(network: Network, path: Iterable[Weights], bar: Any) -> Array:
    """The predictions [points, n] along a path of weights."""
    predictions = []
    # The weights are made one after the other: a hundred copies of a large table would not fit into memory.
    for weights in path:
        predictions.append(network.predict(weights))
        bar.update()
    return np.stack(predictions)
