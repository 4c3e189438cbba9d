"""Vocabularies and moments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.data.feature_statistics import Moments, Statistics, collect, needed
from smooth_recs.schema import Categorical, Numeric, Schema


def words(*texts):
    return np.array(texts, object)


def vocabulary(feature, *chunks):
    return collect(Schema((feature,)), [{feature.name: chunk} for chunk in chunks]).vocabularies[feature.name]


def test_the_most_frequent_come_first_and_ties_ascend():
    chunks = [words(b"b", b"a", b"c", b"c"), words(b"b", b"c", b"", b"\xff", b"d")]
    assert vocabulary(Categorical("word", "vocabulary"), *chunks) == (b"c", b"b", b"a", b"d", b"\xff")
    assert vocabulary(Categorical("word", "vocabulary", size=2), *chunks) == (b"c", b"b")
    assert vocabulary(Categorical("word", "vocabulary", min_count=3), *chunks) == (b"c",)


def test_the_order_of_the_rows_does_not_matter():
    feature = Categorical("word", "vocabulary")
    rows = [b"x", b"y", b"z", b"y", b"x", b"w"]
    assert vocabulary(feature, words(*rows)) == vocabulary(feature, words(*rows[::-1]))


def test_integers_and_several_values():
    feature = Categorical("tag", "vocabulary", dtype="int64", max_values=3)
    assert vocabulary(feature, np.array([[5, 7, -1], [7, -1, -1], [2**40, -1, -1]])) == (7, 5, 2**40)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), max_size=30), min_size=1, max_size=6))
def test_moments_merge_to_those_of_all_values(chunks):
    moments = Moments()
    for chunk in chunks:
        moments.add(np.array([*chunk, np.nan, np.inf], np.float32))
    everything = np.array([value for chunk in chunks for value in chunk], np.float64)
    assert moments.mean == pytest.approx(everything.mean() if everything.size else 0.0, abs=1e-6)
    assert moments.std == pytest.approx((everything.std() if everything.size else 0.0) or 1.0, rel=1e-6, abs=1e-6)


def test_moments_do_not_cancel_far_from_zero():
    moments = Moments()
    for chunk in np.split(1e8 + np.arange(1000.0), 10):
        moments.add(chunk)
    assert moments.std == pytest.approx(np.arange(1000.0).std(), rel=1e-9)


def test_moments_are_those_of_the_logarithm_where_the_feature_takes_it():
    feature = Numeric("count", transform="log_standardize")
    values = np.array([0.0, -1.0, 7.0, np.nan], np.float32)
    mean, std = collect(Schema((feature,)), [{"count": values}]).moments["count"]
    logs = np.array([0.0, -np.log(2.0), np.log(8.0)])
    assert (mean, std) == pytest.approx((logs.mean(), logs.std()), rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=8), unique=True), st.lists(st.integers(-(2**63), 2**63 - 1), unique=True))
def test_json_keeps_any_bytes_and_integers(texts, numbers):
    statistics = Statistics({"text": tuple(texts), "number": tuple(numbers)}, {"x": (0.1, 1e-30)})
    assert Statistics.from_json(statistics.to_json()) == statistics


def test_what_needs_a_look_at_the_rows():
    assert not needed(Schema((Categorical("a", "hash", size=3), Numeric("b", transform="log"))))
    assert needed(Schema((Categorical("a", "vocabulary"),)))
    assert needed(Schema((Numeric("b", transform="log", missing="mean"),)))
