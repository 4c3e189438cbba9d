"""What every origin of examples offers: a schema, an encoder, training rows in their order, held-out rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from smooth_recs.data.encoding import Encoder
from smooth_recs.data.schema import Schema

_COUNTED_BATCH, _COUNTED_BATCHES = 1 << 16, 1 << 4

Rows = dict[str, Any]
"""A chunk of n encoded rows.

- `features`: a dictionary of tensors by feature name: int64 ids [n] or [n, max_values], float32 [n, width];
- `label`: float32 [n], 0 or 1;
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
      fingerprint: changes whenever the rows or their meaning do.
      summary: what reading found, for the manifest of a run: plain values that JSON can hold.
    """

    schema: Schema
    encoder: Encoder
    train_rows: int
    eval_rows: int
    fingerprint: str
    summary: dict[str, Any]

    def train(self, start_row: int = 0, *, raw: bool = False) -> Any:
        """A finite `tf.data.Dataset` of chunks of `Rows` in training order, from row number `start_row` on.

        Chunks are of no particular size; the rows and their order are the same in every call.
        """

    def holdout(self, *, raw: bool = False) -> Any:
        """A finite `tf.data.Dataset` of chunks of `Rows`: the held-out rows, always in the same order."""


def frequencies(source: Source, ids: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """How often each row's id is in the training rows, per feature, counted over the first 2^20 of them.

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
