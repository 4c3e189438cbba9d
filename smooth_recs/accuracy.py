"""Accuracy of predictions, exact, in NumPy and float64: log loss, AUC loss (eq. 1), AUC loss per query, calibration.

Labels are 0 or 1, [n]; predictions are [n] or [n, 1]. Where a measure is not defined it is None: the AUC loss of rows
that are all of one class, calibration without a positive row. Wrong input raises InputError, a ValueError, in one line.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from smooth_recs import arrays
from smooth_recs.arrays import Array
from smooth_recs.errors import InputError

Weighting = Literal["pairs", "queries", "examples"]


def log_loss(label: Any, prediction: Any, sample_weight: Any = None) -> float:
    """Weighted mean of -[y log(p) + (1 - y) log(1 - p)].

    Probabilities nearer to 0 or 1 than 2.2e-16, the spacing of float64 at 1, count as that near: a certain prediction
    that is wrong costs 36.04.

    ```python
    log_loss([1, 0], [0.5, 0.5])  # 0.6931...
    ```
    """
    y, p, weight = _checked(label, arrays.probabilities("prediction", prediction), sample_weight)
    if not weight.sum() > 0:
        raise InputError("log_loss needs examples of positive weight, got none")
    epsilon = np.finfo(np.float64).eps
    p = np.clip(p, epsilon, 1 - epsilon)
    return float(np.average(np.where(y == 1, -np.log(p), -np.log1p(-p)), weights=weight))


def calibration(label: Any, prediction: Any, sample_weight: Any = None) -> float | None:
    """Weighted sum of predictions over weighted sum of labels; 1 is right on average, None: there is no positive row.

    ```python
    calibration([1, 0], [0.5, 0.25])  # 0.75
    ```
    """
    y, p, weight = _checked(label, arrays.probabilities("prediction", prediction), sample_weight)
    observed = weight @ y
    return float(weight @ p / observed) if observed > 0 else None


def auc_loss(label: Any, prediction: Any, sample_weight: Any = None, *, ties: float = 0.5) -> float | None:
    """Share of the positive-negative pairs that are in the wrong order (eq. 1), by sorting, in O(n log n).

    (1 / N) sum over t: y_t = 1, tau: y_tau = 0 of w_t w_tau I(p_tau > p_t), N the weight of all pairs.

    Args:
      label: [n], 0 or 1.
      prediction: [n], any finite scores.
      sample_weight: [n], at or above 0.
      ties: what a pair of equal predictions counts. With the default, one half, the loss is 1 - AUC and a constant
        prediction scores 0.5; with 0 it is eq. 1 verbatim, and a constant prediction looks perfect.

    Returns:
      The loss, or None unless both classes have positive weight.

    ```python
    auc_loss([1, 1, 0, 0], [0.9, 0.3, 0.3, 0.1])  # 0.125: one of four pairs is a tie
    ```
    """
    y, scores, weight = _checked(label, arrays.scores("prediction", prediction), sample_weight)
    counts = _count_pairs(y, scores, weight, np.zeros(y.size, np.int64), _checked_ties(ties))
    return float(counts.wrong[0] / counts.pairs[0]) if counts.pairs.size and counts.pairs[0] > 0 else None


class PerQuery(NamedTuple):
    """`value` is averaged over `queries` queries; `one_class_queries` others have no positive-negative pair."""

    value: float | None
    queries: int
    one_class_queries: int


def per_query_auc_loss(
    label: Any,
    prediction: Any,
    query_id: Any,
    sample_weight: Any = None,
    *,
    weighting: Weighting = "pairs",
    ties: float = 0.5,
) -> PerQuery:
    """AUC loss over the pairs within a query only (PQAUC, section 2).

    Args:
      label, prediction, sample_weight, ties: those of `auc_loss`.
      query_id: [n] integers or strings.
      weighting: what a query counts: its `pairs` (the loss over all pairs within queries), the same for all `queries`,
        or its `examples`.

    Returns:
      The loss, None where no query has both classes; how many queries it is over; and how many were left out, because
      their rows (of positive weight) are all of one class.

    ```python
    per_query_auc_loss([1, 0, 1, 0, 1], [0.2, 0.6, 0.9, 0.4, 0.5], [7, 7, 8, 8, 9]).value  # 0.5
    ```
    """
    if weighting not in get_args(Weighting):
        raise InputError(f"weighting must be one of {', '.join(get_args(Weighting))}, got {weighting!r}")
    y, scores, weight = _checked(label, arrays.scores("prediction", prediction), sample_weight)
    _, query = np.unique(arrays.identifiers("query_id", query_id, y.size), return_inverse=True)
    counts = _count_pairs(y, scores, weight, query, _checked_ties(ties))
    both = counts.pairs > 0
    total = {"pairs": counts.pairs, "queries": both, "examples": counts.weight}[weighting][both].astype(np.float64)
    value = float(np.average(counts.wrong[both] / counts.pairs[both], weights=total)) if both.any() else None
    return PerQuery(value, int(both.sum()), int((~both & (counts.weight > 0)).sum()))


class _PairCounts(NamedTuple):
    """Weights a query: of pairs in the wrong order, of all pairs, of the rows."""

    wrong: Array
    pairs: Array
    weight: Array


def _count_pairs(y: Array, scores: Array, weight: Array, query: npt.NDArray[np.int64], ties: float) -> _PairCounts:
    """`query`: the number of each row's query, 0 to q - 1, none left out."""
    order = np.lexsort((-scores, query)) if query.any() else np.argsort(-scores)
    y, scores, weight, query = y[order], scores[order], weight[order], query[order]
    new_query = np.append(True, query[1:] != query[:-1])
    new_score = np.append(True, scores[1:] != scores[:-1])
    # Groups of equal scores within a query, the highest score of each query first.
    starts = np.flatnonzero(new_query | new_score)
    positive, negative = np.add.reduceat(weight * y, starts), np.add.reduceat(weight * (1 - y), starts)
    first = np.flatnonzero(new_query[starts])
    above = _sum_before(negative, first)
    wrong = np.add.reduceat(positive * (above + ties * negative), first)
    positives, negatives = np.add.reduceat(positive, first), np.add.reduceat(negative, first)
    return _PairCounts(wrong, positives * negatives, positives + negatives)


def _sum_before(values: Array, first: npt.NDArray[np.intp]) -> Array:
    """Of each value, the sum of those before it in its segment; `first`: where the segments start."""
    total = np.cumsum(values)
    before = np.append(0.0, total[:-1])
    # What each addition rounded away (Knuth's TwoSum): a segment is small beside the sum of all that lie before it.
    added = total - before
    error = np.cumsum((before - (total - added)) + (values - added))
    error_before = np.append(0.0, error[:-1])
    lengths = np.diff(np.append(first, values.size))
    return before - np.repeat(before[first], lengths) + (error_before - np.repeat(error_before[first], lengths))


def _checked(label: Any, prediction: Array, sample_weight: Any) -> tuple[Array, Array, Array]:
    y = arrays.labels(label)
    if prediction.size != y.size:
        raise InputError(f"label and prediction must have the same length, got {y.size} and {prediction.size}")
    arrays.refuse_empty("label", y)
    return y, prediction, arrays.weights(sample_weight, y.size)


def _checked_ties(ties: float) -> float:
    if not 0 <= ties <= 1:
        raise InputError(f"ties must be in [0, 1], got {ties!r}")
    return ties
