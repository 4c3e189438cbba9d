"""Keras metrics of order: AUC loss over all pairs (eq. 1) and within each query (section 2); swap rate of two models.

A query is a request: its rows are compared with each other only.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.measures.accuracy import Weighting
from smooth_recs.metrics._sums import (
    SumMetric,
    column,
    column_like,
    is_label,
    is_probability,
    nan_unless,
    weight_column,
)

BINS = 8192
GREATEST_LOGIT = 32.0  # a probability of 1 - 1e-14
CENTRE = 4.0  # below this logit bins are about as wide as at 0; above it their width grows with the logit
STEPS = 4096  # places within a bin
BLOCK = 16  # bins of a block: see `AUCLoss.result`
HIGHER = np.tril(np.ones([BLOCK, BLOCK]), -1)  # [i, j] is 1 where bin i is higher than bin j


@keras_generation.serializable
class AUCLoss(SumMetric):
    """Share of the positive-negative pairs that are in the wrong order (eq. 1), which is 1 - AUC; ties count one half.

    `update_state(y_true, y_pred, sample_weight=None)`: labels 0 or 1 and probabilities, [batch] or [batch, 1].

    Predictions fall into 8192 bins of equal width in asinh(logit / 4), from logit -32 to 32: 0.003 logits wide at a
    probability of one half, 0.004 at one percent. A bin holds, of both classes, the weight and the sum of its places in
    the bin: where both densities are straight lines within the bin, 1/2 + (mean place of the negatives - mean place of
    the positives) of its pairs are in the wrong order. With 10,000 positives among 1,000,000 rows the result is within
    1e-4 of the exact one (`sr.accuracy.auc_loss`) where the logits' standard deviation is 0.01 or more. Equal
    predictions tie.

    The result, float64, is NaN where it is not defined: until both classes were seen, and once a prediction was NaN or
    outside [0, 1] or a label neither 0 nor 1.

    ```python
    metric = sr.metrics.AUCLoss()
    metric.update_state([1, 1, 0, 0], [0.9, 0.3, 0.3, 0.1])
    float(metric.result())  # 0.125: one of four pairs is a tie
    ```
    """

    def __init__(self, name: str = "auc_loss", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        # In each bin: the weight of the negatives, of the positives, and both times their places in the bin.
        self.sums_by_class = self.add_sum("sums_by_class", (4, BINS))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        prediction = column(y_pred)
        label = column_like(y_true, prediction)
        valid = is_probability(prediction) & is_label(label)
        weight = nan_unless(valid, weight_column(sample_weight, prediction))
        p = tf.where(valid, prediction, 0.5)
        logit = tf.math.log(p) - tf.math.log1p(-p)  # -inf at 0, inf at 1
        logit = tf.clip_by_value(logit, -GREATEST_LOGIT, GREATEST_LOGIT)
        greatest = np.arcsinh(GREATEST_LOGIT / CENTRE)
        # The place in the bin is in whole steps, so that sums of whole weights are exact and equal predictions tie.
        step = tf.cast((tf.math.asinh(logit / CENTRE) + greatest) * (BINS * STEPS / (2 * greatest)), tf.int32)
        step = tf.clip_by_value(step, 0, BINS * STEPS - 1)
        place = tf.cast(step % STEPS, tf.float64) / STEPS
        cell = step // STEPS + BINS * tf.cast(label == 1, tf.int32)
        terms, cells = tf.concat([weight, weight * place], 0), tf.concat([cell, cell + 2 * BINS], 0)
        # A scatter into the variable would be cheaper, but variables that are mirrored for reading have none (2.21).
        self.sums_by_class.assign_add(tf.reshape(tf.math.unsorted_segment_sum(terms, cells, 4 * BINS), [4, BINS]))

    def result(self) -> tf.Tensor:
        negative, positive, negative_place, positive_place = tf.unstack(tf.convert_to_tensor(self.sums_by_class))
        pairs = negative * positive
        same_bin = tf.clip_by_value(pairs / 2 + negative_place * positive - positive_place * negative, 0.0, pairs)
        # Pairs of a positive and a negative in a higher bin. In blocks, since this runs after every training step and a
        # cumulative sum over all bins takes twice as long.
        negatives, positives = (tf.reshape(weights, [-1, BLOCK]) for weights in (negative, positive))
        within = positives * tf.matmul(negatives, tf.constant(HIGHER))
        across = tf.reduce_sum(positives, 1) * tf.cumsum(tf.reduce_sum(negatives, 1), exclusive=True, reverse=True)
        wrong = tf.reduce_sum(same_bin) + (tf.reduce_sum(within) + tf.reduce_sum(across))
        # 0 / 0 where a class is missing.
        return wrong / (tf.reduce_sum(positive) * tf.reduce_sum(negative))


# A table of the queries seen lately finds those whose rows come in several batches. It is direct-mapped: an id is mixed
# to 64 bits, of which the first 15 name its cell and the other 49, plus 1, are its mark there; 0 is an empty cell. A
# mark stands for one id only (of strings, for one hash) and stays until another query takes the cell. So there are no
# false alarms, and about the last 2^15 queries are remembered.
_CELLS_LOG2 = 15
_CELLS = 1 << _CELLS_LOG2
_REST = 64 - _CELLS_LOG2
_GOLDEN = 0x9E3779B97F4A7C15  # odd, so that no two ids are mixed to the same; consecutive ids get cells of their own


@keras_generation.serializable
class PerQueryAUCLoss(SumMetric):
    """Share of the positive-negative pairs within a query that are in the wrong order; ties count one half.

    `update_state(y_true, y_pred, sample_weight=None, *, query_id)`: labels 0 or 1, scores, and integers or strings that
    name the query, [batch] or [batch, 1] each. Exact for queries that lie whole within a batch; a query whose rows are
    in several batches counts once in each, with the pairs that it has there: `split_queries` counts these.

    Args:
      weighting: what a query counts for: its number of `pairs`, the default (the loss is over all pairs within
        queries), 1 (`queries`), or its number of `examples`.

    Attributes:
      queries: how many queries the result is over.
      one_class_queries: how many were left out, because their rows (of positive weight) are all of one class.
      split_queries: how often a query's rows came in a further batch; 0 where all is exact. It is never too high. It
        misses queries whose earlier batch is longer ago than a table of 32768 cells remembers (about as many queries),
        and rows that `tf.distribute` gives to several devices. `merge_state` also counts the queries that both metrics
        remember.

    Raises:
      ValueError: an unknown `weighting`.

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
        self.recent = self.add_weight(name="recent", shape=(_CELLS,), initializer="zeros", dtype="int64")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None, *, query_id: Any) -> None:
        score = column(y_pred)
        label = column_like(y_true, score)
        weight = nan_unless(is_label(label) & ~tf.math.is_nan(score), weight_column(sample_weight, score))
        query_id = tf.reshape(tf.convert_to_tensor(query_id), tf.shape(score))
        number = _numbers(query_id, score)
        order = _by_query_and_score(number, score)
        label, score, weight, query_id = (tf.gather(values, order) for values in (label, score, weight, query_id))
        new_query = _starts(tf.gather(number, order))
        self._find_split_queries(query_id, new_query)
        rows = tf.shape(score)[0]
        segment = _numbered(new_query)
        tied = _numbered(new_query | _starts(score))  # numbers the groups of equal scores in a query
        # A positive is in the wrong order with the negatives above it in its query, and with half of those that tie.
        of_positives, of_negatives = weight * label, weight * (1 - label)
        before = tf.cumsum(of_negatives, exclusive=True)
        above = _first(before, tied, rows) - _first(before, segment, rows)
        ties = tf.gather(tf.math.unsorted_segment_sum(of_negatives, tied, rows), tied)
        terms = (of_positives * (above + ties / 2), of_positives, of_negatives)
        # One value a query, then zeros up to the number of rows.
        wrong, positive, negative = (tf.math.unsorted_segment_sum(values, segment, rows) for values in terms)
        pairs = positive * negative
        both = tf.cast(pairs != 0, tf.float64)  # 1 for NaN too, which is to reach the result
        total = {"pairs": pairs, "queries": both, "examples": both * (positive + negative)}[self.weighting]
        self.loss.assign_add(tf.reduce_sum(total * tf.math.divide_no_nan(wrong, pairs)))
        self.total.assign_add(tf.reduce_sum(total))
        self.queries.assign_add(tf.reduce_sum(both))
        self.one_class_queries.assign_add(tf.reduce_sum((1 - both) * tf.cast(positive + negative > 0, tf.float64)))

    def _find_split_queries(self, query: tf.Tensor, new_query: tf.Tensor) -> None:
        """Counts the queries of a batch that the table remembers, and has it remember all of them."""
        if query.dtype == tf.string:
            new_query &= tf.not_equal(query, "")  # an unknown query is never the one of another batch
            query = tf.strings.to_hash_bucket_fast(query, 2**63 - 1)
        mixed = tf.cast(tf.cast(query, tf.int64), tf.uint64) * tf.constant(_GOLDEN, tf.uint64)
        cell = tf.cast(tf.bitwise.right_shift(mixed, tf.constant(_REST, tf.uint64)), tf.int32)
        mark = tf.cast(tf.bitwise.bitwise_and(mixed, tf.constant((1 << _REST) - 1, tf.uint64)), tf.int64) + 1
        table = tf.convert_to_tensor(self.recent)
        again = new_query & (tf.gather(table, cell) == mark)
        self.split_queries.assign_add(tf.reduce_sum(tf.cast(again, tf.float64)))
        # Of several marks for one cell the greatest is kept; cells that the batch leaves alone get one far below 0.
        latest = tf.math.unsorted_segment_max(mark, cell, _CELLS)
        self.recent.assign(tf.where(latest > 0, latest, table))

    def _merge(self, other: Any) -> None:
        mine, others = tf.convert_to_tensor(self.recent), tf.convert_to_tensor(other.recent)
        super()._merge(other)
        in_both = (mine == others) & (mine > 0)
        self.split_queries.assign_add(tf.reduce_sum(tf.cast(in_both, tf.float64)))
        self.recent.assign(tf.where(others > 0, others, mine))  # undoes the sum of two tables of marks

    def result(self) -> tf.Tensor:
        # 0 / 0 where no query had both classes.
        return tf.convert_to_tensor(self.loss) / tf.convert_to_tensor(self.total)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weighting": self.weighting}


@keras_generation.serializable
class SwapRate(SumMetric):
    """Share of the requests whose ordered top-k list is different for the two models.

    `update_state(a, b, sample_weight=None, *, query_id, multiplier=None)`: the scores of the two models, integers or
    strings that name the request, and what scores are multiplied by before rows are ordered (bids), [batch] or
    [batch, 1] each. Lists are in descending order, rows of equal score in the order in which they stand. A request
    counts the mean weight of its rows. Requests must lie whole within a batch: one whose rows are in several batches
    counts as a request in each.

    Args:
      k: length of the lists, 3 by default; a request of fewer rows has a shorter one.

    Raises:
      ValueError: k is not a whole number of at least 1.

    The result, float64, is 0 before the first request, and NaN once a score was not finite or, where there is a
    multiplier, a score or multiplier was negative. Over all rows together, whatever their order:
    `sr.recommendations.swap_rate`.

    ```python
    metric = sr.metrics.SwapRate(k=3)
    metric.update_state([0.3, 0.2, 0.1, 0.6, 0.5], [0.3, 0.1, 0.2, 0.7, 0.2], query_id=[7, 7, 7, 8, 8])
    float(metric.result())  # 0.5: the lists of request 7 are different
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
        query = _numbers(query_id, a)
        one, other = (_by_query_and_score(query, score) for score in (a, b))
        rows = tf.shape(a)[0]
        segment = _numbered(_starts(tf.gather(query, one)))
        place = tf.range(rows) - _first(tf.range(rows), segment, rows)
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


def _first(growing: tf.Tensor, segment: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Gives each row the value at the first row of its segment, of values that never fall."""
    return tf.gather(tf.math.unsorted_segment_min(growing, segment, rows), segment)


def _numbers(query_id: Any, other: tf.Tensor) -> tf.Tensor:
    """Makes query ids int64 [batch], equal where the queries are; raises where the batch is not that of `other`."""
    query_id = tf.reshape(tf.convert_to_tensor(query_id), tf.shape(other))
    if query_id.dtype != tf.string:
        return tf.cast(query_id, tf.int64)
    # A row of an unknown request, an empty text, is a request of its own: rows of several are never taken for one.
    own = -1 - tf.range(tf.size(query_id, tf.int64), dtype=tf.int64)
    return tf.where(tf.equal(query_id, ""), own, tf.cast(tf.unique(query_id)[1], tf.int64))


def _by_query_and_score(query: tf.Tensor, score: tf.Tensor) -> tf.Tensor:
    """Sorts row numbers by query, then by descending score, ties in the order in which they stand."""
    order = tf.argsort(score, direction="DESCENDING", stable=True)
    return tf.gather(order, tf.argsort(tf.gather(query, order), stable=True))


def _starts(values: tf.Tensor) -> tf.Tensor:
    """Marks, [batch], the first row and every row whose value is not the one before."""
    return tf.concat([[True], values[1:] != values[:-1]], 0)[: tf.shape(values)[0]]


def _numbered(starts: tf.Tensor) -> tf.Tensor:
    """Numbers the segment of each row, [batch] int32 from 0."""
    return tf.cumsum(tf.cast(starts, tf.int32)) - 1
