"""Parquet files, read and converted."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from smooth_recs.data.raw_rows import FIRST_COLUMN, GOOD, describe
from smooth_recs.data.readers.csv import CsvReader
from smooth_recs.data.readers.parquet import ParquetReader, parquet_to_tfrecord
from smooth_recs.data.readers.tfrecord import TFRecordReader
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema(
    (
        Categorical("user", "hash", size=10, dtype="int64"),
        Categorical("word", "vocabulary"),
        Categorical("tags", "vocabulary", max_values=2),
        Categorical("codes", "vocabulary", dtype="int64", max_values=3),
        Numeric("price"),
    ),
    weight="weight",
    query_id="word",
    timestamp="time",
)
COLUMNS = {
    "user": pa.array([2**40, None, 3], pa.int64()),
    "word": pa.array(["a", "", None]).dictionary_encode(),
    "tags": pa.array([["x", "y", "z"], None, []], pa.list_(pa.string())),
    "codes": pa.array([[1, None], [], [2, 3, 4, 5]], pa.list_(pa.int32())),
    "price": pa.array([1.5, None, 2.0], pa.float32()),
    "label": pa.array([True, False, True]),
    "weight": pa.array([1, 2, 3], pa.uint8()),
    "time": pa.array([datetime.datetime(2020, 1, 1, 0, 0, 0, 500000)] * 3, pa.timestamp("ns", "UTC")),
    "unused": pa.array([{"a": 1}] * 3),
}


def write(path, row_group_size=None, **columns):
    pq.write_table(pa.table(COLUMNS | columns), path, row_group_size=row_group_size)
    return str(path)


def test_values_and_nulls(tmp_path, gather):
    rows = gather(ParquetReader([write(tmp_path / "log.parquet")], SCHEMA).read())
    assert rows["problem"].tolist() == [GOOD] * 3
    assert rows["raw"]["user"].tolist() == [2**40, -1, 3]
    assert rows["raw"]["word"].tolist() == [b"a", b"", b""]
    assert rows["raw"]["tags"].tolist() == [[b"x", b"y"], [b"", b""], [b"", b""]]
    assert rows["raw"]["codes"].tolist() == [[1, -1, -1], [-1, -1, -1], [2, 3, 4]]
    np.testing.assert_array_equal(rows["raw"]["price"], [1.5, np.nan, 2])
    assert rows["label"].tolist() == [1, 0, 1]
    assert rows["weight"].tolist() == [1, 2, 3]
    assert rows["timestamp"].tolist() == [1577836800.5] * 3


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("price", pa.array([decimal.Decimal("1.25"), None, decimal.Decimal(3)]), [1.25, np.nan, 3]),
        ("price", pa.array(["1.25", "", "-3"]), [1.25, np.nan, -3]),
        ("price", pa.array([1, 2, 3], pa.int16()), [1, 2, 3]),
        ("price", pa.nulls(3), [np.nan] * 3),
        ("user", pa.array([2**63 - 1, None, 2], pa.uint64()), [2**63 - 1, -1, 2]),
        ("user", pa.array([decimal.Decimal(2**53 + 1), None, decimal.Decimal("7.00")]), [2**53 + 1, -1, 7]),
        ("user", pa.array([12.0, None, 7.0], pa.float16()), [12, -1, 7]),
        ("word", pa.array([2**64 - 1, None, 2], pa.uint64()), [b"18446744073709551615", b"", b"2"]),
        ("word", pa.array([decimal.Decimal(10**30), None, decimal.Decimal(2)]), [b"1" + b"0" * 30, b"", b"2"]),
        ("word", pa.array([0.1, None, 7.0], pa.float32()), [b"0.1", b"", b"7"]),
        ("word", pa.array([12.0, None, 7.0]), [b"12", b"", b"7"]),
        ("word", pa.array([1234567.25, -1e-5, 0.1 + 0.2]), [b"1234567.25", b"-1e-05", b"0.30000000000000004"]),
        ("word", pa.array(["12.0", "NA", "a"]), [b"12", b"", b"a"]),
        ("tags", pa.array(["['x', 'y']", '["z"]', "NULL"]), [[b"x", b"y"], [b"z", b""], [b"", b""]]),
        ("tags", pa.array([3, None, 4]), [[b"3", b""], [b"", b""], [b"4", b""]]),
        ("codes", pa.array([7.0, None, 8.0]), [[7, -1, -1], [-1, -1, -1], [8, -1, -1]]),
        ("codes", pa.array(["1.0|2.0", "NA|3", None]), [[1, 2, -1], [-1, 3, -1], [-1, -1, -1]]),
        ("user", pa.array([7.0, None, 8.0]), [7, -1, 8]),
        ("user", pa.array(["7", "", "-8"], pa.large_string()), [7, -1, -8]),
        ("word", pa.array([7, None, 8]), [b"7", b"", b"8"]),
        ("word", pa.array([b"\xff", None, b"b"], pa.binary()), [b"\xff", b"", b"b"]),
        ("tags", pa.array(["x|y|z", None, "w"]), [[b"x", b"y"], [b"", b""], [b"w", b""]]),
        ("time", pa.array([datetime.date(1970, 1, 2)] * 3), [86400] * 3),
        ("time", pa.array(["1970-01-02"] * 3), [86400] * 3),
        ("time", pa.array([5, 6, 7]), [5, 6, 7]),
    ],
)
def test_types(tmp_path, gather, name, values, expected):
    rows = gather(ParquetReader([write(tmp_path / "log.parquet", **{name: values})], SCHEMA).read())
    assert rows["problem"].tolist() == [GOOD] * 3
    found = rows["timestamp"] if name == "time" else rows["raw"][name]
    np.testing.assert_array_equal(found, np.array(expected, found.dtype))


def test_malformed_rows(tmp_path, gather):
    path = write(tmp_path / "log.parquet", label=pa.array([2, None, 1]), weight=pa.array([1.0, 1.0, -1.0]))
    rows = gather(ParquetReader([path], SCHEMA).read())
    assert rows["line"][rows["problem"] != GOOD].tolist() == [1, 2, 3]


def many(path, rows=40, row_group_size=11):
    numbers = list(range(rows))
    columns = {
        "user": numbers,
        "word": [f"w{number}" for number in numbers],
        "tags": [["t"] * (number % 4) for number in numbers],
        "codes": [[number, number + 1] for number in numbers],
        "price": [float(number) if number % 3 else None for number in numbers],
        "label": [number % 2 for number in numbers],
        "weight": [1.0] * rows,
        "time": [float(number) for number in numbers],
    }
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return str(path)


def test_reading_can_start_at_any_chunk(tmp_path, small_chunks):
    reader = ParquetReader([many(tmp_path / "a.parquet"), many(tmp_path / "b.parquet")], SCHEMA)
    chunks = list(reader.read().as_numpy_iterator())
    assert [chunk["line"][0] for chunk in chunks[:4]] == [1, 8, 12, 19]  # no chunk spans two row groups
    for position in (0, 1, 2, 5, 9):
        again = list(reader.read(int(chunks[position]["file"]), int(chunks[position]["line"][0])).as_numpy_iterator())
        tf.nest.map_structure(np.testing.assert_array_equal, again, chunks[position:])


def test_the_converted_files_hold_the_same_rows(tmp_path, gather):
    files = [write(tmp_path / "a.parquet"), write(tmp_path / "b.parquet")]
    converted = parquet_to_tfrecord(files, SCHEMA, str(tmp_path / "converted"))
    assert [path.rpartition("/")[2] for path in converted] == ["part-00000.tfrecord.gz", "part-00001.tfrecord.gz"]
    expected, found = gather(ParquetReader(files, SCHEMA).read()), gather(TFRecordReader(converted, SCHEMA).read())
    expected["raw"]["codes"][0] = found["raw"]["codes"][0] = -1  # [1, null]: a tf.Example has no null inside a list
    tf.nest.map_structure(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user": pa.array([[1]] * 3)}, "the column 'user' must hold single values, got lists in .*b.parquet"),
        (
            {"user": pa.array(["1"] * 3)},
            "the column 'user' must hold what goes with integer as before, got string in .*b.parquet",
        ),
        ({"price": pa.array([{"a": 1}] * 3)}, "a column must hold numbers, texts, times or lists of them, got struct"),
        (
            {"price": pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int64()))},
            "a column must hold numbers, texts, times or lists of them, got map<string, int64",
        ),
        (
            {"price": pa.array([{"a": "b"}] * 3)},
            "a column must hold numbers, texts, times or lists of them, got struct<a: string>",
        ),
    ],
)
def test_unsuitable_columns_are_refused(tmp_path, columns, message):
    with pytest.raises(InputError, match=message):
        ParquetReader([write(tmp_path / "a.parquet"), write(tmp_path / "b.parquet", **columns)], SCHEMA)


def test_a_missing_column_or_another_kind_of_file_is_refused(tmp_path):
    schema = Schema((Numeric("height"),))
    with pytest.raises(InputError, match=r"the column 'height' is not in .*a\.parquet, which has user, word"):
        ParquetReader([write(tmp_path / "a.parquet")], schema)
    (tmp_path / "b.parquet").write_text("height,label\n")
    with pytest.raises(InputError, match=r"b\.parquet is no Parquet file"):
        ParquetReader([str(tmp_path / "b.parquet")], schema)


@pytest.mark.parametrize(
    ("name", "first", "second", "expected"),
    [
        # pandas: integers, and integers with a gap.
        ("user", pa.array([2**60 + 1, 5, 6]), pa.array([12.0, None, 7.0]), [2**60 + 1, 5, 6, 12, -1, 7]),
        ("user", pa.array([12.0, None, 7.0]), pa.array([2**60 + 1, 5, 6]), [12, -1, 7, 2**60 + 1, 5, 6]),
        ("user", pa.nulls(3), pa.array([1, 2, 3], pa.uint64()), [-1, -1, -1, 1, 2, 3]),
        ("user", pa.array([1, 2, 3], pa.int8()), pa.nulls(3), [1, 2, 3, -1, -1, -1]),
        ("user", pa.array([1, 2, 3]), pa.array([decimal.Decimal(2**62 + 1)] * 3), [1, 2, 3, *[2**62 + 1] * 3]),
        ("word", pa.array([1, 2, 3]), pa.array([1.0, None, 0.5]), [b"1", b"2", b"3", b"1", b"", b"0.5"]),
        ("word", pa.array([1, 2, 3]), pa.array([0.1] * 3, pa.float32()), [b"1", b"2", b"3", *[b"0.1"] * 3]),
        (
            "word",
            pa.array([1, 2, 3], pa.uint64()),
            pa.array([4.0, 5.0, 6.0], pa.float32()),
            [*map(str.encode, "123456")],
        ),
        ("price", pa.array([1, 2, 3]), pa.array([0.5, None, 2.0]), [1, 2, 3, 0.5, np.nan, 2]),
        ("price", pa.array([decimal.Decimal("1.5")] * 3), pa.array([1, 2, 3], pa.int32()), [1.5] * 3 + [1, 2, 3]),
        ("label", pa.array([0, 1, 0]), pa.array([1.0, 0.0, 1.0]), [0, 1, 0, 1, 0, 1]),
        ("label", pa.array([0.0, 1.0, 0.0]), pa.array([True, False, True]), [0, 1, 0, 1, 0, 1]),
        (
            "codes",
            pa.array([[1], None, []], pa.list_(pa.int64())),
            pa.array([[2.0], [None], None]),
            [1, -1, -1, 2, -1, -1],
        ),
    ],
)
def test_types_of_several_files_are_promoted(tmp_path, gather, name, first, second, expected):
    files = [write(tmp_path / "a.parquet", **{name: first}), write(tmp_path / "b.parquet", **{name: second})]
    rows = gather(ParquetReader(files, SCHEMA).read())
    assert rows["problem"].tolist() == [GOOD] * 6
    found = rows["label"] if name == "label" else rows["raw"][name]
    if name == "codes":
        found = found[:, 0]
    np.testing.assert_array_equal(found, np.array(expected, found.dtype))


@pytest.mark.parametrize("other", [None, pa.array([1, 2, 3])])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("user", pa.array([2.0**53, 1.0, -(2.0**53)])),
        ("word", pa.array([2.0**53, 1.0, 2.0**60])),
        ("user", pa.array([2.0**24, 1.0, -(2.0**24)], pa.float32())),
        ("codes", pa.array([[1.0, 2.0**53], [1.0], [2.0**53]])),
    ],
)
def test_floats_that_may_be_several_ids_are_malformed(tmp_path, gather, name, values, other):
    there = {"user": pa.array([1, 2, 3]), "price": pa.array([1.0, 2.0, 3.0]), "word": pa.array(["a", "b", "c"])}
    there |= {"tags": pa.array([["x"]] * 3), "codes": pa.array([[1], [2], [3]])}
    files = [write(tmp_path / "a.parquet", **there | {name: values})]
    if other is not None:  # whose type is another one
        files.append(write(tmp_path / "b.parquet", **there | ({} if name == "codes" else {name: other})))
    rows = gather(ParquetReader(files, SCHEMA).read())
    column = FIRST_COLUMN + SCHEMA.columns.index(name)
    assert rows["problem"].tolist()[:3] == [column, GOOD, column]
    assert rows["problem"].tolist()[3:] == [GOOD] * (3 * (len(files) - 1))
    converted = gather(TFRecordReader(parquet_to_tfrecord(files, SCHEMA, str(tmp_path / "c")), SCHEMA).read())
    assert (converted["problem"] != GOOD).tolist() == (rows["problem"] != GOOD).tolist()


def test_integers_beyond_64_bits_are_malformed_and_shown(tmp_path, gather):
    values = pa.array([2**63, 2**63 - 1, 2**64 - 1], pa.uint64())
    rows = gather(ParquetReader([write(tmp_path / "log.parquet", user=values)], SCHEMA).read())
    assert (rows["problem"] == GOOD).tolist() == [False, True, False]
    assert rows["raw"]["user"][1] == 2**63 - 1
    assert describe(SCHEMA, rows["problem"][0], rows["value"][0]) == (
        "user is no integer of 64 bits, got '9223372036854775808'"
    )


def test_columns_are_found_by_their_names_in_every_source(tmp_path, gather):
    schema = Schema(
        (
            Categorical("user_id", "hash", size=9),
            Numeric("price", column="2nd price"),
            Categorical("word", "hash", size=9, column="\u7528\u6237"),
            Categorical("again", "hash", size=9, column="2nd price"),
        ),
        label="was_clicked",
        query_id="1",
    )
    rows = [{"user.id": "a", "2nd price": "1.5", "\u7528\u6237": "w", "was-clicked": "1", "1": "q", "x y": ""}] * 2
    (tmp_path / "log.csv").write_text(
        "\n".join(",".join(line) for line in [list(rows[0]), *(r.values() for r in rows)])
    )
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    with tf.io.TFRecordWriter(str(tmp_path / "log.tfrecord")) as records:
        for row in rows:
            lists = {name: tf.train.BytesList(value=[text.encode()]) for name, text in row.items()}
            example = {name: tf.train.Feature(bytes_list=values) for name, values in lists.items()}
            records.write(tf.train.Example(features=tf.train.Features(feature=example)).SerializeToString())
    for reader, end in ((CsvReader, "csv"), (ParquetReader, "parquet"), (TFRecordReader, "tfrecord")):
        found = gather(reader([f"{tmp_path}/log.{end}"], schema).read())
        assert found["problem"].tolist() == [GOOD, GOOD]
        assert {name: values.tolist() for name, values in found["raw"].items()} == {
            "user_id": [b"a"] * 2,
            "price": [1.5] * 2,
            "word": [b"w"] * 2,
            "again": [b"1.5"] * 2,
        }
        assert found["query_id"][0] == found["query_id"][1] >= 0
