"""Poisson bootstrap over requests or examples of a ratio of sums, and of a rank correlation, in constant memory.

In every replicate of the sample a request counts n times, where n is drawn from Poisson(1). The draw is a function of
the seed, the replicate and the request's key alone: a request whose rows are spread over batches or shards counts n
times in all of them, so that shards can be merged.

Keys are hashed to 65,536 groups, and each group is drawn as a whole: ten million rows cost little more than 65,536.
Requests of one group are independent, so that the expected variance is lower by only one part in 65,536. What was
drawn for a group is kept, a byte a draw: the slices of one set of rows ask for the same draws again and again.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs.errors import InputError
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array

Keys = npt.NDArray[np.uint64]

_GROUP_BITS = 16
# The number of draws in memory at a time: few enough to stay in the processor's cache.
_CELLS = 1 << 16
# The most draws that are kept, a byte each: those of all groups for 1,000 replicates.
_MOST_KEPT = 1000 << _GROUP_BITS
# One hash of 64 bits makes this many draws of 16 bits.
_LANES = 4
# The quantile function of Poisson(1) at the 65,536 levels of 16 bits; its mean and variance are 1 to 4 digits.
_POISSON = np.searchsorted(
    np.cumsum(np.exp(-1.0) / np.cumprod([1.0, *range(1, 16)])), (np.arange(1 << 16) + 0.5) / (1 << 16)
).astype(np.float64)


class PoissonBootstrap:
    """Replicates of sum(numerator) / sum(denominator) over requests.

    Args:
      replicates: the number of replicates, at least 1.
      seed: the seed of the draws.

    ```python
    bootstrap = PoissonBootstrap()
    bootstrap.add(np.array([0.2, 0.1]), np.array([1.0, 1.0]), request_keys(np.array([7, 8])))
    bootstrap.interval()  # [0.1, 0.2]
    ```
    """

    def __init__(self, replicates: int = 1000, seed: int = 0) -> None:
        if replicates < 1:
            raise InputError(f"replicates must be at least 1, got {replicates!r}")
        self.seed = seed
        self.sums = np.zeros([replicates, 2])

    def add(self, numerator: Array, denominator: Array, keys: Keys) -> None:
        """Adds the terms of examples, [n]; examples of the same request have equal keys."""
        replicates = len(self.sums)
        group = (_mix(keys) >> np.uint64(64 - _GROUP_BITS)).astype(np.int64)
        groups = np.flatnonzero(np.bincount(group))
        terms = np.stack([np.bincount(group, values)[groups] for values in (numerator, denominator)], axis=1)
        draws, step = _group_draws(replicates, self.seed), max(1, _CELLS // replicates)
        for start in range(0, len(groups), step):
            part = slice(start, start + step)
            self.sums += draws.of(groups[part]).T @ terms[part]

    def merge(self, other: PoissonBootstrap) -> None:
        """Adds the sums of `other`, which has the same seed and number of replicates."""
        if other.seed != self.seed or len(other.sums) != len(self.sums):
            raise InputError("only bootstraps of the same seed and replicates can be merged, got different ones")
        self.sums += other.sums

    def state(self) -> list[list[float]]:
        """Its sums, for JSON."""
        return self.sums.tolist()

    def add_state(self, state: list[list[float]]) -> None:
        """Adds the sums of a bootstrap with the same seed and number of replicates, as `state` returned them."""
        self.sums += np.array(state, np.float64)

    def interval(self, confidence: float = 0.95) -> list[float] | None:
        """The percentile interval, [low, high]; replicates that drew no weight are left out.

        None where one request has all the weight: all replicates are equal then, which says nothing of other requests.
        """
        if not 0 < confidence < 1:
            raise InputError(f"confidence must be between 0 and 1, got {confidence!r}")
        arrays.refuse_weightless("a bootstrap", self.sums[:, 1])
        drawn = self.sums[self.sums[:, 1] > 0]
        # Poisson(1) is 0 for exp(-1) = 37% of the replicates of one request, and for exp(-2) = 14% of two; from
        # 100 replicates on that tells them apart.
        if len(self.sums) >= 100 and len(drawn) < 0.75 * len(self.sums):
            return None
        low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - confidence) / 2, (1 + confidence) / 2])
        return [float(low), float(high)]


def row_keys(query_id: Any, size: int) -> Keys:
    """The key of each of `size` examples: its request's, or a different one for each where `query_id` is None."""
    return request_keys(np.arange(size) if query_id is None else arrays.identifiers("query_id", query_id, size))


def request_keys(query_id: Any) -> Keys:
    """Keys of requests: an integer is its own key; texts are hashed, and bytes as the text they encode."""
    array = np.asarray(query_id)
    if array.dtype.kind in "iub":
        return array.astype(np.int64).view(np.uint64) if array.dtype.kind != "u" else array.astype(np.uint64)
    texts = array.tolist()
    raw = {text: text if isinstance(text, bytes) else str(text).encode() for text in set(texts)}
    # Not Python's hash, which differs from process to process: shards must agree on the keys.
    table = {
        text: int.from_bytes(hashlib.blake2b(each, digest_size=8).digest(), "little") for text, each in raw.items()
    }
    return np.fromiter((table[text] for text in texts), np.uint64, len(texts))


def poisson_draws(keys: Keys, replicates: int, seed: int) -> Array:
    """Draws from Poisson(1), [keys, replicates], by SplitMix64 (Steele et al. 2014) started at a hash of each key."""
    # The generator counts modulo 2^64, of which NumPy would warn.
    with np.errstate(over="ignore"):
        start = _mix(keys ^ _mix(np.full(1, seed, np.int64).view(np.uint64)))
        counter = np.arange(1, -(-replicates // _LANES) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = _mix(start[:, None] + counter)
    return _POISSON[bits.view(np.uint16)[:, :replicates]]


class _GroupDraws:
    """The draws of `poisson_draws` for groups, of which each is drawn once, as long as there is room.

    Args:
      replicates, seed: of the draws.
    """

    def __init__(self, replicates: int, seed: int) -> None:
        self._replicates, self._seed = replicates, seed
        self._place = np.full(1 << _GROUP_BITS, -1)  # where the draws of a group are kept; -1: nowhere
        self._kept = np.empty([min(_MOST_KEPT // replicates, len(self._place)), replicates], np.uint8)
        self._count, self._lock = 0, threading.Lock()

    def of(self, groups: npt.NDArray[np.int64]) -> Array:
        """The draws of some groups, each of which is there once, [groups, replicates]."""
        places = self._place[groups]
        if places.min(initial=0) >= 0:
            return self._kept[places].astype(np.float64)
        draws = poisson_draws(groups.astype(np.uint64), self._replicates, self._seed)
        with self._lock:
            new = np.flatnonzero(self._place[groups] < 0)[: len(self._kept) - self._count]
            places = np.arange(self._count, self._count + len(new))
            self._kept[places], self._place[groups[new]] = draws[new], places
            self._count += len(new)
        return draws


# The latest alone: whoever draws with another seed or number of replicates does so for long.
_group_draws = functools.lru_cache(maxsize=1)(_GroupDraws)


def _mix(bits: Keys) -> Keys:
    """The mixing function of SplitMix64: every bit of the result depends on every bit of the argument."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def spearman(
    a: Any, b: Any, *, query_id: Any = None, replicates: int = 1000, confidence: float = 0.95
) -> dict[str, Any] | None:
    """Correlation of the ranks of `a` and `b`, [n] each; equal values share their mean rank.

    The interval is a Poisson bootstrap over requests of the correlation's linearisation, which is the mean of the
    examples' influence values. It is exact to first order where few values within `a`, or within `b`, are equal.

    Args:
      a, b: [n] numbers.
      query_id: [n], which request an example belongs to; None: every example is a request of its own.
      replicates: how many the bootstrap draws.
      confidence: share of the replicates within the interval, between 0 and 1.

    Returns:
      `value`, and `interval`, [low, high], which is None where all examples are of one request. None where `a` or `b`
      is constant, or shorter than 2.

    Raises:
      InputError: arrays of different lengths, or values that are not finite.

    ```python
    spearman([1.0, 2.0, 3.0], [0.1, 0.3, 0.2])["value"]  # 0.5
    ```
    """
    a = arrays.scores("a", a)
    b = arrays.scores("b", b, a.size)
    keys = row_keys(query_id, a.size)
    if a.size < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    f, g = centred_ranks(a), centred_ranks(b)
    scale, product = _products(f, g)
    influence = (f * g + _mean_above(a, g) + _mean_above(b, f) - 3 * product) / scale
    bootstrap = PoissonBootstrap(replicates)
    bootstrap.add(influence, np.ones(a.size), keys)
    value = product / scale
    # The linearisation can leave [-1, 1] where few rows are almost perfectly correlated.
    ends = bootstrap.interval(confidence)
    limited = None if ends is None else np.clip([value + end for end in ends], -1.0, 1.0).tolist()
    return {"value": value, "interval": limited}


def correlation_of_ranks(f: Array, g: Array) -> float:
    """The `value` of `spearman` alone, of what `centred_ranks` gives; 0 where either is constant.

    >>> correlation_of_ranks(centred_ranks(np.array([1.0, 2.0, 3.0])), centred_ranks(np.array([0.1, 0.3, 0.2])))
    0.5
    """
    scale, product = _products(f, g)
    return product / scale if scale else 0.0


def _products(f: Array, g: Array) -> tuple[float, float]:
    """The product of the standard deviations, and the covariance."""
    return float(f.std() * g.std()), float(np.mean(f * g))


def centred_ranks(values: Array) -> Array:
    """Ranks of values [n] as shares of n, ties averaged, minus their mean.

    >>> centred_ranks(np.array([5.0, 7.0, 5.0, 9.0])).tolist()
    [-0.25, 0.125, -0.25, 0.375]
    """
    # Not scipy.stats.rankdata: scipy.stats takes a second to import, in every run.
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[group]
    centred: Array = (ranks - (values.size + 1) / 2) / values.size
    return centred


def _mean_above(values: Array, others: Array) -> Array:
    """The sum of `others` over the examples with higher `values`, for each example, divided by n; ties count half."""
    _, group = np.unique(values, return_inverse=True)
    sums = np.bincount(group, others)
    above = np.cumsum(sums[::-1])[::-1] - sums / 2
    mean: Array = above[group] / values.size
    return mean
