"""The per-query AUC loss metric against the exact one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import accuracy
from smooth_recs.metrics import PerQueryAUCLoss

pytestmark = pytest.mark.both_generations
WEIGHTINGS = ("pairs", "queries", "examples")
ROW = st.tuples(
    st.integers(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from([0.0, 1.0, 2.5]), st.integers(-2, 2)
)


def test_by_hand() -> None:
    # Query 7: one pair, wrong. Query 8: four pairs, one wrong. Query 9: one class.
    label = np.array([1, 0, 1, 1, 0, 0, 1])
    prediction = np.array([0.2, 0.6, 0.9, 0.3, 0.4, 0.1, 0.5])
    query = np.array([7, 7, 8, 8, 8, 8, 9])
    for weighting, expected in zip(WEIGHTINGS, (2 / 5, (1 + 1 / 4) / 2, (2 * 1 + 4 / 4) / 6), strict=True):
        metric = PerQueryAUCLoss(weighting)
        metric.update_state(label, prediction, query_id=query)
        assert float(metric.result()) == pytest.approx(expected, rel=1e-14)
        assert float(metric.queries) == 2
        assert float(metric.one_class_queries) == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=20))
def test_a_batch_is_exact(rows: list[tuple[int, float, float, int]]) -> None:
    label, prediction, weight, query = (np.array(values) for values in zip(*rows, strict=True))
    for weighting in WEIGHTINGS:
        metric = PerQueryAUCLoss(weighting)
        metric.update_state(label, prediction, weight, query_id=query)
        exact = accuracy.per_query_auc_loss(label, prediction, query, weight, weighting=weighting)
        assert float(metric.queries) == exact.queries
        assert float(metric.one_class_queries) == exact.one_class_queries
        value = float(metric.result())
        assert math.isnan(value) if exact.value is None else value == pytest.approx(exact.value, abs=1e-13)


def log(queries: int) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(0)
    query = np.sort(rng.integers(0, queries, 6 * queries))
    prediction = np.round(rng.uniform(size=query.size), 2)
    return rng.uniform(size=query.size) < prediction, prediction, rng.exponential(size=query.size), query


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_whole_queries_stream_exactly(weighting: str) -> None:
    label, prediction, weight, query = log(100)
    metric = PerQueryAUCLoss(weighting)
    shards = [PerQueryAUCLoss(weighting), PerQueryAUCLoss(weighting)]
    for number, (start, end) in enumerate([(0, 1), (1, 30), (30, 31), (31, 100)]):
        part = (query >= start) & (query < end)
        for target in (metric, shards[number % 2]):
            target.update_state(label[part], prediction[part], weight[part], query_id=query[part])
    exact = accuracy.per_query_auc_loss(label, prediction, query, weight, weighting=weighting)
    assert float(metric.result()) == pytest.approx(exact.value, rel=1e-12)
    assert (float(metric.queries), float(metric.one_class_queries)) == exact[1:]
    shards[0].merge_state(shards[1:])
    assert float(shards[0].result()) == pytest.approx(exact.value, rel=1e-12)


def test_strings_large_integers_and_unsorted_rows() -> None:
    label, prediction, weight, query = log(50)
    order = np.random.default_rng(1).permutation(query.size)
    exact = accuracy.per_query_auc_loss(label, prediction, query, weight).value
    large = query.astype(np.int64) + 2**62
    for ids in (np.array([f"q{number}" for number in query]), large, query.astype(np.int32)[:, None]):
        metric = PerQueryAUCLoss()
        metric.update_state(label[order], prediction[order], weight[order], query_id=ids[order])
        assert float(metric.result()) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled(jit_compile: bool) -> None:
    label, prediction, weight, query = log(50)
    metric = PerQueryAUCLoss()

    @tf.function(jit_compile=jit_compile)
    def update(label: tf.Tensor, prediction: tf.Tensor, weight: tf.Tensor, query: tf.Tensor) -> None:
        metric.update_state(label, prediction, weight, query_id=query)

    update(*(tf.constant(values) for values in (label, prediction, weight, query)))
    exact = accuracy.per_query_auc_loss(label, prediction, query, weight)
    assert float(metric.result()) == pytest.approx(exact.value, rel=1e-12)


def test_not_defined_or_bad_input_is_nan() -> None:
    metric = PerQueryAUCLoss()
    metric.update_state(np.zeros([0]), np.zeros([0]), query_id=np.zeros([0], np.int64))
    assert math.isnan(float(metric.result()))
    metric.update_state(np.array([1.0, 0.0]), np.array([0.5, math.nan]), query_id=np.array([1, 1]))
    metric.update_state(np.array([1.0, 0.0]), np.array([0.5, 0.2]), query_id=np.array([2, 2]))
    assert math.isnan(float(metric.result()))


def test_unknown_weighting() -> None:
    with pytest.raises(ValueError, match="weighting must be one of pairs, queries, examples, got 'pair'"):
        PerQueryAUCLoss("pair")  # type: ignore[arg-type]
