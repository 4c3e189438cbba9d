"""PD and accuracy within slices of the examples."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from smooth_recs import prediction_difference
from smooth_recs.errors import InputError
from smooth_recs.measures import registry
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array, Integers

SMALL = 100  # rows, below which a slice is flagged: its numbers are mostly chance


def measure(
    groups: Mapping[str, Any], predictions: Any, label: Any, sample_weight: Any = None, *, query_id: Any = None
) -> list[dict[str, Any]]:
    """PD and accuracy within each slice, the slice of the highest PD first.

    Args:
      groups: name: row numbers or mask [n].
      predictions: [n, R] probabilities of R >= 2 models.
      label: [n], 0 or 1; None: accuracies are None.
      sample_weight: [n], at or above 0.
      query_id: [n], for the intervals (see `prediction_difference.interval`).

    Returns:
      Of each slice its name (`slice`), `rows`, `weight_share`, mean `pd` over pairs with its 95% `interval`, `pd_share`
      (the share of the sum of weight times PD that it carries), mean `auc_loss` and `log_loss` of the models,
      `label_mean`, and `small`: fewer than 100 rows.

    Raises:
      InputError: as `prediction_difference`; a slice has no rows, or none of positive weight.

    ```python
    measure({"all": [0, 1]}, [[0.125, 0.375], [0.2, 0.2]], [1, 0])[0]["pd"]  # 0.5
    ```
    """
    matrix = arrays.prediction_matrix(predictions)
    weight = arrays.weights(sample_weight, len(matrix))
    label = None if label is None else arrays.scores("label", label, len(matrix))
    query = None if query_id is None else arrays.identifiers("query_id", query_id, len(matrix))
    pairs = itertools.combinations(matrix.T, 2)
    carried = weight * np.mean([prediction_difference.per_example(a, b) for a, b in pairs], axis=0)
    measured = []
    for name, group in groups.items():
        rows = _rows(name, group, weight)
        part = matrix[rows], weight[rows]
        measured.append(
            {
                "slice": name,
                "rows": len(rows),
                "weight_share": float(weight[rows].sum() / weight.sum()),
                "pd": float(carried[rows].sum() / weight[rows].sum()),
                "interval": list(
                    prediction_difference.interval(*part, query_id=None if query is None else query[rows])
                ),
                "pd_share": float(carried[rows].sum() / carried.sum()) if carried.any() else 0.0,
                **_accuracy(*part, None if label is None else label[rows]),
                "small": len(rows) < SMALL,
            }
        )
    return sorted(measured, key=lambda each: -each["pd"])


def _accuracy(predictions: Array, weight: Array, label: Array | None) -> dict[str, float | None]:
    """Means over the models; None without labels, the AUC loss also where the labels are all alike."""
    models = [registry.Rows(label, prediction, weight) for prediction in predictions.T]
    found: dict[str, float | None] = {}
    for measure in registry.leading():
        defined = [value for rows in models if (value := measure.of(rows)) is not None]
        found[measure.name] = float(np.mean(defined)) if defined else None
    return found | {"label_mean": None if label is None else float(np.average(label, weights=weight))}


def _rows(name: str, group: Any, weight: Array) -> Integers:
    """Numbers of the rows of a group, each once."""
    array = np.asarray(group)
    if array.dtype == bool and array.shape != weight.shape:
        raise InputError(f"slice {name!r} must be a mask of {weight.size} rows, got shape {list(array.shape)}")
    if array.size and array.dtype.kind not in "biu":
        raise InputError(f"slice {name!r} must hold whole row numbers or be a mask, got {array.dtype}")
    rows = np.flatnonzero(array) if array.dtype == bool else np.unique(array).astype(np.int64)
    if len(rows) and not 0 <= rows[0] <= rows[-1] < weight.size:
        raise InputError(f"slice {name!r} must hold rows from 0 to {weight.size - 1}, got {rows[[0, -1]].tolist()}")
    arrays.refuse_weightless(f"slice {name!r}", weight[rows])
    return rows
