"""Losses of the paper's alternatives against numbers and gradients derived by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from smooth_recs.losses import Ramp, decorrelation, logit, multi_task, soft_label

GRID = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])  # two uncorrelated components
SUM = np.column_stack([GRID, GRID.sum(axis=1)])  # the third correlates with both: r^2 = 1/2


def value_and_gradient(function: Any, x: Any, dtype: str = "float64") -> tuple[float, np.ndarray]:
    x = tf.constant(x, dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(function(x))
    return float(value), tape.gradient(value, x).numpy()


def differences(function: Any, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The gradient by central differences."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (float(tf.reduce_sum(function(up))) - float(tf.reduce_sum(function(down)))) / (2 * step)
    return gradient


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        (GRID, 0.0),
        (3.0 - 2.0 * GRID, 0.0),
        (GRID[:, [0, 0]], 1.0),
        (GRID[:, [0, 0]] * [1.0, -3.0] + [5.0, 0.0], 1.0),
        (SUM, (0 + 1 / 2 + 1 / 2) / 3),
        ([[1.0, 0.0], [2.0, 1.0], [3.0, 1.0]], 3 / 4),  # sums of products 1, of squares 2 and 2/3: 1 / (4/3)
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_decorrelation_by_hand(logits: Any, expected: float, dtype: str) -> None:
    found = decorrelation(tf.constant(logits, dtype))
    assert found.dtype == dtype
    assert found.shape == ()
    assert float(found) == pytest.approx(expected, abs=2e-6 if dtype == "float32" else 1e-12)


def test_a_weight_counts_as_so_many_rows() -> None:
    random = np.random.default_rng(1)
    logits, weight = random.normal(size=(6, 3)), np.array([1, 0, 3, 2, 1, 4])
    repeated = float(decorrelation(np.repeat(logits, weight, axis=0)))
    assert float(decorrelation(logits, weight)) == pytest.approx(repeated, rel=1e-12)
    assert float(decorrelation(logits, weight[:, None])) == pytest.approx(repeated, rel=1e-12)
    assert float(decorrelation(logits)) != pytest.approx(repeated, rel=1e-3)


@pytest.mark.parametrize("level", [0.0, 3.1, -1e4, 1e-30])
@pytest.mark.parametrize("rows", [1, 7, 4096])
def test_a_constant_component_counts_0_and_gets_no_gradient(level: float, rows: int) -> None:
    varying = np.random.default_rng(1).normal(size=rows)
    logits = np.column_stack([np.full(rows, level), varying, varying])
    value, gradient = value_and_gradient(decorrelation, logits, "float32")
    assert value == pytest.approx(1 / 3 if rows > 1 else 0, abs=1e-5)  # of three pairs one is alike
    assert np.isfinite(gradient).all()
    assert not gradient[:, 0].any()
    assert value_and_gradient(decorrelation, logits[:, [0, 0]], "float32")[0] == 0


def test_without_weight_nothing_is_alike() -> None:
    value, gradient = value_and_gradient(lambda x: decorrelation(x, np.zeros(4)), SUM)
    assert value == 0
    assert not gradient.any()


def test_small_and_large_logits_are_as_alike_as_others() -> None:
    for scale in (1e-12, 1e12):
        assert float(decorrelation(tf.constant(SUM * scale, tf.float32))) == pytest.approx(1 / 3, rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_of_decorrelation(weighted: bool) -> None:
    random = np.random.default_rng(2)
    logits = random.normal(size=(7, 3)) + random.normal(size=(7, 1))
    weight = random.uniform(0, 2, 7) if weighted else None

    def function(x: Any) -> tf.Tensor:
        return decorrelation(x, weight)

    _, gradient = value_and_gradient(function, logits)
    np.testing.assert_allclose(gradient, differences(function, logits), rtol=1e-6, atol=1e-9)
    assert np.abs(gradient).max() > 1e-2


LOGITS = arrays.arrays(
    np.float64, st.tuples(st.integers(3, 12), st.integers(2, 4)), elements=st.integers(-50, 50).map(lambda n: n / 10)
)


@given(LOGITS, st.floats(0.1, 10), st.floats(-10, 10))
@settings(max_examples=40, deadline=None)
def test_decorrelation_is_the_mean_of_squared_correlations(logits: np.ndarray, slope: float, shift: float) -> None:
    assume((logits.std(axis=0) > 1e-3).all())
    upper = np.triu_indices(logits.shape[1], 1)
    expected = np.mean(np.corrcoef(logits.T)[upper] ** 2)
    moved = logits.copy()
    moved[:, 0] = shift - slope * moved[:, 0]
    assert float(decorrelation(logits)) == pytest.approx(expected, abs=1e-9)
    assert float(decorrelation(moved)) == pytest.approx(expected, abs=1e-9)
    assert -1e-12 <= float(decorrelation(logits)) <= 1 + 1e-12


def test_a_lone_component_is_refused() -> None:
    with pytest.raises(ValueError, match="logits must be of two or more components, got 1"):
        decorrelation([[1.0], [2.0]])


DEVICES = """
import json
import numpy as np
import tensorflow as tf
from smooth_recs.losses import decorrelation
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
random = np.random.default_rng(1)
logits, weight = random.normal(size=(10, 3)) + random.normal(size=(10, 1)), random.uniform(0, 2, 10)
parts = [slice(0, 7), slice(7, 10)]  # as the last batch of an epoch may be divided

def one(logits, weight):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = decorrelation(logits, weight)
        share = value / tf.distribute.get_strategy().num_replicas_in_sync
    return value, tape.gradient(share, logits)

@tf.function
def both():
    def part(context):
        own = parts[context.replica_id_in_sync_group]
        return tf.constant(logits[own]), tf.constant(weight[own])
    return strategy.run(one, strategy.experimental_distribute_values_from_function(part))

values, gradients = (strategy.experimental_local_results(x) for x in both())
alone, gradient = one(tf.constant(logits), tf.constant(weight))
print(json.dumps({"alone": float(alone), "values": [float(v) for v in values],
    "difference": float(np.abs(np.concatenate(gradients) - gradient).max()), "largest": float(np.abs(gradient).max())}))
"""


def test_two_devices_are_one_on_the_same_batch() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-X", "warm", "-c", DEVICES], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["values"] == pytest.approx([found["alone"]] * 2, rel=1e-12)
    assert found["difference"] < 1e-12 < 1e-2 < found["largest"]


def test_soft_label_by_hand() -> None:
    """With l = log 3, s = 3/4: -q log s - (1 - q) log(1 - s)."""
    found = soft_label([0.0, np.log(3.0), np.log(3.0)], [0.3, 0.0, 0.5]).numpy()
    np.testing.assert_allclose(found, [np.log(2), np.log(4), np.log(4) - 0.5 * np.log(3)], rtol=1e-6)


def test_logit_by_hand() -> None:
    """log-odds of 3/4 are log 3."""
    np.testing.assert_allclose(
        logit([1.0, 0.0, np.log(3.0)], [0.5, 0.75, 0.75]), [0.5, np.log(3) ** 2 / 2, 0], atol=1e-6
    )


@pytest.mark.parametrize("loss", [soft_label, logit])
@pytest.mark.parametrize("teacher", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("student", [-60.0, 0.0, 60.0])
def test_losses_towards_a_teacher_stay_finite(loss: Any, teacher: float, student: float) -> None:
    for dtype in ("float32", "float64"):
        value, gradient = value_and_gradient(lambda x: loss(x, [teacher]), [student], dtype)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_gradients_towards_a_teacher() -> None:
    """s - q, and l - log(q / (1 - q)); both are 0 where the student agrees."""
    x, q = np.array([-2.0, 0.0, 0.5, 2.0]), np.array([0.1, 0.5, 0.2, 0.9])
    for loss, expected in ((soft_label, 1 / (1 + np.exp(-x)) - q), (logit, x - np.log(q / (1 - q)))):
        _, gradient = value_and_gradient(lambda x, loss=loss: loss(x, q), x)
        np.testing.assert_allclose(gradient, expected, atol=1e-9)
        np.testing.assert_allclose(gradient, differences(lambda x, loss=loss: loss(x, q), x), atol=1e-7)
        assert value_and_gradient(lambda x, loss=loss: loss(x, q), np.log(q / (1 - q)))[1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("loss", [soft_label, logit])
def test_no_gradient_reaches_the_teacher(loss: Any) -> None:
    teacher, student = tf.Variable([0.3, 0.8]), tf.Variable([0.5, -1.0])
    with tf.GradientTape() as tape:
        value = loss(student, teacher)
    of_student, of_teacher = tape.gradient(value, [student, teacher])
    assert np.abs(of_student).min() > 0.05
    assert of_teacher is None


def test_ramp_by_hand() -> None:
    ramp = Ramp((0.2, 1.0), total_steps=400)
    np.testing.assert_allclose([float(ramp(step)) for step in (0, 100, 400, 1000)], [0.2, 0.4, 1.0, 1.0], rtol=1e-6)
    assert ramp(tf.constant(100, tf.int64)).dtype == tf.float32
    assert [float(Ramp(0.3, 10)(step)) for step in (0, 7, 99)] == pytest.approx([0.3] * 3)
    assert float(Ramp([1.0, 0.0], 4)(1)) == pytest.approx(0.75)


def test_a_ramp_is_active_unless_it_is_0_throughout() -> None:
    assert [Ramp(value).active for value in (0.0, (0.0, 0.0), 0.1, (0.0, 0.1), (0.1, 0.0))] == [False] * 2 + [True] * 3


@pytest.mark.parametrize("value", [-0.1, (0.1, -0.1), (), (1.0, 2.0, 3.0), float("nan")])
def test_bad_ramps_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="value must be one or two numbers of at least 0, got"):
        Ramp(value)


def test_a_ramp_needs_steps() -> None:
    with pytest.raises(ValueError, match="total_steps must be at least 1, got 0"):
        Ramp(1.0, 0)


def test_the_losses_of_several_tasks_by_hand() -> None:
    """-log sigmoid(1) = log(1 + 1/e) = .313262; -log(1 - sigmoid(0)) = log 2; of the other row log 2 and log(1 + e)."""
    found = multi_task([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]], weights=(1.0, 0.5))
    expected = [0.3132617 + 0.5 * np.log(2), np.log(2) + 0.5 * 1.3132617]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
