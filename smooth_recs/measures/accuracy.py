"""Accuracy of predictions, exact, in NumPy and float64: log loss, calibration, AUC loss (eq. 1), AUC loss per query.

`label` is 0 or 1, [n]; `prediction` is [n] or [n, 1]; `sample_weight` is [n], at or above 0, or None for equal weights.
A measure that is not defined for the rows is None: the AUC loss of rows of one class, calibration without a positive
row. Wrong input raises InputError, a ValueError, with one line that names the argument, the rule and the value.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from smooth_recs.errors import InputError
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array, Integers

Weighting = Literal["pairs", "queries", "examples"]


def log_loss(label: Any, prediction: Any, sample_weight: Any = None) -> float:
    """Weighted mean of -[y log(p) + (1 - y) log(1 - p)], in nats.

    Probabilities are kept 2.2e-16, the spacing of float64 at 1, away from 0 and 1: a certain prediction that is wrong
    costs 36.04.

    ```python
    log_loss([1, 0], [0.5, 0.5])  # 0.6931...
    ```
    """
    y, p, weight = checked(label, arrays.probabilities("prediction", prediction), sample_weight)
    arrays.refuse_weightless("log_loss", weight)
    return float(np.average(log_loss_per_example(y, p), weights=weight))


def log_loss_per_example(label: Array, prediction: Array) -> Array:
    """The terms of `log_loss`, [n], for arrays that are known to be valid."""
    # The logarithm of 0 would make one certain and wrong prediction outweigh all others.
    epsilon = np.finfo(np.float64).eps
    p = np.clip(prediction, epsilon, 1 - epsilon)
    return np.where(label == 1, -np.log(p), -np.log1p(-p))


def normalized_entropy(label: Any, prediction: Any, sample_weight: Any = None) -> float | None:
    """Log loss over the entropy of the base rate (He et al. 2014): 1 is what the constant base rate scores, 0 perfect.

    log_loss / -[r log(r) + (1 - r) log(1 - r)], where r is the weighted mean label. It can be compared between data
    sets with different click rates, which log loss cannot.

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
    """Weighted sum of the predictions over that of the labels: 1 is right on average; None without a positive row.

    ```python
    calibration([1, 0], [0.5, 0.25])  # 0.75
    ```
    """
    y, p, weight = checked(label, arrays.probabilities("prediction", prediction), sample_weight)
    observed = weight @ y
    return float(weight @ p / observed) if observed > 0 else None


def auc_loss(label: Any, prediction: Any, sample_weight: Any = None, *, ties: float = 0.5) -> float | None:
    """Share of the pairs of a positive and a negative row that are in the wrong order (eq. 1), in O(n log n).

    (1 / N) sum over t: y_t = 1, tau: y_tau = 0 of w_t w_tau I(p_tau > p_t), where N is the weight of all pairs.

    Args:
      label: [n], 0 or 1.
      prediction: [n], any finite scores.
      sample_weight: [n], at or above 0.
      ties: how much a pair of equal predictions counts, from 0 to 1. With the default, one half, the loss is 1 - AUC
        and a constant prediction scores 0.5; with 0 it is eq. 1 verbatim, and a constant prediction looks perfect.

    Returns:
      The loss, or None unless both classes have positive weight.

    ```python
    auc_loss([1, 1, 0, 0], [0.9, 0.3, 0.3, 0.1])  # 0.125: one of four pairs is a tie
    ```
    """
    y, scores, weight = checked(label, arrays.scores("prediction", prediction), sample_weight)
    counts = count_pairs(y, scores, weight, None, ties)
    if not counts.pairs.size or counts.pairs[0] <= 0:
        return None
    return min(1.0, float(counts.wrong[0] / counts.pairs[0]))  # weighted sums round to a share above 1 otherwise


class PerQuery(NamedTuple):
    """AUC loss within queries, and how many queries it is the mean of.

    Attributes:
      value: the loss; None where no query has both classes.
      queries: how many have both classes.
      one_class_queries: how many are left out, because their rows (of positive weight) are all of one class.
    """

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
    """AUC loss over the pairs of rows of the same query (PQAUC, section 2).

    Args:
      label, prediction, sample_weight, ties: those of `auc_loss`.
      query_id: [n] integers or strings.
      weighting: how much a query counts: by its `pairs` (the loss over all pairs within queries), the same for all
        `queries`, or by its `examples`.

    Returns:
      See `PerQuery`.

    ```python
    per_query_auc_loss([1, 0, 1, 0, 1], [0.2, 0.6, 0.9, 0.4, 0.5], [7, 7, 8, 8, 9]).value  # 0.5
    ```
    """
    if weighting not in get_args(Weighting):
        raise InputError(f"weighting must be one of {', '.join(get_args(Weighting))}, got {weighting!r}")
    y, scores, weight = checked(label, arrays.scores("prediction", prediction), sample_weight)
    _, query = arrays.numbered("query_id", query_id, y.size)
    counts = count_pairs(y, scores, weight, query, ties)
    both = counts.pairs > 0
    total = {"pairs": counts.pairs, "queries": both, "examples": counts.weight}[weighting][both].astype(np.float64)
    value = float(np.average(counts.wrong[both] / counts.pairs[both], weights=total)) if both.any() else None
    return PerQuery(value, int(both.sum()), int((~both & (counts.weight > 0)).sum()))


def checked(label: Any, prediction: Array, sample_weight: Any) -> tuple[Array, Array, Array]:
    """Checks label and weight against a prediction that is known to be valid; returns the three, [n], n at least 1."""
    y = arrays.labels(label)
    if prediction.size != y.size:
        raise InputError(f"label and prediction must have the same length, got {y.size} and {prediction.size}")
    arrays.refuse_empty("label", y)
    return y, prediction, arrays.weights(sample_weight, y.size)


class PairCounts(NamedTuple):
    """Three weights of each query, [q]: its pairs in the wrong order, all its pairs, its rows."""

    wrong: Array
    pairs: Array
    weight: Array


def count_pairs(y: Array, scores: Array, weight: Array, query: Integers | None, ties: float) -> PairCounts:
    """Weights of the pairs of a positive and a negative row within each query.

    Args:
      y, scores, weight: [n], known to be valid.
      query: the number of each row's query, from 0 to q - 1, every number used; None: all rows are one query.
      ties: how much a pair of equal scores counts, from 0 to 1.
    """
    if not 0 <= ties <= 1:
        raise InputError(f"ties must be in [0, 1], got {ties!r}")
    groups = _group_ties(y, scores, weight, query)
    # A positive row is ranked below all negative rows of the groups before its own.
    above = _sum_before(groups.negative, groups.first)
    wrong = np.add.reduceat(groups.positive * (above + ties * groups.negative), groups.first)
    positives, negatives = (np.add.reduceat(values, groups.first) for values in (groups.positive, groups.negative))
    return PairCounts(wrong, positives * negatives, positives + negatives)


def wrong_share_by_row(y: Array, scores: Array, weight: Array) -> Array:
    """Share of the other class's weight that is on the wrong side of each row, [n]; ties count one half.

    Both classes must have positive weight.
    """
    groups = _group_ties(y, scores, weight, None)
    # Rows of one group tie with each other, so half of the group's own weight counts.
    above = np.cumsum(groups.negative) - groups.negative / 2
    below = groups.positive.sum() - np.cumsum(groups.positive) + groups.positive / 2
    group = np.empty_like(groups.order)
    group[groups.order] = np.repeat(np.arange(groups.starts.size), np.diff(np.append(groups.starts, y.size)))
    return np.where(y == 1, above[group] / groups.negative.sum(), below[group] / groups.positive.sum())


class _TieGroups(NamedTuple):
    """Groups of rows of a query with equal scores, each query's highest score first.

    Attributes:
      order: [n], sorts the rows.
      starts: where the groups start in the sorted rows.
      positive, negative: weight of the positive and of the negative rows of each group.
      first: the number of each query's first group.
    """

    order: Integers
    starts: Integers
    positive: Array
    negative: Array
    first: Integers


def _group_ties(y: Array, scores: Array, weight: Array, query: Integers | None) -> _TieGroups:
    """Sorts the rows by query and score, and adds up the weights of each group of equal scores."""
    order = np.argsort(-scores)
    if query is not None:
        order = by_query(order, query)
    sorted_scores = scores[order]
    new = np.append(True, sorted_scores[1:] != sorted_scores[:-1])
    new_query = np.zeros_like(new) if query is None else np.append(False, np.diff(query[order]) != 0)
    new_query[0] = True
    starts = np.flatnonzero(new | new_query)
    sorted_weight, positive = weight[order], y[order] == 1
    return _TieGroups(
        order,
        starts,
        np.add.reduceat(np.where(positive, sorted_weight, 0.0), starts),
        np.add.reduceat(np.where(positive, 0.0, sorted_weight), starts),
        np.flatnonzero(new_query[starts]),
    )


def by_query(order: Integers, query: Integers) -> Integers:
    """Sorts the rows of `order` by query and keeps their order within each query, [n]."""
    # One sort of integers that are all different: NumPy does it several times faster than a stable sort.
    place = query[order] * order.size + np.arange(order.size)
    return order[np.argsort(place)]


def _sum_before(values: Array, first: Integers) -> Array:
    """Sum of the values before each value within its segment; `first` says where the segments start."""
    total = np.cumsum(values)
    before = np.append(0.0, total[:-1])
    # A segment can be smaller than the rounding of the sum of all segments before it: the difference of two sums would
    # lose it. Knuth's TwoSum recovers what each addition rounded away.
    added = total - before
    error = np.cumsum((before - (total - added)) + (values - added))
    error_before = np.append(0.0, error[:-1])
    lengths = np.diff(np.append(first, values.size))
    return before - np.repeat(before[first], lengths) + (error_before - np.repeat(error_before[first], lengths))
