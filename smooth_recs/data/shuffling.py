"""Shuffling within windows, for several siblings at once, that can resume at any row.

A window of rows is read and parsed once; each sibling sees it in an order of its own, a permutation that is a pure
function of (the sibling's seed, the number of the window). There is no hidden state: a position is a number of rows.
`tf.data.Dataset.shuffle` offers neither: its order depends on all that was read before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from smooth_recs.data.files import untuned


class SiblingBatches(NamedTuple):
    """What a `SiblingModel` trains on in one step, and what it may predict before.

    Attributes:
      batches: one batch for each sibling.
      ahead: as many rows that no sibling has trained on yet; () where none were asked for.
      is_ahead: bool [batch], false where a row of `ahead` is only padding: at the end of the log nothing is ahead.
    """

    batches: tuple[Any, ...]
    ahead: Any = ()
    is_ahead: Any = ()


def shuffled(
    open_rows: Callable[[int], tf.data.Dataset],
    *,
    window: int,
    batch_size: int,
    seeds: Sequence[int],
    start: int = 0,
    first_window: int = 0,
    ahead: bool = False,
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
      ahead: with each step's batches also come the rows one window ahead of them in the log, in its order. So every row
        comes once before any sibling trains on it, but for those of the first window.

    Returns:
      A dataset of `SiblingBatches`, or of plain batches where all seeds are equal: those every sibling meets for the
      first time when it trains on them.

    ```python
    def open_rows(start):
        return tf.data.Dataset.range(start, 1000).batch(100)

    for element in shuffled(open_rows, window=500, batch_size=50, seeds=[1, 2]):
        one, other = element.batches  # the same 500 rows in two orders, then the next 500
    ```
    """
    size = rows_in_window(window, batch_size)
    begun, skip = divmod(start, size)
    one_order = len(set(seeds)) == 1

    @tf.autograph.experimental.do_not_convert
    def permuted(number: tf.Tensor, rows: Any) -> Any:
        """The rows of a window in the order of each seed, without those that a run has seen before it resumes."""
        index = tf.range(_size(rows))
        left_out = tf.where(number == first_window + begun, skip, 0)
        batches = []
        for seed in seeds[:1] if one_order else seeds:
            order = index
            if window > 1:
                order = tf.random.experimental.stateless_shuffle(index, tf.stack([tf.constant(seed, tf.int64), number]))
            batches.append(_taken(rows, order[left_out:]))
        return batches[0] if one_order else SiblingBatches(tuple(batches))

    @tf.autograph.experimental.do_not_convert
    def permuted_with_ahead(number: tf.Tensor, both: Any) -> SiblingBatches:
        """The same with the next window in the log's order, padded to the length of this one."""
        rows, following = both
        index = tf.range(_size(rows))[tf.where(number == first_window + begun, skip, 0) :]
        # The last windows' next one is shorter, and padded with its last row, or empty: then rows of this one pad.
        table = tf.cond(_size(following) > 0, lambda: following, lambda: rows)
        next_rows = _taken(table, tf.minimum(index, _size(table) - 1))
        return permuted(number, rows)._replace(ahead=next_rows, is_ahead=index < _size(following))

    with_ahead = ahead and not one_order
    windows = open_rows(begun * size).rebatch(size)
    numbered = (_with_following(windows) if with_ahead else windows).enumerate(first_window + begun)
    # Two windows in the making: the next one is ready when a window ends, and memory stays at a few windows.
    made = numbered.map(permuted_with_ahead if with_ahead else permuted, num_parallel_calls=2, deterministic=True)
    return untuned(made.rebatch(batch_size).prefetch(tf.data.AUTOTUNE))


def windows_in(rows: int, *, window: int, batch_size: int) -> int:
    """The number of windows of an epoch of `rows` rows."""
    return -(-rows // rows_in_window(window, batch_size))


def rows_in_window(window: int, batch_size: int) -> int:
    """The number of rows that are permuted together; without shuffling they are read by batches."""
    return batch_size if window == 1 else window


def _with_following(windows: tf.data.Dataset) -> tf.data.Dataset:
    """Pairs of each window and the next one; the last one's next is empty. Every window is read once."""
    # Zipping the dataset with itself, one window skipped, would read and parse every row twice.
    none = tf.nest.map_structure(
        lambda spec: tf.zeros([0, *(size or 0 for size in spec.shape[1:])], spec.dtype), windows.element_spec
    )
    with_end = windows.concatenate(tf.data.Dataset.from_tensors(none))
    return with_end.scan(none, lambda before, window: (window, (before, window))).skip(1)


def _taken(columns: Any, index: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda column: tf.gather(column, index), columns)


def _size(columns: Any) -> tf.Tensor:
    return tf.shape(tf.nest.flatten(columns)[0])[0]
