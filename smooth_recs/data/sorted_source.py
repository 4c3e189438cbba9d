"""Examples in files, trained on in time order: sorting needs them all, so the encoded rows are held in memory."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.data import splits
from smooth_recs.data.chunking import CHUNK_ROWS
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.file_source import encoded, part_of
from smooth_recs.data.progress import progress
from smooth_recs.data.readers import Reader
from smooth_recs.data.source import Rows
from smooth_recs.data.splits import Part
from smooth_recs.data.survey import Survey
from smooth_recs.data.tuning import untuned


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
