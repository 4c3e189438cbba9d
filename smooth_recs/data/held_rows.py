"""Rows held in memory, and files that keep what takes longer to make than to read, for all runs that share a cache."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs._locks import made_once
from smooth_recs._processes import read_arrays, write_arrays
from smooth_recs.data.files import progress, untuned
from smooth_recs.data.first_pass import MOST_BYTES
from smooth_recs.data.raw_rows import CHUNK_ROWS
from smooth_recs.data.sources import Rows, Source
from smooth_recs.errors import InputError

MOST_HELD_ROWS = 2_500_000  # of a synthetic log, of 92 bytes each

Arrays = dict[str, npt.NDArray[Any]]


def load(chunks: Any) -> Rows:
    """All rows of a dataset of chunks, as NumPy arrays."""
    pieces = []
    with progress("loading", " rows") as bar:
        for piece in chunks.as_numpy_iterator():
            pieces.append(piece)
            bar.update(piece["label"].size)
    rows: Rows = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *pieces)
    return rows


def in_memory(rows: Rows, numbers: Any = slice(None)) -> Rows:
    """The rows with these numbers, as tensors in the memory of this machine."""
    with tf.device("CPU:0"):
        part: Rows = tf.nest.map_structure(lambda values: tf.convert_to_tensor(values[numbers]), rows)
        return part


def chunks_of(rows: Rows, first: int, stop: int) -> Any:
    """A dataset of chunks of rows that are in memory."""

    @tf.autograph.experimental.do_not_convert
    def chunk(start: Any) -> Rows:
        size = tf.minimum(tf.constant(CHUNK_ROWS, tf.int64), stop - start)
        bounds = {1: ([start], [size]), 2: ([start, 0], [size, -1])}
        bounds = {rank: tuple(map(tf.stack, both)) for rank, both in bounds.items()}

        def cut(column: Any) -> Any:
            part = tf.slice(column, *bounds[column.shape.rank])  # one operation a column: each takes time to make
            part.set_shape([None, *column.shape[1:]])  # without, the width is unknown (TensorFlow 2.21)
            return part

        return tf.nest.map_structure(cut, rows)

    return untuned(tf.data.Dataset.range(first, stop, CHUNK_ROWS)).map(chunk)


def kept_arrays(path: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays by name that a file keeps, or what `make` returns, which is then kept there, up to 1 GiB.

    Args:
      path: of the file, named by all that the arrays depend on.
      make: called by one of the processes that ask at the same time.

    Raises:
      InputError: the file is damaged.
    """
    with made_once(path) as new:
        if new:
            made = make()
            if sum(values.nbytes for values in made.values()) <= MOST_BYTES:
                write_arrays(path, None, [made])
            return made
    try:
        return read_arrays(path)[1][0]
    except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} does not hold rows of the data: delete it, and it is made again") from error


class HeldSource:
    """Another `Source` whose rows are made once for all runs that share a cache, and then held in memory.

    For the cells of a sweep over a log that is made up, of which each would make all rows anew, and twice.

    Args:
      source: of the rows. Its raw training rows, which hardly any run asks for, are made anew.
      prefix: of the paths of the files.
    """

    def __init__(self, source: Source, prefix: str) -> None:
        self.schema, self.encoder = source.schema, source.encoder
        self.train_rows, self.eval_rows = source.train_rows, source.eval_rows
        self.validation_rows = source.validation_rows
        self.fingerprint, self.summary = source.fingerprint, source.summary
        self._source, self._prefix = source, prefix
        self._held: dict[str, Rows] = {}

    def train(self, start_row: int = 0, *, raw: bool = False) -> Any:
        if raw:
            return self._source.train(start_row, raw=True)
        rows = self._rows(f"train-{self.train_rows}", self._source.train)
        return chunks_of(rows, start_row, self.train_rows)

    def holdout(self, *, raw: bool = False) -> Any:
        rows = self._rows(f"holdout-{self.eval_rows}", lambda: self._source.holdout(raw=True))
        return chunks_of(rows if raw else {n: v for n, v in rows.items() if n != "raw"}, 0, self.eval_rows)

    def validation(self) -> Any:
        if not self.validation_rows:
            return self._source.validation()
        rows = self._rows(f"validation-{self.validation_rows}", self._source.validation)
        return chunks_of(rows, 0, self.validation_rows)

    def _rows(self, part: str, make: Callable[[], Any]) -> Rows:
        if part not in self._held:
            arrays = kept_arrays(f"{self._prefix}{part}.npz", lambda: _flat(load(make())))
            self._held[part] = in_memory(_nested(arrays))
        return self._held[part]


def _flat(rows: Rows) -> Arrays:
    """The columns of rows, those of a group such as `features` as `features/NAME`."""
    groups = {name: value if isinstance(value, Mapping) else {"": value} for name, value in rows.items()}
    return {f"{name}/{inner}": column for name, group in groups.items() for inner, column in group.items()}


def _nested(arrays: Arrays) -> Rows:
    """The rows that `_flat` was given."""
    rows: Rows = {}
    for path, column in arrays.items():
        name, _, inner = path.partition("/")
        if inner:
            rows.setdefault(name, {})[inner] = column
        else:
            rows[name] = column
    return rows
