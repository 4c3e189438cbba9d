"""Files as chunks of their lines or records, each with its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs.data.files import compression
from smooth_recs.data.tuning import untuned

CHUNK_ROWS = 8192


def read_chunks(
    open_file: Callable[[Any, Any], Any], files: Sequence[str], file: int, line: int, *, skip: int = 0
) -> Any:
    """A dataset of (records [n], number of the file, line of the first record), one file after the other.

    Args:
      open_file: `tf.data.TextLineDataset` or `tf.data.TFRecordDataset`: from a path and its compression.
      files: all paths.
      file: the number of the file to start with.
      line: the line of that file to start at, from 1.
      skip: how many lines at the start of every file are left out.
    """
    names = list(files[file:])
    kinds = [compression(name) for name in names]
    first = tf.constant([max(line - 1, skip)] + [skip] * (len(names) - 1), tf.int64)

    @tf.autograph.experimental.do_not_convert
    def chunks(name: Any, kind: Any, number: Any, left_out: Any) -> Any:
        batches = open_file(name, kind).skip(left_out).batch(CHUNK_ROWS)
        return batches.enumerate().map(lambda index, records: (records, number, left_out + 1 + index * CHUNK_ROWS))

    numbers = tf.range(file, file + len(names))
    return untuned(tf.data.Dataset.from_tensor_slices((names, kinds, numbers, first))).flat_map(chunks)


def lines(first: Any, records: Any) -> Any:
    """int64 [n]: the line of every record of a chunk."""
    return first + tf.range(tf.size(records, tf.int64), dtype=tf.int64)
