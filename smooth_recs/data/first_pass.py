"""One pass over files whose rows are held in memory: what the survey counts, and the rows themselves.

Vocabularies, means and which rows are trained on are known only when the pass has ended. So what needs them is kept as
the file has it: numbers as float32, and the values of a vocabulary once each, with 4 bytes a row that say which. The
rows come out as `Encoder` makes them from the files, to the last bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs.data import feature_statistics
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.feature_statistics import Statistics, Value
from smooth_recs.data.files import untuned
from smooth_recs.data.raw_rows import Distinct, Reader
from smooth_recs.data.sources import Rows
from smooth_recs.data.survey import Survey, survey
from smooth_recs.schema import Categorical, Schema

_KEPT = ("label", "labels", "weight", "query_id")


class FirstPass:
    """The good rows of some files, in reading order, before anything is encoded that needs statistics.

    Args:
      reader: of the files; its schema copies no column.
      max_malformed, times: see `survey.survey`.

    Attributes:
      survey: of the files.

    Raises:
      InputError: see `survey.survey`.
    """

    def __init__(self, reader: Reader, max_malformed: float, times: bool) -> None:
        self.schema = schema = reader.schema
        self._tables: dict[str, dict[Value, int]] = {
            f.name: {} for f in schema.categorical if f.encoding == "vocabulary"
        }
        ready = [f for f in schema.categorical if f.name not in self._tables]
        # Ids that need no statistics are computed at once: their values may be too many to keep.
        self._ready = Encoder(Schema(tuple(ready))) if ready else None
        self._pieces: dict[str, list[npt.NDArray[Any]]] = {}
        self.survey: Survey = survey(reader, max_malformed, times=times, each=self._add)
        self._columns = {name: np.concatenate(pieces) for name, pieces in self._pieces.items()}
        self._pieces = {}

    def _add(self, chunk: Mapping[str, Any]) -> None:
        """Keeps the good rows of a chunk of the survey."""
        columns = {name: chunk["good"][name] for name in _KEPT if name in chunk["good"]}
        ready = {}
        for name, values in chunk["features"].items():
            if not isinstance(values, Distinct):
                columns[name] = values
            elif name in self._tables:
                table = self._tables[name]
                codes = [table.setdefault(value, len(table)) for value in values.values.tolist()]
                columns[name] = np.array(codes, np.int32)[values.place]
            else:
                ready[name] = values
        if self._ready is not None:
            for feature in self._ready.schema.categorical:
                values = ready[feature.name]
                columns[feature.name] = _ids_of(self._ready, feature, tf.constant(values.values))[values.place]
        for name, values in columns.items():
            self._pieces.setdefault(name, []).append(values)

    def _chunks(self) -> list[slice]:
        """The good rows of each chunk of the files."""
        bounds = [*self.survey.start_row.tolist(), self.survey.good]
        return [slice(start, stop) for start, stop in itertools.pairwise(bounds) if stop > start]

    def statistics(self, trained: npt.NDArray[np.bool_]) -> Statistics:
        """What `feature_statistics.collect` finds in the rows, in reading order, for which `trained` is true."""

        def counts(name: str, table: Mapping[Value, int]) -> dict[Value, int]:
            found = np.bincount(self._columns[name][trained].ravel(), minlength=len(table)).tolist()
            return {value: count for value, count in zip(table, found, strict=True) if count}

        numeric = [feature for feature in self.schema.numeric if feature.needs_statistics]

        def numbers() -> Iterator[dict[str, Any]]:
            for rows in self._chunks() if numeric else ():
                yield {feature.name: self._columns[feature.name][rows][trained[rows]] for feature in numeric}

        counted = {name: counts(name, table) for name, table in self._tables.items()}
        return feature_statistics.collected(self.schema, counted, numbers())

    def rows(self, encoder: Encoder) -> Rows:
        """All good rows as `encoder` has them."""
        features = self._numbers(encoder)
        for feature in self.schema.categorical:
            column = self._columns[feature.name]
            if feature.name in self._tables:
                values = list(self._tables[feature.name])
                known = tf.constant(values, tf.as_dtype(feature.dtype), shape=[len(values)])
                column = _ids_of(encoder, feature, known)[column]
            features[feature.name] = column
        ordered = {feature.name: features[feature.name] for feature in self.schema.features}
        return {"features": ordered} | {name: self._columns[name] for name in _KEPT if name in self._columns}

    def _numbers(self, encoder: Encoder) -> dict[str, Any]:
        """The encoded numeric features, computed in the chunks of the files: vectors of another length may round."""
        numeric = [feature.name for feature in self.schema.numeric]
        if not numeric:
            return {}
        alone = Encoder(Schema(tuple(self.schema.numeric)), encoder.statistics)
        columns = {name: tf.constant(self._columns.pop(name)) for name in numeric}
        bounds = np.array([(rows.start, rows.stop) for rows in self._chunks()], np.int64)

        @tf.autograph.experimental.do_not_convert
        def encoded(bound: Any) -> dict[str, Any]:
            return alone({name: column[bound[0] : bound[1]] for name, column in columns.items()})

        chunks = untuned(tf.data.Dataset.from_tensor_slices(bounds)).map(encoded, num_parallel_calls=tf.data.AUTOTUNE)
        pieces = list(chunks.as_numpy_iterator())
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in numeric}


def _ids_of(encoder: Encoder, feature: Categorical, values: Any) -> npt.NDArray[np.int64]:
    """The id of each value [n] of a feature."""
    ids = encoder.ids(feature, values[:, None] if feature.multi_valued else values).numpy()
    return np.asarray(ids).reshape(-1)
