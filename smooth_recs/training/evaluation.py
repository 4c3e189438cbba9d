"""The held-out rows: predictions of every replica, and what they are told apart by."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs import config, measures
from smooth_recs.data.sources import Source, frequencies
from smooth_recs.errors import InputError

Columns = dict[str, npt.NDArray[Any]]

BATCH_SIZE = 4096
_OF_TASK = ("diverged", "collapsed", "replicas", "pd", "recommendations")


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """All held-out rows with their predictions.

    Attributes:
      columns: `prediction` [n, R], `label`, `weight`, and where the data have them `query_id`, `true_probability`; of
        several labels also `predictions` [n, T, R] and `labels` [n, T].
      raw: the raw values of the features that slices or the order of lists need.
      ids: the encoded ids of single-valued categorical features.
    """

    columns: Columns
    raw: Columns
    ids: Columns

    def of_label(self, number: int) -> Columns:
        """What is known of the rows where that one of several labels is the label."""
        predictions, labels = self.columns["predictions"], self.columns["labels"]
        found = {"prediction": predictions[:, number], "label": labels[:, number]}
        return found | {name: self.columns[name] for name in ("weight", "query_id") if name in self.columns}

    def whole_requests(self, rows: int) -> int:
        """`rows`, or so many more that no request is cut, where each request's rows lie together."""
        query_id = self.columns.get("query_id")
        if query_id is None or not 0 < rows < len(query_id):
            return rows
        others = np.flatnonzero(query_id[rows:] != query_id[rows - 1])
        return rows + int(others[0]) if len(others) else len(query_id)

    def without_first(self, rows: int) -> HeldOut:
        """All but the first `rows` rows."""
        parts = (self.columns, self.raw, self.ids)
        return HeldOut(*({name: column[rows:] for name, column in part.items()} for part in parts))


def collect(model: Any, source: Source, evaluation: config.Evaluation) -> HeldOut:
    """Predicts all held-out rows.

    Args:
      model: maps encoded features to predictions, [batch, R], such as a `SiblingModel`; where the source has several
        labels, its `task_probabilities` do to those of all tasks, [batch, T, R].
      source: of the rows.
      evaluation: names the features whose values are kept.

    Raises:
      InputError: `evaluation` names a feature that the source does not have.
    """
    wanted = raw_features(source, evaluation)
    single = [f.name for f in source.schema.categorical if not f.multi_valued and "frequency" in evaluation.slices]

    batches = source.holdout(raw=bool(wanted)).rebatch(BATCH_SIZE).prefetch(2)
    # Traced once, for batches of any size: every call of a new function would count as a retracing.
    several = len(source.schema.labels) > 1

    def predicting(features: Any) -> Columns:
        if several:
            found = model.task_probabilities(features)
            return {"prediction": found[:, 0], "predictions": found}
        return {"prediction": model(features, training=False)}

    traced = tf.function(predicting, autograph=False)
    predict = traced.get_concrete_function(batches.element_spec["features"])
    parts: dict[str, dict[str, list[Any]]] = {"columns": {}, "raw": {}, "ids": {}}
    for rows in batches:
        found = {
            "columns": predict(rows["features"])
            | {name: column for name, column in rows.items() if name not in ("features", "raw")},
            "raw": {name: rows["raw"][name] for name in wanted},
            "ids": {name: rows["features"][name] for name in single},
        }
        for group, columns in found.items():
            for name, column in columns.items():
                parts[group].setdefault(name, []).append(column.numpy())
    return HeldOut(**{group: {n: np.concatenate(c) for n, c in columns.items()} for group, columns in parts.items()})


def metrics(held_out: HeldOut, source: Source, evaluation: config.Evaluation) -> dict[str, Any]:
    """Accuracy of every replica, PD between them, as a whole and by slices: most of `metrics.json`.

    Where replicas `diverged`, which this names, nothing is measured but accuracies of the others.
    """
    diverged = _diverged(held_out.columns)
    if diverged:
        return measures.held_out.of_diverged(held_out.columns, diverged)
    return {"diverged": []} | measures.held_out.metrics(
        held_out.columns,
        evaluation=evaluation,
        slice_columns={name: held_out.raw[name] for name in evaluation.slices if name in held_out.raw},
        frequency=frequencies(source, held_out.ids) if "frequency" in evaluation.slices else {},
        multiplier=held_out.raw[evaluation.order_by] if evaluation.order_by else None,
    )


def task_metrics(held_out: HeldOut, source: Source, evaluation: config.Evaluation) -> dict[str, Any]:
    """The same of each label after the first, by its name, as a whole: accuracies, PD, recommendations."""
    found = {}
    for number, name in enumerate(source.schema.labels[1:], start=1):
        columns = held_out.of_label(number)
        diverged = _diverged(columns)
        if diverged:
            measured = measures.held_out.of_diverged(columns, diverged)
        else:
            whole = dataclasses.replace(evaluation, slices=())
            measured = {"diverged": []} | measures.held_out.metrics(
                columns,
                evaluation=whole,
                multiplier=held_out.raw[evaluation.order_by] if evaluation.order_by else None,
            )
        found[name] = {part: measured[part] for part in _OF_TASK}
    return found


def _diverged(columns: Columns) -> list[int]:
    """The replicas whose predictions are not all numbers."""
    return [k for k, column in enumerate(columns["prediction"].T) if not np.isfinite(column).all()]


def check(source: Source, evaluation: config.Evaluation) -> None:
    """Raises InputError where the held-out rows do not have what `evaluation` asks for."""
    raw_features(source, evaluation)
    name, seen = evaluation.order_by, 0
    for column in source.holdout(raw=True).map(lambda rows: rows["raw"][name]) if name else ():
        wrong = np.flatnonzero(~(column.numpy() >= 0) | np.isinf(column))
        if wrong.size:
            raise InputError(
                f"evaluation.order_by must name a feature whose values are at least 0 and never missing, got "
                f"{column[wrong[0]]:g} for {name!r} in held-out row {seen + wrong[0]}"
            )
        seen += len(column)


def raw_features(source: Source, evaluation: config.Evaluation) -> list[str]:
    """The features whose raw values `evaluation` needs; InputError for one that the source does not have."""
    features = {feature.name for feature in source.schema.features}
    numeric = sorted(feature.name for feature in source.schema.numeric)
    if evaluation.order_by and evaluation.order_by not in numeric:
        known = ", ".join(numeric) or "none"
        raise InputError(
            f"evaluation.order_by must name a numeric feature of the data ({known}), got {evaluation.order_by!r}"
        )
    names = measures.held_out.slice_names(
        evaluation, features, query_id=bool(source.schema.query_id), frequency=bool(source.schema.categorical)
    )
    return [name for name in dict.fromkeys([*names, evaluation.order_by]) if name in features]
