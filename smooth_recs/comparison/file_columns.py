"""The columns of CSV, TFRecord and Parquet files as Arrow arrays of bytes, int64 or float64."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import tensorflow as tf

from smooth_recs.data import arrow
from smooth_recs.data.files import compression
from smooth_recs.data.readers import without_places
from smooth_recs.errors import InputError

_BATCH, _PEEK_RECORDS = 8192, 1000
_KINDS = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}


def names(path: str) -> list[str]:
    """The columns of the file; of a TFRecord file, those of its first 1,000 records.

    Raises:
      InputError: the file is empty, damaged or not what its name says.
    """
    if ".tfrecord" in path:
        return list(_kinds(path))
    try:
        if path.endswith(".parquet"):
            return list(pa.parquet.read_schema(path).names)
        with pa.csv.open_csv(path) as stream:
            return list(stream.schema.names)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def read(path: str, wanted: Sequence[str]) -> dict[str, Any]:
    """The wanted columns, each of which `names` has: texts as they stand, nulls for absent values.

    Raises:
      InputError: the file is damaged, or a column holds neither numbers nor texts nor times.
    """
    if ".tfrecord" in path:
        return _tfrecord(path, wanted)
    try:
        table = _table(path, wanted)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    return {name: _natural(path, name, table.column(name)) for name in wanted}


def _table(path: str, wanted: Sequence[str]) -> Any:
    if path.endswith(".parquet"):
        return pa.parquet.read_table(path, columns=list(wanted))
    texts = pa.csv.ConvertOptions(include_columns=list(wanted), column_types=dict.fromkeys(wanted, pa.string()))
    return pa.csv.read_csv(path, parse_options=pa.csv.ParseOptions(newlines_in_values=True), convert_options=texts)


def _natural(path: str, name: str, column: Any) -> Any:
    kind = column.type
    try:
        if arrow.is_list(kind):
            raise InputError("lists")
        arrow.natural_type(kind)
    except InputError:
        raise InputError(f"{path}: the column {name!r} must hold single numbers, texts or times, got {kind}") from None
    array = column.combine_chunks()
    return arrow.natural(pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array)


def _kinds(path: str) -> dict[str, Any]:
    """The type of each column, as the first record that has it holds it."""
    kinds: dict[str, Any] = {}
    try:
        for record in itertools.islice(_records(path).as_numpy_iterator(), _PEEK_RECORDS):
            for name, feature in tf.train.Example.FromString(record).features.feature.items():
                if feature.WhichOneof("kind"):
                    kinds.setdefault(name, _KINDS[feature.WhichOneof("kind")])
    except Exception as error:  # of TensorFlow, or protobuf's DecodeError
        raise _damaged(path, error) from error
    return kinds


def _tfrecord(path: str, wanted: Sequence[str]) -> dict[str, Any]:
    kinds = _kinds(path)
    spec = {name: tf.io.RaggedFeature(kinds[name]) for name in wanted}
    parts: dict[str, list[Any]] = {name: [] for name in wanted}
    batches = _records(path).batch(_BATCH).map(lambda records: tf.io.parse_example(records, spec))
    try:
        for number, batch in enumerate(batches):
            for name, ragged in batch.items():
                parts[name].append(_single(path, name, ragged, number * _BATCH))
    except tf.errors.OpError as error:
        raise _damaged(path, error) from error
    return {name: pa.concat_arrays(part) if part else pa.array([], pa.float64()) for name, part in parts.items()}


def _single(path: str, name: str, ragged: Any, first: int) -> Any:
    """The one value of each record, or null."""
    lengths = ragged.row_lengths().numpy()
    if (lengths > 1).any():
        row = int(np.argmax(lengths > 1))
        raise InputError(f"{path}: {name} must be one value a row, got {lengths[row]} in row {first + row}")
    column = ragged.to_tensor(shape=[None, 1])[:, 0].numpy()
    return arrow.natural(pa.array(column, mask=lengths == 0))


def _records(path: str) -> Any:
    return tf.data.TFRecordDataset(path, compression(path))


def _damaged(path: str, error: Exception) -> InputError:
    said = without_places(error) if isinstance(error, tf.errors.OpError) else " ".join(str(error).split())
    return InputError(f"{path} cannot be read: {said[:200]}")
