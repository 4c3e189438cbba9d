"""Sources of files: whatever the format and the split, the same promises."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data import first_pass
from smooth_recs.data.presets import open_source
from smooth_recs.data.readers.csv import CsvReader
from smooth_recs.data.readers.parquet import parquet_to_tfrecord
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, PredictionSchema, Schema

ROWS = 120
SCHEMA = Schema(
    (
        Categorical("user", "hash", size=50, dtype="int64"),
        Categorical("word", "vocabulary"),
        Categorical("tags", "vocabulary", max_values=2),
        Numeric("row", transform="identity"),
        Numeric("price", transform="standardize"),
    ),
    weight="weight",
    query_id="user",
    timestamp="time",
)
KINDS = {
    "tail": {},
    "limited": {"examples": 30, "eval_examples": 11},
    "random": {"split": "random", "seed": 7},
    "time": {"split": "time"},
    "time limited": {"split": "time", "train_fraction": 0.5, "examples": 20, "eval_examples": 15},
    "user_time": {"split": "user_time"},
    "eval_path": {"eval_path": "eval", "split": "time"},
    "validation_fraction": {"validation_fraction": 0.25},
    "random validation_fraction": {"split": "random", "validation_fraction": 0.25, "seed": 7},
    "time validation_fraction": {"split": "time", "validation_fraction": 0.25},
    "user_time validation_fraction": {"split": "user_time", "validation_fraction": 0.25},
    "validation_path": {"validation_path": "eval", "split": "time"},
    "tfrecord": {"source": "tfrecord"},
    "tfrecord time": {"source": "tfrecord", "split": "time"},
    "parquet": {"source": "parquet"},
    "parquet random": {"source": "parquet", "split": "random"},
}


def table(first, rows):
    """Row number r; the times are out of order, users differ in their numbers of rows, every word is its row's."""
    numbers = np.arange(first, first + rows)
    return {
        "user": (np.sqrt(numbers).astype(int) * 7919) % 5 + 2**40,
        "word": np.array([f"w{number}" for number in numbers]),
        "tags": np.array([f"t{number}|t{number % 3}" for number in numbers]),
        "row": numbers,
        "price": numbers**2,
        "label": numbers % 2,
        "weight": numbers % 3,
        "time": (numbers * 37) % 101,
    }


def write_csv(path, columns, malformed):
    lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    for place in malformed:
        lines.insert(place, "not,a,row")
    path.write_text("\n".join([",".join(columns), *lines]) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_chunks):
    """240 rows in four files of each format, the first two to train on; those of CSV have malformed rows in between."""
    root = tmp_path_factory.mktemp("logs")
    for name, first in (("train", 0), ("eval", ROWS)):
        for suffix in ("csv", "parquet"):
            (root / suffix / name).mkdir(parents=True)
        for part in range(2):
            columns = table(first + part * ROWS // 2, ROWS // 2)
            write_csv(root / "csv" / name / f"{part}.csv", columns, (3, 9, 10, 40))
            pq.write_table(pa.table(columns), root / "parquet" / name / f"{part}.parquet", row_group_size=25)
        files = [str(root / "parquet" / name / f"{part}.parquet") for part in range(2)]
        parquet_to_tfrecord(files, SCHEMA, str(root / "tfrecord" / name))
    return root


def open_one(folder, cache, **settings):
    source = settings.get("source", "csv")
    settings = {"source": source, "schema": SCHEMA, "max_malformed": 0.1, "path": "train"} | settings
    for name in {"path", "eval_path", "validation_path"} & set(settings):
        settings[name] = str(folder / source / settings[name])
    return open_source(config.Data(**settings), str(cache))


@pytest.fixture
def opened(folder, tmp_path):
    """Opens a source with settings and a cache of the test's own."""
    return lambda cache="cache", **settings: open_one(folder, tmp_path / cache, **settings)


@pytest.fixture(scope="module", params=KINDS)
def one(request, folder, tmp_path_factory, gather):
    """A source of each kind: (the kind, itself, its training rows, its held-out rows)."""
    source = open_one(folder, tmp_path_factory.mktemp("cache"), **KINDS[request.param])
    return request.param, source, gather(source.train()), gather(source.holdout())


def rows_of(gathered):
    return gathered["features"]["row"][:, 0].astype(int).tolist()


def test_training_starts_at_any_row(one, gather):
    _, source, training, _ = one
    assert len(training["label"]) == source.train_rows
    for start in (7, source.train_rows - 1):
        tf.nest.map_structure(
            lambda found, expected, start=start: np.testing.assert_array_equal(found, expected[start:]),
            gather(source.train(start)),
            training,
        )
    assert sum(chunk["label"].size for chunk in source.train(source.train_rows).as_numpy_iterator()) == 0


def test_parts_are_disjoint_and_complete_and_nothing_is_learnt_from_held_out_rows(one, gather):
    kind, source, training, held_out = one
    trained, evaluated = rows_of(training), rows_of(held_out)
    validated = rows_of(gather(source.validation())) if source.validation_rows else []
    assert (len(evaluated), len(validated)) == (source.eval_rows, source.validation_rows)
    assert len(validated) == source.summary.get("validation_rows", 0)
    assert (len(validated) > 0) == ("validation" in kind)
    every = trained + evaluated + validated
    assert len(every) == len({*every})
    if not {"examples", "eval_path"} & set(KINDS[kind]):
        assert sorted(every) == list(range(2 * ROWS if kind == "validation_path" else ROWS))

    words = set(source.encoder.statistics.vocabularies["word"])
    assert words == {f"w{row}".encode() for row in trained}
    tags = set(source.encoder.statistics.vocabularies["tags"])
    assert tags == {tag.encode() for row in trained for tag in (f"t{row}", f"t{row % 3}")}
    prices = np.array(trained, np.float64) ** 2
    assert source.encoder.statistics.moments["price"] == pytest.approx((prices.mean(), prices.std()))
    assert (held_out["features"]["word"] == len(words)).all()  # every one out of vocabulary


def test_models_are_told_how_wide_the_features_in_memory_are(opened):
    features = (Categorical("tags", "vocabulary", max_values=2), Numeric("price", "log", "indicator"))
    source = opened(split="time", schema=Schema(features, timestamp="time"))
    for rows in (source.train(), source.train(raw=True), source.holdout(), source.holdout(raw=True)):
        widths = {name: spec.shape.as_list() for name, spec in rows.element_spec["features"].items()}
        assert widths == {"tags": [None, 2], "price": [None, 2]}


def test_rows_are_encoded_as_their_schema_says(one):
    _, source, training, _ = one
    expected = {name: values[rows_of(training)] for name, values in table(0, ROWS).items()}
    raw = {name: expected[name].astype(kind) for name, kind in (("user", int), ("row", "f4"), ("price", "f4"))}
    raw["word"] = expected["word"].astype("S").astype(object)
    raw["tags"] = np.array([tags.encode().split(b"|") for tags in expected["tags"]], object)
    for name, values in source.encoder(raw).items():
        np.testing.assert_array_equal(training["features"][name], values, err_msg=name)
    np.testing.assert_array_equal(training["label"], expected["label"])
    np.testing.assert_array_equal(training["weight"], expected["weight"])
    same_query = training["query_id"][:, None] == training["query_id"]
    np.testing.assert_array_equal(same_query, expected["user"][:, None] == expected["user"])


def test_held_out_rows_come_with_their_raw_features_where_asked_for(one, gather):
    _, source, _, held_out = one
    rows = gather(source.holdout(raw=True))
    raw = rows.pop("raw")
    tf.nest.map_structure(np.testing.assert_array_equal, rows, held_out)
    words = [f"w{row}".encode() for row in rows_of(held_out)]
    assert raw["word"].tolist() == words
    tf.nest.map_structure(np.testing.assert_array_equal, source.encoder(raw), held_out["features"])


@pytest.mark.parametrize("start", [0, 11])
def test_training_rows_come_with_their_raw_features_where_asked_for(one, gather, start):
    _, source, training, _ = one
    rows = gather(source.train(start, raw=True))
    raw = rows.pop("raw")
    expected = tf.nest.map_structure(lambda values: values[start:], training)
    tf.nest.map_structure(np.testing.assert_array_equal, rows, expected)
    assert raw["word"].tolist() == [f"w{row}".encode() for row in rows_of(rows)]
    tf.nest.map_structure(np.testing.assert_array_equal, source.encoder(raw), rows["features"])


@pytest.mark.parametrize("kind", ["time", "time limited", "user_time", "time validation_fraction", "tfrecord time"])
def test_one_pass_finds_what_three_find(kind, folder, tmp_path, gather):
    one_pass = open_one(folder, tmp_path / "cache", **KINDS[kind])
    kept = open_one(folder, tmp_path / "cache", **KINDS[kind])  # has the files that the first leaves
    for file in (tmp_path / "cache").glob("*statistics*"):
        file.unlink()
    recounted = open_one(folder, tmp_path / "cache", **KINDS[kind])
    # A source that copies columns surveys the files, collects statistics and loads the rows one after the other.
    copying = PredictionSchema(**vars(SCHEMA), copied=("word",), needs_label=True)
    three_passes = open_one(folder, tmp_path / "cache", **KINDS[kind], schema=copying)
    for other in (kept, recounted, three_passes):
        assert other.encoder.statistics == one_pass.encoder.statistics
        assert other.summary == one_pass.summary
        for rows in ("train", "holdout", *["validation"] * (one_pass.validation_rows > 0)):
            expected, found = (gather(getattr(source, rows)()) for source in (one_pass, other))
            found.pop("copied", None)
            tf.nest.map_structure(np.testing.assert_array_equal, found, expected)
            tf.nest.map_structure(
                lambda a, b: a.dtype == b.dtype or pytest.fail(f"{a.dtype}, {b.dtype}"), found, expected
            )


@pytest.mark.parametrize("kind", ["tail", "random", "time", "user_time", "validation_path", "time validation_fraction"])
def test_a_dataset_names_the_widths_of_numbers(kind, opened):
    """Models are made for the widths that it names: a number with an indicator of missing values has two columns."""
    numbers = (Numeric("row", transform="identity"), Numeric("price", transform="standardize", missing="indicator"))
    schema = dataclasses.replace(SCHEMA, features=(SCHEMA.features[0], *numbers))
    source = opened(schema=schema, **KINDS[kind])
    for dataset in (source.train(), source.holdout(), source.validation(), source.train(7)):
        features = dataset.element_spec["features"]
        assert {name: features[name].shape[1:].as_list() for name in ("row", "price")} == {"row": [1], "price": [2]}


TIME = table(0, ROWS)["time"]
BY_TIME = np.argsort(TIME, kind="stable").tolist()
ORDER = {
    "tail": (range(96), range(96, ROWS)),
    "limited": (range(30), range(96, 107)),
    "time": (BY_TIME[:96], BY_TIME[96:]),
    "time limited": (BY_TIME[:20], BY_TIME[60:75]),
    "eval_path": (range(ROWS), range(ROWS, 2 * ROWS)),
    "eval_path limited": (range(13), range(ROWS, ROWS + 7)),
    "validation_fraction": (range(72), range(96, ROWS)),
    "time validation_fraction": (BY_TIME[:72], BY_TIME[96:]),
    "validation_path": (BY_TIME[:96], BY_TIME[96:]),
    "tfrecord": (range(96), range(96, ROWS)),
    "tfrecord time": (BY_TIME[:96], BY_TIME[96:]),
    "parquet": (range(96), range(96, ROWS)),
}


def test_the_order_of_the_rows(one):
    kind, _, training, held_out = one
    trained, evaluated = rows_of(training), rows_of(held_out)
    if kind in ORDER:
        assert (trained, evaluated) == tuple(map(list, ORDER[kind]))
    elif kind.startswith("user_time"):
        assert trained == [row for row in BY_TIME if row in set(trained)]
        user = table(0, ROWS)["user"]
        for single in set(user.tolist()):
            latest_trained = max(TIME[row] for row in trained if user[row] == single)
            assert latest_trained <= min(TIME[row] for row in evaluated if user[row] == single)
    else:
        assert "random" in kind
        assert trained == sorted(trained) != list(range(len(trained)))
        assert evaluated == sorted(evaluated)


def test_the_summary_is_plain_and_names_the_malformed_rows(opened, folder):
    summary = opened().summary
    assert json.loads(json.dumps(summary)) == summary
    assert summary["rows"] == ROWS + 8
    assert summary["malformed"] == 8
    (place,) = summary["first_malformed"]
    assert place.startswith(f"{folder}/csv/train/0.csv:")
    assert place.endswith(" (wrong number of fields or values, got 'not,a,row'; 8 such rows)")
    assert summary["warnings"] == ["6.2% of the rows are malformed and left out"]
    assert summary["outside"] == {"word": 0.0, "tags": 0.0}
    assert summary["files"] == [f"{folder}/csv/train/{part}.csv" for part in range(2)]
    assert opened(eval_path="eval").summary["malformed"] == 16


def test_a_second_run_takes_all_that_it_needs_from_the_cache(opened, gather, monkeypatch, tmp_path):
    settings = {"split": "user_time"}
    first = opened(**settings)
    kept = sorted(os.listdir(tmp_path / "cache"))
    names = [name.removeprefix(first.fingerprint)[:12] for name in kept]
    assert names == ["-3-rows.npz", "-3-statistic", "-3-survey-tr"]
    raw = gather(first.holdout(raw=True))  # as exports have it

    def refuse(*arguments, **more):
        raise AssertionError("the files were read again")

    monkeypatch.setattr(CsvReader, "read", refuse)
    second = opened(**settings)
    assert second.summary == first.summary
    assert second.encoder.statistics == first.encoder.statistics
    tf.nest.map_structure(np.testing.assert_array_equal, gather(second.train(50)), gather(first.train(50)))
    tf.nest.map_structure(np.testing.assert_array_equal, gather(second.holdout(raw=True)), raw)
    with pytest.raises(AssertionError, match="read again"):  # other held-out rows, which nobody has asked for
        opened(split="user_time", eval_examples=5).holdout(raw=True)
    # Rows of which others are trained on are the same rows.
    assert opened(split="user_time", train_fraction=0.5).train_rows < first.train_rows
    with pytest.raises(AssertionError, match="read again"):
        opened(split="tail")


def test_rows_that_take_too_much_room_are_read_again(opened, gather, monkeypatch, tmp_path):
    monkeypatch.setattr(first_pass, "MOST_BYTES", 100)
    first, second = (opened(split="time") for _ in range(2))
    assert not list((tmp_path / "cache").glob("*rows*"))
    tf.nest.map_structure(np.testing.assert_array_equal, gather(second.train()), gather(first.train()))


def test_a_file_of_rows_that_is_cut_short_is_one_line(opened, tmp_path):
    opened(split="time")
    (rows,) = (tmp_path / "cache").glob("*rows*")
    rows.write_bytes(rows.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"rows\.npz does not hold the rows of the data: delete it"):
        opened(split="time")


def test_a_cached_survey_is_held_to_the_limit_of_the_run(opened):
    opened(max_malformed=0.1)
    with pytest.raises(InputError, match=r"data\.max_malformed: 8 of the first 128 rows are malformed, above 1\.00%"):
        opened(max_malformed=0.01)


def test_changed_data_or_meaning_is_not_taken_from_the_cache(opened, folder, tmp_path):
    first = opened()
    assert opened(schema=dataclasses.replace(SCHEMA, weight=None)).fingerprint != first.fingerprint
    (tmp_path / "csv" / "train").mkdir(parents=True)
    for file in (folder / "csv" / "train").iterdir():
        (tmp_path / "csv" / "train" / file.name).write_text(file.read_text().replace("w17", "W17"))
    changed = open_one(tmp_path, tmp_path / "cache")
    assert changed.fingerprint != first.fingerprint
    assert b"W17" in changed.encoder.statistics.vocabularies["word"]


def test_without_weight_and_query_the_weight_is_one_and_there_is_no_query(opened, gather):
    source = opened(schema=dataclasses.replace(SCHEMA, weight=None, query_id=None))
    rows = gather(source.train())
    assert "query_id" not in rows
    assert rows["weight"].tolist() == [1.0] * source.train_rows


def test_only_the_named_features_are_there(opened):
    source = opened(features=("price", "user"))
    assert list(next(iter(source.train()))["features"]) == ["user", "price"]


def test_a_share_of_malformed_held_out_rows_stops_the_run_too(opened, folder):
    (folder / "csv" / "bad.csv").write_text("user,word,tags,row,price,label,weight,time\n" + "x\n" * 50)
    with pytest.raises(InputError, match=r"csv/bad\.csv:2"):
        opened(eval_path="bad.csv")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"split": "time", "schema": dataclasses.replace(SCHEMA, timestamp=None)},
            "data.split 'time' needs a timestamp",
        ),
        ({"split": "user_time", "schema": dataclasses.replace(SCHEMA, query_id=None)}, "needs a query_id"),
        ({"train_fraction": 0.001}, "data.train_fraction must leave rows on both sides, got 0.001, which leaves 0"),
        (
            {"validation_fraction": 0.001},
            "data.validation_fraction must leave rows on both sides, got 0.001, which leaves 96 training and 0",
        ),
        ({"schema": None}, "data.schema must be given for data.source 'csv', got None"),
        ({"schema": Schema((Numeric("height"),))}, "the column 'height' is not in .*0.csv"),
        ({"features": ("height",)}, "data.features must name features of the source, got 'height'"),
        ({"header": False}, "data.column_names must name the columns"),
    ],
)
def test_what_cannot_be_opened_is_named(opened, settings, message):
    with pytest.raises(InputError, match=message) as raised:
        opened(**settings)
    assert "\n" not in str(raised.value)


def test_validation_rows_are_what_the_split_says(opened, gather):
    """96 of 120 rows train without them; a quarter of these is 24."""
    tail = opened(validation_fraction=0.25)
    assert rows_of(gather(tail.train())) == list(range(72))
    assert rows_of(gather(tail.validation())) == list(range(72, 96))
    assert rows_of(gather(tail.holdout())) == rows_of(gather(opened().holdout())) == list(range(96, 120))
    by_time = sorted(range(ROWS), key=lambda row: (table(0, ROWS)["time"][row], row))
    time = opened(validation_fraction=0.25, split="time")
    assert rows_of(gather(time.train())) == by_time[:72]
    assert sorted(rows_of(gather(time.validation()))) == sorted(by_time[72:96])
    user = opened(validation_fraction=0.25, split="user_time")
    trained, validated = rows_of(gather(user.train())), rows_of(gather(user.validation()))
    columns = table(0, ROWS)
    for each in set(columns["user"]):
        latest = max(columns["time"][row] for row in trained if columns["user"][row] == each)
        assert all(columns["time"][row] >= latest for row in validated if columns["user"][row] == each)
    assert len(opened(eval_path="eval", validation_fraction=0.5).summary) == len(tail.summary)


def test_a_validation_file_with_other_columns_is_one_line(opened, folder):
    columns = table(0, 10)
    del columns["price"]
    write_csv(folder / "csv" / "other.csv", columns, ())
    for field in ("validation_path", "eval_path"):
        with pytest.raises(InputError) as raised:
            opened(**{field: "other.csv"})
        assert str(raised.value).startswith(f"data.{field}: the column 'price' is not in {folder}/csv/other.csv, which")
        assert "\n" not in str(raised.value)


def test_an_unknown_source_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r"data\.source must be one of synthetic, criteo, .*, got 'cvs'"):
        open_source(config.Data(source="cvs"), str(tmp_path))


@pytest.mark.parametrize("settings", [{}, {"split": "random", "examples": 100}, {"source": "parquet"}])
def test_rows_that_are_lost_while_a_run_reads_them_are_an_error(folder, gather, tmp_path, settings):
    """Text and records that end early look whole."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    source = open_one(copy, tmp_path / "cache", **settings)
    gather(source.train())
    ending = settings.get("source", "csv")
    first, second = (copy / ending / "train" / f"{part}.{ending}" for part in range(2))
    if ending == "csv":
        first.write_text("".join(first.read_text().splitlines(keepends=True)[:-50]))
    else:
        pq.write_table(pq.read_table(first).slice(0, 3), first)
    second.unlink()
    shutil.copy(first, second)
    with pytest.raises(tf.errors.InvalidArgumentError, match="the files have lost rows that were there"):
        gather(source.train())


@pytest.mark.parametrize("split", ["tail", "time"])
def test_several_labels_are_the_same_in_every_format(tmp_path, gather, split):
    """Of the rows 0 to 9 row 3 lacks its second label; the third one is 1 from 2 on."""
    stars = [0.5 * row for row in range(10)]
    sale = [None if row == 3 else row % 2 for row in range(10)]
    table = pa.table({"user": list(range(10)), "click": [row < 5 for row in range(10)], "sale": sale, "stars": stars})
    table = table.append_column("time", pa.array(range(10)))
    pq.write_table(table, tmp_path / "log.parquet")
    lines = [f"{r},{int(r < 5)},{'' if sale[r] is None else sale[r]},{stars[r]},{r}" for r in range(10)]
    (tmp_path / "log.csv").write_text("user,click,sale,stars,time\n" + "\n".join(lines) + "\n")
    schema = Schema(
        (Categorical("user", "identity", 10, "int64"),),
        label=("click", "sale", "stars"),
        label_threshold=(None, None, 2.0),
        timestamp="time",
    )
    (records,) = parquet_to_tfrecord([str(tmp_path / "log.parquet")], schema, str(tmp_path))
    found = []
    for source, path in (("csv", "log.csv"), ("parquet", "log.parquet"), ("tfrecord", os.path.basename(records))):
        data = config.Data(source=source, path=str(tmp_path / path), schema=schema, split=split, max_malformed=0.2)
        opened = open_source(data, str(tmp_path / "cache"))
        assert [place.partition(":")[2] for place in opened.summary["first_malformed"]] == [
            f"{4 if source != 'csv' else 5} (sale is neither 0 nor 1, got no value)"
        ]
        found.append(gather(opened.train()))
        np.testing.assert_array_equal(found[-1]["label"], found[-1]["labels"][:, 0])
    expected = [[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 1, 1], [0, 0, 1], [0, 1, 1]]  # of 0, 1, 2, 4, 5, 6, 7
    for rows in found:
        assert rows["labels"].tolist() == expected
        assert rows["labels"].dtype == np.float32


@pytest.mark.parametrize("source", ["csv", "parquet", "tfrecord"])
def test_a_label_that_is_no_column_is_one_line(tmp_path, source):
    table = pa.table({"user": [1, 2], "click": [0, 1]})
    pq.write_table(table, tmp_path / "log.parquet")
    features = (Categorical("user", "identity", 10, "int64"),)
    parquet_to_tfrecord([str(tmp_path / "log.parquet")], Schema(features, label="click"), str(tmp_path))
    (tmp_path / "log.csv").write_text("user,click\n1,0\n2,1\n")
    path = tmp_path / {"csv": "log.csv", "parquet": "log.parquet", "tfrecord": "part-00000.tfrecord.gz"}[source]
    data = config.Data(source=source, path=str(path), schema=Schema(features, label=("click", "sale")))
    with pytest.raises(InputError, match=r"^data.path: the column 'sale' is (not in|in none of)") as raised:
        open_source(data, str(tmp_path / "cache"))
    assert "\n" not in str(raised.value)
