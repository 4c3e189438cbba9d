"""The normalised dense layer against hand-derived outputs, finite differences and a plain dense layer."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import activations
from smooth_recs.layers import NormalizedDense, SmeLU

pytestmark = pytest.mark.both_generations


def layer_with(kernel: Any, bias: Any, **settings: Any) -> NormalizedDense:
    kernel = np.asarray(kernel, np.float64)
    layer = NormalizedDense(kernel.shape[1], **settings)
    layer.build((None, kernel.shape[0]))
    layer.set_weights([kernel, np.asarray(bias)])
    return layer


KERNEL = [[3.0, 0.0, 0.0], [4.0, -5.0, 0.0]]  # rows of W: (3, 4), (0, -5), (0, 0)
BIAS = [0.5, 1.0, -1.0]


def test_hand_derived_outputs() -> None:
    """v = 2: rows of W~ are (1.2, 1.6), (0, -2), (0, 0); for x = (1, 2): 4.4, -4, 0, plus b."""
    x = tf.constant([[1.0, 2.0]])
    linear = layer_with(KERNEL, BIAS, norm_value=2.0)
    np.testing.assert_allclose(linear(x), [[4.9, -3.0, -1.0]], rtol=1e-6)
    np.testing.assert_allclose(linear.normalized_kernel(), [[1.2, 0, 0], [1.6, -2, 0]], rtol=1e-6)
    rectified = layer_with(KERNEL, BIAS, norm_value=2.0, activation="relu")
    np.testing.assert_allclose(rectified(x), [[4.9, 0.0, 0.0]], rtol=1e-6)
    clipped = layer_with(KERNEL, BIAS, norm_value=2.0, clip=2.5)
    np.testing.assert_allclose(clipped(x), [[2.5, -2.5, -1.0]], rtol=1e-6)


def test_clips_after_activating() -> None:
    """exp(2) = 7.4 is clipped to 3; clipping first would give exp(2) again, or exp(3) = 20 beyond the range."""
    layer = layer_with([[1.0, 1.0]], [0.0, -4.0], activation="exponential", clip=3.0)
    np.testing.assert_allclose(layer(tf.constant([[2.0]])), [[3.0, math.exp(-2)]], rtol=1e-6)


def test_smelu_by_hand() -> None:
    """beta = 2, pre-activation 1: (1 + 2)^2 / 8 (eq. 7)."""
    layer = layer_with([[7.0]], [0.0], activation=SmeLU(beta=2.0))
    np.testing.assert_allclose(layer(tf.constant([[1.0], [-2.0], [5.0]])), [[9 / 8], [0.0], [5.0]], rtol=1e-6)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_outputs_do_not_depend_on_the_kernels_scale(p: float, scale: float) -> None:
    random = np.random.default_rng(1)
    kernel, x = random.normal(size=(10, 4)), tf.constant(random.normal(size=(6, 10)), tf.float32)
    norm = np.array([np.linalg.norm(column, p) for column in kernel.T])
    layer = layer_with(kernel * scale, np.zeros(4), norm_value=0.7, p=p)
    np.testing.assert_allclose(layer(x), x.numpy() @ (0.7 * kernel / norm), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_gradients_are_those_of_finite_differences(p: float) -> None:
    random = np.random.default_rng(2)
    kernel, x = random.normal(size=(5, 3)), tf.constant(random.normal(size=(4, 5)))
    bias = random.normal(size=3) * 0.1

    def loss(kernel: np.ndarray, bias: np.ndarray) -> tuple[float, list[np.ndarray]]:
        layer = layer_with(
            kernel, bias, activation=SmeLU(beta=1.0, dtype="float64"), norm_value=1.4, p=p, clip=0.9, dtype="float64"
        )
        with tf.GradientTape() as tape:
            y = layer(x)
            loss = tf.reduce_sum(y**2)
        return float(loss), [g.numpy() for g in tape.gradient(loss, layer.trainable_variables)]

    _, (of_kernel, of_bias) = loss(kernel, bias)
    delta = 1e-6
    for index in np.ndindex(kernel.shape):
        step = np.zeros_like(kernel)
        step[index] = delta
        numeric = (loss(kernel + step, bias)[0] - loss(kernel - step, bias)[0]) / (2 * delta)
        assert of_kernel[index] == pytest.approx(numeric, abs=1e-7)
    for unit in range(3):
        step = np.eye(3)[unit] * delta
        numeric = (loss(kernel, bias + step)[0] - loss(kernel, bias - step)[0]) / (2 * delta)
        assert of_bias[unit] == pytest.approx(numeric, abs=1e-7)


def test_kernel_gradient_is_projected_off_each_row() -> None:
    """v / ||w|| (I - w w^T / ||w||^2) x^T upstream."""
    random = np.random.default_rng(3)
    kernel, x = random.normal(size=(6, 2)), random.normal(size=(4, 6))
    upstream = random.normal(size=(4, 2))
    layer = layer_with(kernel, np.zeros(2), norm_value=1.4, dtype="float64")
    with tf.GradientTape() as tape:
        y = layer(tf.constant(x))
    of_kernel, of_bias = tape.gradient(y, layer.trainable_variables, output_gradients=tf.constant(upstream))
    for unit, w in enumerate(kernel.T):
        length = np.linalg.norm(w)
        projection = np.eye(6) - np.outer(w, w) / length**2
        np.testing.assert_allclose(of_kernel[:, unit], 1.4 / length * projection @ x.T @ upstream[:, unit], rtol=1e-10)
    np.testing.assert_allclose(of_bias, upstream.sum(axis=0), rtol=1e-12)


def test_a_gradient_step_lengthens_rows_by_pythagoras_and_keeps_the_norm() -> None:
    random = np.random.default_rng(4)
    model = tf.keras.Sequential([tf.keras.Input((6,)), NormalizedDense(5, activation="smelu", norm_value=1.4)])
    model.compile(optimizer=tf.keras.optimizers.SGD(0.5), loss="mse")
    layer = model.layers[-1]
    lengths = [np.linalg.norm(layer.kernel.numpy(), axis=0)]
    for _ in range(5):
        model.train_on_batch(random.normal(size=(8, 6)), random.normal(size=(8, 5)))
        lengths.append(np.linalg.norm(layer.kernel.numpy(), axis=0))
        np.testing.assert_allclose(np.linalg.norm(layer.normalized_kernel(), axis=0), 1.4, rtol=1e-6)
    assert (np.diff(lengths, axis=0) >= -1e-6).all()
    assert (lengths[-1] > lengths[0] + 1e-4).all()


def test_a_layer_of_zeros_is_finite_and_learns() -> None:
    random = np.random.default_rng(5)
    x, y = random.normal(size=(64, 6)), random.normal(size=(64, 3))
    layer = NormalizedDense(3, norm_value=1.4, kernel_initializer="zeros")
    model = tf.keras.Sequential([tf.keras.Input((6,)), layer])
    np.testing.assert_array_equal(model(x), np.zeros((64, 3)))
    model.compile(optimizer=tf.keras.optimizers.SGD(0.1), loss="mse")
    model.fit(x, y, epochs=2, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    np.testing.assert_allclose(np.linalg.norm(layer.normalized_kernel(), axis=0), 1.4, rtol=1e-6)


@pytest.mark.parametrize("batch", [0, 1, 7])
def test_batch_sizes(batch: int) -> None:
    layer = NormalizedDense(3, activation="smelu", clip=6.0)
    x = tf.random.stateless_normal([batch, 5], [1, 2])
    with tf.GradientTape() as tape:
        y = layer(x)
    assert y.shape == (batch, 3)
    gradients = tape.gradient(y, layer.trainable_variables)
    assert [g.shape for g in gradients] == [(5, 3), (3,)]
    assert all(np.isfinite(g).all() for g in gradients)


def test_leading_dimensions_are_kept() -> None:
    layer = NormalizedDense(3, activation="smelu")
    x = tf.random.stateless_normal([2, 4, 5], [1, 2])
    y = layer(x)
    assert y.shape == (2, 4, 3)
    # Products of other shapes are summed in another order: float32's last digits, of values near 1, may differ.
    np.testing.assert_allclose(tf.reshape(y, [8, 3]), layer(tf.reshape(x, [8, 5])), rtol=1e-6, atol=1e-7)
    assert tuple(layer.compute_output_shape((None, 4, 5))) == (None, 4, 3)


def test_without_bias() -> None:
    layer = NormalizedDense(2, norm_value=3.0, use_bias=False)
    layer.build((None, 1))
    layer.set_weights([np.array([[-9.0, 4.0]])])
    np.testing.assert_allclose(layer(tf.constant([[2.0]])), [[-6.0, 6.0]], rtol=1e-6)


def test_regularizer_sees_the_kernel() -> None:
    layer = layer_with(KERNEL, BIAS, kernel_regularizer=tf.keras.regularizers.L2(0.1))
    layer(tf.ones([1, 2]))
    np.testing.assert_allclose(layer.losses, [0.1 * (9 + 16 + 25)], rtol=1e-6)


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_mixed_precision_normalises_the_stored_weights(policy: str, tolerance: float, scale: float) -> None:
    """Kernels whose values or squares are beyond half precision are normalised all the same."""
    random = np.random.default_rng(6)
    kernel, x = random.normal(size=(2000, 4)), random.normal(size=(5, 2000))
    layer = layer_with(kernel * scale, np.zeros(4), norm_value=1.4, activation="smelu", dtype=policy)
    y = layer(tf.constant(x, tf.float32))
    assert y.dtype == layer.compute_dtype
    assert all(weight.dtype == "float32" for weight in layer.weights)
    exact = layer_with(kernel, np.zeros(4), norm_value=1.4, activation="smelu", dtype="float64")(x)
    np.testing.assert_allclose(tf.cast(y, tf.float64), exact, atol=tolerance * 3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(policy: str) -> None:
    layer = NormalizedDense(4, activation="smelu", clip=6.0, dtype=policy)
    with tf.GradientTape() as tape:
        y = layer(tf.random.stateless_normal([8, 6], [1, 2]))
    gradients = tape.gradient(y, layer.trainable_variables)
    assert [g.dtype for g in gradients] == [tf.float32, tf.float32]
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in gradients)


@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "smelu"},
        {"activation": SmeLU(beta=0.25), "norm_value": 1.4, "p": 3.0, "clip": 0.4},
        {"activation": "relu", "use_bias": False, "p": math.inf},
        {"kernel_regularizer": tf.keras.regularizers.L2(0.1), "kernel_initializer": "he_normal"},
    ],
)
def test_round_trips(reload_every_way: Any, settings: dict[str, Any]) -> None:
    x = tf.keras.Input((5,), name="x")
    model = tf.keras.Model({"x": x}, NormalizedDense(3, **settings)(x))
    inputs = {"x": tf.random.stateless_normal([6, 5], [1, 2]) * 2}
    expected = model(inputs).numpy()
    for way, outputs in reload_every_way(model, inputs).items():
        np.testing.assert_allclose(outputs, expected, rtol=1e-6, atol=1e-7, err_msg=way)


def test_configuration_is_plain_and_complete() -> None:
    layer = NormalizedDense(
        3, activation=SmeLU(beta=0.25), norm_value=1.4, p=math.inf, clip=6, use_bias=False, kernel_initializer="zeros",
        kernel_regularizer=tf.keras.regularizers.L2(0.5), name="first",
    )  # fmt: skip
    again = NormalizedDense.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()
    assert (again.units, again.norm_value, again.p, again.clip, again.use_bias) == (3, 1.4, math.inf, 6.0, False)
    assert again.activation.beta == 0.25
    assert again.name == "first"


def test_is_a_plain_dense_layer_once_normalised() -> None:
    """The matrix that a deployment needs: a Dense layer with it gives the same outputs (section 2)."""
    layer = NormalizedDense(3, activation=activations.get("smelu"), norm_value=1.4)
    x = tf.random.stateless_normal([6, 5], [1, 2])
    expected = layer(x)
    plain = tf.keras.layers.Dense(3, activation="smelu")
    plain.build((None, 5))
    plain.set_weights([layer.normalized_kernel().numpy(), np.zeros(3)])
    np.testing.assert_allclose(plain(x), expected, rtol=1e-6)


def test_xla_gives_the_same_outputs_and_gradients() -> None:
    layer = NormalizedDense(8, activation="smelu", norm_value=1.4, clip=0.8)
    x = tf.random.stateless_normal([16, 5], [1, 2])
    layer(x)

    def step(x: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            y = layer(x)
            loss = tf.reduce_sum(y**2)
        return [y, *tape.gradient(loss, layer.trainable_variables)]

    for compiled, plain in zip(tf.function(step, jit_compile=True)(x), step(x), strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": 0}, "units must be at least 1, got 0"),
        ({"units": 3, "norm_value": 0.0}, "norm_value must be finite and above 0, got 0.0"),
        ({"units": 3, "norm_value": math.nan}, "norm_value must be finite and above 0, got nan"),
        ({"units": 3, "p": 0.5}, "p must be at least 1, got 0.5"),
        ({"units": 3, "clip": 0.0}, "clip must be above 0, got 0.0"),
        ({"units": 3, "clip": -6.0}, "clip must be above 0, got -6.0"),
        ({"units": 3, "activation": "smelo"}, "smelo"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NormalizedDense(**settings)
