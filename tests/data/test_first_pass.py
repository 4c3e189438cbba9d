"""The rows of one pass over files, and the file that keeps them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.data.encoding import Encoder
from smooth_recs.data.first_pass import FirstPass
from smooth_recs.data.raw_rows import Distinct
from smooth_recs.data.readers.csv import CsvReader
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema(
    (
        Categorical("word", "vocabulary"),
        Categorical("number", "vocabulary", dtype="int64"),
        Categorical("tags", "vocabulary", max_values=2),
        Categorical("bucket", "hash", size=100),
        Numeric("weight", transform="standardize"),  # a feature with the name of a part of a row
    ),
    weight="importance",
    timestamp="time",
)
LINES = [
    b"word,number,tags,bucket,weight,importance,time,label",
    b"a\x00,7,x|y,b,1.5,2,30,1",  # texts that end in zero bytes
    b"a\x00\x00,-3,y,b,,0.5,10,0",
    b"\xff\xfe,9223372036854775807,,c,2.5,1,20,0",  # no UTF-8
    b",,z|x,,-0.0,1,5,1",
]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"\n".join(LINES) + b"\n")
    return path


def encoded(found):
    statistics = found.statistics(np.array([True, True, True, False]))
    return statistics, found.rows(Encoder(SCHEMA, statistics))


def test_rows_and_statistics_come_out_of_the_file_as_they_went_in(log, tmp_path):
    made = FirstPass.over(CsvReader([str(log)], SCHEMA), 0.0)
    made.save(str(tmp_path / "rows.npz"))
    kept = FirstPass.load(str(tmp_path / "rows.npz"), SCHEMA, made.survey)
    (statistics, rows), (kept_statistics, kept_rows) = encoded(made), encoded(kept)
    assert statistics == kept_statistics
    assert statistics.vocabularies["word"] == (b"a\x00", b"a\x00\x00", b"\xff\xfe")
    assert statistics.vocabularies["number"] == (-3, 7, 2**63 - 1)
    assert statistics.moments["weight"] == (2.0, 0.5)
    tf.nest.map_structure(np.testing.assert_array_equal, kept_rows, rows)
    tf.nest.map_structure(lambda a, b: a.dtype == b.dtype or pytest.fail(f"{a.dtype}"), kept_rows, rows)
    assert rows["weight"].tolist() == [2.0, 0.5, 1.0, 1.0]
    assert rows["features"]["weight"].tolist() == [[-1.0], [0.0], [1.0], [-4.0]]
    assert rows["features"]["word"].tolist() == [0, 1, 2, 4]
    assert rows["features"]["tags"].tolist() == [[1, 0], [0, -1], [-1, -1], [2, 1]]


def test_distinct_values_of_some_rows_are_those_that_are_in_them():
    column = np.array([[b"a", b"b"], [b"c", b"a"], [b"b", b"b"]])
    distinct = tf.nest.map_structure(lambda part: part.numpy(), Distinct.of(tf.constant(column)))
    some = distinct.of_rows(np.array([True, False, True]))
    assert some.column().tolist() == [[b"a", b"b"], [b"b", b"b"]]
    assert dict(zip(some.values.tolist(), some.count.tolist(), strict=True)) == {b"a": 1, b"b": 3}
