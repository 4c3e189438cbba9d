"""Texts, integers and floats of files as the types of a schema."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.data.raw_rows import to_float, to_int64, to_string, to_time

INT64 = st.integers(-(2**63) + 1, 2**63 - 1)


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
@given(st.integers(2**63, 2**70), st.booleans())
def test_integers_beyond_int64_are_bad(number, negative):
    assert convert(to_int64, [f"{'-' * negative}{number}"])[1] == [True]


@pytest.mark.parametrize("text", ["9223372036854775807", "-9223372036854775807", "0007", " 12 ", "2147483648"])
def test_integers_at_the_bounds(text):
    assert convert(to_int64, [text])[0].tolist() == [int(text)]


@pytest.mark.parametrize("text", [b"1.5", b"x", b"1 2", b"--1", b"1e3", b"0x10", b"\xff", b"1\xff", b"1_000", b"-"])
def test_what_is_no_integer_is_bad_and_reads_as_missing(text):
    assert convert(to_int64, [text]) == (np.array([-1]), [True])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=20))
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
    ],
)
def test_times_by_hand(text, seconds):
    assert convert(to_time, [text, "17"])[0].tolist() == [seconds, 17.0]


@pytest.mark.parametrize("text", ["2019-13-01", "2019-01-32", "yesterday", "2019-01-01T25:00", "2019-1-1", b"\xff"])
def test_what_is_no_time_is_bad(text):
    assert convert(to_time, [text, "2019-01-01"])[1] == [True, False]


@pytest.mark.parametrize("function", [to_float, to_int64, to_string, to_time])
@pytest.mark.parametrize(
    "values", [["1", "", "x", b"\xff", " 2", "2020-01-01"], [3, -1], [1.0, float("nan"), 2.5, 1e30]]
)
def test_no_mask_means_that_everything_is_there(function, values):
    tensor = tf.constant(values)
    converted, bad = function(tensor, None)
    expected, expected_bad = function(tensor, tf.ones_like(tensor, tf.bool))
    np.testing.assert_array_equal(converted.numpy(), expected.numpy())
    assert (bad is None) == (expected_bad is None)
    if bad is not None:
        assert bad.numpy().tolist() == expected_bad.numpy().tolist()
