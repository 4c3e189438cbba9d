"""The per-query AUC loss metric against the exact one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.measures import accuracy
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


@pytest.mark.one_generation
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


def test_unknown_queries_are_not_one() -> None:
    metric = PerQueryAUCLoss()
    for _ in range(2):  # neither within a batch nor over several
        metric.update_state([1, 0, 1, 0], [0.2, 0.6, 0.9, 0.4], query_id=["", "", "a", "a"])
    assert (float(metric.result()), float(metric.queries), float(metric.split_queries)) == (0, 2, 1)
    assert float(metric.one_class_queries) == 4


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


def split_count(batches: list[Any]) -> int:
    """How often a query's rows came in a further batch."""
    return sum(len(set(batch)) for batch in batches) - len({query for batch in batches for query in batch})


def fed(batches: list[Any]) -> PerQueryAUCLoss:
    metric = PerQueryAUCLoss()
    for batch in batches:
        metric.update_state(np.ones(len(batch)), np.full(len(batch), 0.5), query_id=np.array(batch))
    return metric


def test_split_queries_by_hand() -> None:
    metric = fed([[7, 7, 8], [9, 8, 8], [8, 0, -1]])
    assert float(metric.split_queries) == 2  # query 8, twice
    metric.update_state(np.ones(3), np.ones(3), query_id=np.array([0, 0, -1]))
    assert float(metric.split_queries) == 4
    metric.reset_state()
    assert float(metric.split_queries) == 0
    metric.update_state(np.ones(2), np.ones(2), query_id=np.array([0, 8]))
    assert float(metric.split_queries) == 0  # the table was emptied too


IDS = st.one_of(st.integers(-3, 12), st.sampled_from([2**62, -(2**63), 2**63 - 1, 2**15, 2**49]))


@pytest.mark.one_generation
@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(IDS, min_size=1, max_size=8), min_size=1, max_size=6), st.integers(0, 6))
def test_split_queries_are_counted_and_merged(batches: list[list[int]], cut: int) -> None:
    assert float(fed(batches).split_queries) == split_count(batches)
    words = [[f"q{query}" for query in batch] for batch in batches]
    assert float(fed(words).split_queries) == split_count(batches)
    merged = PerQueryAUCLoss()
    merged.merge_state([fed(batches[:cut]), fed(batches[cut:])])
    assert float(merged.split_queries) == split_count(batches)
    merged.update_state(np.ones(1), np.ones(1), query_id=np.array([batches[0][0]]))
    assert float(merged.split_queries) == split_count(batches) + 1  # the tables were merged too


@pytest.mark.one_generation
def test_no_false_alarm_and_a_long_memory() -> None:
    # Far more queries than cells, none of them split: nothing is found. Then the latest 20,000 once more.
    for ids in (np.arange(200_000), np.random.default_rng(0).permutation(10**7)[:200_000] * 2**15):
        metric = fed(np.array_split(ids, 10))
        assert float(metric.split_queries) == 0
        metric.update_state(np.ones(20_000), np.ones(20_000), query_id=ids[-20_000:])
        assert 0.5 * 20_000 < float(metric.split_queries) <= 20_000
    # Consecutive ids hardly share cells.
    metric = fed([np.arange(10_000), np.arange(10_000)])
    assert float(metric.split_queries) == 10_000


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
    assert float(metric.split_queries) == 0
    update(*(tf.constant(values[:7]) for values in (label, prediction, weight, query)))
    assert float(metric.split_queries) == np.unique(query[:7]).size


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
