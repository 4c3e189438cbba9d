"""A source whose training rows have one more feature, computed from the raw ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from smooth_recs.data.encoding import Encoder
from smooth_recs.data.schema import Schema
from smooth_recs.data.source import Source

BATCH = 8192


class AddedFeature:
    """A `Source` as another one, but for the added feature of the training rows; held-out rows do not have it.

    It is computed once a row and epoch. Which rows are computed together depends on their numbers alone: a run that
    resumes in the middle of them gets the same numbers, to the last bit.

    Args:
      source: of the rows.
      name: of the feature.
      compute: maps raw features {name: tensor} of n rows to the feature [n, ...], in any graph.
    """

    schema: Schema
    encoder: Encoder
    train_rows: int
    eval_rows: int
    fingerprint: str
    summary: dict[str, Any]

    def __init__(self, source: Source, name: str, compute: Callable[[Mapping[str, Any]], Any]) -> None:
        self.schema, self.encoder = source.schema, source.encoder
        self.train_rows, self.eval_rows = source.train_rows, source.eval_rows
        self.fingerprint, self.summary = source.fingerprint, source.summary
        self._source, self._name, self._compute = source, name, compute

    def train(self, start_row: int = 0, *, raw: bool = False) -> Any:
        before = start_row % BATCH

        def computed(number: Any, rows: dict[str, Any]) -> dict[str, Any]:
            features = {**rows["features"], self._name: self._compute(rows["raw"])}
            kept = {key: value for key, value in rows.items() if raw or key != "raw"}
            first = tf.where(number == 0, before, 0)
            return tf.nest.map_structure(lambda column: column[first:], {**kept, "features": features})

        batches = self._source.train(start_row - before, raw=True).rebatch(BATCH).enumerate()
        return batches.map(computed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def holdout(self, *, raw: bool = False) -> Any:
        return self._source.holdout(raw=raw)
