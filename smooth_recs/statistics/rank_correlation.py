"""Spearman's rank correlation, with an interval over requests."""

from __future__ import annotations

from typing import Any

import numpy as np

from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array
from smooth_recs.statistics.bootstrap import PoissonBootstrap, row_keys


def spearman(
    a: Any, b: Any, *, query_id: Any = None, replicates: int = 1000, confidence: float = 0.95
) -> dict[str, Any] | None:
    """Correlation of the ranks of `a` and `b`, [n] each; equal values share their mean rank.

    The interval is a Poisson bootstrap over requests of the correlation's linearisation, which is the mean of the
    examples' influence values. It is exact to first order where few values within `a`, or within `b`, are equal.

    Args:
      a, b: [n] numbers.
      query_id: [n], which request an example belongs to; None: every example is a request of its own.
      replicates: how many the bootstrap draws.
      confidence: share of the replicates within the interval, between 0 and 1.

    Returns:
      `value` and `interval`, [low, high]; None where `a` or `b` is constant, or shorter than 2.

    Raises:
      InputError: arrays of different lengths, or values that are not finite.

    ```python
    spearman([1.0, 2.0, 3.0], [0.1, 0.3, 0.2])["value"]  # 0.5
    ```
    """
    a = arrays.scores("a", a)
    b = arrays.scores("b", b, a.size)
    keys = row_keys(query_id, a.size)
    if a.size < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    f, g = _centred_ranks(a), _centred_ranks(b)
    scale, product = float(f.std() * g.std()), float(np.mean(f * g))
    influence = (f * g + _mean_above(a, g) + _mean_above(b, f) - 3 * product) / scale
    bootstrap = PoissonBootstrap(replicates)
    bootstrap.add(influence, np.ones(a.size), keys)
    value = product / scale
    # The linearisation can leave [-1, 1] where few rows are almost perfectly correlated.
    ends = np.clip([value + end for end in bootstrap.interval(confidence)], -1.0, 1.0)
    return {"value": value, "interval": ends.tolist()}


def _centred_ranks(values: Array) -> Array:
    """Ranks as shares of n, ties averaged, minus their mean."""
    # Imported here, because it takes a second.
    from scipy import stats

    ranks: Array = stats.rankdata(values)
    return (ranks - (values.size + 1) / 2) / values.size


def _mean_above(values: Array, others: Array) -> Array:
    """The sum of `others` over the examples with higher `values`, for each example, divided by n; ties count half."""
    _, group = np.unique(values, return_inverse=True)
    sums = np.bincount(group, others)
    above = np.cumsum(sums[::-1])[::-1] - sums / 2
    mean: Array = above[group] / values.size
    return mean
