"""The streaming PD metric against the exact PD of arrays."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import prediction_difference
from smooth_recs.metrics import (
    AUCLoss,
    Calibration,
    NormalizedEntropy,
    PerQueryAUCLoss,
    RelativePredictionDifference,
    SwapRate,
)

pytestmark = pytest.mark.both_generations


def predictions(rows: int = 300) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    return rng.uniform(size=rows), rng.uniform(size=rows), rng.exponential(size=rows)


def test_eq_2_by_hand() -> None:
    metric = RelativePredictionDifference()
    assert float(metric.result()) == 0.0
    metric.update_state(np.array([0.1, 0.2, 0.5, 0.0]), np.array([[0.3], [0.2], [0.0], [0.0]]))
    assert float(metric.result()) == pytest.approx(0.75, rel=1e-15)
    metric.reset_state()
    metric.update_state(tf.constant([0.1, 0.2]), tf.constant([0.3, 0.2]), sample_weight=tf.constant([[3.0], [1.0]]))
    assert float(metric.result()) == pytest.approx(0.75, rel=1e-6)


def test_batches_add_up_to_the_exact_value() -> None:
    a, b, weight = predictions()
    metric = RelativePredictionDifference()
    for part in (slice(0, 1), slice(1, 1), slice(1, 200), slice(200, 300)):
        metric.update_state(a[part], b[part], weight[part])
    assert float(metric.result()) == pytest.approx(prediction_difference.relative(a, b, weight), rel=1e-14)


def test_nothing_is_broadcast() -> None:
    metric = RelativePredictionDifference()
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
        metric.update_state(np.array([0.1, 0.2, 0.3]), np.array([0.1]))
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
        metric.update_state(np.array([0.1, 0.2]), np.array([0.1, 0.2]), np.array([1.0]))


@pytest.mark.parametrize("wrong", [1.5, -0.1, math.nan])
def test_a_logit_or_nan_shows_as_nan(wrong: float) -> None:
    metric = RelativePredictionDifference()
    metric.update_state(np.array([0.5, wrong]), np.array([0.5, 0.5]))
    assert math.isnan(float(metric.result()))
    metric.reset_state()
    metric.update_state(np.array([0.5]), np.array([0.25]))
    assert float(metric.result()) == pytest.approx(2 / 3)


@pytest.mark.one_generation
def test_small_terms_survive_a_large_sum() -> None:
    # A sum that 2^30 examples leave, then a hundred more: float32 would lose them.
    metric = RelativePredictionDifference()
    metric.update_state(np.array([0.1]), np.array([0.3]), np.array([2.0**30]))
    for _ in range(100):
        metric.update_state(np.array([0.2]), np.array([0.2]))
    assert float(metric.result()) == pytest.approx(2.0**30 / (2.0**30 + 100), rel=1e-15)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled(jit_compile: bool) -> None:
    a, b, weight = predictions()
    metric = RelativePredictionDifference()

    @tf.function(jit_compile=jit_compile)
    def update(*batch: tf.Tensor) -> None:
        metric.update_state(*batch)

    update(*(tf.constant(values) for values in (a, b, weight)))
    assert float(metric.result()) == pytest.approx(prediction_difference.relative(a, b, weight), rel=1e-14)


def filled(part: slice) -> RelativePredictionDifference:
    metric = RelativePredictionDifference()
    metric.update_state(*(values[part] for values in predictions()))
    return metric


@pytest.mark.parametrize("as_argument", [list, iter, tuple])
@pytest.mark.parametrize("edges", [(0, 300), (0, 1, 300), (0, 100, 100, 299, 300)])
def test_merged_shards_count_once(as_argument: Any, edges: tuple[int, ...]) -> None:
    shards = [filled(slice(start, end)) for start, end in itertools.pairwise(edges)]
    merged = RelativePredictionDifference()
    merged.merge_state(as_argument(shards))
    assert float(merged.result()) == pytest.approx(prediction_difference.relative(*predictions()), rel=1e-14)
    assert float(shards[0].weight) == pytest.approx(predictions()[2][: edges[1]].sum())  # stays as it was
    merged.merge_state([])
    assert float(merged.weight) == pytest.approx(predictions()[2].sum())


def test_only_alike_metrics_merge() -> None:
    with pytest.raises(ValueError, match="same class and settings"):
        RelativePredictionDifference().merge_state([AUCLoss()])
    with pytest.raises(ValueError, match="same class and settings"):
        PerQueryAUCLoss("pairs").merge_state([PerQueryAUCLoss("queries")])
    with pytest.raises(ValueError, match="same class and settings"):
        SwapRate(k=3).merge_state([SwapRate(k=2)])
    PerQueryAUCLoss("pairs", name="a").merge_state([PerQueryAUCLoss("pairs", name="b")])


@pytest.mark.parametrize(
    "metric",
    [
        RelativePredictionDifference(name="difference"),
        AUCLoss(name="ranking"),
        PerQueryAUCLoss(weighting="examples", name="within"),
        Calibration(name="bias"),
        NormalizedEntropy(name="entropy"),
        SwapRate(k=5, name="swaps"),
    ],
    ids=lambda metric: type(metric).__name__,
)
def test_serialization_round_trip(metric: Any) -> None:
    serialized = tf.keras.metrics.serialize(metric)
    restored = tf.keras.metrics.deserialize(serialized)
    assert type(restored) is type(metric)
    assert restored.get_config() == metric.get_config()
    assert metric.get_config()["name"] == metric.name
    assert "smooth_recs>" in str(serialized)
