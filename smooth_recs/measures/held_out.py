"""All measures of held-out rows, as `metrics.json` has them: accuracy, PD, recommendations, slices."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from smooth_recs import prediction_difference
from smooth_recs.config import Evaluation
from smooth_recs.errors import InputError
from smooth_recs.measures import accuracy, catalogue, predictive_churn, recommendations, slices
from smooth_recs.measures.measure import ACCURACY, Rows
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array

Columns = Mapping[str, Any]

BUILT_IN_SLICES = Evaluation().slices
"""The slices that need no feature, which is the default of the field: label, score, position, frequency."""

MOSTLY = 0.99  # share of the rows with one and the same prediction from which a model counts as collapsed

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
      columns: `prediction` [n, R] of R replicas, and optionally `label`, `weight`, `query_id`, `true_probability` and
        `live`, what the live model predicts, each [n].
      evaluation: the slices, k (the length of the lists), the threshold of flips, and what makes a row unstable.
      slice_columns: by feature, the raw values that `evaluation.slices` may name, [n] or [n, m].
      frequency: by feature, how often each row's value occurs in the training rows, [n].
      multiplier: [n], by which predictions are multiplied before a request's rows are ordered.

    Returns:
      `replicas`: accuracies of each; `pd`: see `prediction_difference.statistics`, and `unstable`, with labels:
      `share`, `loss` and `pd` (what makes a row unstable) and `replicas` (the good ones), see
      `predictive_churn.unstable_rows`;
      `recommendations`: see `recommendations.statistics_over_pairs`, None without `query_id`; `slices`: by title, see
      `slices.measure`; `pd_live`: see below, None without `live`; `best_possible`: accuracies of the true
      probabilities, None where they are not known; `eval_examples`; `collapsed`: the replicas that have learned
      nothing, each with `replica` and `reason` (see `collapse`). A single replica has no PD (None), no recommendations
      (None) and no slices. Accuracies without labels are None.

      `pd_live` has the same between the live model and each replica, as means over the replicas: the measures of `pd`
      with their `interval`, `of_replicas` (the PD of each), `negative_flips` and `positive_flips` (None without
      labels), `recommendations` and `slices`; and `accuracy`, that of the live model.

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
        lists = None
        if query is not None:
            lists = recommendations.statistics_over_pairs(predictions, query, k=evaluation.k, multiplier=multiplier)
        pd = prediction_difference.statistics(predictions, weight, query_id=query, threshold=evaluation.threshold)
        unstable = None
        if label is not None:
            limits = {"loss": evaluation.unstable_loss, "pd": evaluation.unstable_pd}
            found = predictive_churn.unstable_rows(label, predictions, weight, **limits)
            unstable = {"share": found.share, **limits, "replicas": found.good}
        differences = {
            "pd": {**pd, "unstable": unstable},
            "recommendations": lists,
            "slices": _by_slice(groups, predictions, columns),
        }
    live = None
    if "live" in columns:
        live = _against_live(columns, predictions, groups, evaluation, multiplier)
    return {
        "replicas": [_accuracy(columns, prediction) for prediction in predictions.T],
        "collapsed": _collapsed(columns, dict(enumerate(predictions.T))),
        **differences,
        "pd_live": live,
        "best_possible": None if truth is None else _accuracy(columns, np.asarray(truth, np.float64)),
        "eval_examples": len(predictions),
    }


def _against_live(
    columns: Columns,
    predictions: Array,
    groups: Mapping[str, slices.Groups],
    evaluation: Evaluation,
    multiplier: Any,
) -> dict[str, Any]:
    """The part `pd_live` of `metrics`."""
    label, weight, query = (columns.get(name) for name in ("label", "weight", "query_id"))
    live = arrays.probabilities("live", columns["live"], len(predictions))
    threshold = evaluation.threshold
    statistics = functools.partial(
        prediction_difference.statistics, sample_weight=weight, threshold=threshold, replicates=0
    )
    of_pairs = [statistics(np.stack([live, replica], axis=1)) for replica in predictions.T]
    for each in of_pairs:
        each.pop("pairs")
    flips: dict[str, float | None] = dict.fromkeys(predictive_churn.FLIPS)
    for name, function in predictive_churn.FLIPS.items() if label is not None else ():
        flips[name] = _mean([function(label, live, each, weight, threshold=threshold) for each in predictions.T])
    together = np.column_stack([live, predictions])
    lists = None
    if query is not None:
        lists = recommendations.statistics_over_pairs(
            together, query, k=evaluation.k, multiplier=multiplier, against_first=True
        )
    ends = prediction_difference.interval(together, weight, query_id=query, against_first=True)
    return {
        **_mean(of_pairs),
        "interval": ends and list(ends),
        "of_replicas": [each["relative"] for each in of_pairs],
        **flips,
        "recommendations": lists,
        "slices": _by_slice(groups, together, columns, against_first=True),
        "accuracy": _accuracy(columns, live),
    }


def _by_slice(
    groups: Mapping[str, slices.Groups], predictions: Array, columns: Columns, against_first: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """PD and accuracy of the slices under each title."""
    weight, query = arrays.weights(columns.get("weight"), len(predictions)), columns.get("query_id")
    found = {}
    for title, parts in groups.items():
        # A slice whose rows all have weight 0 has no mean; `slices.measure` refuses it.
        weighted = {name: rows for name, rows in parts.items() if weight[rows].any()}
        found[title] = slices.measure(
            weighted, predictions, columns.get("label"), weight, query_id=query, against_first=against_first
        )
    return found


def _mean(values: Sequence[Any]) -> Any:
    """The mean of numbers, lists or dictionaries of one shape, number by number."""
    if isinstance(values[0], Mapping):
        return {name: _mean([each[name] for each in values]) for name in values[0]}
    return np.mean(values, axis=0).tolist()


def of_diverged(columns: Columns, diverged: Collection[int]) -> dict[str, Any]:
    """The result of `metrics` where some replicas predict NaN: accuracies of the others, and no differences.

    Args:
      columns: see `metrics`.
      diverged: the numbers of the replicas that predict NaN; the result has them as `diverged`.
    """
    prediction = np.asarray(columns["prediction"], np.float64)
    nothing = dict.fromkeys(measure.name for measure in catalogue.MEASURES if measure.family in ACCURACY)
    finite = {k: each for k, each in enumerate(prediction.T) if k not in diverged}
    return {
        "diverged": list(diverged),
        "collapsed": _collapsed(columns, finite),
        "replicas": [nothing if k in diverged else _accuracy(columns, each) for k, each in enumerate(prediction.T)],
        **_NO_DIFFERENCES,
        "pd_live": None,
        "best_possible": None,
        "eval_examples": len(prediction),
    }


def collapse(prediction: Array, label: Any = None, weight: Any = None) -> str | None:
    """Why a model has learned nothing that its predictions show, to follow its name; None where it has.

    It predicts one value for every row, or for 99% of them; or its log loss is above that of always predicting the
    click rate of these rows, by more than chance explains: the mean difference of the rows' losses is more than 1.96
    standard errors above 0. Such a model may have a PD of 0, and is no use.

    Args:
      prediction: [n], finite.
      label: [n], 0 or 1; None: only whether predictions are constant can be said.
      weight: [n], at or above 0; None: equal weights.

    Returns:
      The reason; None for fewer than 100 rows, which show nothing.

    >>> collapse(np.full(100, 0.25))
    'predicts 0.25 for every row'
    """
    if len(prediction) < slices.SMALL:
        return None
    low, high = float(prediction.min()), float(prediction.max())
    if high - low <= 1e-6 * high:  # rounding of float32 aside
        return f"predicts {high:.4g} for every row"
    values, counts = np.unique(prediction, return_counts=True)
    most = int(np.argmax(counts))
    if counts[most] >= MOSTLY * len(prediction):
        return f"predicts {values[most]:.4g} for {counts[most] / len(prediction):.1%} of the rows"
    if label is None:
        return None
    y, p, w = accuracy.checked(label, prediction, weight)
    rate = float(np.average(y, weights=w)) if w.any() else 0.0
    if not 0 < rate < 1:
        return None
    constant = accuracy.log_loss_per_example(y, np.full_like(p, rate))
    worse = accuracy.log_loss_per_example(y, p) - constant
    mean = float(np.average(worse, weights=w))
    error = float(np.sqrt(np.sum(np.square(w * (worse - mean)))) / np.sum(w))
    if mean <= 1.96 * error:
        return None
    base = float(np.average(constant, weights=w))
    return f"has a log loss of {mean + base:.4g}: always predicting the click rate, {rate:.2%}, has {base:.4g}"


def _collapsed(columns: Columns, predictions: Mapping[int, Array]) -> list[dict[str, Any]]:
    """The models among `predictions`, by number, that have learned nothing, each with the reason."""
    reasons = {k: collapse(each, columns.get("label"), columns.get("weight")) for k, each in predictions.items()}
    return [{"replica": k, "reason": reason} for k, reason in reasons.items() if reason is not None]


def _accuracy(columns: Columns, prediction: Array) -> dict[str, float | None]:
    """Accuracies of one model's predictions for the rows."""
    label, weight, query = (columns.get(name) for name in ("label", "weight", "query_id"))
    return catalogue.accuracies(Rows(label, prediction, weight, query))


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
