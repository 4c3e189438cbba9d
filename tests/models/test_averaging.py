"""Averaged weights: numbers by hand, a dense reference in float64, every kind of variable."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.errors import InputError
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding
from smooth_recs.models import averaging
from smooth_recs.models.averaging import WeightAverage


class Weights(tf.keras.Model):
    """A model is averaged by its weights alone."""

    def __init__(self, *values: np.ndarray) -> None:
        super().__init__()
        for k, value in enumerate(values):
            self.add_weight(name=f"part_{k}", shape=value.shape, dtype=value.dtype.name, initializer="zeros")
        assign(self, *values)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs


def assign(made: tf.keras.Model, *values: np.ndarray) -> None:
    for weight, value in zip(made.weights, values, strict=True):
        weight.assign(value)


def test_examples():
    assert doctest.testmod(averaging).attempted


def test_numbers_by_hand():
    """H = 1: steps weigh 1, 1/2, 1/4 backwards. After two steps (2 w_2 + w_1) / 3, after three (4 w_3 + 3 a_2) / 7."""
    trained, averaged = Weights(np.array([7.0], np.float32)), Weights(np.array([0.0], np.float32))
    average = WeightAverage(trained, averaged, half_life=1)
    (value,) = averaged.weights
    np.testing.assert_array_equal(value, [7.0])  # before the first pass it is the weights
    found = []
    for step, weight in enumerate([3.0, 6.0, 1.0], start=1):
        assign(trained, np.array([weight]))
        average.update(step)
        found.append(float(tf.convert_to_tensor(value)[0]))
    np.testing.assert_allclose(found, [3.0, (2 * 6 + 3) / 3, (4 * 1 + 2 * 6 + 3) / 7], rtol=1e-6)
    average.update(3)  # a second time at the same step
    np.testing.assert_allclose(value, [(4 + 12 + 3) / 7], rtol=1e-6)


def test_shares_by_hand():
    """H = 2, of six steps: the first three weigh 1/8 of the last three, which have 8/9."""
    assert float(averaging.share(3, 6, 2.0)) == pytest.approx((1 - 2**-1.5) / (1 - 2**-3))
    assert float(averaging.share(0, 6, 2.0)) == 1
    assert float(averaging.share(6, 6, 2.0)) == 0
    late = tf.constant([2**24 + 1, 2**24 + 3], tf.int64)  # steps that float32 cannot tell apart
    np.testing.assert_allclose(averaging.share(late - 1, late, 1.0), [0.5, 0.5], rtol=1e-6)


def reference(weights: list[np.ndarray], steps: list[int], half_life: float) -> np.ndarray:
    """The average that passes at `steps`, which found `weights`, stand for: each for all steps since the one before."""
    weighed = np.zeros(max(steps) + 1)
    total = np.zeros_like(weights[0], np.float64)
    for weight, begin, end in zip(weights, [0, *steps], steps, strict=False):
        of_steps = [2.0 ** (-(steps[-1] - step) / half_life) for step in range(begin + 1, end + 1)]
        weighed[begin + 1 : end + 1] = of_steps
        total += sum(of_steps) * weight
    return total / weighed.sum()


@pytest.mark.parametrize("seed", range(4))
def test_passes_against_a_dense_reference(monkeypatch, seed):
    """Passes at any steps, tables of more rows than one chunk, rows that nothing touches, a checkpoint in between."""
    monkeypatch.setattr(averaging, "CHUNK", 7)
    random = np.random.default_rng(seed)
    half_life = float(random.choice([0.5, 3, 40, 1000]))
    table, dense = random.normal(size=(30, 3)).astype(np.float32), random.normal(size=(4,)).astype(np.float32)
    trained, averaged = Weights(table, dense), Weights(table * 0, dense * 0)
    average = WeightAverage(trained, averaged, half_life)
    steps, tables, denses = [], [], []
    for step in range(1, 120):
        touched = random.integers(0, 20, size=8)  # with duplicates; never the last ten rows
        np.add.at(table, touched, random.normal(size=(8, 3)).astype(np.float32))
        dense += random.normal(size=4).astype(np.float32)
        if random.random() < 0.4 or step == 119:
            assign(trained, table, dense)
            average.update(step)
            steps, tables, denses = [*steps, step], [*tables, table.copy()], [*denses, dense.copy()]
    found_table, found_dense = (weight.numpy() for weight in averaged.weights)
    np.testing.assert_allclose(found_table, reference(tables, steps, half_life), rtol=0, atol=5e-6)
    np.testing.assert_allclose(found_dense, reference(denses, steps, half_life), rtol=0, atol=5e-6)
    np.testing.assert_array_equal(found_table[20:], table[20:])


def test_a_restored_average_goes_on_to_the_bit(tmp_path):
    random = np.random.default_rng(5)
    values = random.normal(size=(10, 4, 3)).astype(np.float32)

    def averaged_from(average, trained, first):
        for step in range(first, 10):
            assign(trained, values[step])
            average.update(3 * step)

    trained = Weights(values[0])
    whole = WeightAverage(trained, Weights(values[0]), 5)
    averaged_from(whole, trained, 1)

    trained = Weights(values[0])
    first = WeightAverage(trained, Weights(values[0]), 5)
    for step in range(1, 6):
        assign(trained, values[step])
        first.update(3 * step)
    path = first.checkpoint.save(str(tmp_path / "average"))
    trained = Weights(values[5])
    resumed = WeightAverage(trained, Weights(values[5]), 5)
    resumed.checkpoint.restore(path).assert_consumed()
    averaged_from(resumed, trained, 6)
    np.testing.assert_array_equal(resumed.averaged.weights[0], whole.averaged.weights[0])
    assert int(resumed.steps) == int(whole.steps) == 27


def test_counts_are_copied_and_half_precision_stays():
    trained = Weights(np.array([5], np.int32), np.array([1.0], np.float16))
    averaged = Weights(np.array([0], np.int32), np.array([0.0], np.float16))
    average = WeightAverage(trained, averaged, half_life=1)
    average.update(1)
    assign(trained, np.array([9]), np.array([4.0]))
    average.update(2)
    count, half = averaged.weights
    assert int(count[0]) == 9
    assert half.dtype == tf.float16
    assert float(half[0]) == pytest.approx((2 * 4 + 1) / 3, abs=2e-3)


def test_metrics_are_no_weights():
    made = tf.keras.Sequential([tf.keras.layers.Dense(2)])
    made.compile("sgd", "mse", metrics=["mae"])
    made.fit(np.ones([4, 3]), np.ones([4, 2]), verbose=0)
    assert [tuple(weight.shape) for weight in averaging.weights_of(made)] == [(3, 2), (2,)]


def test_tables_share_the_counts_of_admission():
    features = [EmbeddedFeature("user", 5)]
    trained, averaged = (
        tf.keras.Sequential([StackedEmbedding(features, dim=2, admission=2, name="table")]) for _ in range(2)
    )
    inputs = {"user": tf.constant([0, 0, 1])}
    trained(inputs, training=True)
    averaging.share_admission(averaged, trained)
    averaged(inputs)
    average = WeightAverage(trained, averaged, half_life=10)
    assert averaged.layers[0].admitted.counts is trained.layers[0].admitted.counts
    assert [tuple(variable.shape) for variable in average.variables] == [(5, 2), ()]
    trained(inputs, training=True)  # counted once a step, whatever is averaged
    np.testing.assert_array_equal(trained.layers[0].admitted.counts[:2], [4, 2])


@pytest.mark.parametrize("half_life", [0, -3, float("nan"), float("inf"), True, "auto"])
def test_a_half_life_that_is_none(half_life):
    with pytest.raises(InputError, match="half_life must be a number of steps above 0, got"):
        WeightAverage(Weights(np.ones(1)), Weights(np.ones(1)), half_life)


def test_another_model_is_refused():
    with pytest.raises(ValueError, match=r"averaged must have the variables of the model, got \[\[2\]\] for \[\[1\]\]"):
        WeightAverage(Weights(np.ones(1)), Weights(np.ones(2)), 10)


@pytest.mark.parametrize(("half_life", "executed", "steps"), [(1000, 1, 100), (1000, 30, 90), (50, 30, 30), (5, 1, 1)])
def test_a_pass_comes_after_whole_executions(half_life, executed, steps):
    assert averaging.steps_between_passes(half_life, executed) == steps
