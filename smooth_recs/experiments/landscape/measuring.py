"""The losses of a network along lines and over planes of weights, as plain values that JSON can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from smooth_recs import prediction_difference
from smooth_recs.data.progress import progress
from smooth_recs.experiments.landscape import curves, directions
from smooth_recs.experiments.landscape.network import Network, Weights
from smooth_recs.experiments.landscape.plan import Plan
from smooth_recs.prediction_difference.intervals import jackknife
from smooth_recs.statistics.arrays import Array
from smooth_recs.statistics.bootstrap import PoissonBootstrap

Advance = Callable[[], Any]


def measure(network: Network, plan: Plan) -> dict[str, Any]:
    """Lines between all pairs of siblings, and the surroundings of the first.

    Returns:
      `label`, `siblings` (names), `rows`, `loss` (of each sibling), `lines`, `barrier` (the mean over the pairs, with
      its 95% interval over siblings where there are 3 or more), `directions`, `surface` (or None).
    """
    with progress(f"landscape of {network.label}", " evaluations") as bar:
        bar.total = plan.evaluations(len(network.pairs))
        lines = [_line(network, i, j, plan, bar.update) for i, j in network.pairs]
        around = [_direction(network, plan, number, bar.update) for number in range(plan.directions)]
        surface = _surface(network, plan, bar.update) if plan.surface_steps else None
    return {
        "label": network.label,
        "siblings": network.names,
        "rows": network.rows.label.size,
        "loss": [float(network.mean(network.losses(network.predict(weights)))) for weights in network.weights],
        "lines": lines,
        "barrier": _over_pairs(network, lines),
        "directions": around,
        "surface": surface,
    }


def _line(network: Network, i: int, j: int, plan: Plan, advance: Advance) -> dict[str, Any]:
    half = plan.line_steps // 2
    at = np.arange(-half, plan.line_steps + half + 1) / plan.line_steps
    moves = [not (plan.dense_only and table) for table in network.is_table]
    a, b = network.weights[i], network.weights[j]
    predictions = _walk(network, (directions.between(a, b, float(t), moves) for t in at), advance)
    of_rows = network.losses(predictions)
    loss = network.mean(of_rows)
    barrier = curves.barrier(at, loss)
    return {
        "siblings": [i, j],
        "at": at.tolist(),
        "loss": loss.tolist(),
        "pd_to_a": _pd(network, predictions, predictions[at == 0][0]),
        "pd_to_b": _pd(network, predictions, predictions[at == 1][0]),
        "barrier": {**barrier._asdict(), "interval": _interval(network, at, of_rows, barrier.at)},
        "minima": int(curves.minima(loss)),
        "minima_of_a_row": _minima_of_a_row(network, of_rows[(at >= 0) & (at <= 1)]),
    }


def _direction(network: Network, plan: Plan, number: int, advance: Advance) -> dict[str, Any]:
    at = np.arange(-plan.direction_steps, plan.direction_steps + 1) / plan.direction_steps
    direction = _random(network, plan, number)
    weights = (directions.moved(network.weights[0], (float(t), direction)) for t in at)
    of_rows = network.losses(_walk(network, weights, advance))
    loss = network.mean(of_rows)
    return {
        "at": at.tolist(),
        "loss": loss.tolist(),
        "minima": int(curves.minima(loss)),
        "minima_of_a_row": _minima_of_a_row(network, of_rows),
    }


def _surface(network: Network, plan: Plan, advance: Advance) -> dict[str, Any]:
    """`loss[y][x]` over the plane of the first two random directions."""
    at = np.arange(-plan.surface_steps, plan.surface_steps + 1) / plan.surface_steps
    first, second = _random(network, plan, 0), _random(network, plan, 1)
    rows = []
    for y in at:
        weights = (directions.moved(network.weights[0], (float(x), first), (float(y), second)) for x in at)
        rows.append(network.mean(network.losses(_walk(network, weights, advance))).tolist())
    return {"at": at.tolist(), "loss": rows}


def _random(network: Network, plan: Plan, number: int) -> Weights:
    return directions.filter_normalised(network.weights[0], network.is_table, plan.directions_seed * 1000 + number)


def _walk(network: Network, path: Iterable[Weights], advance: Advance) -> Array:
    """Predictions [points, n]."""
    predictions = []
    for weights in path:
        predictions.append(network.predict(weights))
        advance()
    return np.stack(predictions)


def _pd(network: Network, predictions: Array, end: Array) -> list[float]:
    return [prediction_difference.relative(each, end, network.rows.weight) for each in predictions]


def _minima_of_a_row(network: Network, of_rows: Array) -> float:
    """Mean over the rows of the local minima of a row's own loss."""
    return float(network.mean(curves.minima(of_rows).astype(np.float64)))


def _interval(network: Network, at: Array, of_rows: Array, highest: float) -> tuple[float, float]:
    """Of the barrier's height for these very siblings, by a bootstrap over requests."""
    above = curves.above_chord(at, of_rows)[at == highest][0]
    bootstrap = PoissonBootstrap()
    bootstrap.add(network.rows.weight * above, network.rows.weight, network.rows.keys)
    return bootstrap.interval()


def _over_pairs(network: Network, lines: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    if not lines:
        return None
    heights = [(*line["siblings"], line["barrier"]["height"]) for line in lines]
    interval = jackknife(heights) if len(network.names) > 2 else None
    return {"value": float(np.mean([height for _, _, height in heights])), "interval": interval}
