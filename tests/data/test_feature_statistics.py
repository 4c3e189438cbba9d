"""Vocabularies and moments of training rows, and the ranks of values by binary search."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.data import feature_statistics
from smooth_recs.data.feature_statistics import Moments, Statistics, Vocabulary, collect, needed
from smooth_recs.errors import InputError
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


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=4), unique=True, max_size=30), st.lists(st.binary(max_size=4), max_size=40))
def test_ranks_of_texts_are_those_of_a_dictionary(known, asked):
    ranks = {value: rank for rank, value in enumerate(known)}
    found = Vocabulary(known, "string").rank(tf.constant([*asked, *known], tf.string))
    assert found.numpy().tolist() == [ranks.get(value, len(known)) for value in [*asked, *known]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=30), st.lists(st.integers(-5, 5), max_size=20))
def test_ranks_of_integers_are_those_of_a_dictionary(known, asked):
    ranks = {value: rank for rank, value in enumerate(known)}
    found = Vocabulary(known, "int64").rank(tf.constant([*asked, *known], tf.int64))
    assert found.numpy().tolist() == [ranks.get(value, len(known)) for value in [*asked, *known]]


def test_a_vocabulary_takes_any_shape_in_a_graph_and_in_an_export(tmp_path):
    module = tf.Module()
    words = Vocabulary([b"b", b"a"], "string")
    module.rank = tf.function(words.rank, input_signature=[tf.TensorSpec([None, None], tf.string)])
    tf.saved_model.save(module, str(tmp_path))
    asked = tf.constant([["a", "x"], ["b", ""]])
    for rank in (words.rank, module.rank, tf.saved_model.load(str(tmp_path)).rank):
        assert rank(asked).numpy().tolist() == [[1, 2], [0, 2]]
    assert words.rank(tf.zeros([0, 3], tf.string)).shape == (0, 3)


def test_other_processes_can_have_a_dataset_with_a_vocabulary():
    """What the data service does: the dataset as a graph, without anything of this process."""
    words = Vocabulary([b"b", b"a"], "string")
    dataset = tf.data.Dataset.from_tensors(tf.constant(["a", "b", "c"])).map(words.rank)
    graph = tf.raw_ops.DatasetToGraphV2(input_dataset=dataset._variant_tensor, external_state_policy=2)  # 2: an error
    assert b"HashTable" not in graph.numpy()
    assert np.frombuffer(graph.numpy(), np.uint8).size > 0

    @tf.function
    def within_a_graph():
        return Vocabulary([b"b", b"a"], "string").rank(tf.constant(["a", "b", "c"]))

    assert within_a_graph().numpy().tolist() == [1, 0, 2]


def test_a_vocabulary_of_equal_hashes_is_refused_in_a_line(monkeypatch):
    monkeypatch.setattr(feature_statistics, "_BUCKETS", 1)
    with pytest.raises(InputError, match="a vocabulary must hold values of different hashes, got b'b' and b'a'"):
        Vocabulary([b"b", b"a"], "string")


def test_the_share_out_of_vocabulary_is_that_of_the_values_that_are_there():
    schema = Schema((Categorical("shop", "vocabulary", size=2), Categorical("rare", "vocabulary", min_count=9)))
    shops = np.array([b"a"] * 4 + [b"b"] * 3 + [b"c"] * 2 + [b"d"] + [b""] * 5, object)
    found = collect(schema, [{"shop": shops, "rare": shops}])
    assert found.outside == {"shop": pytest.approx(0.3), "rare": 1.0}
    assert Statistics.from_json(found.to_json()).outside == found.outside
    assert Statistics.from_json('{"vocabularies": {}, "moments": {}}').outside == {}
