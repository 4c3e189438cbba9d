"""Every measure of difference, batch by batch and shard by shard, in constant memory."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from smooth_recs.errors import InputError
from smooth_recs.prediction_difference import terms
from smooth_recs.prediction_difference.fine_histogram import FineHistogram
from smooth_recs.prediction_difference.intervals import jackknife
from smooth_recs.prediction_difference.spread import QUANTILES
from smooth_recs.prediction_difference.weighted_mean import WeightedSum
from smooth_recs.statistics import arrays
from smooth_recs.statistics.bootstrap import Keys, PoissonBootstrap, request_keys
from smooth_recs.statistics.exact_sum import ExactSum

HISTOGRAM_BINS = 100


class Accumulator:
    """All of `statistics` but `after_matching_means`, which needs all rows at a time.

    Sums are exact: any partition of the rows into batches and shards, in any order, gives the same bits. Only the ends
    of `interval` agree to 1e-12. Quantiles are the lower edges of bins that are 2 / 6400 wide.

    Args:
      models: R >= 2.
      threshold: of `flips`.
      replicates: of the bootstrap by request; 0: there is no `interval`.
      seed: of the bootstrap.

    ```python
    first, second = Accumulator(), Accumulator()
    first.add([[0.125, 0.375]])
    second.add([[0.2, 0.2]])
    first.merge(second)
    first.result()["relative"]  # 0.5
    ```
    """

    def __init__(self, models: int = 2, *, threshold: float = 0.5, replicates: int = 0, seed: int = 0) -> None:
        if models < 2:
            raise InputError(f"models must be at least 2, got {models!r}")
        if replicates < 0:
            raise InputError(f"replicates must be at least 0, got {replicates!r}")
        self.settings = {"models": models, "threshold": threshold, "replicates": replicates, "seed": seed}
        self._terms = terms.by_name(arrays.probability("threshold", threshold))
        self._weight = ExactSum()
        self._pairs = {pair: FineHistogram() for pair in itertools.combinations(range(models), 2)}
        self._sums = {name: WeightedSum() for name in self._terms}
        self._bootstrap = PoissonBootstrap(replicates, seed) if replicates else None

    def add(self, predictions: Any, sample_weight: Any = None, *, keys: Any = None) -> None:
        """Adds a batch, which may be empty.

        Args:
          predictions: [n, R] probabilities.
          sample_weight: [n], at or above 0; None: equal weights.
          keys: [n] integers or strings: the request of each example, or where there are none a number of its own. The
            examples of a request may come in several batches and shards. Required where there are replicates.
        """
        columns = arrays.prediction_matrix(predictions).T
        if len(columns) != self.settings["models"]:
            raise InputError(f"predictions must be of {self.settings['models']} models, got {len(columns)}")
        weight = arrays.weights(sample_weight, columns.shape[1])
        if self._bootstrap is not None:
            requests = _request_keys(keys, weight.size)
            self._bootstrap.add(weight * terms.mean_over_pairs(terms.relative, columns), weight, requests)
        self._weight.add(weight)
        for (i, j), histogram in self._pairs.items():
            histogram.add(terms.relative(columns[i], columns[j]), weight)
        for name, term in self._terms.items():
            self._sums[name].add(term(columns), weight)

    def merge(self, other: Accumulator) -> None:
        """Adds what `other`, of the same settings, has seen; it stays as it is."""
        if other.settings != self.settings:
            raise InputError(f"only accumulators of the same settings merge, got {self.settings} and {other.settings}")
        others = other._parts()
        for name, part in self._parts().items():
            part.merge(others[name])

    def to_dict(self) -> dict[str, Any]:
        """All that it holds, for JSON, without loss."""
        return {"settings": self.settings, "sums": {name: part.state() for name, part in self._parts().items()}}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Accumulator:
        """The accumulator that `to_dict` described; raises InputError for what is no such description."""
        try:
            accumulator = cls(**state["settings"])
            for name, part in accumulator._parts().items():
                part.add_state(state["sums"][name])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            said = f"{type(error).__name__}: {error}"
            raise InputError(f"state must be what Accumulator.to_dict() gave, reading it fails with {said}") from error
        return accumulator

    def result(self) -> dict[str, Any]:
        """The measures so far, by the names of `statistics`."""
        weight, histograms = self._weight, self._pairs.values()
        pairs = [(i, j, histogram.mean(weight)) for (i, j), histogram in self._pairs.items()]
        intervals = {}
        if self._bootstrap is not None:
            intervals["interval"] = list(self._bootstrap.interval())
        if self.settings["models"] > 2:
            intervals["interval_over_replicas"] = list(jackknife(pairs))
        return {
            "relative": float(np.mean([value for _, _, value in pairs])),
            "pairs": [list(pair) for pair in pairs],
            **intervals,
            **{name: total.over(weight) for name, total in self._sums.items()},
            "quantiles": {str(q): float(np.mean([one.quantile(q, weight) for one in histograms])) for q in QUANTILES},
            "histogram": {
                "counts": np.mean([one.shares(HISTOGRAM_BINS, weight) for one in histograms], axis=0).tolist(),
                "edges": np.linspace(0.0, 2.0, HISTOGRAM_BINS + 1).tolist(),
            },
        }

    def _parts(self) -> dict[str, Any]:
        """Everything that adds up, by name."""
        pairs = {f"{i},{j}": histogram for (i, j), histogram in self._pairs.items()}
        bootstrap = {} if self._bootstrap is None else {"bootstrap": self._bootstrap}
        return {"weight": self._weight, **pairs, **self._sums, **bootstrap}


def _request_keys(keys: Any, size: int) -> Keys:
    if keys is None:
        raise InputError("keys must be given where there are replicates of a bootstrap, got None")
    return request_keys(arrays.identifiers("keys", keys, size))
