"""How well predictions order rows: AUC loss (eq. 1) over all pairs and over the pairs within a query."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from smooth_recs.accuracy.pairs import count_pairs
from smooth_recs.accuracy.rows import checked
from smooth_recs.errors import InputError
from smooth_recs.statistics import arrays

Weighting = Literal["pairs", "queries", "examples"]


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
