"""Parquet files as chunks of raw rows, through pyarrow: on the machine itself, for remote workers convert them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from smooth_recs.data import arrow
from smooth_recs.data.chunking import CHUNK_ROWS
from smooth_recs.data.raw_rows import GOOD, assemble
from smooth_recs.data.schema import Schema
from smooth_recs.data.tuning import untuned
from smooth_recs.errors import InputError

_TENSOR_TYPES = {pa.binary(): tf.string, pa.int64(): tf.int64, pa.float64(): tf.float64}


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
        signature = (
            {name: self._spec(name) for name in self.schema.columns},
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([None], tf.int64),
        )
        columns = tf.data.Dataset.from_generator(lambda: self._chunks(file, line), output_signature=signature)
        return untuned(columns).map(self._assemble, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def _spec(self, name: str) -> tuple[tf.TensorSpec, tf.TensorSpec]:
        shape = [None, self._multi_valued[name].max_values] if name in self._multi_valued else [None]
        return tf.TensorSpec(shape, _TENSOR_TYPES[self._types[name]]), tf.TensorSpec(shape, tf.bool)

    @tf.autograph.experimental.do_not_convert
    def _assemble(self, columns: Any, file: Any, line: Any) -> dict[str, Any]:
        return assemble(self.schema, columns, tf.fill(tf.shape(line), GOOD), file, line)

    def _chunks(self, file: int, line: int) -> Iterator[Any]:
        for number in range(file, len(self.files)):
            for first, batch in batches(self.files[number], self.schema, line if number == file else 1):
                columns = {name: self._tensors(name, batch.column(name)) for name in self.schema.columns}
                yield columns, number, np.arange(first, first + batch.num_rows)

    def _tensors(self, name: str, column: Any) -> tuple[np.ndarray, np.ndarray]:
        feature = self._multi_valued.get(name)
        if feature is None:
            return arrow.dense(arrow.natural(column))
        lists = column if arrow.is_list(column.type) else arrow.split_lists(column, feature.separator)
        return arrow.padded(lists, feature.max_values)


def batches(file: str, schema: Schema, line: int = 1) -> Iterator[tuple[int, Any]]:
    """(number of its first row, record batch) from the batch that starts at row `line`; none spans two row groups."""
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
    types: dict[str, Any] = {}
    for file in files:
        found = _arrow_schema(file)
        for name in schema.columns:
            if name not in found.names:
                raise InputError(f"data.path: the column {name!r} is not in {file}, which has {', '.join(found.names)}")
            kind = arrow.natural_type(found.field(name).type)
            if types.setdefault(name, kind) != kind:
                raise InputError(
                    f"data.path: the column {name!r} must hold {types[name]} as before, got {kind} in {file}"
                )
            several = any(feature.name == name and feature.multi_valued for feature in schema.categorical)
            if arrow.is_list(found.field(name).type) and not several:
                raise InputError(f"data.path: the column {name!r} must hold single values, got lists in {file}")
    return types


def _arrow_schema(file: str) -> Any:
    try:
        return pq.read_schema(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"data.path: {file} is no Parquet file: {str(error).splitlines()[0]}") from error
