"""Every measure of difference: of rows that come batch by batch and shard by shard, or all at once.

Sums are plain float64: what is promised is that merged shards measure what the whole does, which holds up to rounding,
about 1e-12 of the value, and `bin.compare`, which promises to print exactly what one process would, merges rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from smooth_recs.errors import InputError
from smooth_recs.prediction_difference import terms
from smooth_recs.prediction_difference.differences import QUANTILES, after_matching_means, quantiles
from smooth_recs.prediction_difference.intervals import jackknife
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array
from smooth_recs.statistics.bootstrap import PoissonBootstrap, request_keys, row_keys

HISTOGRAM_BINS = 100
_FINE_BINS = 64 * HISTOGRAM_BINS
_FINE_EDGES = np.linspace(0.0, 2.0, _FINE_BINS + 1)


class Accumulator:
    """The measures of `statistics`, but for `after_matching_means`, which needs all rows at a time.

    Any partition of the rows into batches and shards, in any order, gives the same values up to the rounding of
    float64 sums, about 1e-12 relative. Quantiles are the lower edges of bins that are 2 / 6400 wide.

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
        self._pairs = list(itertools.combinations(range(models), 2))
        # All are of `terms.scaled_weights`: the weight, and weight times the terms of each measure.
        self._sums: dict[str, Array] = {
            "weight": np.zeros([]),
            "pairs": np.zeros(len(self._pairs)),
            **{name: np.zeros([]) for name in self._terms},
        }
        self._bins = np.zeros([len(self._pairs), _FINE_BINS])  # the weights by relative PD
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
            if keys is None:
                raise InputError("keys must be given where there are replicates of a bootstrap, got None")
            requests = request_keys(arrays.identifiers("keys", keys, weight.size))
            self._bootstrap.add(weight * terms.mean_over_pairs(terms.relative, columns), weight, requests)
        scaled = terms.scaled_weights(weight)
        self._sums["weight"] += np.sum(scaled)
        for number, (i, j) in enumerate(self._pairs):
            difference = terms.relative(columns[i], columns[j])
            self._sums["pairs"][number] += terms.weighted_sum(difference, scaled)
            # An edge belongs to the bin above it, but for the last.
            above = np.searchsorted(_FINE_EDGES, difference, side="right")
            self._bins[number] += np.bincount(np.minimum(above, _FINE_BINS) - 1, scaled, _FINE_BINS)
        for name, term in self._terms.items():
            self._sums[name] += terms.weighted_sum(term(columns), scaled)

    def merge(self, other: Accumulator) -> None:
        """Adds what `other`, of the same settings, has seen; it stays as it is."""
        if other.settings != self.settings:
            raise InputError(f"only accumulators of the same settings merge, got {self.settings} and {other.settings}")
        for name, total in other._sums.items():
            self._sums[name] += total
        self._bins += other._bins
        if self._bootstrap is not None and other._bootstrap is not None:
            self._bootstrap.merge(other._bootstrap)

    def to_dict(self) -> dict[str, Any]:
        """All that it holds, for JSON, without loss."""
        used = np.flatnonzero(self._bins)
        sums: dict[str, Any] = {name: total.tolist() for name, total in self._sums.items()}
        sums["bins"] = {"numbers": used.tolist(), "weights": self._bins.flat[used].tolist()}
        if self._bootstrap is not None:
            sums["bootstrap"] = self._bootstrap.state()
        return {"settings": self.settings, "sums": sums}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Accumulator:
        """The accumulator that `to_dict` described; raises InputError for what is no such description."""
        try:
            accumulator, sums = cls(**state["settings"]), state["sums"]
            for name, total in accumulator._sums.items():
                total += np.asarray(sums[name], np.float64)
            accumulator._bins.flat[sums["bins"]["numbers"]] = sums["bins"]["weights"]
            if accumulator._bootstrap is not None:
                accumulator._bootstrap.add_state(sums["bootstrap"])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            said = f"{type(error).__name__}: {error}"
            raise InputError(f"state must be what Accumulator.to_dict() gave, reading it fails with {said}") from error
        return accumulator

    def result(self) -> dict[str, Any]:
        """The measures so far, by the names of `statistics`."""
        weight = self._sums["weight"]
        arrays.refuse_weightless("prediction difference", weight)
        means = {name: (total / weight).tolist() for name, total in self._sums.items()}
        pairs = [(i, j, value) for (i, j), value in zip(self._pairs, means["pairs"], strict=True)]
        intervals = {}
        if self._bootstrap is not None:
            intervals["interval"] = list(self._bootstrap.interval())
        if self.settings["models"] > 2:
            intervals["interval_over_replicas"] = list(jackknife(pairs))
        coarse = self._bins.reshape([len(pairs), HISTOGRAM_BINS, -1]).sum(axis=2) / weight
        reached = np.cumsum(self._bins, axis=1)
        levels = [_FINE_EDGES[np.searchsorted(each / each[-1], QUANTILES)] for each in reached]
        return {
            "relative": float(np.mean(means["pairs"])),
            "pairs": [list(pair) for pair in pairs],
            **intervals,
            **{name: means[name] for name in self._terms},
            "quantiles": dict(zip(map(str, QUANTILES), np.mean(levels, axis=0).tolist(), strict=True)),
            "histogram": {
                "counts": np.mean(coarse, axis=0).tolist(),
                "edges": np.linspace(0.0, 2.0, HISTOGRAM_BINS + 1).tolist(),
            },
        }


def statistics(
    predictions: Any,
    sample_weight: Any = None,
    *,
    query_id: Any = None,
    threshold: float = 0.5,
    replicates: int = 1000,
) -> dict[str, Any]:
    """Every measure of this package, in Python numbers; those of two models are averaged over the unordered pairs.

    Args:
      predictions: [n, R] probabilities.
      sample_weight: [n], at or above 0; None: equal weights.
      query_id: [n], which request an example belongs to; None: every example is its own.
      threshold: of `flips`.
      replicates: of the bootstrap; 0: there is no `interval`.

    Returns:
      `relative` (the mean over pairs), `pairs` ([i, j, relative] of each), `interval` (for these very models, by
      request), `interval_over_replicas` (of R >= 3 models), `absolute`, `kl` (over both directions of each pair),
      `jensen_shannon`, `logit_difference`, `flips`, `relative_norm_1`, `relative_norm_2`, `standard_deviation`,
      `after_matching_means`, `quantiles` (by "0.5", "0.9" and "0.99") and `histogram` (`counts`: the shares of the
      weight in 100 bins, and their `edges`).

    ```python
    statistics([[0.125, 0.375], [0.2, 0.2]])["absolute"]  # 0.125
    ```
    """
    matrix = arrays.prediction_matrix(predictions)
    weight = arrays.weights(sample_weight, len(matrix))
    accumulator = Accumulator(matrix.shape[1], threshold=threshold, replicates=replicates)
    accumulator.add(matrix, weight, keys=row_keys(query_id, len(matrix)))
    pairs = list(itertools.combinations(matrix.T, 2))
    streamed = accumulator.result()
    levels = np.mean([quantiles(a, b, weight) for a, b in pairs], axis=0)
    return {
        **streamed,
        "after_matching_means": float(np.mean([after_matching_means(a, b, weight) for a, b in pairs])),
        "quantiles": dict(zip(map(str, QUANTILES), levels.tolist(), strict=True)),
    }
