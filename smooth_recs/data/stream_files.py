"""The files of a stream: which of them are whole, and a list of those that were taken.

`Arrivals` looks for new files. `TakenFiles` keeps the list, in the order in which they were taken: it only grows.
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
from collections.abc import Callable, Container
from typing import NamedTuple

import numpy as np

from smooth_recs import _files
from smooth_recs.data import files
from smooth_recs.errors import InputError
from smooth_recs.fields import from_dict

# Not less: `tf.io.gfile.stat` tells times of change in whole seconds (TensorFlow 2.21), so a file that is written to
# within the second of its last change, at the same size, looks the same.
SETTLED_SECONDS = 1.0
_HIDDEN = (".", "_")


class Stamp(NamedTuple):
    """Size and time of change of a file, which tell whether it has changed without reading it."""

    bytes: int
    modified: int

    @classmethod
    def of(cls, file: str) -> Stamp | None:
        """The stamp of a file, None where there is no such file."""
        try:
            return cls(*_files.stamp(file))
        except FileNotFoundError:
            return None


class Arrivals:
    """New files of a folder or a glob, in the order of their names.

    A file is whole once its size and its time of change have stayed the same for a second. Files that are empty, or
    whose name starts with a dot or an underscore, are not counted yet. One that is still being written holds back those
    that come after it, so that files written side by side are taken in the order of their names.

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
            # A second look, because not every file system tells that a file is open for writing.
            if now - since < SETTLED_SECONDS:
                self.unfinished = self.unfinished or file
            elif not self.unfinished:
                whole.append(file)
        return whole


NAME = "stream.json"


@dataclasses.dataclass(frozen=True)
class TakenFile:
    """A file as it was when it was taken: bytes, time of change in nanoseconds, content as a digest, rows in it.

    `positives`, `present` and `outside` are those of its survey; a list that version 0.1 has written lacks them.
    """

    file: str
    bytes: int
    modified: int
    content: str
    rows: int
    malformed: int
    positives: int = 0
    present: tuple[int, ...] = ()
    outside: tuple[int, ...] = ()

    @property
    def good(self) -> int:
        return self.rows - self.malformed


class TakenFiles:
    """The files taken so far, and which rows of the stream each holds.

    Args:
      path: of the file that keeps the list.
      stream: what else tells one stream from others: the list of another stream counts as none.

    Attributes:
      ended: the stream has ended: no file is taken any more.

    Raises:
      InputError: the file does not hold a list.
    """

    def __init__(self, path: str, stream: str) -> None:
        self._path, self._stream = path, stream
        self.ended = False
        self._files: list[TakenFile] = []
        self._starts = [0]
        self._stamps: dict[str, Stamp] = {}
        if not _files.exists(path):
            return
        try:
            kept = json.loads(_files.read_text(path))
            if kept["stream"] != stream:
                return
            self.ended = bool(kept["ended"])
            taken: list[TakenFile] = [from_dict(TakenFile, entry, "files") for entry in kept["files"]]
        except (OSError, ValueError, KeyError, TypeError, InputError) as error:
            why = f"{type(error).__name__}: {error}"
            raise InputError(f"{path} must hold the files of a stream ({why}): take another workdir") from error
        for each in taken:
            self.add(each)

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
        """Rows of the files so far, malformed ones included."""
        return self.good + self.malformed

    @property
    def malformed(self) -> int:
        return sum(taken.malformed for taken in self._files)

    @property
    def positives(self) -> int:
        return sum(taken.positives for taken in self._files)

    @property
    def names(self) -> list[str]:
        return [taken.file for taken in self._files]

    def add(self, taken: TakenFile) -> None:
        """Puts a file at the end of the list."""
        self._files.append(taken)
        self._starts.append(self.good + taken.good)
        self._stamps[taken.file] = Stamp(taken.bytes, taken.modified)

    def change(self, how: Callable[[TakenFile], TakenFile]) -> None:
        """Replaces what is known of each file, but not its rows."""
        self._files = [how(taken) for taken in self._files]

    def totals(self, name: str, features: int) -> np.ndarray:
        """The sums over all files of `present` or `outside`, one for each feature."""
        counts = [getattr(taken, name) or (0,) * features for taken in self._files]
        return np.array(counts, np.int64).reshape(-1, features).sum(axis=0)

    def save(self) -> None:
        """Writes the list to its file, whole or not at all."""
        listed = [dataclasses.asdict(taken) for taken in self._files]
        content = {"stream": self._stream, "ended": self.ended, "files": listed}
        _files.write_text(self._path, json.dumps(content, indent=1))

    def at(self, row: int) -> tuple[list[TakenFile], int]:
        """The files from the one that holds that row on, and the number of their first row."""
        # A file without good rows starts where the next one does: bisect_right finds the last of them.
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
            # A file that was only touched, or copied anew, is the same: its contents decide.
            if stamp.bytes != taken.bytes or content(taken.file) != taken.content:
                raise InputError(
                    f"data.path: {taken.file} has changed since it was taken: a file of a stream must stay as it is"
                )
            self._stamps[taken.file] = stamp

    def fingerprints(self, first: str) -> list[str]:
        """The fingerprint of the first n files, for every n from 0 on: a stream that has grown keeps its earlier ones.

        Args:
          first: that of no files.
        """

        def after(fingerprint: str, taken: TakenFile) -> str:
            return hashlib.sha256((fingerprint + taken.content).encode()).hexdigest()[:32]

        return list(itertools.accumulate(self._files, after, initial=first))


def content(file: str) -> str:
    """A digest of a file's bytes; InputError where it has gone."""
    try:
        return files.fingerprint([file])
    except FileNotFoundError as error:
        raise InputError(f"data.path: {file} has gone before it was trained on") from error
