"""Differences between the lists that two models recommend: swap rate, overlap and Jaccard index of the top k, Kendall
distance, rank-biased overlap.

A request's list holds its rows by descending score; rows with the same score keep the order of the input. The score is
the prediction or, with a `multiplier` (bids), the product of the two. Wrong input raises InputError, a ValueError, with
one line that names the argument, the rule and the value.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs.errors import InputError
from smooth_recs.measures.accuracy import by_query
from smooth_recs.prediction_difference import terms
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array, Integers
from smooth_recs.statistics.bootstrap import PoissonBootstrap, request_keys

RBO_P = 0.9


def swap_rate(a: Any, b: Any, query_id: Any, *, k: int = 3, multiplier: Any = None) -> float:
    """Share of the requests whose ordered top-k lists by the two models are different.

    Args:
      a, b: [n] finite scores that the two models give the rows; at or above 0 where there is a multiplier.
      query_id: [n] integers or strings: which request a row belongs to.
      k: length of the lists; a request of fewer rows has a shorter one. All requests count, those of one row included.
      multiplier: [n], at or above 0, by which the scores are multiplied before rows are ordered; None: 1.

    ```python
    swap_rate([0.3, 0.2, 0.1, 0.6, 0.5], [0.3, 0.1, 0.2, 0.7, 0.2], [7, 7, 7, 8, 8])  # 0.5: request 7 changes
    ```
    """
    requests, (one, other) = _lists({"a": a, "b": b}, query_id, multiplier)
    return float(np.mean(requests.swapped(one, other, _checked_k(k))))


def top_k_overlap(a: Any, b: Any, query_id: Any, *, k: int = 3, multiplier: Any = None) -> float:
    """Mean over requests of |top_k(a) & top_k(b)| / min(k, rows), in any order; 1: the same rows.

    Args: those of `swap_rate`.

    ```python
    top_k_overlap([0.3, 0.2, 0.1], [0.3, 0.1, 0.2], [7, 7, 7], k=2)  # 0.5
    ```
    """
    requests, (one, other) = _lists({"a": a, "b": b}, query_id, multiplier)
    return float(np.mean(requests.overlap(one, other, _checked_k(k))))


def kendall_distance(a: Any, b: Any, query_id: Any, *, multiplier: Any = None) -> float | None:
    """Mean share of the pairs of rows of a request that the two models order differently.

    The mean is over requests of at least two rows; None where there is none. 0: the same order everywhere; 1: reversed.
    Computed in O(n log r) for requests of r rows.

    Args: those of `swap_rate`.

    ```python
    kendall_distance([0.3, 0.2, 0.1], [0.3, 0.1, 0.2], [7, 7, 7])  # 0.333...: one pair of three
    ```
    """
    requests, (one, other) = _lists({"a": a, "b": b}, query_id, multiplier)
    return _mean_of_known(requests.kendall(one, other))


def top_k_jaccard(a: Any, b: Any, query_id: Any, *, k: int = 3, multiplier: Any = None) -> float:
    """Mean over requests of |top_k(a) & top_k(b)| / |top_k(a) | top_k(b)|, the Jaccard index; 1: the same rows.

    Args: those of `swap_rate`.

    ```python
    top_k_jaccard([0.3, 0.2, 0.1], [0.3, 0.1, 0.2], [7, 7, 7], k=2)  # 0.333...: one row of three
    ```
    """
    requests, (one, other) = _lists({"a": a, "b": b}, query_id, multiplier)
    return float(np.mean(requests.jaccard(one, other, _checked_k(k))))


def rank_biased_overlap(a: Any, b: Any, query_id: Any, *, p: float = RBO_P, multiplier: Any = None) -> float:
    """Mean over requests of the rank-biased overlap of both lists (Webber et al. 2010): 1 is the same order.

    RBO = p^n + (1 - p) / p * sum over d = 1 to n of p^d X_d / d, where X_d rows are among the first d of both lists of
    the n rows of a request. This is the paper's extrapolated form for finite lists, RBO_EXT, with X_n = n, since both
    lists hold all rows of the request: nothing is left to extrapolate, and a request of one row has 1. Places further
    down count less, the more so the smaller p is: someone who reads one row goes on to the next with probability p.

    Args:
      a, b, query_id, multiplier: those of `swap_rate`.
      p: between 0 and 1; 0.9 is usual.

    ```python
    rank_biased_overlap([0.2, 0.1], [0.1, 0.2], [7, 7])  # 0.9: the first places differ
    ```
    """
    requests, (one, other) = _lists({"a": a, "b": b}, query_id, multiplier)
    return float(np.mean(requests.rank_biased_overlap(one, other, _checked_p(p))))


def statistics(a: Any, b: Any, query_id: Any, *, k: int = 3, multiplier: Any = None) -> dict[str, Any]:
    """Swap rate with its interval, overlaps and Kendall distance of two models.

    Args: those of `swap_rate`.

    Returns:
      `k`, `swap_rate`, `swap_rate_interval` ([low, high]: 95%, for these very models, by a Poisson bootstrap over
      requests), `top_k_overlap`, `top_k_jaccard`, `rank_biased_overlap` (p = 0.9), `kendall_distance`, `requests`, and
      `single_row_requests`, which count as unchanged.

    ```python
    statistics([0.3, 0.2, 0.6], [0.1, 0.2, 0.6], [7, 7, 8])["swap_rate"]  # 0.5
    ```
    """
    return _statistics({"a": a, "b": b}, query_id, _checked_k(k), multiplier)


def statistics_over_pairs(
    predictions: Any, query_id: Any, *, k: int = 3, multiplier: Any = None, against_first: bool = False
) -> dict[str, Any]:
    """Mean of `statistics` over all unordered pairs of the R >= 2 models in predictions [n, R].

    Args:
      predictions: [n, R] scores.
      query_id, k, multiplier: those of `swap_rate`.
      against_first: only the pairs of the first model, such as the live one, with each of the others count.

    ```python
    statistics_over_pairs([[0.3, 0.3, 0.1], [0.2, 0.1, 0.2]], [7, 7])["swap_rate"]  # 0.666...: two pairs of three
    ```
    """
    matrix = np.asarray(predictions, np.float64)
    if matrix.ndim != 2 or matrix.shape[1] < 2:
        raise InputError(f"predictions must have shape [n, R] with at least 2 models, got {list(matrix.shape)}")
    models = {f"predictions[:, {model}]": matrix[:, model] for model in range(matrix.shape[1])}
    return _statistics(models, query_id, _checked_k(k), multiplier, against_first)


def _statistics(
    models: dict[str, Any], query_id: Any, k: int, multiplier: Any, against_first: bool = False
) -> dict[str, Any]:
    """The statistics of pairs of models; `models` maps the name of an argument to its scores."""
    requests, lists = _lists(models, query_id, multiplier)
    pairs = terms.pairs_of(lists, against_first)
    # The mean over the pairs first: pairs that share a model depend on each other, requests do not.
    swapped = np.mean([requests.swapped(*pair, k) for pair in pairs], axis=0)
    bootstrap = PoissonBootstrap()
    bootstrap.add(swapped, np.ones_like(swapped), request_keys(requests.ids))
    return {
        "k": k,
        "swap_rate": float(np.mean(swapped)),
        "swap_rate_interval": bootstrap.interval(),
        "top_k_overlap": float(np.mean([requests.overlap(*pair, k) for pair in pairs])),
        "top_k_jaccard": float(np.mean([requests.jaccard(*pair, k) for pair in pairs])),
        "rank_biased_overlap": float(np.mean([requests.rank_biased_overlap(*pair, RBO_P) for pair in pairs])),
        "kendall_distance": _mean_of_known(np.mean([requests.kendall(*pair) for pair in pairs], axis=0)),
        "requests": requests.sizes.size,
        "single_row_requests": int(np.sum(requests.sizes == 1)),
    }


class _Requests:
    """The rows of each request, and comparisons of two models' lists, request by request.

    The lists of all requests are one array [n]: request after request, the row numbers in the order of their scores.
    """

    def __init__(self, query_id: Any, size: int) -> None:
        self.ids, self.request = arrays.numbered("query_id", query_id, size)
        self.sizes = np.bincount(self.request)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.first = np.repeat(self.starts, self.sizes)
        self.position = np.arange(self.request.size) - self.first

    def ordered(self, score: Array) -> Integers:
        """The lists of one model."""
        return by_query(np.argsort(-score, kind="stable"), self.request)

    def ranks(self, rows: Integers) -> Integers:
        """Each row's position in its list, [n] by row number."""
        ranks = np.empty_like(rows)
        ranks[rows] = self.position
        return ranks

    def swapped(self, one: Integers, other: Integers, k: int) -> npt.NDArray[np.bool_]:
        """Whether the first k places of each request differ."""
        return np.logical_or.reduceat((one != other) & (self.position < k), self.starts)

    def overlap(self, one: Integers, other: Integers, k: int) -> Array:
        """Share of each request's first k rows that are in both lists."""
        in_both = (self.position < k) & (self.ranks(other)[one] < k)
        return np.add.reduceat(in_both, self.starts, dtype=np.int64) / np.minimum(k, self.sizes)

    def jaccard(self, one: Integers, other: Integers, k: int) -> Array:
        """Share of the rows among each request's first k of either list that are among those of both."""
        share = self.overlap(one, other, k)
        # Two lists of m rows that share s m of them have (2 - s) m together.
        return share / (2 - share)

    def rank_biased_overlap(self, one: Integers, other: Integers, p: float) -> Array:
        """The rank-biased overlap of each request's lists."""
        # A row is among the first d of both lists once d has passed the later one of its two places.
        later = np.maximum(self.position, self.ranks(other)[one])
        together = np.cumsum(np.bincount(self.first + later, minlength=later.size))
        depth = self.position + 1
        shared = (together - self.first) / depth
        return p**self.sizes + (1 - p) * np.add.reduceat(shared * p**self.position, self.starts)

    def kendall(self, one: Integers, other: Integers) -> Array:
        """Share of each request's pairs of rows that stand in a different order; NaN for requests of one row."""
        pairs = self.sizes * (self.sizes - 1) / 2
        discordant = self._inversions(self.ranks(other)[one])
        return np.divide(discordant, pairs, out=np.full(pairs.size, np.nan), where=pairs > 0)

    def _inversions(self, rank: Integers) -> Integers:
        """Number of pairs of each request that stand in descending order; its `rank` is a permutation of 0 to rows - 1.

        Counted while a radix sort goes from the highest bit down, all requests at once: two ranks that agree above a
        bit are inverted where the earlier one has the bit set and the later one has not.
        """
        here, found = np.arange(rank.size), np.zeros(self.sizes.size, np.int64)
        for bit in reversed(range(int(self.sizes.max() - 1).bit_length())):
            one = (rank >> bit) & 1
            # Ranks that agree above the bit stand side by side since the last round; this is where their group starts.
            group = self.first + (rank >> (bit + 1) << (bit + 1))
            ones = np.cumsum(one) - one
            ones -= ones[group]
            found += np.add.reduceat(ones * (1 - one), self.starts)
            place = self.first + (rank >> bit << bit) + np.where(one, ones, here - group - ones)
            rank[place] = rank.copy()
        return found


def _lists(models: dict[str, Any], query_id: Any, multiplier: Any) -> tuple[_Requests, list[Integers]]:
    """The requests, and the lists of each model; `models` maps the name of an argument to its scores."""
    first = arrays.scores(*next(iter(models.items())))
    arrays.refuse_empty("predictions", first)
    requests = _Requests(query_id, first.size)
    if multiplier is None:
        scores = [arrays.scores(name, values, first.size) for name, values in models.items()]
    else:
        check = functools.partial(arrays.at_or_above_0, size=first.size, where=" where scores are multiplied")
        factor = check("multiplier", multiplier)
        scores = [factor * check(name, values) for name, values in models.items()]
    return requests, [requests.ordered(score) for score in scores]


def _mean_of_known(values: Array) -> float | None:
    """Mean of the values that are not NaN; None where all are."""
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if known.size else None


def _checked_p(p: float) -> float:
    """The persistence of a reader, between 0 and 1."""
    if not 0 < p < 1:
        raise InputError(f"p must be above 0 and below 1, got {p!r}")
    return p


def _checked_k(k: int) -> int:
    """The length of the lists as a Python number."""
    # True is an integer to Python.
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise InputError(f"k must be a whole number of at least 1, got {k!r}")
    return int(k)
