"""The readers of files of raw rows, behind one interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from smooth_recs.data.schema import Schema


class Reader(Protocol):
    """Files of raw rows, read one after the other.

    Attributes:
      files: their paths, in reading order.
      schema: the columns that are read.
    """

    files: tuple[str, ...]
    schema: Schema

    def read(self, file: int = 0, line: int = 1) -> Any:
        """A dataset of chunks (see `raw_rows`) from line `line` (counted from 1) of file number `file` on.

        A line is a line of text, or a record. From a line at which a chunk started in an earlier pass, the same chunks
        follow.
        """


def chunks(dataset: Any) -> Iterator[dict[str, Any]]:
    """The chunks of a dataset as dictionaries of NumPy arrays."""
    chunk: dict[str, Any]
    for chunk in dataset.as_numpy_iterator():
        yield chunk


def rows_of(chunk: dict[str, Any]) -> int:
    """How many rows a chunk has."""
    return int(np.size(chunk["line"]))
