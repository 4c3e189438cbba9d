"""Increase of a loss from one model to another, with a bootstrap interval over requests."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from smooth_recs.errors import InputError
from smooth_recs.measures.accuracy import checked, count_pairs, log_loss_per_example, wrong_share_by_row
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array, Integers
from smooth_recs.statistics.bootstrap import PoissonBootstrap, request_keys


def increase(
    metric: str,
    label: Any,
    a: Any,
    b: Any,
    sample_weight: Any = None,
    *,
    query_id: Any = None,
    replicates: int = 1000,
) -> dict[str, Any] | None:
    """The difference metric(b) - metric(a), above 0 where b is worse, with a 95% interval over requests.

    The interval, by a Poisson bootstrap, says how exactly the rows determine the difference between these very models;
    it says nothing about another training run. Every replicate measures both models on the same rows.

    Log loss and AUC loss per query are ratios of sums over requests, which a bootstrap can resample. The AUC loss is
    not; its replicates take the part that is linear in the weights of the rows (its Hajek projection). Where L is the
    loss and P and N are the weights of the classes, a positive row of weight w adds w / P (share of N predicted above
    it - L), a negative row w / N (share of P predicted below it - L); ties count one half.

    Args:
      metric: "auc_loss", "log_loss" or "per_query_auc_loss" (with a query's weight by its pairs).
      label: [n], 0 or 1.
      a, b: [n] predictions of the two models: finite scores, for the log loss in [0, 1].
      sample_weight: [n], at or above 0.
      query_id: [n], which request a row belongs to; None: every row is a request of its own. The rows of a request
        resemble each other, so intervals by row are too narrow where there are requests.
      replicates: of the bootstrap.

    Returns:
      `value` and `interval`, [low, high]; or None where the metric is not defined: the AUC loss of rows of one class,
      the AUC loss per query without query_id.

    Raises:
      InputError: an unknown metric, or arrays that are not as above.

    ```python
    increase("auc_loss", [1, 1, 0, 0], [0.9, 0.4, 0.3, 0.1], [0.9, 0.3, 0.3, 0.1])["value"]  # 0.125
    ```
    """
    if metric not in TERMS:
        raise InputError(f"metric must be one of {', '.join(TERMS)}, got {metric!r}")
    check = arrays.probabilities if metric == "log_loss" else arrays.scores
    y, first, weight = checked(label, check("a", a), sample_weight)
    arrays.refuse_weightless(metric, weight)
    ids: Any = np.arange(y.size)
    query: Integers | None = None
    if query_id is not None:
        ids, query = arrays.numbered("query_id", query_id, y.size)
    terms = TERMS[metric](_Rows(y, first, check("b", b, y.size), weight, query))
    if terms is None:
        return None
    bootstrap = PoissonBootstrap(replicates)
    bootstrap.add(terms.numerator, terms.denominator, request_keys(ids))
    value = terms.numerator.sum() / terms.denominator.sum()
    return {"value": float(value), "interval": bootstrap.interval()}


class _Rows(NamedTuple):
    """Checked columns of two models' rows; `query` is the number of each row's request, None: each is its own."""

    y: Array
    a: Array
    b: Array
    weight: Array
    query: Integers | None

    def by_request(self, values: Array) -> Array:
        """Sums of the rows' values for each request."""
        return values if self.query is None else np.bincount(self.query, values).astype(np.float64)


class _Terms(NamedTuple):
    """Each request's part of the increase, which is the sum of the numerators over the sum of the denominators."""

    numerator: Array
    denominator: Array


def _log_loss(rows: _Rows) -> _Terms:
    """Weighted sums of the losses' difference, over the weights."""
    worse = log_loss_per_example(rows.y, rows.b) - log_loss_per_example(rows.y, rows.a)
    return _Terms(rows.by_request(rows.weight * worse), rows.by_request(rows.weight))


def _per_query_auc_loss(rows: _Rows) -> _Terms | None:
    """Difference of the weights of the pairs in the wrong order, over the weights of all pairs."""
    if rows.query is None:
        return None
    # The pairs are those of the labels, so that both models have the same denominators.
    a, b = (count_pairs(rows.y, scores, rows.weight, rows.query, ties=0.5) for scores in (rows.a, rows.b))
    return _Terms(b.wrong - a.wrong, a.pairs) if (a.pairs > 0).any() else None


def _auc_loss(rows: _Rows) -> _Terms | None:
    """The Hajek projection of the AUC losses' difference (see `increase`), over the number of requests."""
    of_class = [np.sum(rows.weight, where=rows.y == label) for label in (0, 1)]
    if not min(of_class) > 0:
        return None
    weight = rows.weight / np.where(rows.y == 1, of_class[1], of_class[0])
    a, b = (wrong_share_by_row(rows.y, scores, rows.weight) for scores in (rows.a, rows.b))
    value = np.sum(weight * (b - a), where=rows.y == 1)
    # Each request's term is the value plus its influence times the number of requests. Influences add up to 0, so that
    # the mean over the requests is the value. Requests without weight must not count in that mean.
    influence = rows.by_request(weight * (b - a - value))
    seen = (rows.by_request(rows.weight) > 0).astype(np.float64)
    return _Terms(seen * (seen.sum() * influence + value), seen)


TERMS = {"auc_loss": _auc_loss, "log_loss": _log_loss, "per_query_auc_loss": _per_query_auc_loss}
"""The increases that have an interval: by the measure's name, the terms of each request."""
