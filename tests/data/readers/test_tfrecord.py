"""TFRecord files of tf.Example."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.data.raw_rows import GOOD, describe
from smooth_recs.data.readers.tfrecord import TFRecordReader
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema(
    (
        Categorical("user", "hash", size=10, dtype="int64"),
        Categorical("tags", "vocabulary", max_values=2),
        Numeric("price"),
    ),
    query_id="user",
    timestamp="time",
)
GARBAGE = b"\xff\xff\xffno example"


def feature(value):
    values = value if isinstance(value, list) else [value]
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def example(**values):
    values = {"user": 1, "tags": [b"a"], "price": 1.0, "label": 1, "time": b"2020-01-01"} | values
    features = {name: feature(value) for name, value in values.items() if value is not None}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write(path, *records):
    compression = "GZIP" if path.suffix == ".gz" else ""
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def problems(reader):
    return [
        (int(chunk["file"]), int(line), describe(reader.schema, int(problem), value))
        for chunk in reader.read().as_numpy_iterator()
        for line, problem, value in zip(chunk["line"], chunk["problem"], chunk["value"], strict=True)
        if problem != GOOD
    ]


def test_values_and_missing_ones(tmp_path, gather):
    records = [
        example(user=2**40, tags=[b"a", b"\xff", b"c"]),
        example(user=None, tags=None, price=None, label=0),
        example(extra=b"ignored"),
    ]
    rows = gather(TFRecordReader([write(tmp_path / "log.tfrecord", *records)], SCHEMA).read())
    assert rows["problem"].tolist() == [GOOD] * 3
    assert rows["raw"]["user"].tolist() == [2**40, -1, 1]
    assert rows["raw"]["tags"].tolist() == [[b"a", b"\xff"], [b"", b""], [b"a", b""]]
    np.testing.assert_array_equal(rows["raw"]["price"], [1, np.nan, 1])
    assert rows["label"].tolist() == [1, 0, 1]
    assert rows["timestamp"].tolist() == [1577836800] * 3
    assert rows["line"].tolist() == [1, 2, 3]


def test_malformed_records_are_told_by_their_number(tmp_path):
    first = write(tmp_path / "a.tfrecord", example(), example(label=None), example(label=2))
    second = write(
        tmp_path / "b.tfrecord.gz",
        GARBAGE,
        example(),
        example(label=1.0),  # a float in a column of integers does not parse
        example(user=[1, 2]),
        example(time=b"noon"),
        example(),
    )
    assert problems(TFRecordReader([first, second], SCHEMA)) == [
        (0, 2, "label is neither 0 nor 1, got no value"),
        (0, 3, "label is neither 0 nor 1, got '2'"),
        (1, 1, "no readable tf.Example"),
        (1, 3, "no readable tf.Example"),
        (1, 4, "wrong number of fields or values"),
        (1, 5, "time is neither a number nor an ISO 8601 time, got 'noon'"),
    ]


def test_a_bad_record_does_not_change_its_neighbours(tmp_path, gather):
    good = [example(user=number, price=float(number)) for number in range(20)]
    clean = gather(TFRecordReader([write(tmp_path / "a", *good)], SCHEMA).read())
    mixed = gather(TFRecordReader([write(tmp_path / "b", *good[:7], GARBAGE, *good[7:])], SCHEMA).read())
    kept = mixed["problem"] == GOOD
    assert mixed["line"][~kept].tolist() == [8]
    for name, values in clean["raw"].items():
        np.testing.assert_array_equal(mixed["raw"][name][kept], values)


def test_numbers_may_be_texts(tmp_path, gather):
    path = write(tmp_path / "log", example(price=b"1.5", label=b"1", user=b"7"), example(price=b"", user=b"x"))
    reader = TFRecordReader([path], SCHEMA)
    rows = gather(reader.read())
    np.testing.assert_array_equal(rows["raw"]["price"], [1.5, np.nan])
    assert rows["raw"]["user"].tolist() == [7, -1]
    assert problems(reader) == [(0, 2, "no readable tf.Example")]  # its label is an integer, the first one a text


def test_reading_can_start_at_any_chunk(tmp_path, small_chunks):
    records = [example(user=number) if number % 9 else GARBAGE for number in range(40)]
    reader = TFRecordReader([write(tmp_path / "a.gz", *records), write(tmp_path / "b", *records)], SCHEMA)
    chunks = list(reader.read().as_numpy_iterator())
    assert len(chunks) == 12
    for position in (0, 3, 7):
        again = list(reader.read(int(chunks[position]["file"]), int(chunks[position]["line"][0])).as_numpy_iterator())
        tf.nest.map_structure(np.testing.assert_array_equal, again, chunks[position:])


def test_a_column_in_no_record_is_refused(tmp_path):
    path = write(tmp_path / "log", GARBAGE, example(price=None))
    with pytest.raises(InputError, match=r"'price' is in none of the first 1,000 records \(.*log is first\)"):
        TFRecordReader([path], SCHEMA)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "log").write_text("user,label\n" * 10)
    with pytest.raises(InputError, match="log is no TFRecord file"):
        TFRecordReader([str(tmp_path / "log")], SCHEMA)
    (tmp_path / "log.gz").write_bytes(gzip.compress(b"user,label\n" * 10))
    with pytest.raises(InputError, match=r"log\.gz is no TFRecord file"):
        TFRecordReader([str(tmp_path / "log.gz")], SCHEMA)


def test_a_float_that_may_be_several_ids_is_malformed(tmp_path):
    records = [example(user=float(2**24 - 1)), example(user=float(2**24)), example(user=-1e20)]
    reader = TFRecordReader([write(tmp_path / "log", *records)], SCHEMA)
    assert [(line, why) for _, line, why in problems(reader)] == [
        (2, "user is no integer of 64 bits, got '16777216'"),
        (3, "user is no integer of 64 bits, got '-1e+20'"),
    ]
