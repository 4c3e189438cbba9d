"""Streaming calibration, log loss and normalised entropy against the exact ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.measures import accuracy
from smooth_recs.metrics import Calibration, LogLoss, NormalizedEntropy

pytestmark = pytest.mark.both_generations
EXACT = {
    Calibration: accuracy.calibration,
    LogLoss: accuracy.log_loss,
    NormalizedEntropy: accuracy.normalized_entropy,
}
both = pytest.mark.parametrize("metric_class", list(EXACT), ids=lambda metric_class: metric_class.__name__)


def log() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    prediction = np.concatenate([rng.beta(1, 9, 995), [0.0, 0.0, 1.0, 1.0, 1e-300]])
    return (rng.uniform(size=1000) < 0.1).astype(np.float64), prediction, rng.exponential(size=1000)


def test_by_hand() -> None:
    metric = Calibration()
    metric.update_state(np.array([1, 0]), np.array([[0.5], [0.25]]))
    assert float(metric.result()) == 0.75
    metric.update_state(np.array([0]), np.array([0.125]), np.array([2.0]))
    assert float(metric.result()) == 1.0
    metric = NormalizedEntropy()
    metric.update_state(np.array([1, 0, 0, 0]), np.full(4, 0.5))
    assert float(metric.result()) == pytest.approx(4 * math.log(2) / (math.log(4) + 3 * math.log(4 / 3)), rel=1e-15)


@both
def test_batches_and_shards_add_up_to_the_exact_value(metric_class: Any) -> None:
    label, prediction, weight = log()
    exact = EXACT[metric_class](label, prediction, weight)
    whole, shards = metric_class(), [metric_class(), metric_class()]
    for number, part in enumerate((slice(0, 1), slice(1, 1), slice(1, 700), slice(700, 1000))):
        for metric in (whole, shards[number % 2]):
            metric.update_state(label[part], prediction[part], weight[part])
    shards[0].merge_state(shards[1:])
    assert float(whole.result()) == pytest.approx(exact, rel=1e-13)
    assert float(shards[0].result()) == pytest.approx(exact, rel=1e-13)


@both
@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled(metric_class: Any, jit_compile: bool) -> None:
    label, prediction, weight = log()
    metric = metric_class()

    @tf.function(jit_compile=jit_compile)
    def update(*batch: tf.Tensor) -> tf.Tensor:
        metric.update_state(*batch)
        return metric.result()

    result = update(*(tf.constant(values) for values in (label, prediction, weight)))
    assert float(result) == pytest.approx(EXACT[metric_class](label, prediction, weight), rel=1e-12)


@pytest.mark.parametrize("metric_class", [Calibration, NormalizedEntropy])
def test_not_defined_is_nan_until_it_is(metric_class: Any) -> None:
    metric = metric_class()
    assert math.isnan(float(metric.result()))
    metric.update_state(np.array([0.0]), np.array([0.5]))
    assert math.isnan(float(metric.result()))
    metric.update_state(np.array([1.0]), np.array([0.5]))
    assert float(metric.result()) == pytest.approx(1.0)


def test_the_log_loss_is_defined_from_the_first_row() -> None:
    metric = LogLoss()
    assert math.isnan(float(metric.result()))
    metric.update_state(np.array([0.0]), np.array([0.75]))
    assert float(metric.result()) == pytest.approx(math.log(4), rel=1e-15)
    metric.update_state(np.array([1.0]), np.array([0.5]), np.array([3.0]))
    assert float(metric.result()) == pytest.approx(5 / 4 * math.log(2), rel=1e-15)


@both
@pytest.mark.parametrize(("label", "prediction"), [(1.0, 3.0), (0.0, math.nan), (0.5, 0.5)])
def test_bad_input_shows_as_nan(metric_class: Any, label: float, prediction: float) -> None:
    metric = metric_class()
    metric.update_state(np.array([1.0, 0.0, label]), np.array([0.5, 0.25, prediction]))
    assert math.isnan(float(metric.result()))
    metric.reset_state()
    metric.update_state(np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    assert float(metric.result()) == pytest.approx(EXACT[metric_class]([1, 0], [0.5, 0.5]))
