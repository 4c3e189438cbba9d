"""The rows of a batch, request by request (a query, in the paper's words): equal `query_id`, one request."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def flat(query_id: Any, other: tf.Tensor) -> tf.Tensor:
    """[batch] integers or strings, and an error where the batch is not that of `other`."""
    return tf.reshape(tf.convert_to_tensor(query_id), tf.shape(other))


def as_integers(query_id: tf.Tensor) -> tf.Tensor:
    """int64, equal where the queries are; strings are numbered within the batch."""
    return tf.cast(tf.unique(query_id)[1] if query_id.dtype == tf.string else query_id, tf.int64)


def by_request_and_score(query: tf.Tensor, score: tf.Tensor) -> tf.Tensor:
    """Row numbers, request after request, descending score within each, ties in the order in which they stand."""
    order = tf.argsort(score, direction="DESCENDING", stable=True)
    return tf.gather(order, tf.argsort(tf.gather(query, order), stable=True))


def starts(values: tf.Tensor) -> tf.Tensor:
    """[batch] True at the first row, and where a value is not the one before."""
    return tf.concat([[True], values[1:] != values[:-1]], 0)[: tf.shape(values)[0]]


def numbered(starts: tf.Tensor) -> tf.Tensor:
    """[batch] int32, from 0: the number of the segment of each row."""
    return tf.cumsum(tf.cast(starts, tf.int32)) - 1
