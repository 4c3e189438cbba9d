"""The columns of CSV, TFRecord and Parquet files as Arrow arrays of bytes, int64 or float64.

Writes what `prediction_files` reads: a row for each prediction, in a CSV, TFRecord or Parquet file.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import tensorflow as tf

from smooth_recs._files import whole_file
from smooth_recs.data.files import compression
from smooth_recs.data.raw_rows import without_places
from smooth_recs.data.readers import parquet
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
        table = _read_table(path, wanted)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    return {name: _natural(path, name, table.column(name)) for name in wanted}


def _read_table(path: str, wanted: Sequence[str]) -> Any:
    if path.endswith(".parquet"):
        return pa.parquet.read_table(path, columns=list(wanted))
    texts = pa.csv.ConvertOptions(include_columns=list(wanted), column_types=dict.fromkeys(wanted, pa.string()))
    return pa.csv.read_csv(path, parse_options=pa.csv.ParseOptions(newlines_in_values=True), convert_options=texts)


def _natural(path: str, name: str, column: Any) -> Any:
    kind = column.type
    try:
        if parquet.is_list(kind):
            raise InputError("lists")
        parquet.natural_type(kind)
    except InputError:
        raise InputError(f"{path}: the column {name!r} must hold single numbers, texts or times, got {kind}") from None
    array = column.combine_chunks()
    return parquet.natural(pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array)


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
    return parquet.natural(pa.array(column, mask=lengths == 0))


def _records(path: str) -> Any:
    return tf.data.TFRecordDataset(path, compression(path))


def _damaged(path: str, error: Exception) -> InputError:
    said = without_places(error) if isinstance(error, tf.errors.OpError) else " ".join(str(error).split())
    return InputError(f"{path} cannot be read: {said[:200]}")


Columns = dict[str, npt.NDArray[Any]]
Write = Callable[[Columns], None]


@contextlib.contextmanager
def writing(path: str) -> Iterator[Write]:
    """What takes the columns of one batch after the other; the file is there whole at the end, after an error not.

    Numbers are stored as int64 or float64, in TFRecords as float. Texts are bytes in TFRecords; elsewhere bytes that
    are not UTF-8 become escapes such as \\xff.

    Args:
      path: ends in one of `artifacts.PREDICTION_FILES`.
    """
    with whole_file(path) as beside, contextlib.ExitStack() as stack:
        if path.endswith((".tfrecord", ".tfrecord.gz")):
            options = "GZIP" if path.endswith(".gz") else ""
            records = stack.enter_context(tf.io.TFRecordWriter(beside, options))
            yield lambda columns: _write_records(records, columns)
            return
        tables: list[Any] = []  # the writer, which wants to know the columns first

        def write(columns: Columns) -> None:
            table = _table(columns)
            if not tables:
                tables.append(stack.enter_context(_table_writer(path, beside, table.schema, stack)))
            tables[0].write_table(table)

        yield write


def _table_writer(path: str, beside: str, schema: Any, stack: contextlib.ExitStack) -> Any:
    if path.endswith(".parquet"):
        return pa.parquet.ParquetWriter(beside, schema)
    compression = "gzip" if path.endswith(".gz") else None
    stream = stack.enter_context(pa.output_stream(beside, compression=compression))
    return pa.csv.CSVWriter(stream, schema)


def _table(columns: Columns) -> Any:
    return pa.table({name: _plain(values) for name, values in columns.items()})


def _plain(values: npt.NDArray[Any]) -> Any:
    if values.dtype == object:
        return pa.array([text.decode("utf-8", "backslashreplace") for text in values.tolist()], pa.string())
    return values.astype(np.int64 if values.dtype.kind == "i" else np.float64)


def _write_records(records: Any, columns: Columns) -> None:
    features = [[_feature(value) for value in values.tolist()] for values in columns.values()]
    for row in zip(*features, strict=True):
        named = dict(zip(columns, row, strict=True))
        records.write(tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString())


def _feature(value: Any) -> tf.train.Feature:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
