"""Weighted means of terms, exact sums of the rounded products; an infinite term makes the mean infinite."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from smooth_recs.errors import InputError
from smooth_recs.statistics.arrays import Array
from smooth_recs.statistics.exact_sum import ExactSum

_SHIFT = 500  # products are taken of weights times 2^500, which is exact: they do not underflow, and lose no digits


class WeightedSum:
    """A sum of weight times term, of terms that may be infinite.

    Attributes:
      finite: 2^500 times the sum over finite terms.
      infinite: the weight of the infinite ones.
    """

    def __init__(self) -> None:
        self.finite = ExactSum()
        self.infinite = ExactSum()

    def add(self, terms: Array, weight: Array) -> None:
        """Adds terms at or above 0, [n], infinity included."""
        infinite = np.isinf(terms)
        self.finite.add(np.multiply(weight * 2.0**_SHIFT, terms, out=np.zeros_like(weight), where=~infinite))
        self.infinite.add(weight[infinite])

    def merge(self, other: WeightedSum) -> None:
        self.finite.merge(other.finite)
        self.infinite.merge(other.infinite)

    def state(self) -> dict[str, str]:
        """The sums for JSON."""
        return {"finite": self.finite.state(), "infinite": self.infinite.state()}

    def add_state(self, state: Mapping[str, str]) -> None:
        """Adds the sums that `state` described."""
        self.finite.add_state(state["finite"])
        self.infinite.add_state(state["infinite"])

    def over(self, weight: ExactSum) -> float:
        """The mean, where `weight` is the weight of all terms."""
        if not weight.units:
            raise InputError("prediction difference needs examples of positive weight, got none")
        return np.inf if self.infinite.units else self.finite.units / (weight.units << _SHIFT)


def weighted_mean(terms: Array, weight: Array) -> float:
    """The mean of `terms`, [n]."""
    total, weights = WeightedSum(), ExactSum()
    total.add(terms, weight)
    weights.add(weight)
    return total.over(weights)
