"""The relative PD of one pair of models in a stream: its exact mean, its histogram and, from fine bins, quantiles."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from smooth_recs.prediction_difference.weighted_mean import WeightedSum
from smooth_recs.statistics.arrays import Array
from smooth_recs.statistics.exact_sum import ExactSum, ExactSums

BINS = 6400
EDGES = np.linspace(0.0, 2.0, BINS + 1)


class FineHistogram:
    """The weights of the examples in equal bins of the relative PD, [0, 2], and the weighted sum of the relative PD."""

    def __init__(self) -> None:
        self._sum = WeightedSum()
        self._bins = ExactSums()

    def add(self, difference: Array, weight: Array) -> None:
        """Adds the relative PD of examples, [n]."""
        # An edge belongs to the bin above it, but for the last.
        above = np.searchsorted(EDGES, difference, side="right")
        self._sum.add(difference, weight)
        self._bins.add(weight, np.minimum(above, BINS) - 1)

    def merge(self, other: FineHistogram) -> None:
        self._sum.merge(other._sum)
        self._bins.merge(other._bins)

    def state(self) -> dict[str, Any]:
        """The sums for JSON."""
        return {"sum": self._sum.state(), "bins": self._bins.state()}

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Adds the sums that `state` described."""
        self._sum.add_state(state["sum"])
        self._bins.add_state(state["bins"])

    def mean(self, weight: ExactSum) -> float:
        """The relative PD, where `weight` is the weight of all examples."""
        return self._sum.over(weight)

    def shares(self, bins: int, weight: ExactSum) -> Array:
        """The share of the weight in each of `bins` equal bins, [bins]; `bins` divides `BINS`."""
        units: Counter[int] = Counter()
        for fine, total in self._bins.groups.items():
            units[fine * bins // BINS] += total.units
        return np.array([units[number] / weight.units for number in range(bins)])

    def quantile(self, q: float, weight: ExactSum) -> float:
        """The lower edge of the bin in which the cumulated share of the weight reaches `q`."""
        # A bin may hold nothing but examples of weight 0.
        bins = {number: total.units for number, total in sorted(self._bins.groups.items()) if total.units}
        shares = [units / weight.units for units in accumulate(bins.values())]
        return float(EDGES[list(bins)[bisect_left(shares, q)]])
