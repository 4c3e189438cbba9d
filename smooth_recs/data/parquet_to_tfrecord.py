"""Parquet files as TFRecord files of tf.Example, which remote workers can read without pyarrow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs.data import arrow
from smooth_recs.data.parquet import ParquetReader, batches
from smooth_recs.data.schema import Schema


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
        tf.io.gfile.rename(f"{path}.incomplete", path, overwrite=True)
        written.append(path)
    return tuple(written)


def _examples(file: str, schema: Schema) -> Iterator[Any]:
    numbers = {feature.name for feature in schema.numeric} | {schema.label, schema.weight}
    for _, batch in batches(file, schema):
        columns = {name: _values(schema, name, batch.column(name)) for name in schema.columns}
        for row in range(batch.num_rows):
            values = {name: column[row] for name, column in columns.items() if column[row]}
            features = {name: _feature(several, as_text=name not in numbers) for name, several in values.items()}
            yield tf.train.Example(features=tf.train.Features(feature=features))


def _values(schema: Schema, name: str, column: Any) -> list[list[Any]]:
    """The values of every row that are not null."""
    multi_valued = {feature.name: feature for feature in schema.categorical if feature.multi_valued}
    if name not in multi_valued:
        return [[] if value is None else [value] for value in arrow.natural(column).to_pylist()]
    lists = column if arrow.is_list(column.type) else arrow.split_lists(column, multi_valued[name].separator)
    values, present = arrow.padded(lists, multi_valued[name].max_values)
    return [row[there].tolist() for row, there in zip(values, present, strict=True)]


def _feature(values: Sequence[Any], *, as_text: bool) -> Any:
    """`as_text`: ids and times in a column of floats, because a tf.Example has only float32."""
    if isinstance(values[0], float) and as_text:
        values = [(f"{value:.0f}" if value.is_integer() else repr(value)).encode() for value in values]
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
