"""Parquet files as chunks of raw rows, through pyarrow, and as TFRecord files for machines without it.

pyarrow runs in Python, so these files are read on the machine itself; for the remote workers of a cluster,
`parquet_to_tfrecord` converts them. Arrow columns of any type become one of three: bytes, int64 or float64, alone or in
lists.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tensorflow as tf

from smooth_recs.data.files import untuned
from smooth_recs.data.raw_rows import CHUNK_ROWS, GOOD, assemble
from smooth_recs.errors import InputError
from smooth_recs.schema import Schema

_TENSOR_TYPES = {pa.binary(): tf.string, pa.int64(): tf.int64, pa.float64(): tf.float64}


def is_list(kind: Any) -> bool:
    """True for the Arrow types of lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def natural_type(kind: Any) -> Any:
    """The Arrow type that `natural` gives a column of that type, or the items of a column of lists.

    Raises:
      InputError: the column holds neither numbers nor texts nor times.
    """
    types = pa.types
    if is_list(kind) or types.is_dictionary(kind):
        return natural_type(kind.value_type)
    if types.is_integer(kind) or types.is_boolean(kind):
        return pa.int64()
    if types.is_floating(kind) or types.is_decimal(kind) or types.is_date(kind) or types.is_timestamp(kind):
        return pa.float64()
    # Texts by their names, because pyarrow has more types of them (large_string, string_view, ...) than predicates that
    # every version knows.
    if types.is_null(kind) or any(name in str(kind) for name in ("string", "binary")):
        return pa.binary()
    raise InputError(f"data.path: a column must hold numbers, texts, times or lists of them, got {kind}")


def natural(array: Any) -> Any:
    """The array as bytes, int64 or float64; a date or time as seconds since 1970; unsigned integers keep their bits."""
    target = natural_type(array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("s"))  # a date counts days or milliseconds, by its type
    if pa.types.is_timestamp(array.type):
        microseconds = array.cast(pa.timestamp("us", array.type.tz), safe=False).cast(pa.int64())
        return pc.divide(microseconds.cast(target), 1e6)
    return array.cast(target, safe=False)


def dense(array: Any) -> tuple[np.ndarray, np.ndarray]:
    """NumPy values [n] of a natural array, and the mask of those that are not null."""
    # Nulls are filled first: Arrow would make floats of integers with nulls, and lose those beyond 2^53.
    zero = b"" if pa.types.is_binary(array.type) else 0
    values = array.fill_null(zero).to_numpy(zero_copy_only=False)
    return values, array.is_valid().to_numpy(zero_copy_only=False)


def padded(column: Any, width: int, separator: str) -> tuple[np.ndarray, np.ndarray]:
    """Values [n, width] of a column of lists, or of texts that are split, and the mask of those that are there.

    Further values of a row are dropped.
    """
    lists = column
    if not is_list(column.type):
        texts = natural(column).to_pylist()
        split = [None if text is None else text.split(separator.encode()) for text in texts]
        lists = pa.array(split, pa.list_(pa.binary()))
    count = np.asarray(pc.list_value_length(lists).fill_null(0))
    flat, valid = dense(natural(pc.list_flatten(lists)))
    row = np.repeat(np.arange(count.size), count)
    position = np.arange(flat.size) - np.repeat(np.cumsum(count) - count, count)
    kept = position < width
    values = np.full((count.size, width), b"" if flat.dtype == object else 0, flat.dtype)
    present = np.zeros(values.shape, bool)
    values[row[kept], position[kept]] = flat[kept]
    present[row[kept], position[kept]] = valid[kept]
    return values, present


class ParquetReader:
    """Reads Parquet files; a multi-valued feature is a column of lists, or of texts with its separator.

    `line` counts rows from 1. Nulls are missing values; dates and times are seconds since 1970.

    Args:
      files: paths on this machine, read in this order.
      schema: the columns to read; no other is decoded.

    Raises:
      InputError: a file is no Parquet file, or a column is not in it or has an unsuitable type.
    """

    def __init__(self, files: Sequence[str], schema: Schema) -> None:
        self.files, self.schema = tuple(files), schema
        self._multi_valued = {feature.name: feature for feature in schema.categorical if feature.multi_valued}
        self._types = _column_types(self.files, schema)

    def read(self, file: int = 0, line: int = 1) -> Any:
        """A dataset of chunks (see `raw_rows`) from that row of that file on."""
        specs = {}
        for name, kind in self._types.items():
            shape = [None, self._multi_valued[name].max_values] if name in self._multi_valued else [None]
            specs[name] = tf.TensorSpec(shape, _TENSOR_TYPES[kind]), tf.TensorSpec(shape, tf.bool)

        def columns() -> Iterator[Any]:
            for number in range(file, len(self.files)):
                for first, batch in batches(self.files[number], self.schema, line if number == file else 1):
                    found = {}
                    for name in self.schema.columns:
                        column, feature = batch.column(name), self._multi_valued.get(name)
                        found[name] = (
                            padded(column, feature.max_values, feature.separator) if feature else dense(natural(column))
                        )
                    yield found, number, np.arange(first, first + batch.num_rows)

        @tf.autograph.experimental.do_not_convert
        def chunk(columns: Any, file: Any, line: Any) -> dict[str, Any]:
            return assemble(self.schema, columns, tf.fill(tf.shape(line), GOOD), file, line)

        signature = (specs, tf.TensorSpec([], tf.int32), tf.TensorSpec([None], tf.int64))
        dataset = untuned(tf.data.Dataset.from_generator(columns, output_signature=signature))
        return dataset.map(chunk, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def batches(file: str, schema: Schema, line: int = 1) -> Iterator[tuple[int, Any]]:
    """(number of its first row, record batch) from the batch that starts at row `line`; none spans two row groups."""
    # Row groups are read one by one, so that those before the line are skipped without decoding them, and a chunk that
    # starts there is the same as in a pass from the first line.
    parquet, first = pq.ParquetFile(file), 1
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if first + rows <= line:
            first += rows
            continue
        for batch in parquet.iter_batches(CHUNK_ROWS, row_groups=[group], columns=list(schema.columns)):
            if first >= line:
                yield first, batch
            first += batch.num_rows


def _column_types(files: Sequence[str], schema: Schema) -> dict[str, Any]:
    """The natural type of every column of the schema, the same in all files."""
    several = {feature.name for feature in schema.categorical if feature.multi_valued}
    types: dict[str, Any] = {}
    for file in files:
        try:
            found = pq.read_schema(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"data.path: {file} is no Parquet file: {str(error).splitlines()[0]}") from error
        for name in schema.columns:
            if name not in found.names:
                raise InputError(f"data.path: the column {name!r} is not in {file}, which has {', '.join(found.names)}")
            kind = natural_type(found.field(name).type)
            if types.setdefault(name, kind) != kind:
                raise InputError(
                    f"data.path: the column {name!r} must hold {types[name]} as before, got {kind} in {file}"
                )
            if is_list(found.field(name).type) and name not in several:
                raise InputError(f"data.path: the column {name!r} must hold single values, got lists in {file}")
    return types


def parquet_to_tfrecord(files: Sequence[str], schema: Schema, output_dir: str) -> tuple[str, ...]:
    """Writes one gzip TFRecord file for each Parquet file, with the columns of the schema; a null is left out.

    Args:
      files: paths of Parquet files.
      schema: the columns to convert.
      output_dir: a folder, made where it is missing.

    Returns:
      The paths `part-00000.tfrecord.gz` and so on, in the order of `files`.

    Raises:
      InputError: a file is no Parquet file, or a column is not in it or has an unsuitable type.
    """
    ParquetReader(files, schema)  # refuses unsuitable files before anything is written
    tf.io.gfile.makedirs(output_dir)
    written = []
    for number, file in enumerate(files):
        path = os.path.join(output_dir, f"part-{number:05d}.tfrecord.gz")
        with tf.io.TFRecordWriter(f"{path}.incomplete", "GZIP") as writer:
            for example in _examples(file, schema):
                writer.write(example.SerializeToString())
        # Whoever looks for *.tfrecord.gz never meets half a file.
        tf.io.gfile.rename(f"{path}.incomplete", path, overwrite=True)
        written.append(path)
    return tuple(written)


def _examples(file: str, schema: Schema) -> Iterator[Any]:
    """The rows of a Parquet file as tf.Examples; a feature has the values that are not null."""
    multi_valued = {feature.name: feature for feature in schema.categorical if feature.multi_valued}
    numbers = {feature.name for feature in schema.numeric} | {schema.label, schema.weight}
    for _, batch in batches(file, schema):
        columns: dict[str, list[list[Any]]] = {}
        for name in schema.columns:
            if feature := multi_valued.get(name):
                pairs = zip(*padded(batch.column(name), feature.max_values, feature.separator), strict=True)
                columns[name] = [row[present].tolist() for row, present in pairs]
            else:
                columns[name] = [[] if one is None else [one] for one in natural(batch.column(name)).to_pylist()]
        for row in range(batch.num_rows):
            values = {name: column[row] for name, column in columns.items() if column[row]}
            features = {name: _feature(several, as_text=name not in numbers) for name, several in values.items()}
            yield tf.train.Example(features=tf.train.Features(feature=features))


def _feature(values: Sequence[Any], *, as_text: bool) -> Any:
    """One feature of a tf.Example, whose floats have 32 bits: ids and times in a column of floats become texts."""
    if isinstance(values[0], float) and as_text:
        values = [(f"{value:.0f}" if value.is_integer() else repr(value)).encode() for value in values]
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
