"""The two sides of a comparison: rows with predictions, and what is known of each row."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs.comparison.artifacts import Artifact
from smooth_recs.comparison.settings import Shard
from smooth_recs.errors import InputError

Columns = dict[str, npt.NDArray[Any]]

BATCH_SIZE = 4096
KEY, SLICE, FREQUENCY = "key/", "slice/", "frequency/"


@dataclasses.dataclass(frozen=True)
class Side:
    """Rows of one artifact.

    Attributes:
      artifact: where they come from.
      total: how many rows there are, those of other shards included.
      row: [m] the number of each row, ascending.
      columns: [m] each, by role: `prediction`; as far as they are known `label`, `weight`, `query_id`, `multiplier`,
        `true_probability`; `key/0` ...; `slice/NAME`, also [m, values]; `frequency/NAME`.
    """

    artifact: Artifact
    total: int
    row: npt.NDArray[np.int64]
    columns: Columns

    @property
    def keys(self) -> list[npt.NDArray[Any]]:
        return [column for role, column in self.columns.items() if role.startswith(KEY)]


def rows_of(shard: Shard, total: int) -> npt.NDArray[np.int64]:
    """The numbers of the rows of a shard: of every `count`-th batch."""
    rows = np.arange(total)
    return rows[rows // BATCH_SIZE % shard.count == shard.number - 1]


def check_predictions(flag: str, prediction: npt.NDArray[Any], row: npt.NDArray[np.int64]) -> None:
    """Raises InputError for a prediction that is no probability; `row`: the rows' numbers."""
    wrong = ~((prediction >= 0) & (prediction <= 1))  # NaN too
    if wrong.any():
        first = int(np.argmax(wrong))
        hint = "" if np.isnan(prediction[first]) else "; are these logits?"
        raise InputError(f"{flag}: predictions must be in [0, 1], got {prediction[first]:g} in row {row[first]}{hint}")
