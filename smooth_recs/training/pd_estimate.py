"""PD estimated from one model (references [11] and [53]), and how well the estimate ranks the PD that is measured.

How strongly the neurons of one model respond to an example goes into a ridge regression on its measured PD.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs import prediction_difference
from smooth_recs.activations.probe import recorded
from smooth_recs.activations.registry import transition_region
from smooth_recs.errors import InputError
from smooth_recs.statistics.arrays import Array
from smooth_recs.statistics.bootstrap import centred_ranks, correlation_of_ranks, row_keys, spearman


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


INPUTS = ("units", "summaries", "prediction_only")
TARGETS = ("square root of PD", "log(PD + 0.001)", "difference of log-odds")
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
MOST_ROWS = 50_000
FEWEST_ROWS = 500
FEWEST_REQUESTS = 100  # half of them fit, a fifth of these choose: none of the parts is empty
SUMMARIES = ("mean", "rms", "active", "transition", "max", "novelty")
MOST_UNITS = 1000
BATCH_SIZE = 4096  # rows that are looked into at a time
_KNOTS = 16
_EXTREME = 4.0
_SMALLEST_VARIANCE = 1e-4  # as a share of the largest: directions below it are rounding

Index = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Strengths:
    """What one model's hidden layers make of n examples.

    Attributes:
      units: [n, units] float32 outputs of the activations, layer beside layer. A network of more than 1,000 units is
        represented by every second of each layer, or every third, and so on.
      summaries: [n, layers x 6] of each layer: mean and root mean square of the outputs; shares of the pre-activations
        above 0, and inside the transition region (0 without one); maximum of the outputs; novelty, log(1 + m), with m
        the outputs' squared Mahalanobis distance from their mean over a dimension, 1 on average. None of them depends
        on the order of the units, novelty not even on the basis. In standard deviations over the n examples, at most 4,
        so that they mean the same in another model.
    """

    units: Floats
    summaries: Array


@dataclasses.dataclass(frozen=True)
class Examples:
    """Held-out rows as one model sees them, with the measured difference between it and its siblings.

    Attributes:
      strengths: of the model's units, n rows.
      logit: [n] log-odds that the model predicts.
      targets: [n, 3], see `TARGETS`; means over the pairs of siblings.
      pd: [n] relative PD of each example, the mean over the pairs of siblings.
      request: [n] numbers of the requests, from 0.
    """

    strengths: Strengths
    logit: Array
    targets: Array
    pd: Array
    request: Index


@dataclasses.dataclass(frozen=True)
class Estimator:
    """A fitted regression; `knots` are where the function of the log-odds bends, `method` says how it was chosen."""

    inputs: str
    knots: Array
    linear: Linear
    method: str

    def __call__(self, examples: Examples, index: Index) -> Array:
        """The estimate for the rows in `index`: its scale is that of the target, its order what counts."""
        blocks = [self.linear(_design(self.inputs, self.knots, examples, part)) for part in _blocks(index)]
        return np.concatenate(blocks)[:, 0]


def pd_estimate(model: Any, holdout: Any, columns: Mapping[str, Any]) -> dict[str, Any] | None:
    """How well PD is estimated from one of the siblings, on at most 50,000 held-out rows.

    Args:
      model: the sibling that is looked into: the one of column 0.
      holdout: chunks of `data.source.Rows`, such as `source.holdout()`.
      columns: of the same rows in the same order: `prediction` [n, R], and `query_id` [n] where the data have one.

    Returns:
      The `pd_estimate` of metrics.json; None where there is nothing to estimate: fewer than two siblings, 500 rows or
      100 requests, or siblings that predict the same.

    ```python
    pd_estimate(siblings.replicas[0], source.holdout(), columns)["rank_correlation"]["units"]["value"]
    ```
    """
    if columns["prediction"].shape[1] < 2 or len(columns["prediction"]) < FEWEST_ROWS:
        return None
    examples = observe(model, holdout, columns)
    if examples.request.max() < FEWEST_REQUESTS:
        return None
    fitting, testing = halves(examples.request)
    if not np.ptp(examples.pd[fitting]) or not np.ptp(examples.pd[testing]):
        return None
    estimators = [fit(inputs, examples, fitting) for inputs in INPUTS]
    return {
        "rank_correlation": {each.inputs: rank_correlation(each, examples, testing) for each in estimators},
        "rows_fitted": len(fitting),
        "rows_tested": len(testing),
        "method": method(estimators),
    }


def observe(model: Any, holdout: Any, columns: Mapping[str, Any]) -> Examples:
    """The first 50,000 rows as `model` sees them; arguments as for `pd_estimate`."""
    prediction = np.asarray(columns["prediction"][:MOST_ROWS], np.float64)
    query_id = columns.get("query_id")
    keys = row_keys(None if query_id is None else query_id[:MOST_ROWS], len(prediction))
    logit = _logit(prediction)
    pairs = list(itertools.combinations(range(prediction.shape[1]), 2))
    pd = np.mean([prediction_difference.per_example(prediction[:, i], prediction[:, j]) for i, j in pairs], axis=0)
    apart = np.mean([np.abs(logit[:, i] - logit[:, j]) for i, j in pairs], axis=0)
    return Examples(
        strengths=record(model, holdout, len(prediction)),
        logit=logit[:, 0],
        targets=np.stack([np.sqrt(pd), np.log(pd + 1e-3), apart], axis=1),
        pd=pd,
        request=np.unique(keys, return_inverse=True)[1],
    )


def halves(request: Index) -> tuple[Index, Index]:
    """Rows to fit on and rows to test on: each request is in one of them, the same one in every run over these rows."""
    first = np.random.default_rng(0).random(request.max() + 1)[request] < 0.5
    return np.flatnonzero(first), np.flatnonzero(~first)


def fit(inputs: str, examples: Examples, rows: Index) -> Estimator:
    """The regression on `rows`, whose target and penalty are those that rank best on a fifth of their requests.

    Of the penalties within a standard error of the best the largest is taken: it keeps what is certain.
    """
    knots = np.quantile(examples.logit[rows], np.linspace(0, 1, _KNOTS + 2)[1:-1])
    checked = np.random.default_rng(1).random(examples.request.max() + 1)[examples.request[rows]] < 0.2
    training, checking = rows[~checked], rows[checked]
    moments = {part: _moments(inputs, knots, examples, index) for part, index in enumerate((training, checking))}
    scores = np.zeros([len(PENALTIES), len(TARGETS)])
    measured = centred_ranks(examples.pd[checking])
    for penalty, score in zip(PENALTIES, scores, strict=True):
        linear = moments[0].solve(penalty)
        blocks = [linear(_design(inputs, knots, examples, part)) for part in _blocks(checking)]
        for target, estimate in enumerate(np.concatenate(blocks).T):
            score[target] = correlation_of_ranks(centred_ranks(estimate), measured)
    target = int(np.argmax(scores.max(axis=0)))
    good = scores[:, target] >= scores[:, target].max() - 1 / np.sqrt(len(checking))
    penalty = max(np.array(PENALTIES)[good])
    linear = (moments[0] + moments[1]).solve(penalty)
    chosen = Linear(linear.weights[:, [target]], linear.intercept[[target]])
    return Estimator(inputs, knots, chosen, f"{TARGETS[target]}, penalty {penalty:g}")


def rank_correlation(estimator: Estimator, examples: Examples, rows: Index) -> dict[str, Any] | None:
    """Spearman's, of the estimate with the measured PD, `value` and `interval`; None where it is not defined."""
    return spearman(estimator(examples, rows), examples.pd[rows], query_id=examples.request[rows])


def method(estimators: Sequence[Estimator]) -> str:
    """How the estimators were made, in one line."""
    return "ridge regression of the " + "; ".join(f"{each.method} ({each.inputs})" for each in estimators)


def _design(inputs: str, knots: Array, examples: Examples, rows: Index) -> Array:
    """Inputs of the regression, [rows, inputs]."""
    logit = examples.logit[rows, None]
    columns = [logit, np.maximum(logit - knots, 0)]
    if inputs == "summaries":
        columns.append(examples.strengths.summaries[rows])
    if inputs == "units":
        units = examples.strengths.units[rows].astype(np.float64)
        columns += [units, np.square(units)]
    return np.concatenate(columns, axis=1)


def _moments(inputs: str, knots: Array, examples: Examples, rows: Index) -> Moments:
    width = _design(inputs, knots, examples, rows[:1]).shape[1]
    moments = Moments(width, len(TARGETS))
    for part in _blocks(rows):
        moments.add(_design(inputs, knots, examples, part), examples.targets[part])
    return moments


def _blocks(rows: Index) -> list[Index]:
    return [rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]


def _logit(prediction: Array) -> Array:
    inside = np.clip(prediction, 1e-7, 1 - 1e-7)
    return np.log(inside) - np.log1p(-inside)


def strengths(model: Any, features: Any) -> Floats:
    """Outputs of the activations of all hidden layers for a batch, float32 [n, units], layer beside layer.

    Args:
      model: a Keras model whose layers have an `activation`; linear ones are left out.
      features: a batch for the model.

    Raises:
      InputError: the model has no such layer.

    ```python
    strengths(siblings.replicas[0], rows["features"])  # [4096, 496]
    ```
    """
    return np.concatenate([y for _, _, y in _layers(model, features)], axis=1)


def record(model: Any, holdout: Any, rows: int) -> Strengths:
    """The strengths of the first `rows` examples of `holdout`, chunks of `data.source.Rows`.

    Raises:
      InputError: the model has no hidden layer with an activation.
    """
    units: list[list[Floats]] = []
    summaries = []
    for chunk in holdout.rebatch(BATCH_SIZE).take(-(-rows // BATCH_SIZE)):
        layers = _layers(model, chunk["features"])
        step = -(-sum(y.shape[1] for _, _, y in layers) // MOST_UNITS)
        units.append([y[:, ::step] for _, _, y in layers])
        summaries.append(np.stack([column for layer in layers for column in _summaries(*layer)], axis=1))
    outputs = [np.concatenate(parts)[:rows] for parts in zip(*units, strict=True)]
    found = np.concatenate(summaries)[:rows]
    novelty = np.stack([_novelty(y) for y in outputs], axis=1)
    per_layer = np.concatenate([found.reshape(len(found), len(outputs), -1), novelty[:, :, None]], axis=2)
    return Strengths(np.concatenate(outputs, axis=1), _standardised(per_layer.reshape(len(found), -1)))


def _layers(model: Any, features: Any) -> list[tuple[Any, Floats, Floats]]:
    """(activation, pre-activations [n, units], outputs [n, units]) of each hidden layer."""
    seen: list[tuple[Any, Floats, Floats]] = []

    def note(layer: Any, activation: Any, x: Floats, y: Floats) -> None:
        seen.append((activation, x.reshape(len(x), -1), y.reshape(len(y), -1)))

    with recorded(model, note):
        model(features, training=False)
    if not seen:
        raise InputError(f"model must have hidden layers with an activation, got {model.name!r} without")
    return seen


def _summaries(activation: Any, x: Floats, y: Floats) -> list[Floats]:
    """The summaries of one layer, [n] each, in the order of `SUMMARIES`, without novelty."""
    region = transition_region(activation)
    inside = np.zeros(x.shape, bool) if region is None else (x > region[0]) & (x < region[1])
    return [
        y.mean(axis=1),
        np.sqrt(np.square(y).mean(axis=1)),
        (x > 0).mean(axis=1, dtype=np.float32),
        inside.mean(axis=1, dtype=np.float32),
        y.max(axis=1),
    ]


def _novelty(outputs: Floats) -> Array:
    """log(1 + m) of each row of one layer; see `Strengths`."""
    mean = outputs.mean(axis=0, dtype=np.float64)
    blocks = np.array_split(outputs, -(-len(outputs) // BATCH_SIZE))  # small enough to stay in the cache
    covariance = sum((block - mean).T @ (block - mean) for block in blocks) / len(outputs)
    variance, directions = np.linalg.eigh(covariance)
    kept = variance > max(_SMALLEST_VARIANCE * variance[-1], np.finfo(np.float32).tiny)
    if not kept.any():
        return np.zeros(len(outputs))
    whitening = directions[:, kept] / np.sqrt(variance[kept])
    return np.log1p(np.concatenate([np.square((block - mean) @ whitening).mean(axis=1) for block in blocks]))


def _standardised(values: Any) -> Array:
    values = np.asarray(values, np.float64)
    centred, scale = values - values.mean(axis=0), values.std(axis=0)
    varies = scale > 1e-5 * np.sqrt(np.square(values).mean(axis=0))  # beyond the rounding of float32
    clipped: Array = np.clip(centred / np.where(varies, scale, np.inf), -_EXTREME, _EXTREME)
    return clipped
