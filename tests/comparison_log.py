"""A small synthetic log and two models of it, as exports and as files of what they predict."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from smooth_recs import config

ROWS = 10_000  # three batches, the last one shorter
DATA = config.Data(
    examples=2_000, eval_examples=ROWS, synthetic=config.SyntheticLog(users=100, items=30, missing_rate=0.0)
)
FEW = config.Evaluation(slices=("label",))


class Log(NamedTuple):
    """`a`, `b`: folders of the exports; `rows`: columns of the held-out rows, with the predictions `a` and `b`."""

    a: str
    b: str
    rows: dict[str, Any]
    config: config.Config


def save(path: Path, slope: float) -> None:
    """A model that knows the item and the price."""

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.int64, name="item"), tf.TensorSpec([None], tf.float32, name="price")]
    )
    def serve(item: Any, price: Any) -> Any:
        jitter = tf.cast(item % 7, tf.float32) / 7.0
        return {"probability": tf.sigmoid(-2.0 - slope * jitter - 0.3 * tf.math.log(price))}

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})


def write_csv(path: Path, columns: dict[str, Any]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True))
    return str(path)


def without_origin(comparison):
    """What was measured."""
    left_out = ("a", "b", "data", "settings", "command", "best_possible")
    return {name: value for name, value in comparison.items() if name not in left_out}
