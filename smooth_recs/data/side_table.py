"""Attributes of users or items that lie in a file of their own, joined to the rows of a log by a key."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs.data.files import compression
from smooth_recs.data.vocabulary import Vocabulary
from smooth_recs.errors import InputError


class SideTable:
    """Looks up the attributes of a key; an unknown key has missing ones. Held in memory.

    Args:
      key: the column of the log that holds the key.
      keys: the keys of the table, each once.
      columns: by name, one text per key.

    Raises:
      InputError: a key is there twice, or empty.
    """

    def __init__(self, key: str, keys: Sequence[bytes], columns: Mapping[str, Sequence[bytes]]) -> None:
        counts = collections.Counter([*keys, b""])
        if len(counts) <= len(keys):
            twice = counts.most_common(1)[0][0].decode("utf-8", "replace")
            raise InputError(
                f"data.path: the side table of {key} must hold every key once and no empty one, got {twice!r}"
            )
        self.key = key
        self.names = tuple(columns)
        self._keys = Vocabulary(keys, "string")
        # The last row is that of unknown keys and of the empty one.
        self._columns = {name: tf.constant([*values, b""], tf.string) for name, values in columns.items()}

    def lookup(self, keys: Any) -> dict[str, Any]:
        """The table's columns for a tensor of keys, all of its shape."""
        rows = self._keys.rank(keys)
        return {name: tf.gather(values, rows) for name, values in self._columns.items()}


def read_fields(file: str, delimiter: bytes, fields: int, *, header: bool) -> list[list[bytes]]:
    """The fields of every line of a small file without quoting, as bytes.

    Raises:
      InputError: a line has another number of fields, or there is none.
    """
    lines = list(tf.data.TextLineDataset(file, compression(file)).as_numpy_iterator())
    rows = [line.split(delimiter) for line in lines]
    for number, row in enumerate(rows, start=1):
        if len(row) != fields:
            raise InputError(f"data.path: a line must have {fields} fields, got {len(row)} in {file}:{number}")
    if len(rows) <= int(header):
        raise InputError(f"data.path: a side table must have rows, got none in {file}")
    return rows[int(header) :]
