"""From the columns of held-out rows to what `metrics.json` says: accuracy, PD, recommendations, slices."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from smooth_recs import prediction_difference
from smooth_recs.config import Evaluation
from smooth_recs.errors import InputError
from smooth_recs.measures import catalogue, recommendations, slices
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array

Columns = Mapping[str, Any]

BUILT_IN_SLICES = Evaluation().slices  # the default is all of them
_NO_DIFFERENCES: dict[str, Any] = {"pd": None, "recommendations": None, "slices": {}}


def metrics(
    columns: Columns,
    *,
    evaluation: Evaluation,
    slice_columns: Columns | None = None,
    frequency: Columns | None = None,
    multiplier: Any = None,
) -> dict[str, Any]:
    """All that is measured on held-out rows, ready for JSON.

    Args:
      columns: `prediction` [n, R] of R replicas, and where there are any `label`, `weight`, `query_id` and
        `true_probability`, each [n].
      evaluation: which slices, k and threshold.
      slice_columns: the raw values of the features that `evaluation.slices` may name, [n] or [n, m].
      frequency: how often each row's value is in the training rows, [n], by feature.
      multiplier: [n], what predictions are multiplied by before a request's rows are ordered.

    Returns:
      `replicas`: accuracies of each; `pd`: `prediction_difference.statistics`; `recommendations`:
      `recommendations.statistics_over_pairs`, None without `query_id`; `slices`: by title, `slices.measure`;
      `best_possible`: accuracies of the true probabilities, None where they are not known; `eval_examples`. One replica
      alone has no PD (None) and no slices. Accuracies without labels are None.

    Raises:
      InputError: as the parts; `evaluation.slices` names what the columns do not have.

    ```python
    columns = {"prediction": np.array([[0.125, 0.375], [0.2, 0.2]]), "label": np.array([1, 0])}
    metrics(columns, evaluation=Evaluation(slices=("label",)))["pd"]["relative"]  # 0.5
    ```
    """
    predictions = np.asarray(columns["prediction"], np.float64)
    if predictions.ndim != 2 or not predictions.size:
        raise InputError(f"prediction must have shape [n, R] and at least one row, got {list(predictions.shape)}")
    groups = _groups(columns, evaluation, slice_columns or {}, frequency or {})  # first, for it may raise
    differences = _NO_DIFFERENCES
    if predictions.shape[1] > 1:
        differences = _differences(columns, predictions, evaluation, groups, multiplier)
    truth = columns.get("true_probability")
    return {
        "replicas": [_accuracy(columns, prediction) for prediction in predictions.T],
        **differences,
        "best_possible": None if truth is None else _accuracy(columns, np.asarray(truth, np.float64)),
        "eval_examples": len(predictions),
    }


def of_diverged(columns: Columns, diverged: Collection[int]) -> dict[str, Any]:
    """What `metrics` returns where some replicas' predictions are no numbers: accuracies of the others.

    Args:
      columns: as for `metrics`.
      diverged: the numbers of those replicas, which `diverged` names in what is returned.
    """
    prediction = np.asarray(columns["prediction"], np.float64)
    nothing = dict.fromkeys(measure.name for measure in catalogue.MEASURES if measure.family in catalogue.ACCURACY)
    return {
        "diverged": list(diverged),
        "replicas": [nothing if k in diverged else _accuracy(columns, each) for k, each in enumerate(prediction.T)],
        **_NO_DIFFERENCES,
        "best_possible": None,
        "eval_examples": len(prediction),
    }


def _differences(
    columns: Columns, predictions: Array, evaluation: Evaluation, groups: Mapping[str, slices.Groups], multiplier: Any
) -> dict[str, Any]:
    weight, query = columns.get("weight"), columns.get("query_id")
    lists = None
    if query is not None:
        lists = recommendations.statistics_over_pairs(predictions, query, k=evaluation.k, multiplier=multiplier)
    return {
        "pd": prediction_difference.statistics(predictions, weight, query_id=query, threshold=evaluation.threshold),
        "recommendations": lists,
        "slices": _slices(groups, columns, predictions),
    }


def _accuracy(columns: Columns, prediction: Array) -> dict[str, float | None]:
    label, weight, query = (columns.get(name) for name in ("label", "weight", "query_id"))
    return catalogue.accuracies(catalogue.Rows(label, prediction, weight, query))


def slice_names(
    evaluation: Evaluation, features: Collection[str], *, label: bool = True, query_id: bool, frequency: bool
) -> list[str]:
    """The names of `evaluation.slices` that can be measured; of the default ones those are left out that cannot.

    Args:
      evaluation: the wish.
      features: names of the features whose values are known.
      label, query_id, frequency: whether the rows have labels, belong to requests, have features with frequencies.

    Raises:
      InputError: a name that is not among the default ones cannot be measured.
    """
    there = (label, True, query_id, frequency)
    known = list(dict.fromkeys([*itertools.compress(BUILT_IN_SLICES, there), *sorted(features)]))
    for name in evaluation.slices:
        if name not in known and evaluation.slices != BUILT_IN_SLICES:
            raise InputError(f"evaluation.slices must name any of {', '.join(known)}, got {name!r}")
    return [name for name in evaluation.slices if name in known]


def _groups(
    columns: Columns, evaluation: Evaluation, slice_columns: Columns, frequency: Columns
) -> dict[str, slices.Groups]:
    """The slices of each title; a feature goes before what is built in under the same name."""
    label, query = columns.get("label"), columns.get("query_id")
    names = slice_names(
        evaluation, slice_columns, label=label is not None, query_id=query is not None, frequency=bool(frequency)
    )
    groups: dict[str, slices.Groups] = {}
    for name in names:
        if name in slice_columns:
            groups[name] = slices.by_value(slice_columns[name])
        elif name == "label":
            groups[name] = slices.by_value(label)
        elif name == "score":
            groups[name] = slices.by_decile(np.mean(columns["prediction"], axis=1), columns.get("weight"))
        elif name == "position":
            groups[name] = slices.by_position(query)
        else:
            groups |= {f"frequency of {each}": slices.by_frequency(counts) for each, counts in frequency.items()}
    return groups


def _slices(groups: Mapping[str, slices.Groups], columns: Columns, predictions: Array) -> dict[str, Any]:
    """Without the slices whose rows have no weight."""
    weight = arrays.weights(columns.get("weight"), len(predictions))
    measured = {}
    for title, parts in groups.items():
        weighty = {name: rows for name, rows in parts.items() if weight[rows].any()}
        measured[title] = slices.measure(
            weighty, predictions, columns.get("label"), weight, query_id=columns.get("query_id")
        )
    return measured
