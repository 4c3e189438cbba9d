"""TFRecord files of tf.Example as chunks of raw rows, in TensorFlow operations only."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from smooth_recs import extras
from smooth_recs.config import MISSING
from smooth_recs.data.files import compression
from smooth_recs.data.raw_rows import (
    GOOD,
    UNREADABLE,
    WRONG_FIELDS,
    Column,
    assemble,
    column_position,
    lines,
    read_chunks,
    without_places,
)
from smooth_recs.errors import InputError
from smooth_recs.schema import Schema

_PEEK_RECORDS = 1000
_KINDS = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}


class TFRecordReader:
    """Reads records of tf.Example, plain or gzip; `line` counts records from 1.

    Whether a column holds bytes, floats or integers is seen in the first 1,000 records; `values` says what they mean. A
    feature that is not in a record, or is empty there, is missing. `raw_rows.column_position` finds the columns.

    Args:
      files: paths, read in this order.
      schema: the columns to read; no other is parsed.
      missing: texts that mean that there is no value.

    Raises:
      InputError: a column is in none of the first 1,000 records.
    """

    def __init__(self, files: Sequence[str], schema: Schema, *, missing: Sequence[str] = MISSING) -> None:
        self.files, self.schema, self._missing = tuple(files), schema, tuple(missing)
        self._widths = {f.source_column: f.max_values for f in schema.categorical if f.multi_valued}
        kinds = _column_kinds(self.files, schema)
        self._spec = {name: tf.io.RaggedFeature(dtype, value_key=stored) for name, (stored, dtype) in kinds.items()}
        self.copied_types: dict[str, Any] = {}
        if schema.copied:
            with extras.needed("parquet"):
                import pyarrow as pa
            self.copied_types = {name: pa.int64() for name in schema.copied if kinds[name][1] == tf.int64}
        self._parsed = tf.function(self._parse, autograph=False)  # a run reads many times, and is traced once

    def read(self, file: int = 0, line: int = 1) -> Any:
        """A dataset of chunks (see `raw_rows`) from that record of that file on."""
        chunks = read_chunks(tf.data.TFRecordDataset, self.files, file, line)
        return chunks.map(self._parsed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    @tf.autograph.experimental.do_not_convert
    def _parse(self, records: Any, file: Any, first: Any) -> dict[str, Any]:
        """A chunk from serialized records.

        tf.io.parse_example fails the whole batch on one bad record (TensorFlow 2.21). Within a graph only a dataset's
        `ignore_errors` catches that: so a dataset of one element parses the whole batch, and only where it comes out
        empty does a second one look for the bad records one by one.
        """
        chunk = tf.data.Dataset.from_tensors(records)
        whole = chunk.map(lambda r: (tf.ones_like(r, tf.bool), *self._dense(r))).ignore_errors()
        repaired = chunk.map(self._repaired)
        readable, columns, single = whole.concatenate(repaired).take(1).get_single_element()
        problem = tf.where(readable, tf.where(single, GOOD, WRONG_FIELDS), UNREADABLE)
        return assemble(self.schema, columns, problem, file, lines(first, records), missing=self._missing)

    @tf.autograph.experimental.do_not_convert
    def _repaired(self, records: Any) -> tuple[Any, Any, Any]:
        """Which records parse, then what `_dense` makes of the chunk with empty records in place of the others."""
        size = tf.size(records, tf.int64)

        def place(index: Any, record: Any) -> Any:
            """The number of the record, or an error."""
            some_column, *_ = tf.io.parse_example(record[tf.newaxis], self._spec).values()
            # The result must depend on what was parsed: tf.data's optimizer removes a mere control dependency.
            return tf.where(some_column.row_lengths()[0] >= 0, index, size)

        places = tf.data.Dataset.from_tensor_slices(records).enumerate().map(place).ignore_errors()
        readable = places.reduce(tf.zeros([size], tf.bool), lambda found, index: found | (tf.range(size) == index))
        return (readable, *self._dense(tf.where(readable, records, "")))

    def _dense(self, records: Any) -> tuple[dict[str, Column], Any]:
        """The columns, and which records have at most one value in every single-valued one."""
        columns, single = {}, tf.ones_like(records, tf.bool)
        for name, ragged in tf.io.parse_example(records, self._spec).items():
            count, width = ragged.row_lengths(), self._widths.get(name, 1)
            values = ragged.to_tensor(shape=[None, width])
            present = tf.sequence_mask(tf.minimum(count, width), width)
            columns[name] = (values, present) if name in self._widths else (values[:, 0], present[:, 0])
            if name not in self._widths:
                single &= count <= 1
        return columns, single


def _column_kinds(files: Sequence[str], schema: Schema) -> dict[str, tuple[str, tf.DType]]:
    """The name in the records and the type of every column of the schema, as the first records have it."""
    kinds = column_kinds(files, schema.columns)
    names, found = sorted(kinds), {}
    for wanted in schema.columns:
        try:
            stored = names[column_position(names, wanted, files[0])]
        except InputError as error:
            where = f"the column {wanted!r} is in none of the first {_PEEK_RECORDS:,} records ({files[0]} is first)"
            raise InputError(f"data.path: {where}, which have {', '.join(names)}") from error
        found[wanted] = stored, kinds[stored]
    return found


def column_kinds(files: Sequence[str], enough: Collection[str] = ()) -> dict[str, tf.DType]:
    """The type of every column in the first records, or in as many as it takes to find those that are `enough`."""
    kinds: dict[str, tf.DType] = {}
    for record in itertools.islice(_records(files), _PEEK_RECORDS):
        try:
            features = tf.train.Example.FromString(record).features.feature
        except DecodeError:  # the survey counts it as malformed
            continue
        for name, feature in features.items():
            if kind := feature.WhichOneof("kind"):
                kinds.setdefault(name, _KINDS[kind])
        if enough and kinds.keys() >= set(enough):
            break
    return kinds


def most_values(files: Sequence[str]) -> dict[str, int]:
    """How many values of every column a record has at most, of the first records."""
    most: dict[str, int] = {}
    for record in itertools.islice(_records(files), _PEEK_RECORDS):
        with contextlib.suppress(DecodeError):
            for name, feature in tf.train.Example.FromString(record).features.feature.items():
                if kind := feature.WhichOneof("kind"):
                    most[name] = max(most.get(name, 0), len(getattr(feature, kind).value))
    return most


def _records(files: Sequence[str]) -> Iterator[bytes]:
    for file in files:
        try:
            yield from tf.data.TFRecordDataset(file, compression(file)).as_numpy_iterator()
        except tf.errors.DataLossError as error:
            raise InputError(f"data.path: {file} is no TFRecord file: {without_places(error)}") from error
