"""Files that come to lie under a path, seen once they are whole.

The files of a stream in the order in which they were taken, in a file of their own: the list only grows.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import itertools
import json
import math
import os
import time
from collections.abc import Container, Iterable
from typing import NamedTuple

import tensorflow as tf

from smooth_recs._files import whole_file
from smooth_recs.data import files
from smooth_recs.errors import InputError
from smooth_recs.fields import from_dict

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


NAME = "stream.json"


@dataclasses.dataclass(frozen=True)
class TakenFile:
    """A file as it was when it was taken: bytes, time of change in nanoseconds, content as a digest, rows in it."""

    file: str
    bytes: int
    modified: int
    content: str
    rows: int
    malformed: int

    @property
    def good(self) -> int:
        return self.rows - self.malformed


class TakenFiles:
    """The list, and where the rows of each file lie in the stream.

    Args:
      path: of the file that keeps the list.
      stream: what else tells one stream from others: a list of another one counts as none.
    """

    def __init__(self, path: str, stream: str) -> None:
        self._path, self._stream = path, stream
        self.ended = False
        self._files: list[TakenFile] = []
        self._starts = [0]
        self._stamps: dict[str, Stamp] = {}
        if os.path.exists(path):
            self._load()

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, file: object) -> bool:
        return file in self._stamps

    @property
    def good(self) -> int:
        """Rows of the stream so far."""
        return self._starts[-1]

    @property
    def rows(self) -> int:
        """With malformed ones."""
        return self.good + self.malformed

    @property
    def malformed(self) -> int:
        return sum(taken.malformed for taken in self._files)

    @property
    def names(self) -> list[str]:
        return [taken.file for taken in self._files]

    def add(self, taken: TakenFile) -> None:
        self._files.append(taken)
        self._starts.append(self.good + taken.good)
        self._stamps[taken.file] = Stamp(taken.bytes, taken.modified)

    def save(self) -> None:
        listed = [dataclasses.asdict(taken) for taken in self._files]
        with whole_file(self._path) as beside, open(beside, "w", encoding="utf-8") as stream:
            json.dump({"stream": self._stream, "ended": self.ended, "files": listed}, stream, indent=1)

    def at(self, row: int) -> tuple[list[TakenFile], int]:
        """The files from the one that holds that row on, and the number of their first row."""
        number = min(bisect.bisect_right(self._starts, row) - 1, len(self._files))
        return self._files[number:], self._starts[number]

    def first_readable(self, row: int) -> int:
        """`row`, or the first row after it whose file, and all after that one, are still there."""
        rest, start = self.at(row)
        for taken in reversed(rest):
            if Stamp.of(taken.file) is None:
                number = self._files.index(taken) + 1
                return self._starts[number]
        return max(row, start)

    def check(self, row: int) -> None:
        """Raises InputError where a file that holds rows from `row` on has gone, or any has another content.

        A name that is used again, as by some that rotate logs, would hide rows that nobody trains on.
        """
        _, start = self.at(row)
        for taken, begins in zip(self._files, self._starts, strict=False):
            stamp = Stamp.of(taken.file)
            if stamp is None and begins >= start:
                raise InputError(f"data.path: {taken.file} has gone before it was trained on")
            if stamp in (None, self._stamps[taken.file]):
                continue
            if stamp.bytes != taken.bytes or content(taken.file) != taken.content:
                raise InputError(
                    f"data.path: {taken.file} has changed since it was taken: a file of a stream must stay as it is"
                )
            self._stamps[taken.file] = stamp

    def fingerprints(self, first: str) -> list[str]:
        """That of the first files, for every number of files: a stream that has grown shares those it had before."""

        def after(fingerprint: str, taken: TakenFile) -> str:
            return hashlib.sha256((fingerprint + taken.content).encode()).hexdigest()[:32]

        return list(itertools.accumulate(self._files, after, initial=first))

    def _load(self) -> None:
        try:
            with open(self._path, encoding="utf-8") as stream:
                content = json.load(stream)
            if content["stream"] != self._stream:
                return
            self.ended = bool(content["ended"])
            found: Iterable[TakenFile] = [from_dict(TakenFile, entry, "files") for entry in content["files"]]
        except (OSError, ValueError, KeyError, TypeError, InputError) as error:
            raise InputError(f"{self._path} must hold the files of a stream: {error}") from error
        for taken in found:
            self.add(taken)


def content(file: str) -> str:
    """A digest of a file's bytes; InputError where it has gone."""
    try:
        return files.fingerprint([file])
    except tf.errors.NotFoundError as error:
        raise InputError(f"data.path: {file} has gone before it was trained on") from error
