"""All measures of difference of the predictions for one set of examples."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from smooth_recs.prediction_difference.accumulator import Accumulator
from smooth_recs.prediction_difference.matched_means import after_matching_means
from smooth_recs.prediction_difference.spread import QUANTILES, quantiles
from smooth_recs.statistics import arrays
from smooth_recs.statistics.bootstrap import row_keys


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
