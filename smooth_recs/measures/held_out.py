"""All measures of held-out rows, as `metrics.json` has them: accuracy, PD, recommendations, slices."""

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

BUILT_IN_SLICES = Evaluation().slices
"""The slices that need no feature, which is the default of the field: label, score, position, frequency."""

_NO_DIFFERENCES: dict[str, Any] = {"pd": None, "recommendations": None, "slices": {}}


def metrics(
    columns: Columns,
    *,
    evaluation: Evaluation,
    slice_columns: Columns | None = None,
    frequency: Columns | None = None,
    multiplier: Any = None,
) -> dict[str, Any]:
    """Measures held-out rows in every way that their columns allow; the result is ready for JSON.

    Args:
      columns: `prediction` [n, R] of R replicas, and optionally `label`, `weight`, `query_id` and `true_probability`,
        each [n].
      evaluation: the slices, k (the length of the lists) and the threshold of classification flips.
      slice_columns: by feature, the raw values that `evaluation.slices` may name, [n] or [n, m].
      frequency: by feature, how often each row's value occurs in the training rows, [n].
      multiplier: [n], by which predictions are multiplied before a request's rows are ordered.

    Returns:
      `replicas`: accuracies of each; `pd`: see `prediction_difference.statistics`; `recommendations`: see
      `recommendations.statistics_over_pairs`, None without `query_id`; `slices`: by title, see `slices.measure`;
      `best_possible`: accuracies of the true probabilities, None where they are not known; `eval_examples`. A single
      replica has no PD (None), no recommendations (None) and no slices. Accuracies without labels are None.

    Raises:
      InputError: columns of the wrong shape or with invalid values; `evaluation.slices` names what the columns lack.

    ```python
    columns = {"prediction": np.array([[0.125, 0.375], [0.2, 0.2]]), "label": np.array([1, 0])}
    metrics(columns, evaluation=Evaluation(slices=("label",)))["pd"]["relative"]  # 0.5
    ```
    """
    predictions = np.asarray(columns["prediction"], np.float64)
    if predictions.ndim != 2 or not predictions.size:
        raise InputError(f"prediction must have shape [n, R] and at least one row, got {list(predictions.shape)}")
    label, weight, query, truth = (columns.get(name) for name in ("label", "weight", "query_id", "true_probability"))
    # First, because it refuses wrong names: a mistake should not cost the minutes that the measures take.
    groups = _slices_by_title(columns, evaluation, slice_columns or {}, frequency or {})
    differences = _NO_DIFFERENCES
    if predictions.shape[1] > 1:
        given_weight = arrays.weights(weight, len(predictions))
        lists = None
        if query is not None:
            lists = recommendations.statistics_over_pairs(predictions, query, k=evaluation.k, multiplier=multiplier)
        measured = {}
        for title, parts in groups.items():
            # A slice whose rows all have weight 0 has no mean; `slices.measure` refuses it.
            weighted = {name: rows for name, rows in parts.items() if given_weight[rows].any()}
            measured[title] = slices.measure(weighted, predictions, label, given_weight, query_id=query)
        differences = {
            "pd": prediction_difference.statistics(predictions, weight, query_id=query, threshold=evaluation.threshold),
            "recommendations": lists,
            "slices": measured,
        }
    return {
        "replicas": [_accuracy(columns, prediction) for prediction in predictions.T],
        **differences,
        "best_possible": None if truth is None else _accuracy(columns, np.asarray(truth, np.float64)),
        "eval_examples": len(predictions),
    }


def of_diverged(columns: Columns, diverged: Collection[int]) -> dict[str, Any]:
    """The result of `metrics` where some replicas predict NaN: accuracies of the others, and no differences.

    Args:
      columns: see `metrics`.
      diverged: the numbers of the replicas that predict NaN; the result has them as `diverged`.
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


def _accuracy(columns: Columns, prediction: Array) -> dict[str, float | None]:
    """Accuracies of one model's predictions for the rows."""
    label, weight, query = (columns.get(name) for name in ("label", "weight", "query_id"))
    return catalogue.accuracies(catalogue.Rows(label, prediction, weight, query))


def slice_names(
    evaluation: Evaluation, features: Collection[str], *, label: bool = True, query_id: bool, frequency: bool
) -> list[str]:
    """The names in `evaluation.slices` that can be measured.

    Where the field has its default, names that cannot be measured are left out; otherwise they are refused.

    Args:
      evaluation: the section of the configuration.
      features: names of the features whose values are known.
      label, query_id, frequency: whether the rows have labels, belong to requests, have features with frequencies.

    Raises:
      InputError: a name that the user gave cannot be measured.
    """
    # In the order of BUILT_IN_SLICES; a score is always there.
    available = (label, True, query_id, frequency)
    known = list(dict.fromkeys([*itertools.compress(BUILT_IN_SLICES, available), *sorted(features)]))
    for name in evaluation.slices:
        if name not in known and evaluation.slices != BUILT_IN_SLICES:
            raise InputError(f"evaluation.slices must name any of {', '.join(known)}, got {name!r}")
    return [name for name in evaluation.slices if name in known]


def _slices_by_title(
    columns: Columns, evaluation: Evaluation, slice_columns: Columns, frequency: Columns
) -> dict[str, slices.Groups]:
    """The slices under each title; a feature takes precedence over a built-in slice of the same name."""
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
