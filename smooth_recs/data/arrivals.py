"""Files that come to lie under a path, seen once they are whole."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Container
from typing import NamedTuple

import tensorflow as tf

from smooth_recs.data import files

SETTLED_SECONDS = 1.0
_HIDDEN = (".", "_")


class Stamp(NamedTuple):
    """What tells, without reading it, whether a file has changed."""

    bytes: int
    modified: int

    @classmethod
    def of(cls, file: str) -> Stamp | None:
        """None where there is no such file."""
        try:
            found = tf.io.gfile.stat(file)
        except tf.errors.NotFoundError:
            return None
        return cls(found.length, found.mtime_nsec)


class Arrivals:
    """New files of a folder or a glob, in the order of their names.

    A file is whole once its size and its time of change have stayed the same for a second. Files that are empty, or
    whose name starts with a dot or an underscore, are not there yet. One that is still being written holds back those
    that come after it.

    Args:
      path: see `files.expand`.

    Attributes:
      unfinished: the file that was being written at the last look, or "".
      changed_at: when something new was seen last (`time.monotonic`).
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: dict[str, tuple[Stamp, float]] = {}
        self.unfinished = ""
        self.changed_at = -math.inf

    def whole(self, known: Container[str]) -> list[str]:
        """Looks for files other than the known ones; raises InputError where a folder itself is gone."""
        now, before, whole = time.monotonic(), self._seen, []
        self._seen, self.unfinished = {}, ""
        for file in files.expand(self._path, may_be_empty=True):
            stamp = None if file in known or os.path.basename(file).startswith(_HIDDEN) else Stamp.of(file)
            if stamp is None or not stamp.bytes:
                continue
            seen, since = before.get(file, (None, now))
            if seen != stamp:
                since = self.changed_at = now
            self._seen[file] = stamp, since
            if now - since < SETTLED_SECONDS:
                self.unfinished = self.unfinished or file
            elif not self.unfinished:
                whole.append(file)
        return whole
