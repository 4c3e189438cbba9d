"""Texts, integers and floats of files as the types of a schema."""

from __future__ import annotations

import csv
import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.data.raw_rows import describe
from smooth_recs.data.readers.csv import CsvReader
from smooth_recs.data.readers.parquet import ParquetReader
from smooth_recs.data.readers.tfrecord import TFRecordReader
from smooth_recs.data.values import float_text, is_missing, split_values, to_float, to_int64, to_string, to_time
from smooth_recs.schema import Categorical, Numeric, Schema

INT64 = st.integers(-(2**63), 2**63 - 1)


def convert(function, values, dtype=None):
    """The converted values, and which of them are wrong."""
    tensor = tf.constant(values, dtype)
    present = tf.not_equal(tensor, "") if tensor.dtype == tf.string else tf.ones_like(tensor, tf.bool)
    converted, bad = function(tensor, present)
    return converted.numpy(), [False] * len(values) if bad is None else bad.numpy().tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(INT64, min_size=1, max_size=20))
def test_every_int64_is_read_exactly(numbers):
    converted, bad = convert(to_int64, [str(number) for number in numbers])
    assert converted.tolist() == numbers
    assert not any(bad)


@settings(max_examples=50, deadline=None)
@given(st.integers(2**63 + 1, 2**70), st.booleans(), st.sampled_from(["", ".0", "e0", "00e-2"]))
def test_integers_beyond_int64_are_bad(number, negative, end):
    assert convert(to_int64, [f"{'-' * negative}{number}{end}"])[1] == [True]


@pytest.mark.parametrize("text", ["9223372036854775807", "-9223372036854775808", "0007", " 12 ", "2147483648"])
def test_integers_at_the_bounds(text):
    assert convert(to_int64, [text])[0].tolist() == [int(text)]


@settings(max_examples=100, deadline=None)
@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20),
    st.sampled_from(["{}", "{:e}", "{:f}", "{:E}", "+{}", " {} "]),
)
def test_a_decimal_number_is_an_integer_if_it_is_whole_to_the_last_digit(number, form):
    text = form.format(number).replace("+-", "-")
    values, bad = convert(to_int64, [text])
    exact = decimal.Decimal(text.strip())
    if exact == exact.to_integral_value() and -(2**63) <= exact < 2**63:
        assert (values.tolist(), bad) == ([int(exact)], [False])
    else:
        assert (values.tolist(), bad) == ([-1], [True])


def test_integers_as_other_tools_write_them():
    texts = [
        "12.0",
        "+7",
        "1e3",
        "1.5e3",
        "1200e-2",
        "9007199254740993.0",
        "9.223372036854775807e18",
        "True",
        " FALSE ",
    ]
    values, bad = convert(to_int64, texts)
    assert values.tolist() == [12, 7, 1000, 1500, 12, 2**53 + 1, 2**63 - 1, 1, 0]
    assert not any(bad)


@pytest.mark.parametrize(
    "text",
    [b"12.5", b"x", b"1 2", b"--1", b"1e-3", b"1e99", b"inf", b"0x10", b"\xff", b"1\xff", b"1_000", b"-", b"yes"],
)
def test_what_is_no_integer_is_bad_and_reads_as_missing(text):
    assert convert(to_int64, [text]) == (np.array([-1]), [True])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_every_float_is_read_as_python_reads_it(numbers):
    tensor = tf.constant([repr(number) for number in numbers])
    converted, bad = to_float(tensor, tf.ones_like(tensor, tf.bool), tf.float64)
    np.testing.assert_array_equal(converted.numpy(), numbers)
    assert not bad.numpy().any()


def test_an_empty_number_is_missing_not_bad():
    values, bad = convert(to_float, ["", "3", "1e999", "abc", b"\xe9"])
    np.testing.assert_array_equal(values, [np.nan, 3.0, np.inf, np.nan, np.nan])
    assert bad == [False, False, False, True, True]


def test_integers_with_gaps_come_as_floats():
    values, bad = convert(to_int64, [3.0, np.nan, 2.5, 1e30], tf.float64)
    assert values.tolist() == [3, -1, -1, -1]
    assert bad == [False, False, True, True]


@pytest.mark.parametrize(("dtype", "first"), [(tf.float32, 2**24), (tf.float64, 2**53)])
@pytest.mark.parametrize("function", [to_int64, to_string])
def test_a_float_that_may_have_been_rounded_is_no_id(function, dtype, first):
    values, bad = convert(function, [float(first - 1), float(first), -float(first), float("inf")], dtype)
    assert bad == [False, True, True, True]
    assert int(values[0]) == first - 1


@pytest.mark.parametrize(("dtype", "smallest"), [(tf.float16, 2**-24), (tf.float32, 2.0**-149), (tf.float64, 5e-324)])
@pytest.mark.parametrize("function", [to_int64, to_string])
def test_a_float_next_to_0_is_no_id(function, dtype, smallest):
    """In a thread of a dataset too, which calculates with 0 in its place."""
    values, normal = [smallest, -smallest, 0.0, -0.0, 5.0], float(np.finfo(dtype.as_numpy_dtype).smallest_normal)
    dataset = tf.data.Dataset.from_tensors(tf.constant([*values, normal / 2], dtype))
    converted, bad = dataset.map(lambda each: function(each, None)).get_single_element()
    assert bad.numpy().tolist() == [True, True, False, False, False, True]
    assert [int(each) for each in converted.numpy()[2:5]] == [0, 0, 5]


def test_a_float32_next_to_0_has_a_text():
    values = np.float32([2.0**-149, -(2.0**-149), 3e-39])
    texts = tf.data.Dataset.from_tensors(values).map(float_text).get_single_element().numpy()
    np.testing.assert_allclose(texts.astype(float), values.astype(float), rtol=1e-5)


def test_a_malformed_float_next_to_0_is_shown_as_one(tmp_path):
    pq.write_table(pa.table({"item": [1.0, 5e-324], "label": [0, 1]}), tmp_path / "log.parquet")
    reader = ParquetReader([str(tmp_path / "log.parquet")], Schema((Categorical("item", "hash", 9, "int64"),)))
    (chunk,) = reader.read().as_numpy_iterator()
    assert chunk["problem"].tolist()[0] == 0
    said = describe(reader.schema, chunk["problem"][1], chunk["value"][1])
    assert said == "item is no integer of 64 bits, got 'a number below 2.2e-308'"


def test_missing_texts_are_missing_in_every_kind_of_column():
    texts = ["NULL", "null", "NA", "N/A", "None", r"\N", "<NA>", "nan", "NaN", "", "  ", " NA "]
    assert np.isnan(convert(to_float, texts)[0]).all()
    assert np.isnan(convert(to_time, texts)[0]).all()
    assert (convert(to_int64, texts)[0] == -1).all()
    assert (convert(to_string, texts)[0] == b"").all()
    for function in (to_float, to_time, to_int64, to_string):
        assert not any(convert(function, texts)[1])
    others = ["Nullify", "NAN", "n/a", "none", "null|null", "N"]
    assert convert(to_string, others)[0].tolist() == [each.encode() for each in others]


def test_which_texts_are_missing_is_a_choice():
    texts = tf.constant(["-", "NULL", "", "(none)", "é", "-1"])
    assert is_missing(texts, ["-", "(none)", "é"]).numpy().tolist() == [True, False, True, True, True, False]
    assert is_missing(texts, []).numpy().tolist() == [False, False, True, False, False, False]
    assert to_string(texts, None, missing=["é"])[0].numpy().tolist() == [b"-", b"NULL", b"", b"(none)", b"", b"-1"]
    np.testing.assert_array_equal(to_float(texts[5:], None, missing=["-1"])[0], [np.nan])
    assert to_int64(tf.constant(["0", "1"]), None, missing=["0"])[0].numpy().tolist() == [-1, 1]


def test_whole_numbers_with_a_point_are_the_texts_of_integers():
    texts = ["12.0", "-7.0", "-0.0", "1.0.0", "1.00", "v1.0", "007.0", "+7.0", ".0", "12."]
    assert convert(to_string, texts)[0].tolist() == [b"12", b"-7", b"0", *(text.encode() for text in texts[3:])]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a|b", ["a", "b"]),
        ("['a', 'b']", ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ("[]", [""]),
        (" [ 1, 2 ] ", ["1", "2"]),
        ("[1 2 3]", ["1", "2", "3"]),
        ("[1. 2.5]", ["1.", "2.5"]),
        ("['a' 'b']", ["a", "b"]),
        ("[new york, la]", ["new york", "la"]),
        (r"['it\'s', \"a,b\", 'x|y']".replace('\\"', '"'), ["it's", "a,b", "x|y"]),
        ("['a[1]', 'b']", ["a[1]", "b"]),
        ("['', 'b']", ["", "b"]),
        ("[None, 'b']", ["None", "b"]),
        ("[x] [y]", ["[x] [y]"]),
        ("[[1, 2], [3]]", ["[[1, 2], [3]]"]),
        ("[a", ["[a"]),
        ("", [""]),
    ],
)
def test_lists_as_python_and_json_write_them(text, values):
    found = split_values(tf.constant([text, "p|q|r|s|t"]), "|", 4).numpy().tolist()
    assert found == [[*(each.encode() for each in values), *[b""] * (4 - len(values))], [b"p", b"q", b"r", b"s"]]


def test_texts_of_numbers_agree_whatever_their_type():
    assert convert(to_string, [7, 2**40], tf.int64)[0].tolist() == [b"7", b"1099511627776"]
    assert convert(to_string, [7.0, 2.0**40, np.nan, 0.5], tf.float64)[0].tolist() == [
        b"7",
        b"1099511627776",
        b"",
        b"0.5",
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.datetimes(datetime.datetime(1600, 1, 1), datetime.datetime(2400, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["T", " "]),
)
def test_iso_8601_is_read_as_python_reads_it(moment, zone_minutes, separator):
    moment = moment.replace(tzinfo=datetime.timezone(datetime.timedelta(minutes=zone_minutes)))
    values, bad = convert(to_time, [moment.isoformat(sep=separator)])
    assert bad == [False]
    assert values[0] == pytest.approx(moment.timestamp(), abs=1e-5, rel=0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 0.0),
        ("1970-01-02T00:00", 86400.0),
        ("2000-02-29T23:59:59Z", 951868799.0),
        ("2000-03-01 01:00:00.25+0100", 951868800.25),
        ("1969-12-31T23:00:00-01:00", 0.0),
        ("881250949", 881250949.0),
        ("1.5e9", 1.5e9),
        ("1970-01-01 00:00:10 UTC", 10.0),
        ("1970-01-01 00:00:10.5 GMT", 10.5),
        ("1970-01-01T01:00:00+01", 0.0),
        ("1970-01-01 00:30:00 +0030", 0.0),
        ("1969-12-31 19:00:00 -0500 UTC", 0.0),
        (" 1970-01-01T00:01Z ", 60.0),
        ("2024-02-29", 1709164800.0),
    ],
)
def test_times_by_hand(text, seconds):
    assert convert(to_time, [text, "17"])[0].tolist() == [seconds, 17.0]


@pytest.mark.parametrize(
    "text",
    [
        "2019-13-01",
        "2019-01-32",
        "yesterday",
        "2019-01-01T25:00",
        "2019-1-1",
        b"\xff",
        "2023-02-29",
        "2100-02-29",
        "2024-04-31",
        "2024-01-01 +00",
    ],
)
def test_what_is_no_time_is_bad(text):
    assert convert(to_time, [text, "2019-01-01"])[1] == [True, False]


@pytest.mark.parametrize("function", [to_float, to_int64, to_string, to_time])
@pytest.mark.parametrize(
    "values", [["1", "", "x", b"\xff", " 2", "2020-01-01", "NA", "3.0"], [3, -1], [1.0, float("nan"), 2.5, 1e30]]
)
def test_no_mask_means_that_everything_is_there(function, values):
    tensor = tf.constant(values)
    converted, bad = function(tensor, None)
    expected, expected_bad = function(tensor, tf.ones_like(tensor, tf.bool))
    np.testing.assert_array_equal(converted.numpy(), expected.numpy())
    assert (bad is None) == (expected_bad is None)
    if bad is not None:
        assert bad.numpy().tolist() == expected_bad.numpy().tolist()


ROLES = {"number": to_float, "integer": to_int64, "text": to_string, "label": to_float, "time": to_time}


def documented() -> list[tuple[str, dict[str, str]]]:
    """The table of docs/data.md: each text, and what it is in a column of each kind."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    _, _, table = page.partition(f"| text | {' | '.join(ROLES)} |\n")
    rows = [[cell.strip() for cell in line[1:-1].split(" | ")] for line in table.partition("\n\n")[0].splitlines()[1:]]
    return [(text[1:-1], dict(zip(ROLES, cells, strict=True))) for text, *cells in rows]


def shown(role: str, value: Any, bad: bool) -> str:
    """A converted value as the table shows it."""
    if role in ("label", "time"):  # which must be there
        bad = bool(bad or np.isnan(value) or (role == "label" and value not in (0, 1)))
    if bad:
        return "malformed"
    if role == "text":
        return f"`{value.decode()}`" if value else "missing"
    missing = value == -1 if role == "integer" else np.isnan(value)
    return "missing" if missing else str(value if role == "integer" else int(value) if value % 1 == 0 else value)


@pytest.mark.parametrize(("text", "meaning"), documented())
def test_the_documentation_says_what_a_text_means(text, meaning):
    found = {}
    for role, function in ROLES.items():
        values, bad = convert(function, [text])
        found[role] = shown(role, values[0], bad[0])
    assert found == meaning


def test_all_files_mean_the_same(tmp_path, gather):
    texts = [text for text, _ in documented()]
    schema = Schema(
        (
            Numeric("number"),
            Categorical("integer", "hash", size=9, dtype="int64"),
            Categorical("word", "hash", size=9),
            Categorical("words", "hash", size=9, max_values=2, separator=" "),
        ),
        query_id="word",
    )
    rows = [dict.fromkeys((*(f.name for f in schema.features), "other"), text) | {"label": "1"} for text in texts]
    with open(tmp_path / "log.csv", "w", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    with tf.io.TFRecordWriter(str(tmp_path / "log.tfrecord")) as records:
        for row in rows:
            words = [word.encode() for word in row["words"].split(" ")]
            features = {name: [text.encode()] for name, text in row.items()} | {"words": words}
            lists = {name: tf.train.BytesList(value=values) for name, values in features.items()}
            example = {name: tf.train.Feature(bytes_list=values) for name, values in lists.items()}
            records.write(tf.train.Example(features=tf.train.Features(feature=example)).SerializeToString())
    readers = {"csv": CsvReader, "parquet": ParquetReader, "tfrecord": TFRecordReader}
    found = {end: gather(reader([f"{tmp_path}/log.{end}"], schema).read()) for end, reader in readers.items()}
    found["csv"]["line"] -= 1  # it has a header
    unknown = found["csv"]["raw"]["word"] == b""
    assert len(set(found["csv"]["query_id"][unknown].tolist())) == unknown.sum() > 3
    for rows_of_file in found.values():
        assert (rows_of_file["query_id"][unknown] < 0).all()
        rows_of_file["query_id"][unknown] = 0
    for end in ("parquet", "tfrecord"):
        tf.nest.map_structure(np.testing.assert_array_equal, found[end], found["csv"])
