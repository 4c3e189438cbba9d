"""One pass over files whose rows are held in memory: what the survey counts, and the rows themselves.

Vocabularies, means and which rows are trained on are known only when the pass has ended. So what needs them is kept as
the file has it: numbers as float32, and the values of a vocabulary once each, with 4 bytes a row that say which. The
rows come out as `Encoder` makes them from the files, to the last bit. `FirstPass.kept` leaves them in a file: another
run over the same log, or a cell of a sweep, reads that instead, whichever of the rows it trains on.
"""

from __future__ import annotations

import collections
import itertools
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs import _files
from smooth_recs._locks import made_once
from smooth_recs.data import feature_statistics
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.feature_statistics import Statistics, Value
from smooth_recs.data.files import untuned
from smooth_recs.data.raw_rows import Reader
from smooth_recs.data.sources import Rows
from smooth_recs.data.survey import Survey, survey
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Schema

MOST_BYTES = 1 << 30  # of a file of rows; a larger log is read from its files again
_KEPT = ("label", "labels", "weight", "query_id")
_ROW = "row/"  # begins the names of these among the columns: a feature may be called `weight`
_COLUMN, _VALUES, _LENGTHS = "column/", "values/", "lengths/"  # begin the names of arrays in such a file


class FirstPass:
    """The good rows of some files, in reading order, before anything is encoded that needs statistics.

    Args:
      schema: of the files.
      survey: of the files.
      tables: {feature with a vocabulary: its values, each once}.
      columns: {name: an array of all rows}; of a feature with a vocabulary the places of its values in its table.
    """

    def __init__(
        self,
        schema: Schema,
        survey: Survey,
        tables: Mapping[str, Sequence[Value]],
        columns: Mapping[str, npt.NDArray[Any]],
    ) -> None:
        self.schema, self.survey = schema, survey
        self._tables, self._columns = tables, dict(columns)

    @classmethod
    def over(cls, reader: Reader, max_malformed: float) -> FirstPass:
        """Reads all files of a reader, whose schema copies no column.

        Raises:
          InputError: see `survey.survey`.
        """
        schema = reader.schema
        tables = {f.name: _numbered() for f in schema.categorical if f.encoding == "vocabulary"}
        ready = tuple(f for f in schema.categorical if f.name not in tables)
        # Ids that need no statistics are computed at once: their values may be too many to keep.
        encoders = {feature.name: Encoder(Schema((feature,))) for feature in ready}
        pieces: dict[str, list[npt.NDArray[Any]]] = {}

        def add(chunk: Mapping[str, Any]) -> None:
            """Keeps the good rows of a chunk of the survey."""
            columns = {f"{_ROW}{name}": chunk["good"][name] for name in _KEPT if name in chunk["good"]}
            features = chunk["features"]
            columns |= {number.name: features[number.name] for number in schema.numeric}
            for name, table in tables.items():
                values = features[name].values.tolist()
                codes = np.fromiter(map(table.__getitem__, values), np.int32, len(values))
                columns[name] = codes[features[name].place]
            for feature in ready:
                distinct = features[feature.name]
                ids = _ids_of(encoders[feature.name], feature, tf.constant(distinct.values))
                columns[feature.name] = ids[distinct.place]
            for name, column in columns.items():
                pieces.setdefault(name, []).append(column)

        found = survey(reader, max_malformed, times=True, each=add)
        columns = {name: np.concatenate(arrays) for name, arrays in pieces.items()}
        return cls(schema, found, {name: list(table) for name, table in tables.items()}, columns)

    @classmethod
    def kept(cls, path: str, survey_path: str, reader: Reader, max_malformed: float) -> FirstPass:
        """What an earlier pass over the same files left at these paths, or a new pass, which leaves it there."""
        with made_once(path) as new:
            if new:
                made = cls.over(reader, max_malformed)
                made.survey.save(survey_path)
                made.save(path)
                return made
        found = Survey.load(survey_path)
        found.check(max_malformed)
        return cls.load(path, reader.schema, found)

    def save(self, path: str) -> None:
        """Writes the rows, whole or not at all, unless they take more than `MOST_BYTES`."""
        arrays: dict[str, Any] = {f"{_COLUMN}{name}": values for name, values in self._columns.items()}
        for name, values in self._tables.items():
            texts = [value for value in values if isinstance(value, bytes)]
            arrays[f"{_VALUES}{name}"] = np.frombuffer(b"".join(texts), np.uint8) if texts else np.array(values, int)
            if texts:  # NumPy's own texts lose zero bytes at their ends
                arrays[f"{_LENGTHS}{name}"] = np.array([len(text) for text in texts], np.int64)
        if sum(values.nbytes for values in arrays.values()) <= MOST_BYTES:
            with _files.whole_file(path) as beside:
                np.savez(beside, **arrays)

    @classmethod
    def load(cls, path: str, schema: Schema, survey: Survey) -> FirstPass:
        """Reads what `save` wrote; InputError where the file does not hold it."""
        try:
            with _files.reading(path) as stream, np.load(stream) as found:
                arrays = {name: found[name] for name in found.files}
            columns = {n.removeprefix(_COLUMN): values for n, values in arrays.items() if n.startswith(_COLUMN)}
            tables: dict[str, list[Value]] = {}
            for feature in (each for each in schema.categorical if each.encoding == "vocabulary"):
                values = arrays[f"{_VALUES}{feature.name}"]
                if (lengths := arrays.get(f"{_LENGTHS}{feature.name}")) is None:
                    tables[feature.name] = values.tolist()
                    continue
                joined, ends = values.tobytes(), [0, *np.cumsum(lengths).tolist()]
                tables[feature.name] = [joined[start:end] for start, end in itertools.pairwise(ends)]
            wanted = {f"{_ROW}label", *(feature.name for feature in schema.features)}
            if not wanted <= columns.keys() or {values.shape[0] for values in columns.values()} != {survey.good}:
                raise ValueError("not all rows are there")
            return cls(schema, survey, tables, columns)
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{path} does not hold the rows of the data: delete it, and it is made again") from error

    def _chunks(self) -> list[slice]:
        """The good rows of each chunk of the files."""
        bounds = [*self.survey.start_row.tolist(), self.survey.good]
        return [slice(start, stop) for start, stop in itertools.pairwise(bounds) if stop > start]

    def statistics(self, trained: npt.NDArray[np.bool_]) -> Statistics:
        """What `feature_statistics.collect` finds in the rows, in reading order, for which `trained` is true."""

        def counts(name: str, table: Sequence[Value]) -> dict[Value, int]:
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
                values = self._tables[feature.name]
                known = tf.constant(values, tf.as_dtype(feature.dtype), shape=[len(values)])
                column = _ids_of(encoder, feature, known)[column]
            features[feature.name] = column
        ordered = {feature.name: features[feature.name] for feature in self.schema.features}
        kept = {name: self._columns[f"{_ROW}{name}"] for name in _KEPT if f"{_ROW}{name}" in self._columns}
        return {"features": ordered} | kept

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


def _numbered() -> collections.defaultdict[Value, int]:
    """A dictionary that gives each value the next number when it is first asked for it, without a step in Python."""
    table: collections.defaultdict[Value, int] = collections.defaultdict()
    table.default_factory = table.__len__
    return table


def _ids_of(encoder: Encoder, feature: Categorical, values: Any) -> npt.NDArray[np.int64]:
    """The id of each value [n] of a feature."""
    ids = encoder.ids(feature, values[:, None] if feature.multi_valued else values).numpy()
    return np.asarray(ids).reshape(-1)
