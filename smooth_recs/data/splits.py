"""Splits of a log: which rows are trained on and which are held out.

Good rows are numbered from 0 in reading order, and a part is described by those numbers alone: it can be read from any
row on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a log: the rows with a number in [first, stop) for which `keep` is true.

    Attributes:
      rows: how many these are.
      first, stop: bounds of their numbers.
      keep: a function of numbers, int64 [n], that tells in a graph which are in the part; None: all.
    """

    rows: int
    first: int
    stop: int
    keep: Callable[[Any], Any] | None = None

    def contains(self, numbers: Any) -> Any:
        """True for the numbers, int64 [n], of rows that are in the part."""
        inside = (numbers >= self.first) & (numbers < self.stop)
        return inside if self.keep is None else inside & self.keep(numbers)

    def number_of(self, position: int) -> int:
        """The number of the part's row at that position, `stop` beyond its end."""
        if self.keep is None:
            return min(self.first + position, self.stop)
        return _find(self.keep, position, self.first, self.stop)


def tail(rows: int, train_fraction: float, train_limit: int, eval_limit: int) -> tuple[Part, Part]:
    """The first rows to train on, the last ones held out; a limit takes the first so many of a part, 0 takes all."""
    cut = round(rows * train_fraction)
    trained = min(cut, train_limit or cut)
    stop = min(rows, cut + (eval_limit or rows))
    return Part(trained, 0, trained), Part(stop - cut, cut, stop)


def random(rows: int, train_fraction: float, seed: int, train_limit: int, eval_limit: int) -> tuple[Part, Part]:
    """A hash of seed and row number decides for every row by itself; a limit takes the first so many of a part."""
    threshold = round(train_fraction * 2**32)

    def trained(numbers: Any) -> Any:
        return _hash(numbers, seed) < threshold

    def held_out(numbers: Any) -> Any:
        return _hash(numbers, seed) >= threshold

    parts = []
    for keep, limit in ((trained, train_limit), (held_out, eval_limit)):
        stop = _find(keep, limit, 0, rows) if limit else rows
        kept = sum(int(tf.math.count_nonzero(keep(block))) for block in _blocks(0, stop))
        parts.append(Part(kept, 0, stop, keep))
    return parts[0], parts[1]


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
    """Row numbers as `by_time` gives them, but the latest share of each user's rows is held out."""
    # Each user's rows in time order, ties in reading order; then the rank of each row among its user's.
    order = np.lexsort((np.arange(user.size), timestamp, user))
    _, start, inverse, count = np.unique(user[order], return_index=True, return_inverse=True, return_counts=True)
    rank = np.arange(user.size) - start[inverse]
    trained = np.zeros(user.size, bool)
    trained[order] = rank < np.rint(count * train_fraction)[inverse]
    order = np.argsort(timestamp, kind="stable")
    return order[trained[order]][: train_limit or None], order[~trained[order]][: eval_limit or None]


def divided(part: Part, share: float, seed: int | None) -> tuple[Part, Part]:
    """Two parts of a part: its first `share` of the rows and the rest, or, with a seed, what a hash of its own decides.

    Args:
      part: of consecutive rows, unless there is a seed.
      share: of the rows that go into the first part.
      seed: of the random split that made the part; None for the rest by position.
    """
    if seed is None:
        cut = part.first + round(part.rows * share)
        return Part(cut - part.first, part.first, cut), Part(part.stop - cut, cut, part.stop)
    threshold = round(share * 2**32)

    def first(numbers: Any) -> Any:
        return part.contains(numbers) & (_hash(numbers, seed + 2**31) < threshold)  # seeds of splits are smaller

    def second(numbers: Any) -> Any:
        return part.contains(numbers) & (_hash(numbers, seed + 2**31) >= threshold)

    parts = []
    for keep in (first, second):
        kept = sum(int(tf.math.count_nonzero(keep(block))) for block in _blocks(part.first, part.stop))
        parts.append(Part(kept, part.first, part.stop, keep))
    return parts[0], parts[1]


def listed(numbers: np.ndarray, rows: int) -> Part:
    """The part of those row numbers, of all `rows`; it comes in reading order."""
    mask = np.zeros(rows, bool)
    mask[numbers] = True
    # A byte a row. Row -1 is asked for where a chunk begins with malformed rows: these are left out in any case.
    inside = tf.constant(mask)
    return Part(numbers.size, 0, rows, lambda asked: tf.gather(inside, tf.maximum(asked, 0)))


def _find(keep: Callable[[Any], Any], position: int, first: int, stop: int) -> int:
    """The number at which `keep` is true for the time number `position`, counted from 0; `stop` if it never is."""
    with tf.init_scope():  # also where a dataset is made in a graph
        for block in _blocks(first, stop):
            kept = np.flatnonzero(keep(block))
            if position < kept.size:
                return int(block[kept[position]])
            position -= kept.size
    return stop


def _blocks(first: int, stop: int) -> Iterator[Any]:
    """The numbers in [first, stop), in pieces that memory has room for."""
    return (tf.range(start, min(start + _BLOCK, stop), dtype=tf.int64) for start in range(first, stop, _BLOCK))


def _hash(numbers: Any, seed: int) -> Any:
    """32 well-mixed bits of every number, as int64."""
    # The strong hash takes a key: another seed is another hash, not the same one of other texts.
    text = tf.strings.join([tf.strings.as_string(numbers), f"@{seed}"])
    return tf.strings.to_hash_bucket_strong(text, 2**32, [seed, 0x5EED])
