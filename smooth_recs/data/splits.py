"""Which rows are trained on and which are held out.

Good rows are numbered from 0 in reading order; a part is told by those numbers alone, so that it can be read from any
row on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Part:
    """`rows` rows: those with a number in [first, stop) for which `keep`, a function of int64 [n], is true."""

    rows: int
    first: int
    stop: int
    keep: Callable[[Any], Any] | None = None

    def contains(self, numbers: Any) -> Any:
        inside = (numbers >= self.first) & (numbers < self.stop)
        return inside if self.keep is None else inside & self.keep(numbers)

    def number_of(self, position: int) -> int:
        """The number of the part's row at that position, `stop` beyond its end."""
        if self.keep is None:
            return min(self.first + position, self.stop)
        return _find(self.keep, position, self.first, self.stop)


def tail(rows: int, train_fraction: float, train_limit: int, eval_limit: int) -> tuple[Part, Part]:
    """The first rows to train on, the last ones held out; a limit of 0 takes all, else the first so many."""
    cut = round(rows * train_fraction)
    return _range(0, cut, train_limit), _range(cut, rows, eval_limit)


def random(rows: int, train_fraction: float, seed: int, train_limit: int, eval_limit: int) -> tuple[Part, Part]:
    """A hash of seed and row number decides for every row by itself."""
    threshold = round(train_fraction * 2**32)

    def trained(numbers: Any) -> Any:
        return _hash(numbers, seed) < threshold

    def held_out(numbers: Any) -> Any:
        return _hash(numbers, seed) >= threshold

    return _kept(trained, rows, train_limit), _kept(held_out, rows, eval_limit)


def by_time(
    timestamp: np.ndarray, train_fraction: float, train_limit: int, eval_limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train on and to hold out, both in time order (stable): the latest rows are held out."""
    order = np.argsort(timestamp, kind="stable")
    cut = round(order.size * train_fraction)
    return order[:cut][: train_limit or None], order[cut:][: eval_limit or None]


def by_user_time(
    timestamp: np.ndarray, user: np.ndarray, train_fraction: float, train_limit: int, eval_limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `by_time`, but the latest share of each user's rows is held out."""
    order = np.lexsort((np.arange(user.size), timestamp, user))
    _, start, inverse, count = np.unique(user[order], return_index=True, return_inverse=True, return_counts=True)
    rank = np.arange(user.size) - start[inverse]
    trained = np.zeros(user.size, bool)
    trained[order] = rank < np.rint(count * train_fraction)[inverse]
    order = np.argsort(timestamp, kind="stable")
    return order[trained[order]][: train_limit or None], order[~trained[order]][: eval_limit or None]


def listed(numbers: np.ndarray, rows: int) -> Part:
    """The part of those row numbers, of all `rows`; it comes in reading order."""
    mask = np.zeros(rows, bool)
    mask[numbers] = True
    inside = tf.constant(mask)
    return Part(numbers.size, 0, rows, lambda asked: tf.gather(inside, tf.maximum(asked, 0)))


def _range(first: int, stop: int, limit: int) -> Part:
    stop = min(stop, first + limit) if limit else stop
    return Part(stop - first, first, stop)


def _kept(keep: Callable[[Any], Any], rows: int, limit: int) -> Part:
    stop = _find(keep, limit, 0, rows) if limit else rows
    return Part(sum(int(tf.math.count_nonzero(keep(block))) for block in _blocks(0, stop)), 0, stop, keep)


def _find(keep: Callable[[Any], Any], position: int, first: int, stop: int) -> int:
    """The number at which `keep` is true for the time number `position`, counted from 0; `stop` if it never is."""
    with tf.init_scope():  # also where a dataset is made in a graph
        for block in _blocks(first, stop):
            kept = np.flatnonzero(keep(block))
            if position < kept.size:
                return int(block[kept[position]])
            position -= kept.size
    return stop


def _blocks(first: int, stop: int) -> Any:
    return (tf.range(start, min(start + _BLOCK, stop), dtype=tf.int64) for start in range(first, stop, _BLOCK))


def _hash(numbers: Any, seed: int) -> Any:
    """32 well-mixed bits of every number, as int64."""
    text = tf.strings.join([tf.strings.as_string(numbers), f"@{seed}"])
    return tf.strings.to_hash_bucket_strong(text, 2**32, [seed, 0x5EED])
