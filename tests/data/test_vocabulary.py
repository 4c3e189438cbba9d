"""Ranks by binary search are those of a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.data import feature_statistics
from smooth_recs.data.feature_statistics import Vocabulary
from smooth_recs.errors import InputError


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=4), unique=True, max_size=30), st.lists(st.binary(max_size=4), max_size=40))
def test_texts(known, asked):
    ranks = {value: rank for rank, value in enumerate(known)}
    found = Vocabulary(known, "string").rank(tf.constant([*asked, *known], tf.string))
    assert found.numpy().tolist() == [ranks.get(value, len(known)) for value in [*asked, *known]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=30), st.lists(st.integers(-5, 5), max_size=20))
def test_integers(known, asked):
    ranks = {value: rank for rank, value in enumerate(known)}
    found = Vocabulary(known, "int64").rank(tf.constant([*asked, *known], tf.int64))
    assert found.numpy().tolist() == [ranks.get(value, len(known)) for value in [*asked, *known]]


def test_any_shape_in_a_graph_and_in_an_export(tmp_path):
    module = tf.Module()
    words = Vocabulary([b"b", b"a"], "string")
    module.rank = tf.function(words.rank, input_signature=[tf.TensorSpec([None, None], tf.string)])
    tf.saved_model.save(module, str(tmp_path))
    asked = tf.constant([["a", "x"], ["b", ""]])
    for rank in (words.rank, module.rank, tf.saved_model.load(str(tmp_path)).rank):
        assert rank(asked).numpy().tolist() == [[1, 2], [0, 2]]
    assert words.rank(tf.zeros([0, 3], tf.string)).shape == (0, 3)


def test_other_processes_can_have_a_dataset_with_it():
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


def test_equal_hashes_are_a_line(monkeypatch):
    monkeypatch.setattr(feature_statistics, "_BUCKETS", 1)
    with pytest.raises(InputError, match="a vocabulary must hold values of different hashes, got b'b' and b'a'"):
        Vocabulary([b"b", b"a"], "string")
