"""The streaming metrics, batch by batch, against the exact functions of all rows."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import metrics
from smooth_recs.measures import accuracy, recommendations

SCORE = st.sampled_from([0.0, 1.0, 1e-30, 0.25, 0.5, 0.75, math.nextafter(1, 0)])
ROWS = st.lists(st.tuples(st.integers(0, 1), SCORE, st.sampled_from([0.0, 1.0, 2.5])), min_size=1, max_size=15)


def number(value: Any) -> float:
    return float(tf.convert_to_tensor(value))


def agrees(value: Any, expected: float | None, tolerance: float = 1e-12) -> None:
    if expected is None:
        assert math.isnan(number(value))
    else:
        assert number(value) == pytest.approx(expected, rel=tolerance, abs=1e-14)


def click_log(rows: int, middle: float, spread: float, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    prediction = 1 / (1 + np.exp(-rng.normal(middle, spread, rows)))
    return (rng.uniform(size=rows) < prediction).astype(np.float64), prediction


# Calibration and normalised entropy.


@pytest.mark.parametrize(
    ("metric", "exact"),
    [(metrics.Calibration, accuracy.calibration), (metrics.NormalizedEntropy, accuracy.normalized_entropy)],
)
@settings(max_examples=15, deadline=None)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 15), max_size=3))
def test_batches_add_up_to_the_exact_value(metric: Any, exact: Any, rows: list[Any], cuts: list[int]) -> None:
    label, prediction, weight = np.array(rows).T
    streaming, shards = metric(), []
    for start, end in itertools.pairwise([0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]):
        batch = label[start:end], prediction[start:end], weight[start:end]
        shards.append(metric())
        for target in (streaming, shards[-1]):
            target.update_state(*batch)
    expected = exact(label, prediction, weight) if weight.any() else None
    agrees(streaming.result(), expected, 1e-9)
    shards[0].merge_state(shards[1:])
    agrees(shards[0].result(), expected, 1e-9)


@pytest.mark.both_generations
@pytest.mark.parametrize(
    ("metric", "exact"),
    [(metrics.Calibration, accuracy.calibration), (metrics.NormalizedEntropy, accuracy.normalized_entropy)],
)
def test_many_batches_compiled_float32_and_one_column(metric: Any, exact: Any) -> None:
    label, prediction = click_log(20_000, -4, 1)
    prediction = prediction.astype(np.float32)
    weight = np.random.default_rng(1).exponential(size=label.size).astype(np.float32)
    streaming, unweighted = metric(), metric()

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32)] * 3)
    def update(label: tf.Tensor, prediction: tf.Tensor, weight: tf.Tensor) -> None:
        streaming.update_state(label, prediction, weight)
        unweighted.update_state(label[:, 0], prediction)

    for rows in np.array_split(np.arange(label.size), 61):
        update(*(tf.constant(values[rows, None], tf.float32) for values in (label, prediction, weight)))
    update(*(tf.zeros([0, 1]) for _ in range(3)))
    # The log loss of float32 predictions may be taken in float32.
    agrees(streaming.result(), exact(label, prediction, weight), 1e-6)
    agrees(unweighted.result(), exact(label, prediction), 1e-6)
    streaming.reset_state()
    assert math.isnan(number(streaming.result()))


@pytest.mark.parametrize("metric", [metrics.Calibration, metrics.NormalizedEntropy])
def test_sums_go_on_past_two_to_the_25_and_bad_input_shows(metric: Any) -> None:
    streaming = metric()
    streaming.update_state(np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.array([2.0**30, 2.0**30]))
    for _ in range(30):
        streaming.update_state(np.zeros(10), np.zeros(10))
    rows = [1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [2.0**30, 2.0**30, 300]
    exact = accuracy.calibration if metric is metrics.Calibration else accuracy.normalized_entropy
    agrees(streaming.result(), exact(*rows), 1e-12)
    streaming.update_state(np.array([1.0]), np.array([math.nan]))
    assert math.isnan(number(streaming.result()))
    streaming.reset_state()
    streaming.update_state(np.array([1.0, 0.0]), np.array([0.5, 3.0]))
    assert math.isnan(number(streaming.result()))


# Swap rate.


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(SCORE, SCORE, st.sampled_from([0.0, 1.0, 3.0]), st.integers(-2, 2)), min_size=1, max_size=15))
def test_a_batch_of_lists_is_exact(rows: list[Any]) -> None:
    a, b, bid, query = (np.array(values) for values in zip(*rows, strict=True))
    for k in (1, 3):
        plain, by_bid = metrics.SwapRate(k=k), metrics.SwapRate(k=k)
        plain.update_state(a, b, query_id=query)
        by_bid.update_state(a, b, query_id=query, multiplier=bid)
        agrees(plain.result(), recommendations.swap_rate(a, b, query, k=k))
        agrees(by_bid.result(), recommendations.swap_rate(a, b, query, k=k, multiplier=bid))


@pytest.mark.parametrize("kind", ["large", "text", "int32"])
def test_swap_rates_of_whole_requests_stream_exactly(kind: str) -> None:
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(300), rng.integers(1, 9, 300))
    a, noise, bid = rng.uniform(size=[3, query.size])
    b = np.round(a + 0.05 * noise, 2)
    a = np.round(a, 2)
    b = np.clip(b, 0, 1)
    ids = {"large": query + 2**62, "text": np.array([f"q{name}" for name in query]), "int32": query.astype(np.int32)}[
        kind
    ]
    streaming, shards = metrics.SwapRate(), [metrics.SwapRate(), metrics.SwapRate()]
    for turn, (start, end) in enumerate(itertools.pairwise([0, 1, 50, 51, 200, 300])):
        rows = np.flatnonzero((query >= start) & (query < end))
        if turn % 2:  # the requests' first rows, then their second ones, ...
            place = rows - np.searchsorted(query, query[rows])
            rows = rows[np.argsort(place, kind="stable")]
        for target in (streaming, shards[turn % 2]):
            target.update_state(a[rows], b[rows], query_id=ids[rows], multiplier=bid[rows])
    expected = recommendations.swap_rate(a, b, query, multiplier=bid)
    agrees(streaming.result(), expected)
    shards[0].merge_state(shards[1:])
    agrees(shards[0].result(), expected)
    streaming.reset_state()
    assert not number(streaming.result()) > 0


def test_swap_rate_compiled_with_batches_of_any_size() -> None:
    rng = np.random.default_rng(1)
    query = np.repeat(np.arange(100), 4)
    a, b = rng.uniform(size=[2, 400]).astype(np.float32)
    streaming = metrics.SwapRate(k=2)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([None], tf.int64),
        ]
    )
    def update(a: tf.Tensor, b: tf.Tensor, query: tf.Tensor) -> None:
        streaming.update_state(a, b, query_id=query)

    for start, end in itertools.pairwise([0, 4, 200, 200, 400]):
        update(*(tf.constant(values[start:end]) for values in (a, b, query)))
    agrees(streaming.result(), recommendations.swap_rate(a, b, query, k=2))


# Requests that come in several batches.


def ref_splits(batches: list[list[Any]]) -> int:
    """How often a query's rows came in a further batch."""
    seen: set[Any] = set()
    splits = 0
    for batch in batches:
        splits += len(seen & set(batch))
        seen |= set(batch)
    return splits


def split_queries(batches: list[Any]) -> float:
    metric = metrics.PerQueryAUCLoss()
    for ids in batches:
        size = len(ids)
        metric.update_state(np.arange(size) % 2, np.linspace(0, 1, size), query_id=np.asarray(ids))
    return number(metric.split_queries)


@pytest.mark.parametrize("kind", [int, str])
@settings(max_examples=12, deadline=None)
@given(batches=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=8), min_size=1, max_size=6))
def test_split_queries_are_counted(kind: type, batches: list[list[int]]) -> None:
    assert split_queries([[kind(name) for name in batch] for batch in batches]) == ref_splits(batches)


def test_split_queries_of_many_are_never_false_alarms() -> None:
    rng = np.random.default_rng(0)
    ids = rng.permutation(2**63 - 1 - np.arange(120_000) * 2**20)
    assert split_queries(np.array_split(ids, 12)) == 0
    # The last of each batch goes on in the next: all are recent, and few cells are taken by two.
    batches = [ids[start : start + 500] for start in range(0, 50_000, 499)]
    truth = ref_splits([batch.tolist() for batch in batches])
    found = split_queries(batches)
    assert truth == 100
    assert 0.95 * truth <= found <= truth


def test_split_queries_start_again_and_merge() -> None:
    first, second = metrics.PerQueryAUCLoss(), metrics.PerQueryAUCLoss()
    for metric, ids in ((first, [7, 7]), (first, [7, 8]), (second, [0, 0]), (second, [0, 5]), (second, [0, 5])):
        metric.update_state(np.array([0, 1]), np.array([0.5, 0.4]), query_id=np.array(ids))
    assert number(first.split_queries) == 1
    assert number(second.split_queries) == 3
    first.merge_state([second])
    assert number(first.split_queries) == 4
    first.reset_state()
    assert number(first.split_queries) == 0
    first.update_state(np.array([0, 1]), np.array([0.5, 0.4]), query_id=np.array([7, 7]))
    assert number(first.split_queries) == 0


@pytest.mark.parametrize("weighting", ["pairs", "queries", "examples"])
def test_queries_within_batches_are_exact_whatever_came_before(weighting: str) -> None:
    rng = np.random.default_rng(5)
    query = np.repeat(np.arange(200), rng.integers(1, 7, 200))
    label, prediction = rng.integers(0, 2, query.size), rng.choice([0.0, 0.3, 0.3000001, 1.0], query.size)
    weight = rng.choice([0.0, 1.0, 2.5], query.size)
    metric = metrics.PerQueryAUCLoss(weighting)
    for start in range(0, 200, 23):
        rows = (query >= start) & (query < start + 23)
        metric.update_state(label[rows], prediction[rows], weight[rows], query_id=query[rows])
    exact = accuracy.per_query_auc_loss(label, prediction, query, weight, weighting=weighting)
    agrees(metric.result(), exact.value)
    assert (number(metric.queries), number(metric.one_class_queries)) == exact[1:]
    assert number(metric.split_queries) == 0


# Streaming AUC loss.


@pytest.mark.parametrize(
    ("middle", "spread", "separation"),
    [(-5.1, 1.0, 0), (-4.6, 0.02, 0), (-4.6, 0.1, 0.2), (-4.6, 0.3, 1), (-7, 3.0, 0), (-12, 0.5, 3), (6, 0.1, 0.1)],
)
def test_a_million_rows_at_one_percent_are_within_a_ten_thousandth(
    middle: float, spread: float, separation: float
) -> None:
    rng = np.random.default_rng(2)
    label = (rng.uniform(size=10**6) < 0.01).astype(np.float32)
    prediction = 1 / (1 + np.exp(-rng.normal(middle, spread, 10**6) - separation * spread * label))
    metric = metrics.AUCLoss()
    for rows in np.array_split(np.arange(10**6), 4):
        metric.update_state(label[rows], prediction[rows])
    assert abs(number(metric.result()) - accuracy.auc_loss(label, prediction)) <= 1e-4


def test_counts_beyond_two_to_the_25_by_ones() -> None:
    metric = metrics.AUCLoss()
    metric.update_state(np.array([0.0]), np.array([0.25]), np.array([2.0**25]))
    for _ in range(30):  # into the same bin
        metric.update_state(np.zeros(1001), np.full(1001, 0.25))
    metric.update_state(np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.5, 0.75, 0.75, 0.75]))
    assert number(metric.result()) == pytest.approx(3 / (2**25 + 30 * 1001 + 3), rel=1e-12)


# All of them.

ALL = {
    "Calibration": (lambda: metrics.Calibration(name="own"), False),
    "LogLoss": (lambda: metrics.LogLoss(name="own"), False),
    "NormalizedEntropy": (lambda: metrics.NormalizedEntropy(name="own"), False),
    "AUCLoss": (lambda: metrics.AUCLoss(name="own"), False),
    "SwapRate": (lambda: metrics.SwapRate(k=2, name="own"), True),
    "PerQueryAUCLoss": (lambda: metrics.PerQueryAUCLoss("queries", name="own"), True),
}


@pytest.mark.parametrize("name", ALL)
def test_random_shards_in_any_order(name: str) -> None:
    make, by_query = ALL[name]
    rng = np.random.default_rng(9)
    query = np.repeat(np.arange(60), 5)
    label, prediction = rng.integers(0, 2, 300).astype(float), rng.uniform(size=300)
    results = defaultdict(list)
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(60)
        shards = []
        for batch in np.array_split(order, 6):
            rows = np.isin(query, batch)
            shards.append(make())
            first = prediction if name == "SwapRate" else label
            second = 1 - np.round(prediction, 1) if name == "SwapRate" else prediction
            shards[-1].update_state(first[rows], second[rows], **({"query_id": query[rows]} if by_query else {}))
        last = shards.pop()
        last.merge_state(iter(shards))
        results[name].append(number(last.result()))
    np.testing.assert_allclose(results[name], results[name][0], rtol=1e-12)
    assert results[name][0] > 0


@pytest.mark.both_generations
@pytest.mark.parametrize("name", ALL)
def test_serialisation(name: str) -> None:
    metric = ALL[name][0]()
    restored = tf.keras.metrics.deserialize(tf.keras.metrics.serialize(metric))
    assert type(restored) is type(metric)
    assert restored.get_config() == metric.get_config()
    assert restored.name == "own"


def test_settings_are_checked_and_others_do_not_merge() -> None:
    with pytest.raises(ValueError, match=r"k must be .*0"):
        metrics.SwapRate(k=0)
    with pytest.raises(ValueError, match="same class and settings"):
        metrics.SwapRate(k=2).merge_state([metrics.SwapRate(k=3)])
    with pytest.raises(ValueError, match="same class and settings"):
        metrics.Calibration().merge_state([metrics.NormalizedEntropy()])


@pytest.mark.both_generations
def test_calibration_and_entropy_in_evaluate() -> None:
    label, prediction = click_log(500, 0, 2)
    model = tf.keras.Sequential([tf.keras.layers.Activation("linear")])
    model.compile(loss="binary_crossentropy", metrics=[metrics.Calibration(), metrics.NormalizedEntropy()])
    x = prediction.astype(np.float32)[:, None]
    for _ in range(2):
        values = model.evaluate(x, label, batch_size=64, verbose=0, return_dict=True)
        assert values["calibration"] == pytest.approx(accuracy.calibration(label, x), rel=1e-5)
        assert values["normalized_entropy"] == pytest.approx(accuracy.normalized_entropy(label, x), rel=1e-5)
