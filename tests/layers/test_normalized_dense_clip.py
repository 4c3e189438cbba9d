from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.layers import Clip, clip

pytestmark = pytest.mark.both_generations


def value_and_gradient(x: tf.Tensor, limit: float) -> tuple[np.ndarray, np.ndarray]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = clip(x, limit=limit)
    return y.numpy(), tape.gradient(y, x).numpy()


def test_values_and_gradients_inside_at_and_beyond_the_limits() -> None:
    inf = math.inf
    x = tf.constant([-inf, -7.0, -6.0000005, -6.0, -5.9999995, 0.0, 5.9999995, 6.0, 6.0000005, 7.0, inf])
    y, gradient = value_and_gradient(x, 6.0)
    inside = np.float32(5.9999995)
    np.testing.assert_array_equal(y, np.array([-6, -6, -6, -6, -inside, 0, inside, 6, 6, 6, 6], np.float32))
    np.testing.assert_array_equal(gradient, [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0])


@pytest.mark.one_generation
@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=20), st.sampled_from([0.5, 1.0, 6.0]))
@settings(max_examples=50, deadline=None)
def test_agrees_with_tensorflow(values: list[float], limit: float) -> None:
    x = tf.constant([*values, limit, -limit])
    with tf.GradientTape() as tape:
        tape.watch(x)
        expected = tf.clip_by_value(x, -limit, limit)
    y, gradient = value_and_gradient(x, limit)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(gradient, tape.gradient(expected, x))


def test_gradient_is_that_of_finite_differences() -> None:
    x = tf.constant(np.random.default_rng(1).normal(size=(5, 7)) * 3)
    (exact,), (numeric,) = tf.test.compute_gradient(lambda x: clip(x, limit=2.0), [x], delta=1e-7)
    np.testing.assert_allclose(exact, numeric, atol=1e-6)


def test_upstream_gradients_pass_or_stop() -> None:
    x = tf.constant([[0.5, 3.0], [-3.0, 2.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = clip(x, limit=2.0)
    upstream = tf.constant([[2.0, 3.0], [5.0, -7.0]])
    np.testing.assert_array_equal(tape.gradient(y, x, output_gradients=upstream), [[2, 0], [0, -7]])


def test_second_gradients_are_those_of_the_rest() -> None:
    x = tf.constant([1.0, 3.0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = clip(x, limit=2.0) ** 3
        first = inner.gradient(y, x)
    np.testing.assert_allclose(first, [3.0, 0.0])
    np.testing.assert_allclose(outer.gradient(first, x), [6.0, 0.0])


def test_nan_stays_nan() -> None:
    assert np.isnan(clip(tf.constant([math.nan]), limit=1.0).numpy()).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_keeps_the_dtype_and_passes_gradients_at_a_limit_that_is_rounded(dtype: str) -> None:
    limit = tf.constant(0.1, dtype)
    y, gradient = value_and_gradient(tf.stack([limit, -limit, limit * 2]), 0.1)
    assert y.dtype == limit.numpy().dtype
    np.testing.assert_array_equal(y, tf.stack([limit, -limit, limit]).numpy())
    np.testing.assert_array_equal(gradient.astype(float), [1, 1, 0])


@pytest.mark.parametrize("shape", [(), (0, 3), (1, 3), (2, 3, 4)])
def test_layer_takes_any_shape(shape: tuple[int, ...]) -> None:
    x = tf.fill(shape, 9.0)
    np.testing.assert_array_equal(Clip(4.0)(x), np.full(shape, 4.0))
    assert tuple(Clip(4.0).compute_output_shape((None, 3))) == (None, 3)


def test_xla() -> None:
    x = tf.constant([-9.0, 1.0, 9.0])
    compiled = tf.function(lambda x: value_and_gradient_in_graph(x), jit_compile=True)
    y, gradient = compiled(x)
    np.testing.assert_array_equal(y, [-4, 1, 4])
    np.testing.assert_array_equal(gradient, [0, 1, 0])


def value_and_gradient_in_graph(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    y = Clip(4.0)(x)
    return y, tf.gradients(y, x)[0]


def test_layer_round_trips(tmp_path: Path) -> None:
    model = tf.keras.Sequential([tf.keras.Input((3,)), Clip(2.5, name="range")])
    again = Clip.from_config(model.layers[-1].get_config())
    assert (again.limit, again.name) == (2.5, "range")
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(tf.constant([[-9.0, 1.0, 9.0]])), [[-2.5, 1, 2.5]])


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_bad_limits_are_named(limit: float) -> None:
    with pytest.raises(ValueError, match=rf"^limit must be above 0, got {limit}$"):
        Clip(limit)
