"""An assertion for users' tests: a retrained model predicts what the baseline does, within limits.

The limits are the gates of `smooth_recs.bin.compare`.
"""

from __future__ import annotations

from typing import Any

from smooth_recs import prediction_difference
from smooth_recs.errors import InputError
from smooth_recs.measures import accuracy, gates, held_out, recommendations
from smooth_recs.statistics import arrays


def assert_reproducible(
    a: Any,
    b: Any,
    *,
    label: Any = None,
    query_id: Any = None,
    sample_weight: Any = None,
    max_pd: float | None = None,
    max_auc_loss_increase: float | None = None,
    max_swap_rate: float | None = None,
    k: int = 3,
    multiplier: Any = None,
    allow_collapsed: bool = False,
) -> None:
    """Asserts that a retrained model predicts what the baseline does, within limits.

    Args:
      a, b: [n] or [n, 1] probabilities that the baseline (a) and the new model (b) predict for the same rows.
      label: [n], 0 or 1; needed by `max_auc_loss_increase`.
      query_id: [n] integers or strings, which request a row belongs to; needed by `max_swap_rate`.
      sample_weight: [n], at or above 0; None: equal weights.
      max_pd: the highest relative PD (eq. 2), from 0 to 2.
      max_auc_loss_increase: the highest increase of the AUC loss (eq. 1, ties one half) from a to b, from -1 to 1.
      max_swap_rate: the highest share of requests whose ordered top-k lists are different, from 0 to 1.
      k: length of the lists.
      multiplier: [n], such as bids, by which predictions are multiplied before a request's rows are ordered.
      allow_collapsed: whether b may pass though it is constant, or worse than always predicting the click rate, which
        100 rows or more can show.

    Raises:
      AssertionError: a gate is not met; one line names each of these, its limit, the value and the distance.
      InputError: no limit is given, one cannot be measured, or the arrays are not as above.

    ```python
    from smooth_recs import testing

    testing.assert_reproducible([0.1, 0.2], [0.11, 0.2], max_pd=0.05)
    ```
    """
    limits = gates.Limits(max_pd, max_auc_loss_increase, max_swap_rate)
    columns = {"label": label, "query_id": query_id}
    limits.check({name for name, values in columns.items() if values is not None})
    if not limits.given():
        # An assertion without a limit would pass whatever the models predict.
        raise InputError("assert_reproducible needs max_pd, max_auc_loss_increase or max_swap_rate, got none of them")
    a = arrays.probabilities("a", a)
    b = arrays.probabilities("b", b, a.size)
    measured: dict[str, float | None] = {}
    if max_pd is not None:
        measured["pd"] = prediction_difference.relative(a, b, sample_weight)
    if max_auc_loss_increase is not None:
        losses = [accuracy.auc_loss(label, prediction, sample_weight) for prediction in (a, b)]
        measured["auc_loss_increase"] = None if None in losses else losses[1] - losses[0]  # type: ignore[operator]
    if max_swap_rate is not None:
        measured["swap_rate"] = recommendations.swap_rate(a, b, query_id, k=k, multiplier=multiplier)
    collapsed = None if allow_collapsed else held_out.collapse(b, label, sample_weight)
    failure = gates.failure(gates.judge(limits, measured), collapsed=collapsed)
    if failure:
        raise AssertionError(failure)
