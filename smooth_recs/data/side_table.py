"""Attributes of users or items that lie in a file of their own, joined to the rows of a log by a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf


class SideTable:
    """Looks up the attributes of a key; an unknown key has missing ones. Held in memory.

    Args:
      key: the column of the log that holds the key.
      keys: the keys of the table, each once.
      columns: by name, one text per key.
    """

    def __init__(self, key: str, keys: Sequence[bytes], columns: Mapping[str, Sequence[bytes]]) -> None:
        self.key = key
        self.names = tuple(columns)
        rows = tf.range(len(keys), dtype=tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(keys, tf.string), rows)
        self._rows = tf.lookup.StaticHashTable(initializer, default_value=len(keys))
        self._columns = {name: tf.constant([*values, b""], tf.string) for name, values in columns.items()}

    def lookup(self, keys: Any) -> dict[str, Any]:
        """The table's columns for a tensor of keys, all of its shape."""
        rows = self._rows.lookup(keys)
        return {name: tf.gather(values, rows) for name, values in self._columns.items()}
