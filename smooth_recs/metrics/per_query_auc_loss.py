"""AUC loss over the pairs within a query, as a Keras metric (PQAUC, section 2)."""

from __future__ import annotations

from typing import Any, get_args

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.measures.accuracy import Weighting
from smooth_recs.metrics import recent_queries, requests
from smooth_recs.metrics.sums import SumMetric, column, column_like, is_label, nan_unless, weight_column


@keras_generation.serializable
class PerQueryAUCLoss(SumMetric):
    """Share of the positive-negative pairs within a query that are in the wrong order; ties count one half.

    `update_state(y_true, y_pred, sample_weight=None, *, query_id)`: labels 0 or 1, scores, and integers or strings that
    name the query, [batch] or [batch, 1] each. Exact for queries that lie whole within a batch; a query whose rows are
    in several batches counts once in each, with the pairs that it has there: `split_queries` counts these.

    Args:
      weighting: what a query counts: its `pairs` (the loss over all pairs within queries), the same for all `queries`,
        or its `examples`.

    Attributes:
      queries: how many queries the result is over.
      one_class_queries: how many were left out, because their rows (of positive weight) are all of one class.
      split_queries: how often a query's rows came in a further batch; 0 where all is exact. It is never too high; it
        misses queries whose earlier batch is longer ago than a table of 32768 cells remembers (about as many queries:
        each takes the cell of another), and rows that `tf.distribute` gives to several devices. `merge_state` also
        counts the queries that both metrics remember.

    Raises:
      ValueError: another `weighting`.

    The result, float64, is NaN where it is not defined: until a query had both classes, and once a score was NaN or a
    label neither 0 nor 1.

    ```python
    metric = sr.metrics.PerQueryAUCLoss()
    metric.update_state([1, 0, 1, 0, 1], [0.2, 0.6, 0.9, 0.4, 0.5], query_id=[7, 7, 8, 8, 9])
    float(metric.result())  # 0.5; query 9 is left out
    ```
    """

    def __init__(self, weighting: Weighting = "pairs", name: str = "per_query_auc_loss", dtype: Any = None) -> None:
        if weighting not in get_args(Weighting):
            raise ValueError(f"weighting must be one of {', '.join(get_args(Weighting))}, got {weighting!r}")
        super().__init__(name=name, dtype=dtype)
        self.weighting = weighting
        self.loss = self.add_sum("loss")
        self.total = self.add_sum("total")
        self.queries = self.add_sum("queries")
        self.one_class_queries = self.add_sum("one_class_queries")
        self.split_queries = self.add_sum("split_queries")
        self.recent = self.add_weight(name="recent", shape=(recent_queries.CELLS,), initializer="zeros", dtype="int64")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None, *, query_id: Any) -> None:
        score = column(y_pred)
        label = column_like(y_true, score)
        weight = nan_unless(is_label(label) & ~tf.math.is_nan(score), weight_column(sample_weight, score))
        query_id = requests.flat(query_id, score)
        order = requests.by_request_and_score(requests.as_integers(query_id), score)
        label, score, weight, query_id = (tf.gather(values, order) for values in (label, score, weight, query_id))
        new_query = requests.starts(query_id)
        self._find_split_queries(query_id, new_query)
        wrong, positive, negative = _pairs_by_query(label, score, weight, new_query)
        pairs = positive * negative
        both = tf.cast(pairs != 0, tf.float64)  # NaN is not 0
        total = {"pairs": pairs, "queries": both, "examples": both * (positive + negative)}[self.weighting]
        self.loss.assign_add(tf.reduce_sum(total * tf.math.divide_no_nan(wrong, pairs)))
        self.total.assign_add(tf.reduce_sum(total))
        self.queries.assign_add(tf.reduce_sum(both))
        self.one_class_queries.assign_add(tf.reduce_sum((1 - both) * tf.cast(positive + negative > 0, tf.float64)))

    def _find_split_queries(self, query_id: tf.Tensor, new_query: tf.Tensor) -> None:
        cell, mark = recent_queries.cells_and_marks(query_id)
        table = tf.convert_to_tensor(self.recent)
        again = new_query & recent_queries.remembered(table, cell, mark)
        self.split_queries.assign_add(tf.reduce_sum(tf.cast(again, tf.float64)))
        self.recent.assign(recent_queries.with_marks(table, cell, mark))

    def _merge(self, other: Any) -> None:
        mine, others = tf.convert_to_tensor(self.recent), tf.convert_to_tensor(other.recent)
        super()._merge(other)
        in_both = (mine == others) & (mine > 0)
        self.split_queries.assign_add(tf.reduce_sum(tf.cast(in_both, tf.float64)))
        self.recent.assign(tf.where(others > 0, others, mine))  # tables do not add up as sums do

    def result(self) -> tf.Tensor:
        # 0 / 0 where no query had both classes.
        return tf.convert_to_tensor(self.loss) / tf.convert_to_tensor(self.total)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weighting": self.weighting}


def _pairs_by_query(
    label: tf.Tensor, score: tf.Tensor, weight: tf.Tensor, new_query: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Weights [batch] of pairs in the wrong order, of positives and of negatives of the queries, then zeros.

    Rows are sorted by query, then by descending score; `new_query` is True at the first row of each.
    """
    rows = tf.shape(score)[0]
    segment = requests.numbered(new_query)
    tied = requests.numbered(new_query | requests.starts(score))  # numbers the groups of equal scores in a query
    positive, negative = weight * label, weight * (1 - label)
    before = tf.cumsum(negative, exclusive=True)
    above = _first(before, tied, rows) - _first(before, segment, rows)
    ties = tf.gather(tf.math.unsorted_segment_sum(negative, tied, rows), tied)
    wrong = positive * (above + ties / 2)
    return tuple(tf.math.unsorted_segment_sum(values, segment, rows) for values in (wrong, positive, negative))


def _first(growing: tf.Tensor, segment: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """At each row the value at the first row of its segment, of values that never fall."""
    return tf.gather(tf.math.unsorted_segment_min(growing, segment, rows), segment)
