"""Counting the pairs of a positive and a negative row that are in the wrong order, by sorting."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from smooth_recs.statistics.arrays import Array, Integers


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
    """Of each value, the sum of those before it in its segment; `first`: where the segments start."""
    total = np.cumsum(values)
    before = np.append(0.0, total[:-1])
    # What each addition rounded away (Knuth's TwoSum): a segment is small beside the sum of all that lie before it.
    added = total - before
    error = np.cumsum((before - (total - added)) + (values - added))
    error_before = np.append(0.0, error[:-1])
    lengths = np.diff(np.append(first, values.size))
    return before - np.repeat(before[first], lengths) + (error_before - np.repeat(error_before[first], lengths))
