"""The held-out rows: predictions of every replica, and the numbers of `metrics.json`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs import accuracy, prediction_difference

Columns = dict[str, npt.NDArray[Any]]


def collect(model: Any, holdout: tf.data.Dataset, batch_size: int = 4096) -> Columns:
    """Predicts all held-out rows.

    Args:
      model: maps encoded features to predictions, [batch, R].
      holdout: chunks of rows (`data.source`).

    Returns:
      `prediction` [rows, R], and the rows' other columns but the features: `label`, `weight`, and where the data have
      them `query_id` and `true_probability`.
    """

    @tf.function(reduce_retracing=True)
    def predict(features: Any) -> tf.Tensor:
        return model(features, training=False)

    parts: dict[str, list[npt.NDArray[Any]]] = {}
    for rows in holdout.rebatch(batch_size).prefetch(2):
        columns = {name: column for name, column in rows.items() if name != "features"}
        for name, column in {"prediction": predict(rows["features"]), **columns}.items():
            parts.setdefault(name, []).append(column.numpy())
    return {name: np.concatenate(columns) for name, columns in parts.items()}


def metrics(columns: Columns) -> dict[str, Any]:
    """Accuracy of every replica, PD between them, and what the true probabilities score where they are known."""
    predictions = columns["prediction"].astype(np.float64)
    truth = columns.get("true_probability")
    best = None if truth is None else _accuracy(columns, truth.astype(np.float64))
    return {
        "replicas": [_accuracy(columns, predictions[:, replica]) for replica in range(predictions.shape[1])],
        "pd": _difference(columns, predictions) if predictions.shape[1] > 1 else None,
        "best_possible": best,
        "eval_examples": len(predictions),
    }


def _accuracy(columns: Columns, prediction: npt.NDArray[np.float64]) -> dict[str, Any]:
    label, weight, query = columns["label"], columns["weight"], columns.get("query_id")
    auc_loss = accuracy.auc_loss(label, prediction, weight)
    per_query = None if query is None else accuracy.per_query_auc_loss(label, prediction, query, weight)
    return {
        "log_loss": accuracy.log_loss(label, prediction, weight),
        "auc": None if auc_loss is None else 1.0 - auc_loss,
        "auc_loss": auc_loss,
        "per_query_auc_loss": None if per_query is None else per_query.value,
        "calibration": accuracy.calibration(label, prediction, weight),
        "mean_prediction": float(np.average(prediction, weights=weight)),
    }


def _difference(columns: Columns, predictions: npt.NDArray[np.float64]) -> dict[str, Any]:
    weight = columns["weight"]
    pairs = prediction_difference.pairs(predictions, weight)
    columns_of = [(predictions[:, one], predictions[:, other]) for one, other, _ in pairs]
    histograms = [prediction_difference.histogram(a, b, weight, bins=100) for a, b in columns_of]
    matched = [prediction_difference.after_matching_means(a, b, weight) for a, b in columns_of]
    return {
        "relative": float(np.mean([value for _, _, value in pairs])),
        "pairs": [list(pair) for pair in pairs],
        "interval": list(prediction_difference.interval(predictions, weight, query_id=columns.get("query_id"))),
        "after_matching_means": float(np.mean(matched)),
        "histogram": {
            "counts": np.mean([shares for shares, _ in histograms], axis=0).tolist(),
            "edges": histograms[0][1].tolist(),
        },
    }
