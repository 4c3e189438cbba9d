"""Accuracy of predictions, exact, in NumPy and float64: log loss, calibration, AUC loss (eq. 1), AUC loss per query.

`label` is 0 or 1, [n]; `prediction` is [n] or [n, 1]; `sample_weight` is [n], at or above 0, or None for equal weights.
Where a measure is not defined it is None: the AUC loss of rows that are all of one class, calibration without a
positive row. Wrong input raises InputError, a ValueError, in one line.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from smooth_recs.errors import InputError
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array, Integers

Weighting = Literal["pairs", "queries", "examples"]


def log_loss(label: Any, prediction: Any, sample_weight: Any = None) -> float:
    """Weighted mean of -[y log(p) + (1 - y) log(1 - p)].

    Probabilities nearer to 0 or 1 than 2.2e-16, the spacing of float64 at 1, count as that near: a certain prediction
    that is wrong costs 36.04.

    ```python
    log_loss([1, 0], [0.5, 0.5])  # 0.6931...
    ```
    """
    y, p, weight = checked(label, arrays.probabilities("prediction", prediction), sample_weight)
    arrays.refuse_weightless("log_loss", weight)
    return float(np.average(log_loss_per_example(y, p), weights=weight))


def log_loss_per_example(label: Array, prediction: Array) -> Array:
    """The terms of `log_loss`, [n], of arrays that were checked."""
    epsilon = np.finfo(np.float64).eps
    p = np.clip(prediction, epsilon, 1 - epsilon)
    return np.where(label == 1, -np.log(p), -np.log1p(-p))


def normalized_entropy(label: Any, prediction: Any, sample_weight: Any = None) -> float | None:
    """Log loss over the entropy of the base rate (He et al. 2014): 1 is what the constant base rate scores, 0 perfect.

    log_loss / -[r log(r) + (1 - r) log(1 - r)], r the weighted mean label: comparable across data whose click
    rates are unlike.

    Args:
      label, prediction, sample_weight: those of `log_loss`.

    Returns:
      The quotient, or None unless both classes have positive weight.

    ```python
    normalized_entropy([1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25])  # 1.0
    ```
    """
    loss = log_loss(label, prediction, sample_weight)
    y = arrays.labels(label)
    weight = arrays.weights(sample_weight, y.size)
    positive, negative = weight @ y, weight @ (1 - y)
    if not (positive > 0 and negative > 0):
        return None
    rates = np.array([positive, negative]) / (positive + negative)
    return float(loss / -(rates @ np.log(rates)))


def calibration(label: Any, prediction: Any, sample_weight: Any = None) -> float | None:
    """Weighted sum of predictions over weighted sum of labels; 1 is right on average, None: there is no positive row.

    ```python
    calibration([1, 0], [0.5, 0.25])  # 0.75
    ```
    """
    y, p, weight = checked(label, arrays.probabilities("prediction", prediction), sample_weight)
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
    y, scores, weight = checked(label, arrays.scores("prediction", prediction), sample_weight)
    counts = count_pairs(y, scores, weight, None, _checked_ties(ties))
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
    y, scores, weight = checked(label, arrays.scores("prediction", prediction), sample_weight)
    _, query = arrays.numbered("query_id", query_id, y.size)
    counts = count_pairs(y, scores, weight, query, _checked_ties(ties))
    both = counts.pairs > 0
    total = {"pairs": counts.pairs, "queries": both, "examples": counts.weight}[weighting][both].astype(np.float64)
    value = float(np.average(counts.wrong[both] / counts.pairs[both], weights=total)) if both.any() else None
    return PerQuery(value, int(both.sum()), int((~both & (counts.weight > 0)).sum()))


def _checked_ties(ties: float) -> float:
    if not 0 <= ties <= 1:
        raise InputError(f"ties must be in [0, 1], got {ties!r}")
    return ties


def checked(label: Any, prediction: Array, sample_weight: Any) -> tuple[Array, Array, Array]:
    """Label, prediction and weight, [n] each, n at least 1; `prediction` was checked by itself before."""
    y = arrays.labels(label)
    if prediction.size != y.size:
        raise InputError(f"label and prediction must have the same length, got {y.size} and {prediction.size}")
    arrays.refuse_empty("label", y)
    return y, prediction, arrays.weights(sample_weight, y.size)


class PairCounts(NamedTuple):
    """Weights a query, [q]: of pairs in the wrong order, of all pairs, of the rows."""

    wrong: Array
    pairs: Array
    weight: Array


def count_pairs(y: Array, scores: Array, weight: Array, query: Integers | None, ties: float) -> PairCounts:
    """Pairs within each query; `query`: the number of each row's query, 0 to q - 1, none left out; None: one query.

    A pair of equal scores counts `ties`.
    """
    groups = _tied(y, scores, weight, query)
    above = _sum_before(groups.negative, groups.first)
    wrong = np.add.reduceat(groups.positive * (above + ties * groups.negative), groups.first)
    positives, negatives = (np.add.reduceat(values, groups.first) for values in (groups.positive, groups.negative))
    return PairCounts(wrong, positives * negatives, positives + negatives)


def wrong_share_by_row(y: Array, scores: Array, weight: Array) -> Array:
    """[n]: of the weight of the other class, the share that is on the wrong side of each row; ties count one half.

    Both classes must have positive weight.
    """
    groups = _tied(y, scores, weight, None)
    above = np.cumsum(groups.negative) - groups.negative / 2
    below = groups.positive.sum() - np.cumsum(groups.positive) + groups.positive / 2
    group = np.empty_like(groups.order)
    group[groups.order] = np.repeat(np.arange(groups.starts.size), np.diff(np.append(groups.starts, y.size)))
    return np.where(y == 1, above[group] / groups.negative.sum(), below[group] / groups.positive.sum())


class _Groups(NamedTuple):
    """Groups of equal scores within a query, the highest score of each query first."""

    order: Integers  # [n]: sorts the rows
    starts: Integers  # where the groups start in the sorted rows
    positive: Array  # weight of the positive rows, a group
    negative: Array
    first: Integers  # the first group of each query


def _tied(y: Array, scores: Array, weight: Array, query: Integers | None) -> _Groups:
    order = np.argsort(-scores)
    if query is not None:
        order = by_query(order, query)
    sorted_scores = scores[order]
    new = np.append(True, sorted_scores[1:] != sorted_scores[:-1])
    new_query = np.zeros_like(new) if query is None else np.append(False, np.diff(query[order]) != 0)
    new_query[0] = True
    starts = np.flatnonzero(new | new_query)
    sorted_weight, positive = weight[order], y[order] == 1
    return _Groups(
        order,
        starts,
        np.add.reduceat(np.where(positive, sorted_weight, 0.0), starts),
        np.add.reduceat(np.where(positive, 0.0, sorted_weight), starts),
        np.flatnonzero(new_query[starts]),
    )


def by_query(order: Integers, query: Integers) -> Integers:
    """The rows in `order`, query by query: [n], sorted by query and by order within each."""
    # One sort of distinct integers, which NumPy does several times faster than a stable sort.
    place = query[order] * order.size + np.arange(order.size)
    return order[np.argsort(place)]


def _sum_before(values: Array, first: Integers) -> Array:
    """For each value, the sum of those before it in its segment; `first`: where the segments start."""
    total = np.cumsum(values)
    before = np.append(0.0, total[:-1])
    # What each addition rounded away (Knuth's TwoSum): a segment is small beside the sum of all that lie before it.
    added = total - before
    error = np.cumsum((before - (total - added)) + (values - added))
    error_before = np.append(0.0, error[:-1])
    lengths = np.diff(np.append(first, values.size))
    return before - np.repeat(before[first], lengths) + (error_before - np.repeat(error_before[first], lengths))
