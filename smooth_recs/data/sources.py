"""A source of examples, whatever their origin: a schema, an encoder, training rows in their order, held-out rows.

Files (`file_sources`), growing folders (`stream`) and the generator (`synthetic`) offer the same interface.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs.data.encoding import Encoder
from smooth_recs.schema import Schema

Rows = dict[str, Any]
"""A chunk of n encoded rows.

- `features`: a dictionary of tensors by feature name: int64 ids [n] or [n, max_values], float32 [n, width];
- `label`: float32 [n], 0 or 1; of several labels the first;
- `labels`: float32 [n, T], all T labels in the schema's order; absent where it names one;
- `weight`: float32 [n], 1 where the schema names no weight;
- `query_id`: int64 [n], a fingerprint of the column; absent where the schema names none;
- `raw`: the features as the log holds them (`Encoder.raw_signature` tells types and shapes); only where asked for.
"""


class Source(Protocol):
    """An origin of examples: files, or a generator.

    Attributes:
      schema: the raw columns.
      encoder: from raw to encoded rows; its statistics come from training rows only.
      train_rows: rows of one training pass.
      eval_rows: held-out rows.
      validation_rows: rows that choose when to stop, apart from both; 0 where there are none.
      fingerprint: changes whenever the rows or their meaning do.
      summary: what reading found, for the manifest of a run: plain values that JSON can hold. `warnings` has a line for
        each thing that is likely to be wrong, which the terminal and the top of the report show.
    """

    schema: Schema
    encoder: Encoder
    train_rows: int
    eval_rows: int
    validation_rows: int
    fingerprint: str
    summary: dict[str, Any]

    def train(self, start_row: int = 0, *, raw: bool = False) -> Any:
        """A finite `tf.data.Dataset` of chunks of `Rows` in training order, from row number `start_row` on.

        Chunks are of no particular size; the rows and their order are the same in every call.
        """

    def holdout(self, *, raw: bool = False) -> Any:
        """A finite `tf.data.Dataset` of chunks of `Rows`: the held-out rows, always in the same order."""

    def validation(self) -> Any:
        """A finite `tf.data.Dataset` of chunks of `Rows`: the validation rows, always in the same order."""


_COUNTED_BATCH, _COUNTED_BATCHES = 1 << 16, 1 << 4


def frequencies(source: Source, ids: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Frequencies of each row's ids in the training rows, per feature, counted over the first 2^20 of them.

    Args:
      source: of the training rows.
      ids: by name of a single-valued categorical feature, the encoded ids of any rows, [n].
    """
    if not ids:
        return {}
    rows = {feature.name: source.encoder.table_rows(feature) for feature in source.schema.categorical}
    counts = {name: np.zeros(rows[name], np.int64) for name in ids}
    training = source.train().map(lambda chunk: {name: chunk["features"][name] for name in ids})
    for chunk in training.rebatch(_COUNTED_BATCH).take(_COUNTED_BATCHES).as_numpy_iterator():
        for name, count in counts.items():
            count += np.bincount(chunk[name], minlength=count.size)
    return {name: counts[name][values] for name, values in ids.items()}


BATCH = 8192


class AddedFeature:
    """Another `Source` with one more feature in its training rows, computed from the raw ones.

    It is computed once per row and epoch; held-out rows do not have it. Which rows are computed together depends on
    their numbers alone: a run that resumes in the middle of them gets the same numbers, to the last bit.

    Args:
      source: of the rows.
      name: of the feature.
      compute: maps raw features {name: tensor} of n rows to the feature [n, ...], in any graph.
    """

    schema: Schema
    encoder: Encoder
    train_rows: int
    eval_rows: int
    validation_rows: int
    fingerprint: str
    summary: dict[str, Any]

    def __init__(self, source: Source, name: str, compute: Callable[[Mapping[str, Any]], Any]) -> None:
        self.schema, self.encoder = source.schema, source.encoder
        self.train_rows, self.eval_rows = source.train_rows, source.eval_rows
        self.validation_rows = source.validation_rows
        self.fingerprint, self.summary = source.fingerprint, source.summary
        self._source, self._name, self._compute = source, name, compute

    def train(self, start_row: int = 0, *, raw: bool = False) -> Any:
        before = start_row % BATCH  # rows that are computed along with the first one, and then left out

        def computed(number: Any, rows: dict[str, Any]) -> dict[str, Any]:
            features = {**rows["features"], self._name: self._compute(rows["raw"])}
            kept = {key: value for key, value in rows.items() if raw or key != "raw"}
            first = tf.where(number == 0, before, 0)
            return tf.nest.map_structure(lambda column: column[first:], {**kept, "features": features})

        batches = self._source.train(start_row - before, raw=True).rebatch(BATCH).enumerate()
        return batches.map(computed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def holdout(self, *, raw: bool = False) -> Any:
        return self._source.holdout(raw=raw)

    def validation(self) -> Any:
        return self._source.validation()
