"""Files of predictions: the three formats give the same columns, read and written; what is wrong is one line."""

from __future__ import annotations

import csv
import gzip
import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from smooth_recs.artifacts import exports, prediction_files
from smooth_recs.comparison.settings import Settings
from smooth_recs.config import Evaluation
from smooth_recs.errors import InputError

TABLE = {
    "id": [9007199254740993, 7, -3],
    "prediction": [0.1, 0.25, 1.0],
    "label": [1, 0, 1],
    "request": ["a b", "ü", "a b"],
    "country": ["at", "", 'say "hi", you'],
    "age": [30, None, 41],
    "price": [1.5, None, 2.25],
}


def write_csv(path, table=TABLE):
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    content = file.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_parquet(path, table=TABLE):
    pq.write_table(pa.table(table), path, row_group_size=2)


def write_tfrecord(path, table=TABLE):
    compression = "GZIP" if path.suffix == ".gz" else ""
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for row in zip(*table.values(), strict=True):
            features = {name: feature(value) for name, value in zip(table, row, strict=True) if value is not None}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def feature(value):
    values = value if isinstance(value, list) else [value]
    if isinstance(values[0], str):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[each.encode() for each in values]))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


WRITERS = {".csv": write_csv, ".csv.gz": write_csv, ".parquet": write_parquet, ".tfrecord": write_tfrecord}

WRITERS[".tfrecord.gz"] = write_tfrecord


def read(path, **settings):
    artifact = exports.identify("--b", str(path))
    assert artifact.kind == exports.PREDICTIONS
    return prediction_files.read(artifact, Settings("a", "b", "out.json", **settings).wanted)


def refused(path, **settings):
    with pytest.raises(InputError) as error:
        read(path, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_format_gives_the_same_columns(tmp_path, suffix):
    path = tmp_path / f"new{suffix}"
    WRITERS[suffix](path)
    columns = read(
        path,
        key=("id", "request"),
        columns={"query_id": "request", "multiplier": "prediction"},
        evaluation=Evaluation(slices=("country", "age", "price", "label", "of another file")),
    )
    assert set(columns) == {
        *("prediction", "label", "query_id", "multiplier", "key/0", "key/1"),
        *("slice/country", "slice/age", "slice/price"),
    }
    tolerance = 1e-7 if "tfrecord" in suffix else 0.0  # TFRecord holds float32
    np.testing.assert_allclose(columns["prediction"], TABLE["prediction"], rtol=tolerance)
    assert columns["prediction"].dtype == np.float64
    np.testing.assert_array_equal(columns["multiplier"], columns["prediction"])
    np.testing.assert_array_equal(columns["label"], TABLE["label"])
    assert columns["key/0"].tolist() == TABLE["id"]
    assert columns["key/1"].tolist() == columns["query_id"].tolist() == [t.encode() for t in TABLE["request"]]
    assert columns["slice/country"].tolist() == [t.encode() for t in TABLE["country"]]
    assert columns["slice/age"].tolist() == [30, -1, 41]
    np.testing.assert_array_equal(columns["slice/price"], [1.5, np.nan, 2.25])


def test_optional_columns_are_taken_where_they_are_and_others_left(tmp_path):
    write_csv(tmp_path / "p.csv", {"prediction": [0.5], "weight": [2], "other": ["x"], "score": [7]})
    assert {role: column.tolist() for role, column in read(tmp_path / "p.csv").items()} == {
        "prediction": [0.5],
        "weight": [2.0],
    }


def test_texts_of_integers_are_integers_only_where_all_are(tmp_path):
    for texts, expected in (
        (["1", "-20", "0"], [1, -20, 0]),
        (["1", "007"], [b"1", b"007"]),
        (["1", "x"], [b"1", b"x"]),
        (["99999999999999999999"], [b"99999999999999999999"]),
    ):
        write_csv(tmp_path / "p.csv", {"id": texts, "prediction": [0.5] * len(texts)})
        assert read(tmp_path / "p.csv", key=("id",))["key/0"].tolist() == expected


def test_a_parquet_key_of_floats_and_of_dictionary_texts(tmp_path):
    table = {"id": [1.0, 2.0], "prediction": [0.5, 0.5], "q": pa.array(["x", "y"]).dictionary_encode()}
    write_parquet(tmp_path / "p.parquet", table)
    columns = read(tmp_path / "p.parquet", key=("id",), columns={"query_id": "q"})
    assert columns["key/0"].dtype == np.int64
    assert (columns["key/0"].tolist(), columns["query_id"].tolist()) == ([1, 2], [b"x", b"y"])


def test_quoted_line_breaks_blank_lines_and_a_byte_order_mark(tmp_path):
    (tmp_path / "p.csv").write_bytes('\ufeffid,prediction\r\n"a\nb", 0.5 \r\n\r\nc,1e-3\r\n'.encode())
    columns = read(tmp_path / "p.csv", key=("id",))
    assert columns["key/0"].tolist() == [b"a\nb", b"c"]
    assert columns["prediction"].tolist() == [0.5, 0.001]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "{path} cannot be read: a header must name the columns, got none in the first line of"),
        (b"id,prediction\n", "--b: {path} has no rows"),
        (b"id,p\n1,0.5\n", "--b: the column 'prediction' of --prediction is not in {path}, which has id, p"),
        (b"prediction,id,prediction\n1,1,1\n", "--b: the column 'prediction' is twice in {path}"),
        (b"id,prediction\n1,0.5\n2,half\n", "--b: prediction must be a number, got 'half' in row 1"),
        (b"id,prediction\n1,0.5\n2, \n", "--b: prediction must have a value in each row, got none in row 1"),
        (b"id,prediction\n1,0.5\n2,nan\n", "--b: prediction must have a value in each row, got none in row 1"),
        (b"id,prediction\n1,-3\n", "--b: predictions must be in [0, 1], got -3 in row 0; are these logits?"),
        (b"id,prediction\n1,1.5\n", "--b: predictions must be in [0, 1], got 1.5 in row 0; are these logits?"),
        (b"id,prediction\n1,inf\n", "--b: predictions must be in [0, 1], got inf in row 0; are these logits?"),
        (b"id,prediction\n,0.5\n", "--b: id must have a value in each row, got none in row 0"),
        (
            b"id,prediction\n1,0.5,3\n",
            "{path} cannot be read: line 2 has a wrong number of fields or values, got '1,0.5,3'",
        ),
        (b"id,prediction,label\n1,0.5,yes\n", "--b: label must be a number, got 'yes' in row 0"),
        (bytes(range(256)) * 20, "{path} cannot be read: it is no text"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_one_line(tmp_path, content, words):
    path = tmp_path / "p.csv"
    path.write_bytes(content)
    said = refused(path, key=("id",)) if b"id" in content else refused(path)
    assert said.startswith(words.format(path=path)), said


def test_a_chosen_column_must_be_there(tmp_path):
    for suffix, write in WRITERS.items():
        write(tmp_path / f"p{suffix}")
        path = tmp_path / f"p{suffix}"
        for role in ("prediction", "label", "weight", "query_id"):
            said = refused(path, columns={role: "nowhere"})
            assert said.startswith(f"--b: the column 'nowhere' of --{role} is not in {path}, which has ")
            assert set(said.rpartition(" has ")[2].split(", ")) == set(TABLE)
        assert refused(path, key=("id", "x")).startswith(f"--b: the column 'x' of --key is not in {path}")


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_that_is_cut_or_not_what_its_name_says(tmp_path, suffix):
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"p{suffix}"
    WRITERS[suffix](whole, {"id": list(range(3000)), "prediction": [0.5] * 3000})
    for content in (b"", b"\x1f\x8b no such thing", whole.read_bytes()[:-30]):
        if suffix == ".csv" and len(content) > 100:
            continue  # a text cut between two lines is whole
        path.write_bytes(content)
        said = refused(path, columns={"prediction": "id"} if b"no such" in content else {})
        assert str(path) in said


def test_a_tfrecord_file_of_something_else(tmp_path):
    path = tmp_path / "p.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff no tf.Example")
    assert refused(path).startswith(f"{path} cannot be read: ")
    write_tfrecord(path, {"prediction": [[0.5], [0.5, 0.25]]})
    assert refused(path) == f"{path}: prediction must be one value a row, got 2 in row 1"
    write_tfrecord(path, {"prediction": [0.5, None], "label": [1, 1]})
    assert refused(path) == "--b: prediction must have a value in each row, got none in row 1"


def test_a_parquet_column_of_lists_or_nulls(tmp_path):
    path = tmp_path / "p.parquet"
    write_parquet(path, {"prediction": [[0.5], [0.5]]})
    said = refused(path)
    assert said.startswith(f"{path}: the column 'prediction' must hold single numbers, texts or times, got list<")
    write_parquet(path, {"prediction": [0.5, None]})
    assert refused(path) == "--b: prediction must have a value in each row, got none in row 1"
    write_parquet(path, {"prediction": [0.5], "id": [float("nan")]})
    assert refused(path, key=("id",)) == "--b: id must have a value in each row, got none in row 0"
    write_parquet(path, {"prediction": pa.array([], pa.float64())})
    assert refused(path) == f"--b: {path} has no rows"


def test_many_records_and_row_groups_keep_their_order(tmp_path):
    prediction = np.random.default_rng(1).uniform(size=20_000)
    for suffix, write in WRITERS.items():
        write(tmp_path / f"p{suffix}", {"prediction": prediction.tolist()})
        read_back = read(tmp_path / f"p{suffix}")["prediction"]
        np.testing.assert_allclose(read_back, prediction, rtol=1e-7 if "tfrecord" in suffix else 0)


def test_texts_in_tfrecords_are_the_bytes_of_the_log(tmp_path: Path) -> None:
    with prediction_files.writer(str(tmp_path / "p.tfrecord")) as write:
        write({"shop": np.array([b"\xff\x00", b""], object), "prediction": np.array([0.25, 0.5])})
    records = [
        tf.train.Example.FromString(r)
        for r in tf.data.TFRecordDataset(str(tmp_path / "p.tfrecord")).as_numpy_iterator()
    ]
    assert [r.features.feature["shop"].bytes_list.value[0] for r in records] == [b"\xff\x00", b""]


def write_half(path: str) -> None:
    with prediction_files.writer(path) as write:
        write({"prediction": np.array([0.5])})
        raise RuntimeError("the disk is full")


@pytest.mark.parametrize("name", [f"p{suffix}" for suffix in WRITERS])
def test_a_failure_in_the_middle_leaves_the_file_of_before(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError, match="the disk is full"):
        write_half(str(path))
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == [name]


def test_batches_follow_each_other(tmp_path: Path) -> None:
    for name in ("p.csv.gz", "p.parquet"):
        with prediction_files.writer(str(tmp_path / name)) as write:
            for first in (0, 2):
                write({"row": np.arange(first, first + 2), "prediction": np.full(2, 0.1, np.float32)})
    with gzip.open(tmp_path / "p.csv.gz", "rt") as file:
        assert file.read().splitlines()[1:] == [f"{row},{float(np.float32(0.1))!r}" for row in range(4)]
    assert pyarrow.parquet.read_table(tmp_path / "p.parquet")["row"].to_pylist() == [0, 1, 2, 3]
