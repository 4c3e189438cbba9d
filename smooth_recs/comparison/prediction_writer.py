"""Writes what `prediction_files` reads: a row for each prediction, in a CSV, TFRecord or Parquet file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import tensorflow as tf

from smooth_recs._files import whole_file

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
