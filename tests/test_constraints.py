"""Row norms: the norms of rows, their gradients, and the constraint after updates."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import constraints
from smooth_recs.constraints import RowNorm, normalized_rows

pytestmark = pytest.mark.both_generations

ORDERS = [1.0, 1.5, 2.0, 3.0, math.inf]
SCALES = [1e-30, 1e-15, 1e-5, 1.0, 1e5, 1e15, 1e30, 1e37]
SQUARABLE = 1e-18, 1e18  # norms whose squares are numbers in float32


def within_reach(scale: Any, p: float) -> Any:
    """Whether `normalized_rows` promises anything of rows of that norm."""
    return (SQUARABLE[0] < scale) & (scale < SQUARABLE[1]) if p == 2 else scale > 0


def norms(kernel: Any, p: float) -> np.ndarray:
    """L_p norms of the columns in float64, without overflow."""
    kernel = np.abs(np.asarray(kernel, np.float64))
    largest = kernel.max(axis=0)
    scaled = kernel / np.where(largest == 0, 1.0, largest)
    return largest * np.array([np.linalg.norm(column, p) for column in scaled.T])


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (1.0, [3 / 7, -4 / 7]),
        (2.0, [0.6, -0.8]),
        (3.0, [3 / 91 ** (1 / 3), -4 / 91 ** (1 / 3)]),
        (math.inf, [0.75, -1.0]),
    ],
)
def test_a_row_of_w_is_a_column_of_the_kernel(p: float, expected: list[float]) -> None:
    kernel = tf.constant([[3.0, 0.0], [-4.0, 7.0]])
    rows = normalized_rows(kernel, norm_value=2.0, p=p).numpy()
    np.testing.assert_allclose(rows, 2 * np.array([[expected[0], 0], [expected[1], 1]]), rtol=1e-6)


@pytest.mark.parametrize(("p", "scale"), [(p, scale) for p in ORDERS for scale in SCALES if within_reach(scale, p)])
def test_norms_are_v_at_every_scale(p: float, scale: float) -> None:
    random = np.random.default_rng(1).normal(size=(300, 20))
    kernel = (scale * random / np.abs(random).max()).astype(np.float32)
    rows = normalized_rows(tf.constant(kernel), norm_value=1.4, p=p)
    np.testing.assert_allclose(norms(rows, p), 1.4, rtol=2e-6)
    direction = 1.4 * kernel / norms(kernel, p)
    np.testing.assert_allclose(rows, direction, rtol=1e-5, atol=1e-9)


@given(
    st.lists(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3), min_size=1, max_size=6),
    st.sampled_from(ORDERS),
    st.floats(0.1, 10.0),
)
@settings(max_examples=60, deadline=None)
def test_any_row_has_norm_v_or_is_zero(kernel: list[list[float]], p: float, norm_value: float) -> None:
    array = np.array(kernel, np.float32)
    rows = normalized_rows(tf.constant(array), norm_value=norm_value, p=p).numpy()
    largest = np.abs(array).max(axis=0)
    certain = (largest == 0) | (largest >= np.finfo(np.float32).tiny) & within_reach(largest, p)  # no denormals
    expected = np.where(largest == 0, 0.0, norm_value)
    np.testing.assert_allclose(norms(rows, p)[certain], expected[certain], rtol=1e-5)
    assert np.isfinite(rows).all()
    assert (np.sign(rows) * np.sign(array) >= 0).all()


@pytest.mark.parametrize("p", ORDERS)
def test_the_scale_of_a_row_has_no_effect_to_the_bit(p: float) -> None:
    kernel = tf.constant(np.random.default_rng(2).normal(size=(9, 4)), tf.float32)
    expected = normalized_rows(kernel, p=p).numpy()
    for scale in (2.0**-50, 2.0**50):
        np.testing.assert_array_equal(normalized_rows(kernel * scale, p=p), expected)


def test_rows_without_a_square_become_zeros_or_stay() -> None:
    kernel = tf.constant([[3e-22, 3e22, 3.0], [4e-22, 4e22, 4.0]])
    np.testing.assert_allclose(normalized_rows(kernel), [[3e-22, 0.0, 0.6], [4e-22, 0.0, 0.8]], rtol=1e-6)
    upstream = np.array([[1.0, 1.0, 0.8], [1.0, 1.0, -0.6]], np.float32)
    np.testing.assert_allclose(gradient(kernel, upstream, 1.0), [[1.0, 0.0, 0.16], [1.0, 0.0, -0.12]], rtol=1e-5)


def test_second_derivatives_are_those_of_finite_differences() -> None:
    random = np.random.default_rng(11)
    kernel, upstream = tf.constant(random.normal(size=(4, 2))), tf.constant(random.normal(size=(4, 2)))

    def length_of_the_gradient(kernel: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            weighted = tf.reduce_sum(normalized_rows(kernel, norm_value=1.7) ** 3 * upstream)
        return tf.reduce_sum(tf.square(tape.gradient(weighted, kernel)))

    (exact,), (numeric,) = tf.test.compute_gradient(length_of_the_gradient, [kernel], delta=1e-6)
    np.testing.assert_allclose(exact, numeric, rtol=1e-6, atol=1e-7)
    assert np.abs(exact).max() > 0.1


@pytest.mark.parametrize("p", ORDERS)
def test_normalising_twice_changes_nothing(p: float) -> None:
    kernel = tf.constant(np.random.default_rng(3).normal(size=(9, 4)))
    once = normalized_rows(kernel, norm_value=3.0, p=p)
    np.testing.assert_allclose(normalized_rows(once, norm_value=3.0, p=p), once, rtol=1e-14)


@pytest.mark.parametrize("p", ORDERS)
def test_gradient_is_that_of_finite_differences(p: float) -> None:
    random = np.random.default_rng(4)
    kernel, upstream = tf.constant(random.normal(size=(5, 3))), tf.constant(random.normal(size=(5, 3)))

    def weighted(kernel: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(normalized_rows(kernel, norm_value=1.7, p=p) * upstream)

    (exact,), (numeric,) = tf.test.compute_gradient(weighted, [kernel], delta=1e-6)
    np.testing.assert_allclose(exact, numeric, atol=1e-8)


def projected(kernel: np.ndarray, upstream: np.ndarray, norm_value: float) -> np.ndarray:
    """v / ||w|| (I - w w^T / ||w||^2) upstream, column by column, in float64."""
    columns = []
    for w, u in zip(kernel.astype(np.float64).T, upstream.astype(np.float64).T, strict=True):
        length = np.abs(w).max() * np.linalg.norm(w / np.abs(w).max())
        unit = w / length
        columns.append(norm_value / length * (u - unit * (unit @ u)))
    return np.stack(columns, axis=1)


def gradient(kernel: Any, upstream: Any, norm_value: float, p: float = 2.0) -> np.ndarray:
    kernel = tf.constant(kernel)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        rows = normalized_rows(kernel, norm_value=norm_value, p=p)
    return tape.gradient(rows, kernel, output_gradients=tf.constant(upstream)).numpy()


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1.0, 1e6, 1e15])
def test_gradient_is_the_projection_at_every_scale(scale: float) -> None:
    random = np.random.default_rng(5)
    kernel = (scale * random.normal(size=(40, 6))).astype(np.float32)
    upstream = random.normal(size=(40, 6)).astype(np.float32)
    expected = projected(kernel, upstream, 1.4)
    actual = gradient(kernel, upstream, 1.4)
    np.testing.assert_allclose(actual * scale, expected * scale, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("p", ORDERS)
def test_gradient_is_orthogonal_to_the_row(p: float) -> None:
    random = np.random.default_rng(6)
    kernel, upstream = random.normal(size=(7, 5)), random.normal(size=(7, 5))
    actual = gradient(kernel, upstream, 2.0, p)
    np.testing.assert_allclose(np.sum(kernel * actual, axis=0), 0.0, atol=1e-13)
    assert np.abs(actual).max() > 0.01


@pytest.mark.parametrize("p", ORDERS)
def test_zero_rows_stay_zero_and_leave_their_neighbours_alone(p: float) -> None:
    random = np.random.default_rng(7)
    kernel, upstream = random.normal(size=(6, 3)), random.normal(size=(6, 3))
    with_zero_row = np.insert(kernel, 1, 0.0, axis=1)
    rows = normalized_rows(tf.constant(with_zero_row), p=p).numpy()
    np.testing.assert_array_equal(rows[:, 1], 0.0)
    np.testing.assert_allclose(np.delete(rows, 1, axis=1), normalized_rows(tf.constant(kernel), p=p), rtol=1e-14)
    actual = gradient(with_zero_row, np.insert(upstream, 1, 1.0, axis=1), 1.0, p)
    assert np.isfinite(actual).all()
    np.testing.assert_allclose(np.delete(actual, 1, axis=1), gradient(kernel, upstream, 1.0, p), atol=1e-14)


@pytest.mark.parametrize("p", ORDERS)
def test_single_zeros_in_a_row_have_finite_gradients(p: float) -> None:
    kernel = np.array([[0.0, 2.0], [1.0, 0.0], [-3.0, 0.0]], np.float32)
    assert np.isfinite(gradient(kernel, np.ones_like(kernel), 1.0, p)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_norms_of_wide_rows(dtype: str) -> None:
    kernel = tf.cast(np.random.default_rng(8).normal(size=(4096, 5)), dtype)
    rows = normalized_rows(kernel, norm_value=1.4)
    assert rows.dtype == dtype
    np.testing.assert_allclose(norms(tf.cast(rows, tf.float64), 2.0), 1.4, rtol=0.01)


def test_no_units_and_one_input() -> None:
    assert normalized_rows(tf.zeros([4, 0])).shape == (4, 0)
    np.testing.assert_array_equal(
        normalized_rows(tf.constant([[-1e-15, 5.0, 0.0]]), norm_value=2.0), [[-2.0, 2.0, 0.0]]
    )


def test_xla_gives_the_same_rows() -> None:
    kernel = tf.constant(np.random.default_rng(9).normal(size=(30, 8)), tf.float32)
    for p in ORDERS:
        compiled = tf.function(lambda k, p=p: normalized_rows(k, norm_value=1.4, p=p), jit_compile=True)
        np.testing.assert_allclose(compiled(kernel), normalized_rows(kernel, norm_value=1.4, p=p), rtol=1e-6)


def test_constraint_renormalises_after_every_update() -> None:
    layer = tf.keras.layers.Dense(3, kernel_constraint=RowNorm(1.5))
    model = tf.keras.Sequential([tf.keras.Input((4,)), layer])
    model.compile(optimizer=tf.keras.optimizers.SGD(0.1), loss="mse")
    random = np.random.default_rng(10)
    x, y = random.normal(size=(8, 4)).astype(np.float32), random.normal(size=(8, 3)).astype(np.float32)
    before = layer.kernel.numpy()
    residual = x @ before - y  # the bias starts at 0
    moved = before - 0.1 * x.T @ (2 * residual / residual.size)
    model.train_on_batch(x, y)
    np.testing.assert_allclose(layer.kernel.numpy(), 1.5 * moved / np.linalg.norm(moved, axis=0), rtol=1e-5)
    model.fit(x, y, epochs=3, verbose=0)
    np.testing.assert_allclose(norms(layer.kernel.numpy(), 2.0), 1.5, rtol=1e-6)


@pytest.mark.parametrize("constraint", [RowNorm(), RowNorm(0.5, p=1), RowNorm(2, p=math.inf)])
def test_constraint_round_trips_through_its_configuration(constraint: RowNorm) -> None:
    config = json.loads(json.dumps(constraint.get_config()))
    again = RowNorm.from_config(config)
    assert (again.value, again.p) == (constraint.value, constraint.p)
    known = tf.keras.constraints.deserialize(tf.keras.constraints.serialize(constraint))
    assert isinstance(known, RowNorm)
    assert known.get_config() == constraint.get_config()


def test_constraint_survives_saving(tmp_path: Path) -> None:
    model = tf.keras.Sequential([tf.keras.Input((4,)), tf.keras.layers.Dense(3, kernel_constraint=RowNorm(1.5, p=3))])
    model.save(tmp_path / "model.keras")
    constraint = tf.keras.models.load_model(tmp_path / "model.keras").layers[-1].kernel_constraint
    assert constraint.get_config() == {"value": 1.5, "p": 3.0}


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_bad_values_are_named(value: float) -> None:
    with pytest.raises(ValueError, match=rf"^norm_value must be finite and above 0, got {value}$"):
        constraints.validate_norm(value, 2.0)
    with pytest.raises(ValueError, match=rf"^value must be finite and above 0, got {value}$"):
        RowNorm(value)


@pytest.mark.parametrize("p", [0.0, 0.99, -2.0, math.nan])
def test_bad_orders_are_named(p: float) -> None:
    with pytest.raises(ValueError, match=rf"^p must be at least 1, got {p}$"):
        RowNorm(1.0, p=p)
