"""The streaming AUC loss against the exact one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.measures import accuracy
from smooth_recs.metrics import AUCLoss

pytestmark = pytest.mark.both_generations


def click_log(rows: int, click_rate_logit: float, spread: float) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    prediction = 1 / (1 + np.exp(-rng.normal(click_rate_logit, spread, rows)))
    return (rng.uniform(size=rows) < prediction).astype(np.float32), prediction


def streamed(label: Any, prediction: Any, weight: Any = None, batches: int = 7) -> float:
    metric = AUCLoss()
    for part in np.array_split(np.arange(label.size), batches):
        metric.update_state(label[part], prediction[part], None if weight is None else weight[part])
    return float(metric.result())


def test_by_hand_ties_count_one_half() -> None:
    metric = AUCLoss()
    metric.update_state(np.array([1, 1, 0, 0]), np.array([0.9, 0.3, 0.3, 0.1]))
    assert float(metric.result()) == 0.125
    metric.reset_state()
    metric.update_state(np.array([[1], [0]]), np.array([[0.1], [0.9]]), np.array([5.0, 1.0]))
    assert float(metric.result()) == 1.0


def test_a_constant_prediction_is_a_coin_flip() -> None:
    assert streamed(np.arange(10) % 2, np.full(10, 0.01)) == 0.5


@pytest.mark.one_generation
@pytest.mark.parametrize(("click_rate_logit", "spread"), [(-5.1, 1.0), (-4.6, 0.1), (-9.0, 2.0), (0.0, 1.0)])
def test_within_a_ten_thousandth_of_exact(click_rate_logit: float, spread: float) -> None:
    label, prediction = click_log(200_000, click_rate_logit, spread)
    assert label.sum() > 50
    assert streamed(label, prediction) == pytest.approx(accuracy.auc_loss(label, prediction), abs=1e-4)
    weight = np.random.default_rng(1).exponential(size=label.size)
    assert streamed(label, prediction, weight) == pytest.approx(accuracy.auc_loss(label, prediction, weight), abs=1e-4)


@pytest.mark.one_generation
@pytest.mark.parametrize(
    ("mean", "spread", "separation"),
    [
        (-4.6, 1.0, 1.0),
        (-5.0, 0.5, 3.0),  # a strong model
        (-4.6, 0.1, 0.0),  # one that knows nothing
        (-4.6, 0.01, 0.0),
        (-4.6, 0.01, 1.0),  # all predictions within a bin or ten
        (8.0, 0.1, 1.0),
        (-14.0, 0.1, 1.0),  # far off
        (-14.0, 2.0, 2.0),
    ],
)
def test_one_percent_positives(mean: float, spread: float, separation: float) -> None:
    rng = np.random.default_rng(0)
    label = (rng.uniform(size=10**6) < 0.01).astype(np.float64)
    prediction = 1 / (1 + np.exp(-rng.normal(mean + spread * separation * label, spread)))
    for dtype in (np.float64, np.float32):
        exact = accuracy.auc_loss(label, prediction.astype(dtype))
        assert streamed(label, prediction.astype(dtype), batches=3) == pytest.approx(exact, abs=1e-4)


def test_predictions_beyond_the_last_bin_still_order_against_the_rest() -> None:
    metric = AUCLoss()
    metric.update_state(np.array([1.0, 0.0, 0.0]), np.array([1 - 1e-15, 1e-300, 0.4]))
    assert float(metric.result()) == 0.0


@pytest.mark.one_generation
def test_no_more_than_all_pairs_of_a_bin_are_wrong() -> None:
    metric = AUCLoss()
    metric.update_state(np.array([0.0, 1.0]), np.array([0.5, 0.5005]))  # the ends of one bin, in the right order
    assert 0.0 <= float(metric.result()) < 0.5
    metric.reset_state()
    metric.update_state(np.array([1.0, 0.0]), np.array([0.5, 0.5005]))
    assert 0.5 < float(metric.result()) <= 1.0


def test_certain_predictions_and_the_ends() -> None:
    metric = AUCLoss()
    metric.update_state(np.array([1, 0, 1, 0]), np.array([1.0, 0.0, 0.5, 1e-30]))
    assert float(metric.result()) == 0.0


def test_counts_go_on_past_two_to_the_25() -> None:
    metric = AUCLoss()
    metric.update_state(np.array([1.0, 0.0, 0.0]), np.array([0.5, 0.1, 0.9]), np.array([1.0, 2.0**25, 2.0**25]))
    for _ in range(4):
        metric.update_state(np.array([0.0]), np.array([0.1]))
    assert float(metric.result()) == 2.0**25 / (2.0**26 + 4)


def test_merged_shards_are_one_stream() -> None:
    label, prediction = click_log(3000, -2.0, 0.01)
    shards = [AUCLoss() for _ in range(3)]
    for shard, part in zip(shards, np.array_split(np.arange(3000), [1, 800]), strict=True):
        shard.update_state(label[part], prediction[part])
    merged = AUCLoss()
    merged.merge_state(iter(shards))
    assert float(merged.result()) == streamed(label, prediction)  # whole weights: sums are exact


def test_not_defined_is_nan() -> None:
    metric = AUCLoss()
    assert math.isnan(float(metric.result()))
    metric.update_state(np.array([1.0]), np.array([0.5]))
    assert math.isnan(float(metric.result()))
    metric.update_state(np.array([0.0]), np.array([0.25]))
    assert float(metric.result()) == 0.0


@pytest.mark.parametrize(("label", "prediction"), [(1.0, 3.0), (0.0, math.nan), (0.5, 0.5)])
def test_bad_input_shows_as_nan(label: float, prediction: float) -> None:
    metric = AUCLoss()
    metric.update_state(np.array([1.0, 0.0, label]), np.array([0.5, 0.25, prediction]))
    assert math.isnan(float(metric.result()))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled(jit_compile: bool) -> None:
    label, prediction = click_log(5000, -2.0, 1.0)
    metric = AUCLoss()

    @tf.function(jit_compile=jit_compile)
    def update(label: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
        metric.update_state(label, prediction)
        return metric.result()

    result = update(tf.constant(label), tf.constant(prediction))
    assert float(result) == pytest.approx(accuracy.auc_loss(label, prediction), abs=1e-4)


def test_in_fit() -> None:
    """Through `compile(metrics=...)`, over several batches and epochs: reset in between."""
    label, prediction = click_log(512, 0.0, 2.0)
    model = tf.keras.Sequential([tf.keras.layers.Activation("linear")])
    model.compile(loss="binary_crossentropy", metrics=[AUCLoss()])
    x = prediction.astype(np.float32)[:, None]
    for _ in range(2):
        values = model.evaluate(x, label, batch_size=100, verbose=0, return_dict=True)
        assert values["auc_loss"] == pytest.approx(accuracy.auc_loss(label, x), abs=1e-3)
