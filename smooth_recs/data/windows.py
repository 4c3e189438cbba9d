"""Shuffling by window, for several siblings at once, that can be resumed at any row.

A window of rows is read and parsed once; each sibling sees it in an order of its own, a permutation that is a pure
function of (the sibling's seed, the number of the window). There is no hidden state: a position is a number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf


class SiblingBatches(NamedTuple):
    """One batch for each sibling: what a `SiblingModel` trains on in one step."""

    batches: tuple[Any, ...]


def shuffled(
    open_rows: Callable[[int], tf.data.Dataset],
    *,
    window: int,
    batch_size: int,
    seeds: Sequence[int],
    start: int = 0,
    first_window: int = 0,
) -> tf.data.Dataset:
    """Batches of rows, shuffled within windows, in one order per seed.

    Args:
      open_rows: given a row number, the dataset from that row on, in chunks of any sizes: any structure of tensors that
        share their first dimension.
      window: rows that are shuffled together; 1 keeps the order.
      batch_size: rows of a batch; the last one may be smaller.
      seeds: one per sibling. Equal seeds give equal orders.
      start: rows of each order that are left out: the position to resume at.
      first_window: the number of the window that begins at row 0. Count it on over epochs (`windows_in`), so that no
        two epochs share an order.

    Returns:
      A dataset of `SiblingBatches`, or of plain batches where all seeds are equal.

    ```python
    def open_rows(start):
        return tf.data.Dataset.range(start, 1000).batch(100)

    for element in shuffled(open_rows, window=500, batch_size=50, seeds=[1, 2]):
        one, other = element.batches  # the same 500 rows in two orders, then the next 500
    ```
    """
    size = _size(window, batch_size)
    begun, skip = divmod(start, size)
    one_order = len(set(seeds)) == 1
    orders = seeds[:1] if one_order else seeds

    def permuted(number: tf.Tensor, columns: Any) -> Any:
        count = tf.shape(tf.nest.flatten(columns)[0])[0]
        first = tf.where(number == first_window + begun, skip, 0)
        batches = []
        for seed in orders:
            index = tf.range(count)
            if window > 1:
                index = tf.random.experimental.stateless_shuffle(index, tf.stack([tf.constant(seed, tf.int64), number]))
            chosen = index[first:]
            batches.append(tf.nest.map_structure(lambda column, chosen=chosen: tf.gather(column, chosen), columns))
        return batches[0] if one_order else SiblingBatches(tuple(batches))

    windows = open_rows(begun * size).rebatch(size).enumerate(start=first_window + begun)
    # Two windows in the making: the next one is ready when a window ends, and memory stays at a few windows.
    batches = windows.map(permuted, num_parallel_calls=2, deterministic=True).rebatch(batch_size)
    return batches.prefetch(tf.data.AUTOTUNE)


def windows_in(rows: int, *, window: int, batch_size: int) -> int:
    """How many windows an epoch of `rows` rows has."""
    return -(-rows // _size(window, batch_size))


def _size(window: int, batch_size: int) -> int:
    return batch_size if window == 1 else window
