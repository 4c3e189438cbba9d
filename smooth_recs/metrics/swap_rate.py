"""Share of the requests whose top-k list two models order differently, as a Keras metric."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.metrics import requests
from smooth_recs.metrics.sums import SumMetric, column, column_like, nan_unless, weight_column


@keras_generation.serializable
class SwapRate(SumMetric):
    """Share of the requests whose ordered top-k list is not the same for both models.

    `update_state(a, b, sample_weight=None, *, query_id, multiplier=None)`: the scores of the two models, integers or
    strings that name the request, and what scores are multiplied by before rows are ordered (bids), [batch] or
    [batch, 1] each. Lists are in descending order, rows of equal score in the order in which they stand. A request
    counts the mean weight of its rows. Requests must lie whole within a batch: one whose rows are in several batches
    counts as a request in each.

    Args:
      k: length of the lists; a request of fewer rows has a shorter one.

    Raises:
      ValueError: k is no whole number of at least 1.

    The result, float64, is 0 before the first request, and NaN once a score was not finite or, where there is a
    multiplier, a score or multiplier was negative. Over all rows together, whatever their order:
    `sr.recommendations.swap_rate`.

    ```python
    metric = sr.metrics.SwapRate(k=3)
    metric.update_state([0.3, 0.2, 0.1, 0.6, 0.5], [0.3, 0.1, 0.2, 0.7, 0.2], query_id=[7, 7, 7, 8, 8])
    float(metric.result())  # 0.5: request 7 is another
    ```
    """

    def __init__(self, k: int = 3, name: str = "swap_rate", dtype: Any = None) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"k must be a whole number of at least 1, got {k!r}")
        super().__init__(name=name, dtype=dtype)
        self.k = k
        self.swapped = self.add_sum("swapped")
        self.total = self.add_sum("total")

    def update_state(self, a: Any, b: Any, sample_weight: Any = None, *, query_id: Any, multiplier: Any = None) -> None:
        a = column(a)
        b = column_like(b, a)
        valid = tf.ones_like(a, tf.bool)
        if multiplier is not None:
            factor = column_like(multiplier, a)
            valid = (a >= 0) & (b >= 0) & (factor >= 0)
            a, b = a * factor, b * factor
        valid &= tf.math.is_finite(a) & tf.math.is_finite(b)
        weight = nan_unless(valid, weight_column(sample_weight, a))
        query = requests.as_integers(requests.flat(query_id, a))
        one, other = (requests.by_request_and_score(query, score) for score in (a, b))
        rows = tf.shape(a)[0]
        segment = requests.numbered(requests.starts(tf.gather(query, one)))
        place = tf.range(rows) - tf.gather(tf.math.unsorted_segment_min(tf.range(rows), segment, rows), segment)
        unlike = tf.cast((one != other) & (place < self.k), tf.float64)
        # Segments after the last request are empty: their mean weight is 0, their maximum is far below 0.
        swapped = tf.maximum(tf.math.unsorted_segment_max(unlike, segment, rows), 0.0)
        mean_weight = tf.math.unsorted_segment_mean(tf.gather(weight, one), segment, rows)
        self.swapped.assign_add(tf.reduce_sum(swapped * mean_weight))
        self.total.assign_add(tf.reduce_sum(mean_weight))

    def result(self) -> tf.Tensor:
        return tf.math.divide_no_nan(tf.convert_to_tensor(self.swapped), tf.convert_to_tensor(self.total))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k}
