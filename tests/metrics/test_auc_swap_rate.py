"""The streaming swap rate against the exact one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.measures import recommendations
from smooth_recs.metrics import SwapRate

pytestmark = pytest.mark.both_generations
SCORE = st.sampled_from([0.0, 0.25, 0.5, 1.0])
ROW = st.tuples(st.integers(-2, 2), SCORE, SCORE, st.sampled_from([0.0, 1.0, 2.5]))


@pytest.mark.one_generation
@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=20), st.integers(1, 5))
def test_a_batch_is_exact(rows: list[Any], k: int) -> None:
    query_id, a, b, multiplier = (np.array(column) for column in zip(*rows, strict=True))
    for factor in (None, multiplier):
        metric = SwapRate(k)
        metric.update_state(a, b, query_id=query_id, multiplier=factor)
        exact = recommendations.swap_rate(a, b, query_id, k=k, multiplier=factor)
        assert float(metric.result()) == pytest.approx(exact, rel=1e-14)


def log() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    query = np.sort(rng.integers(0, 100, 500))
    a = rng.uniform(size=500)
    return a, a + rng.normal(0, 0.1, 500), query


def test_whole_requests_stream_and_merge_exactly() -> None:
    a, b, query = log()
    names = np.array([f"q{number}" for number in query])
    whole, shards = SwapRate(), [SwapRate(), SwapRate()]
    assert float(whole.result()) == 0.0
    for number, (start, end) in enumerate([(0, 1), (1, 30), (30, 31), (31, 100)]):
        part = (query >= start) & (query < end)
        whole.update_state(a[part][:, None], b[part], query_id=names[part])
        shards[number % 2].update_state(a[part], b[part], query_id=query[part])
    exact = recommendations.swap_rate(a, b, query)
    assert 0.1 < exact < 0.9
    assert float(whole.result()) == pytest.approx(exact, rel=1e-14)
    shards[0].merge_state(shards[1:])
    assert float(shards[0].result()) == pytest.approx(exact, rel=1e-14)


def test_a_request_counts_its_mean_weight() -> None:
    a, b, query = np.array([0.2, 0.1, 0.2, 0.1]), np.array([0.1, 0.2, 0.2, 0.1]), np.array([7, 7, 8, 8])
    metric = SwapRate()
    metric.update_state(a, b, np.array([3.0, 3.0, 1.0, 1.0]), query_id=query)
    assert float(metric.result()) == 0.75
    metric.update_state(a, b, np.array([0.0, 4.0, 0.0, 0.0]), query_id=query)
    assert float(metric.result()) == 5 / 6


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled(jit_compile: bool) -> None:
    a, b, query = log()
    metric = SwapRate(k=2)

    @tf.function(jit_compile=jit_compile)
    def update(a: tf.Tensor, b: tf.Tensor, query: tf.Tensor) -> tf.Tensor:
        metric.update_state(a, b, query_id=query)
        return metric.result()

    result = update(*(tf.constant(values) for values in (a, b, query)))
    assert float(result) == pytest.approx(recommendations.swap_rate(a, b, query, k=2), rel=1e-14)


def test_bad_input_shows_as_nan_and_an_empty_batch_as_nothing() -> None:
    metric = SwapRate()
    metric.update_state(np.zeros([0]), np.zeros([0]), query_id=np.zeros([0], np.int64))
    assert float(metric.result()) == 0.0
    metric.update_state(np.array([0.1, math.nan]), np.array([0.1, 0.2]), query_id=np.array([1, 1]))
    assert math.isnan(float(metric.result()))


@pytest.mark.parametrize(
    ("a", "b", "multiplier"),
    [
        ([-0.1, 0.2], [0.1, 0.2], [1.0, 1.0]),
        ([0.1, 0.2], [0.1, -0.2], [1.0, 0.0]),
        ([0.1, 0.2], [0.1, 0.2], [1.0, -1.0]),
        ([0.1, 0.2], [0.1, 0.2], [1.0, math.inf]),
    ],
)
def test_what_is_multiplied_is_not_negative(a: list[float], b: list[float], multiplier: list[float]) -> None:
    metric, query = SwapRate(), np.array([1, 1])
    metric.update_state(np.array(a), np.array(b), query_id=query, multiplier=np.array(multiplier))
    assert math.isnan(float(metric.result()))
    with pytest.raises(ValueError, match=r"must be (at or above 0|finite)"):
        recommendations.swap_rate(a, b, query, multiplier=multiplier)
    logits = SwapRate()
    logits.update_state(-np.abs(a), -np.abs(b), query_id=query)  # scores alone may be of any sign
    assert float(logits.result()) == 0.0


@pytest.mark.parametrize("k", [0, 2.5, True])
def test_k_is_a_positive_whole_number(k: Any) -> None:
    with pytest.raises(ValueError, match="k must be a whole number of at least 1"):
        SwapRate(k)
