"""A small log whose profile is known by hand, written in every format that is read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

# Ten rows of five requests: two rows each, one of them clicked. The user of the last one is missing.
ROWS = [
    {
        "request_id": f"r{row // 2}",
        "user_id": None if row == 9 else 7 + row % 4,
        "when": f"2024-01-01T00:00:{row:02d}",
        "price": 1.5 * row,
        "clicked": row % 2,
    }
    for row in range(10)
]


def text(rows: list[dict], delimiter: str) -> str:
    lines = [delimiter.join("" if value is None else str(value) for value in row.values()) for row in rows]
    return "\n".join([delimiter.join(rows[0]), *lines]) + "\n"


def write(folder: Path, kind: str, rows: list[dict] = ROWS) -> Path:
    """The log as `csv`, `tsv`, `csv.gz`, `tfrecord`, `tfrecord.gz` or `parquet`; returns the file."""
    path = folder / f"log.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind.startswith("tfrecord"):
        with tf.io.TFRecordWriter(str(path), "GZIP" if kind.endswith(".gz") else "") as writer:
            for row in rows:
                features = {name: _feature(value) for name, value in row.items() if value is not None}
                writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    else:
        content = text(rows, "\t" if kind == "tsv" else ",").encode()
        path.write_bytes(gzip.compress(content) if kind.endswith(".gz") else content)
    return path


def _feature(value: object) -> tf.train.Feature:
    several = value if isinstance(value, list) else [value]
    if isinstance(several[0], str):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[each.encode() for each in several]))
    if isinstance(several[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=several))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=several))
