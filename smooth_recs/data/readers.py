"""The readers of files of raw rows, behind one interface."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Protocol

import tensorflow as tf

from smooth_recs.data.schema import Schema
from smooth_recs.errors import InputError


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
    """The chunks of a dataset as dictionaries of NumPy arrays.

    Raises:
      InputError: a file is not what its name says, or is cut short.
    """
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.DataLossError as error:
        raise InputError(f"data.path: a file is damaged: {without_places(error)}") from error


def without_places(error: tf.errors.OpError) -> str:
    """What went wrong, in one line without the names of TensorFlow's graph nodes."""
    return re.sub(r"\{\{.*?\}\} | \[Op:.*", "", error.message.splitlines()[0])
