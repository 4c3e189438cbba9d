"""Examples in files, streamed from them in the order in which they lie there."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from smooth_recs.data.encoding import Encoder
from smooth_recs.data.raw_rows import GOOD, select
from smooth_recs.data.readers import Reader
from smooth_recs.data.splits import Part
from smooth_recs.data.survey import Survey


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
