"""A table of the queries that were seen lately, to find those whose rows come in several batches.

It is direct-mapped: a query's id is mixed to 64 bits, of which the first 15 name its cell and the other 49, plus 1, are
its mark there; 0 is an empty cell. A mark stands for one id only (strings: up to a hash of 64 bits), and stays until
another query takes the cell: there are no false alarms, and about the last 2^15 queries are remembered.
"""

from __future__ import annotations

import tensorflow as tf

CELLS_LOG2 = 15
CELLS = 1 << CELLS_LOG2
_REST = 64 - CELLS_LOG2
_GOLDEN = 0x9E3779B97F4A7C15  # odd, so that no two ids are mixed to the same; consecutive ids get cells of their own


def cells_and_marks(query: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Of queries, [batch] integers or strings: their cells, int32 in [0, CELLS), and marks, int64 above 0."""
    if query.dtype == tf.string:
        query = tf.strings.to_hash_bucket_fast(query, 2**63 - 1)
    mixed = tf.cast(tf.cast(query, tf.int64), tf.uint64) * tf.constant(_GOLDEN, tf.uint64)
    cell = tf.bitwise.right_shift(mixed, tf.constant(_REST, tf.uint64))
    mark = tf.bitwise.bitwise_and(mixed, tf.constant((1 << _REST) - 1, tf.uint64))
    return tf.cast(cell, tf.int32), tf.cast(mark, tf.int64) + 1


def remembered(table: tf.Tensor, cell: tf.Tensor, mark: tf.Tensor) -> tf.Tensor:
    """[batch] True where the table, [CELLS] marks, holds the query."""
    return tf.gather(table, cell) == mark


def with_marks(table: tf.Tensor, cell: tf.Tensor, mark: tf.Tensor) -> tf.Tensor:
    """The table once the batch was seen; of several marks for one cell, the greatest is kept."""
    latest = tf.math.unsorted_segment_max(mark, cell, CELLS)  # far below 0 in cells that the batch leaves alone
    return tf.where(latest > 0, latest, table)
