"""Parquet files as chunks of raw rows, through pyarrow, and as TFRecord files for machines without it.

pyarrow runs in Python, so these files are read on the machine itself; for the remote workers of a cluster,
`parquet_to_tfrecord` converts them. An Arrow column of any type is of one of a few kinds, alone or in lists. Files of
one log may hold a column in different types: it is read as the kind that holds the values of all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import _files, extras
from smooth_recs.config import MISSING
from smooth_recs.data.files import untuned
from smooth_recs.data.raw_rows import CHUNK_ROWS, COPIED, FIRST_COLUMN, GOOD, assemble, column_position
from smooth_recs.data.values import split_values
from smooth_recs.errors import InputError
from smooth_recs.schema import Schema

with extras.needed("parquet"):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

_TENSOR_TYPES = {pa.binary(): tf.string, pa.int64(): tf.int64, pa.float32(): tf.float32, pa.float64(): tf.float64}
# What a column holds, and the Arrow type in which that is exact. Integers that int64 does not hold and decimals are
# texts of digits.
NULL, INTEGER, FLOAT, DOUBLE, NUMBER, TEXT, TIME = "null", "integer", "float", "double", "number", "text", "time"
_NATURAL = {INTEGER: pa.int64(), FLOAT: pa.float32(), DOUBLE: pa.float64(), TIME: pa.float64()}
_NUMERIC = (INTEGER, FLOAT, DOUBLE, NUMBER)


def is_list(kind: Any) -> bool:
    """True for the Arrow types of lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def kind_of(dtype: Any) -> str:
    """What a column of that Arrow type holds, or the items of a column of lists.

    Raises:
      InputError: the column holds neither numbers nor texts nor times.
    """
    types = pa.types
    if is_list(dtype) or types.is_dictionary(dtype):
        return kind_of(dtype.value_type)
    if types.is_null(dtype):
        return NULL
    if types.is_decimal(dtype) or types.is_uint64(dtype):
        return NUMBER
    if types.is_integer(dtype) or types.is_boolean(dtype):
        return INTEGER
    if types.is_floating(dtype):
        return DOUBLE if types.is_float64(dtype) else FLOAT
    if types.is_date(dtype) or types.is_timestamp(dtype):
        return TIME
    # Texts by their names, because pyarrow has more types of them (large_string, string_view, ...) than predicates that
    # every version knows.
    if not types.is_nested(dtype) and any(name in str(dtype) for name in ("string", "binary")):
        return TEXT
    raise InputError(f"data.path: a column must hold numbers, texts, times or lists of them, got {dtype}")


def column_names(files: Sequence[str]) -> list[str]:
    """The columns that all files have.

    Raises:
      InputError: a file is no Parquet file.
    """
    found = [schema_of(file).names for file in files]
    return [name for name in found[0] if all(name in names for names in found)]


def schema_of(file: str) -> Any:
    """The Arrow schema of a file; InputError where it is no Parquet file."""
    try:
        return pq.read_schema(_files.source(file))
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"data.path: {file} is no Parquet file: {str(error).splitlines()[0]}") from error


def promoted(one: str, other: str) -> str | None:
    """The kind that holds what both kinds hold; None for a text and a number, or a time and another one."""
    if one == other or other == NULL:
        return one
    if one == NULL:
        return other
    if {one, other} == {FLOAT, DOUBLE}:
        return DOUBLE
    return NUMBER if one in _NUMERIC and other in _NUMERIC else None


def natural(array: Any, dtype: Any = None) -> Any:
    """The array as bytes, int64, float32 or float64; a date or time as seconds since 1970.

    Args:
      array: of any kind.
      dtype: one of these Arrow types, or None for that in which the array is exact.
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = kind_of(array.type)
    dtype = dtype or _NATURAL.get(kind, pa.binary())
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("s"))  # a date counts days or milliseconds, by its type
    if pa.types.is_timestamp(array.type):
        microseconds = array.cast(pa.timestamp("us", array.type.tz), safe=False).cast(pa.int64())
        return pc.divide(microseconds.cast(pa.float64()), 1e6)
    if kind in _NUMERIC and pa.types.is_binary(dtype):
        if kind in (FLOAT, DOUBLE):
            floats = array.fill_null(np.nan).to_numpy(zero_copy_only=False)
            return pa.array([None if np.isnan(each) else _text_of(each) for each in floats], pa.binary())
        return (array.cast(pa.int64()) if kind == INTEGER else array).cast(pa.string()).cast(pa.binary())
    return array.cast(dtype, safe=False)


def exact_texts(array: Any) -> Any:
    """The values of an array as texts from which they can be read again: digits, ISO 8601 dates and times."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = kind_of(array.type)
    if kind in (NULL, TEXT):
        return array.cast(pa.binary())
    texts = array.cast(pa.string())
    if pa.types.is_timestamp(array.type):  # as many digits as its unit has: 12:00:00.000000
        texts = pc.replace_substring_regex(texts, r"(:\d\d(?:\.\d*[1-9])?)\.?0*(Z|[-+]\d{4})?$", r"\1\2")
    return texts.cast(pa.binary())


def _text_of(value: np.floating) -> bytes:
    """The shortest text of a float, which has no point where the float is whole."""
    return (f"{value:.0f}" if value == np.floor(value) else str(value)).encode()


def inexact(array: Any) -> np.ndarray:
    """True for the floats of an array that may stand for several integers, which were rounded to it."""
    digits = {pa.float16(): 11, pa.float32(): 24}.get(array.type, 53)
    values = np.abs(array.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False))
    return (values >= 2.0**digits) & (values == np.floor(values))


def dense(array: Any) -> tuple[np.ndarray, np.ndarray]:
    """NumPy values [n] of a natural array, and the mask of those that are not null."""
    # Nulls are filled first: Arrow would make floats of integers with nulls, and lose those beyond 2^53.
    zero = b"" if pa.types.is_binary(array.type) else 0
    values = array.fill_null(zero).to_numpy(zero_copy_only=False)
    return values, array.is_valid().to_numpy(zero_copy_only=False)


def padded(column: Any, width: int, separator: str, dtype: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Values [n, width] of a column of lists, or of texts that are split, and the mask of those that are there.

    Further values of a row are dropped.
    """
    if not is_list(column.type):
        values, present = dense(natural(column, dtype))
        if kind_of(column.type) == TEXT:
            texts = split_values(tf.constant(values, tf.string), separator, width).numpy()
            return texts, texts != b""
        flat, valid, count = values, present, np.ones(len(column), np.int64)
    else:
        count = np.asarray(pc.list_value_length(column).fill_null(0))
        flat, valid = dense(natural(pc.list_flatten(column), dtype))
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

    `line` counts rows from 1. Nulls are missing values; dates and times are seconds since 1970; `values` says what the
    rest means. `raw_rows.column_position` finds the columns of the schema in each file.

    Args:
      files: paths on this machine, read in this order.
      schema: the columns to read; no other is decoded.
      missing: texts that mean, like a null, that there is no value.

    Attributes:
      identifiers: the columns whose numbers name something, so that each digit counts.

    Raises:
      InputError: a file is no Parquet file, or a column is not in it or has an unsuitable type.
    """

    def __init__(self, files: Sequence[str], schema: Schema, *, missing: Sequence[str] = MISSING) -> None:
        self.files, self.schema, self._missing = tuple(files), schema, tuple(missing)
        self._multi_valued = {f.source_column: f for f in schema.categorical if f.multi_valued}
        self.identifiers = {f.source_column for f in schema.categorical}
        self.identifiers |= {schema.query_id} if schema.query_id else set()
        self._stored, self._types = self._columns()
        self._assembled = tf.function(self._assemble, autograph=False)  # a run reads many times, and is traced once

    @property
    def copied_types(self) -> dict[str, Any]:
        """The Arrow types of the columns that are copied and not texts, where all files agree."""
        found = {}
        for name in self.schema.copied:
            types = {
                schema_of(file).field(stored[name]).type for file, stored in zip(self.files, self._stored, strict=True)
            }
            if len(types) == 1 and kind_of(dtype := types.pop()) not in (TEXT, NULL) and not is_list(dtype):
                found[name] = dtype
        return found

    def _columns(self) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """The name of every column of the schema in each file, and the Arrow type that it is read as in all."""
        stored: list[dict[str, str]] = []
        kinds: dict[str, str] = {}
        for file in self.files:
            found = schema_of(file)
            stored.append({name: found.names[column_position(found.names, name, file)] for name in self.schema.columns})
            for name, column in stored[-1].items():
                dtype = found.field(column).type
                kind = promoted(kinds.get(name, NULL), kind_of(dtype))
                if kind is None:
                    raise InputError(
                        f"data.path: the column {name!r} must hold what goes with {kinds[name]} as before, got {dtype} "
                        f"in {file}"
                    )
                kinds[name] = kind
                if is_list(dtype) and name not in self._multi_valued:
                    raise InputError(f"data.path: the column {name!r} must hold single values, got lists in {file}")
        # A number that is no identifier has 53 bits at most.
        types = {
            name: _NATURAL.get(DOUBLE if kind == NUMBER and name not in self.identifiers else kind, pa.binary())
            for name, kind in kinds.items()
        }
        return stored, types

    def read(self, file: int = 0, line: int = 1) -> Any:
        """A dataset of chunks (see `raw_rows`) from that row of that file on."""
        specs = {}
        for name, kind in self._types.items():
            shape = [None, self._multi_valued[name].max_values] if name in self._multi_valued else [None]
            specs[name] = tf.TensorSpec(shape, _TENSOR_TYPES[kind]), tf.TensorSpec(shape, tf.bool)
        for name in self.schema.copied:
            specs[COPIED + name] = tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.bool)

        def columns() -> Iterator[Any]:
            for number in range(file, len(self.files)):
                for first, found, problem in self.batches(number, line if number == file else 1):
                    yield found, problem, number, np.arange(first, first + problem.size)

        numbers = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32), tf.TensorSpec([None], tf.int64)
        dataset = untuned(tf.data.Dataset.from_generator(columns, output_signature=(specs, *numbers)))
        return dataset.map(self._assembled, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    @tf.autograph.experimental.do_not_convert
    def _assemble(self, columns: Any, problem: Any, file: Any, line: Any) -> dict[str, Any]:
        return assemble(self.schema, columns, problem, file, line, missing=self._missing)

    def batches(self, file: int, line: int = 1) -> Iterator[tuple[int, dict[str, Any], np.ndarray]]:
        """Batches of a file from the one that starts at row `line`; none spans two row groups.

        Yields:
          The number of its first row, values and mask of every column by name, and what is wrong with each row.
        """
        # Row groups are read one by one, so that those before the line are skipped without decoding them, and a chunk
        # that starts there is the same as in a pass from the first line.
        parquet, first, stored = pq.ParquetFile(_files.source(self.files[file])), 1, self._stored[file]
        for group in range(parquet.num_row_groups):
            rows = parquet.metadata.row_group(group).num_rows
            if first + rows <= line:
                first += rows
                continue
            for batch in parquet.iter_batches(CHUNK_ROWS, row_groups=[group], columns=list(stored.values())):
                if first >= line:
                    yield first, *self._converted({name: batch.column(column) for name, column in stored.items()})
                first += batch.num_rows

    def _converted(self, arrays: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
        """Values and mask of every column of a batch, and which rows hold a float that may be several identifiers.

        Floats that stay floats are looked at in `values`.
        """
        found, problem = {}, np.full(len(arrays[self.schema.columns[0]]), GOOD, np.int32)
        for number, (name, array) in enumerate(arrays.items(), start=FIRST_COLUMN):
            dtype, feature = self._types[name], self._multi_valued.get(name)
            if feature:
                found[name] = padded(array, feature.max_values, feature.separator, dtype)
            else:
                found[name] = dense(natural(array, dtype))
            if name in self.schema.copied:
                found[COPIED + name] = dense(exact_texts(array))
            if pa.types.is_binary(dtype) and kind_of(array.type) in (FLOAT, DOUBLE):
                large = inexact(pc.list_flatten(array) if is_list(array.type) else array)
                rows = pc.list_parent_indices(array).to_numpy()[large] if is_list(array.type) else large
                problem[rows] = np.where(problem[rows] == GOOD, number, problem[rows])
        return found, problem


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
    reader = ParquetReader(files, schema)  # refuses unsuitable files before anything is written
    written = []
    for number in range(len(files)):
        path = os.path.join(output_dir, f"part-{number:05d}.tfrecord.gz")
        with _files.whole_file(path) as beside, tf.io.TFRecordWriter(beside, "GZIP") as writer:
            for example in _examples(reader, number):
                writer.write(example.SerializeToString())
        written.append(path)
    return tuple(written)


def _examples(reader: ParquetReader, file: int) -> Iterator[Any]:
    """The rows of a Parquet file as tf.Examples; a feature has the values that are not null."""
    exact = {"float32": 2.0**24, "float64": 2.0**53}  # below, these types hold every integer
    schema = reader.schema
    numbers = {feature.source_column for feature in schema.numeric} | {*schema.labels, schema.weight}
    for _, found, problem in reader.batches(file):
        columns = {
            name: [row[there].tolist() for row, there in zip(values, present, strict=True)]
            if values.ndim == 2
            else [[value] if there else [] for value, there in zip(values.tolist(), present, strict=True)]
            for name, (values, present) in found.items()
        }
        for row, wrong in enumerate(problem):
            features = {}
            for name, column in columns.items():
                values = column[row]
                if (dtype := found[name][0].dtype).kind == "f" and name not in numbers:
                    if name in reader.identifiers:
                        wrong = wrong or any(each.is_integer() and abs(each) >= exact[dtype.name] for each in values)
                    # The floats of a tf.Example have 32 bits: ids and times become texts.
                    values = [_text_of(dtype.type(value)) for value in values if not np.isnan(value)]
                if values:
                    features[name] = _feature(values)
            # An id that a float does not hold stays malformed: a record without a label is.
            yield tf.train.Example(features=tf.train.Features(feature={} if wrong else features))


def _feature(values: Sequence[Any]) -> Any:
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
