"""What every origin of examples offers: a schema, an encoder, training rows in their order, held-out rows.

A source whose training rows have one more feature, computed from the raw ones.

Examples in files, streamed from them in the order in which they lie there.

Examples in files, trained on in time order: sorting needs them all, so the encoded rows are held in memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs.data import splits
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.files import progress, untuned
from smooth_recs.data.raw_rows import CHUNK_ROWS, GOOD, Reader, select
from smooth_recs.data.splits import Part
from smooth_recs.data.survey import Survey
from smooth_recs.schema import Schema

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


BATCH = 8192


class AddedFeature:
    """A `Source` as another one, but for the added feature of the training rows; held-out rows do not have it.

    It is computed once a row and epoch. Which rows are computed together depends on their numbers alone: a run that
    resumes in the middle of them gets the same numbers, to the last bit.

    Args:
      source: of the rows.
      name: of the feature.
      compute: maps raw features {name: tensor} of n rows to the feature [n, ...], in any graph.
    """

    schema: Schema
    encoder: Encoder
    train_rows: int
    eval_rows: int
    fingerprint: str
    summary: dict[str, Any]

    def __init__(self, source: Source, name: str, compute: Callable[[Mapping[str, Any]], Any]) -> None:
        self.schema, self.encoder = source.schema, source.encoder
        self.train_rows, self.eval_rows = source.train_rows, source.eval_rows
        self.fingerprint, self.summary = source.fingerprint, source.summary
        self._source, self._name, self._compute = source, name, compute

    def train(self, start_row: int = 0, *, raw: bool = False) -> Any:
        before = start_row % BATCH

        def computed(number: Any, rows: dict[str, Any]) -> dict[str, Any]:
            features = {**rows["features"], self._name: self._compute(rows["raw"])}
            kept = {key: value for key, value in rows.items() if raw or key != "raw"}
            first = tf.where(number == 0, before, 0)
            return tf.nest.map_structure(lambda column: column[first:], {**kept, "features": features})

        batches = self._source.train(start_row - before, raw=True).rebatch(BATCH).enumerate()
        return batches.map(computed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def holdout(self, *, raw: bool = False) -> Any:
        return self._source.holdout(raw=raw)


def part_of(reader: Reader, survey: Survey, part: Part, position: int = 0) -> Any:
    """A dataset of chunks of the good raw rows of a part, from its row number `position` on.

    The survey tells in which chunk that row lies: reading starts there. Where a file has come to hold fewer rows than
    it found, the dataset ends in an error: it was cut while a run reads it, and no row is lost in silence.

    Rows are numbered file by file, so that the data service of a cluster may give each file to another worker.
    """
    first = part.number_of(position)
    chunk = max(int(survey.start_row.searchsorted(first, side="right")) - 1, 0)
    begins = survey.rows_before(len(reader.files))
    ends = tf.constant([0, *(min(part.stop, row) for row in begins[1:])], tf.int64)  # before the first file: 0
    begins[survey.start_file[chunk]] = survey.start_row[chunk]

    @tf.autograph.experimental.do_not_convert
    def number(state: Any, element: Any) -> tuple[Any, Any]:
        (file, next_row), (chunk, at_end) = state, element
        now = tf.where(at_end, -1, chunk["file"])
        whole = tf.equal(file, now) | (next_row >= ends[file + 1])
        tf.debugging.Assert(whole, ["the files have lost rows that were there: ", next_row])
        next_row = tf.where(tf.equal(file, now), next_row, tf.constant(begins, tf.int64)[now])
        good = tf.equal(chunk["problem"], GOOD)
        numbers = next_row + tf.cumsum(tf.cast(good, tf.int64)) - 1
        kept = good & part.contains(numbers) & (numbers >= first)
        return (now, next_row + tf.math.count_nonzero(good)), (chunk, kept, next_row)

    @tf.autograph.experimental.do_not_convert
    def keep(chunk: Any, kept: Any, begins: Any) -> Any:
        return select(chunk, kept)

    read = _with_end(reader.read(int(survey.start_file[chunk]), int(survey.start_line[chunk])))
    numbered = read.scan((tf.constant(-1), tf.constant(0, tf.int64)), number)
    inside = numbered.take_while(lambda chunk, kept, begins: begins < part.stop)
    return inside.map(keep, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _with_end(chunks: Any) -> Any:
    """Pairs of a chunk and False, then one of a chunk without rows and True."""
    none = tf.nest.map_structure(lambda spec: tf.zeros([n or 0 for n in spec.shape], spec.dtype), chunks.element_spec)
    end = tf.data.Dataset.from_tensors((none, True))
    return chunks.map(lambda chunk: (chunk, False)).concatenate(end)


def encoded(chunks: Any, encoder: Encoder, raw: bool = False) -> Any:
    """A dataset of chunks of `Rows` from one of raw chunks, with the raw features where `raw` is true."""
    kept = ["label", "weight", *(["query_id"] if encoder.schema.query_id else []), *(["raw"] if raw else [])]

    @tf.autograph.experimental.do_not_convert
    def encode(chunk: Any) -> dict[str, Any]:
        return {"features": encoder(chunk["raw"])} | {key: chunk[key] for key in kept}

    return chunks.map(encode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


class StreamedSource:
    """A `Source` that reads its rows from the files in every pass and holds none of them."""

    def __init__(
        self,
        encoder: Encoder,
        training: tuple[Reader, Survey, Part],
        held_out: tuple[Reader, Survey, Part],
        fingerprint: str,
        summary: dict[str, Any],
    ) -> None:
        self.schema, self.encoder = encoder.schema, encoder
        self._training, self._held_out = training, held_out
        self.train_rows, self.eval_rows = training[2].rows, held_out[2].rows
        self.fingerprint, self.summary = fingerprint, summary

    def train(self, start_row: int = 0, *, raw: bool = False) -> Any:
        return encoded(part_of(*self._training, start_row), self.encoder, raw)

    def holdout(self, *, raw: bool = False) -> Any:
        return encoded(part_of(*self._held_out), self.encoder, raw)


class SortedSource:
    """A `Source` whose rows come in an order of its own: 8 bytes an id and 4 a number, in memory, for every row.

    Args:
      encoder: with the statistics of the training rows.
      reader, survey: the files and what a first pass found in them.
      training, held_out: numbers of good rows, in the order in which they are to come.
      fingerprint, summary: see `Source`.
    """

    def __init__(
        self,
        encoder: Encoder,
        reader: Reader,
        survey: Survey,
        training: np.ndarray,
        held_out: np.ndarray,
        fingerprint: str,
        summary: dict[str, Any],
    ) -> None:
        self.schema, self.encoder = encoder.schema, encoder
        self.train_rows, self.eval_rows = training.size, held_out.size
        self.fingerprint, self.summary = fingerprint, summary
        everything = Part(survey.good, 0, survey.good)
        rows = _load(encoded(part_of(reader, survey, everything), encoder))
        self._training = tf.nest.map_structure(lambda values: values[training], rows)
        self._held_out = tf.nest.map_structure(lambda values: values[held_out], rows)
        self._reader, self._survey = reader, survey
        self._training_numbers, self._held_out_numbers = training, held_out

    def train(self, start_row: int = 0, *, raw: bool = False) -> Any:
        return _chunks(self._raw_training if raw else self._training, start_row, self.train_rows)

    def holdout(self, *, raw: bool = False) -> Any:
        return _chunks(self._raw(self._held_out_numbers) if raw else self._held_out, 0, self.eval_rows)

    @functools.cached_property
    def _raw_training(self) -> Rows:
        """Kept, because whoever asks for it does so in every epoch."""
        return self._raw(self._training_numbers)

    def _raw(self, numbers: np.ndarray) -> Rows:
        """Read anew: hardly any run needs raw rows."""
        part = splits.listed(numbers, self._survey.good)
        rows = _load(encoded(part_of(self._reader, self._survey, part), self.encoder, raw=True))
        place = np.searchsorted(np.sort(numbers), numbers)
        in_order: Rows = tf.nest.map_structure(lambda values: values[place], rows)
        return in_order


def _load(chunks: Any) -> Rows:
    pieces = []
    with progress("loading", " rows") as bar:
        for piece in chunks.as_numpy_iterator():
            pieces.append(piece)
            bar.update(piece["label"].size)
    rows: Rows = tf.nest.map_structure(lambda *parts: np.concatenate(parts), *pieces)
    return rows


def _chunks(rows: Rows, first: int, stop: int) -> Any:
    tensors = tf.nest.map_structure(tf.convert_to_tensor, rows)
    starts = untuned(tf.data.Dataset.range(first, stop, CHUNK_ROWS))
    return starts.map(lambda start: tf.nest.map_structure(lambda tensor: tensor[start : start + CHUNK_ROWS], tensors))
