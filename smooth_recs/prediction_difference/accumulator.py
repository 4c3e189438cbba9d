"""All measures of difference at once, for rows that come in batches and shards (`Accumulator`) or all together.

Sums are plain float64: merged shards measure the same as the whole, up to rounding of about 1e-12 of the value. Sums
exact to the bit would need a format of their own, and no promise needs them: `bin.compare`, which prints exactly
the same for any number of processes, merges rows, not sums.
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
# Quantiles are read from bins this much finer, so that they are within 0.0003 of the exact ones.
_FINE_BINS = 64 * HISTOGRAM_BINS
_FINE_EDGES = np.linspace(0.0, 2.0, _FINE_BINS + 1)


class Accumulator:
    """Sums for the measures of `statistics`, except `after_matching_means`, which needs all rows at once.

    Any partition of the rows into batches and shards, in any order, gives the same values up to the rounding of
    float64 sums, about 1e-12 of the value. Quantiles are the lower edges of bins of width 2 / 6400.

    Args:
      models: the number of models, R >= 2.
      threshold: the probability from which `flips` counts a prediction as positive, in [0, 1].
      replicates: how many the bootstrap over requests draws; 0: there is no `interval`.
      seed: the seed of the bootstrap.

    Raises:
      InputError: fewer than 2 models, a negative number of replicates, or a threshold outside [0, 1].

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
        # Sums of the scaled weights (`terms.scaled_weights`), and of these times the terms of each measure.
        self._sums: dict[str, Array] = {
            "weight": np.zeros([]),
            "pairs": np.zeros(len(self._pairs)),
            **{name: np.zeros([]) for name in self._terms},
        }
        # For each pair, the scaled weights by relative PD.
        self._bins = np.zeros([len(self._pairs), _FINE_BINS])
        self._bootstrap = PoissonBootstrap(replicates, seed) if replicates else None

    def add(self, predictions: Any, sample_weight: Any = None, *, keys: Any = None) -> None:
        """Adds a batch, which may be empty.

        Args:
          predictions: [n, R] probabilities.
          sample_weight: [n], at or above 0; None: equal weights.
          keys: [n] integers or strings: the request of each example, or a different number for each example. Examples
            of one request may come in several batches and shards. Required where there are replicates.

        Raises:
          InputError: arrays that are not as above; nothing is added then.
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
            # An edge belongs to the bin above it, except the last.
            above = np.searchsorted(_FINE_EDGES, difference, side="right")
            self._bins[number] += np.bincount(np.minimum(above, _FINE_BINS) - 1, scaled, _FINE_BINS)
        for name, term in self._terms.items():
            self._sums[name] += terms.weighted_sum(term(columns), scaled)

    def merge(self, other: Accumulator) -> None:
        """Adds the rows that `other`, of the same settings, has seen; `other` does not change."""
        if other.settings != self.settings:
            raise InputError(f"only accumulators of the same settings merge, got {self.settings} and {other.settings}")
        for name, total in other._sums.items():
            self._sums[name] += total
        self._bins += other._bins
        if self._bootstrap is not None and other._bootstrap is not None:
            self._bootstrap.merge(other._bootstrap)

    def to_dict(self) -> dict[str, Any]:
        """Its state for JSON, without loss."""
        # Most bins are empty.
        used = np.flatnonzero(self._bins)
        sums: dict[str, Any] = {name: total.tolist() for name, total in self._sums.items()}
        sums["bins"] = {"numbers": used.tolist(), "weights": self._bins.flat[used].tolist()}
        if self._bootstrap is not None:
            sums["bootstrap"] = self._bootstrap.state()
        return {"settings": self.settings, "sums": sums}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Accumulator:
        """Restores an accumulator from the result of `to_dict`; raises InputError for anything else."""
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
        """The measures of the rows so far, by the names of `statistics`."""
        weight = self._sums["weight"]
        arrays.refuse_weightless("prediction difference", weight)
        means = {name: (total / weight).tolist() for name, total in self._sums.items()}
        pairs = [(i, j, value) for (i, j), value in zip(self._pairs, means["pairs"], strict=True)]
        intervals: dict[str, Any] = {}
        if self._bootstrap is not None:
            intervals["interval"] = self._bootstrap.interval()
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
    """All measures of this package in Python numbers, averaged over the unordered pairs of models.

    Args:
      predictions: [n, R] probabilities.
      sample_weight: [n], at or above 0; None: equal weights.
      query_id: [n], which request an example belongs to; None: every example is a request of its own.
      threshold: the probability from which `flips` counts a prediction as positive, in [0, 1].
      replicates: how many the bootstrap draws; 0: there is no `interval`.

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
    # All rows are here, so that quantiles can be exact.
    levels = np.mean([quantiles(a, b, weight) for a, b in pairs], axis=0)
    return {
        **streamed,
        "after_matching_means": float(np.mean([after_matching_means(a, b, weight) for a, b in pairs])),
        "quantiles": dict(zip(map(str, QUANTILES), levels.tolist(), strict=True)),
    }
