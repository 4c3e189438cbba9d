"""Widths relative to the pre-activations: the running mean by hand, what no scale changes, and what is saved."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import smooth_recs as sr
from smooth_recs.activations.running_scale import WINDOW, RunningScale
from smooth_recs.errors import InputError

# Keras 3 itself warns so, with NumPy 2, when it writes a weight.
pytestmark = [
    pytest.mark.both_generations,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

X = np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32)
LAYERS: dict[str, Any] = {
    "SmeLU": lambda **kwargs: sr.layers.SmeLU(relative_beta=0.5, **kwargs),
    "GSmeLU": lambda **kwargs: sr.layers.GSmeLU(g_minus=0.1, relative_beta=0.5, **kwargs),
    "Softplus": lambda **kwargs: sr.layers.Softplus(relative_beta=3.0, **kwargs),
    "Swish": lambda **kwargs: sr.layers.Swish(relative_beta=3.0, **kwargs),
    "GELU": lambda **kwargs: sr.layers.GELU(relative_beta=3.0, **kwargs),
}


def weights(layer: Any) -> list[float]:
    return [float(np.asarray(tf.convert_to_tensor(weight))) for weight in (layer.mean_square, layer.steps)]


def test_the_running_mean_by_hand() -> None:
    scale = RunningScale("layer")
    assert float(scale(X)) == 1.0  # before the first step
    assert float(scale(tf.constant([[3.0, 4.0]]), training=True)) == pytest.approx(np.sqrt(12.5))
    assert float(scale(tf.constant([[1.0], [2.0]]), training=True)) == pytest.approx(np.sqrt((12.5 + 2.5) / 2))
    assert float(scale(tf.constant([[0.0]]), training=True)) == pytest.approx(np.sqrt(5.0))  # (12.5 + 2.5 + 0) / 3
    assert float(scale(X, training=False)) == pytest.approx(np.sqrt(5.0))
    assert weights(scale) == pytest.approx([5.0, 3.0])


def test_after_a_hundred_steps_the_mean_forgets() -> None:
    scale, mean = RunningScale("layer"), 0.0
    for n in range(1, WINDOW + 21):
        scale(tf.constant([float(n)]), training=True)
        share = max(1 / n, 0.01)
        mean = (1 - share) * mean + share * n**2
    assert weights(scale) == pytest.approx([mean, WINDOW], rel=1e-5)
    assert mean != pytest.approx(np.mean(np.arange(1, WINDOW + 21) ** 2), rel=0.01)


def test_a_number_for_each_unit() -> None:
    scale = RunningScale("unit")
    x = np.stack([X, 2 * X])  # [2, 64, 4]
    np.testing.assert_allclose(scale(x, training=True), np.sqrt(np.mean(x**2, axis=(0, 1))), rtol=1e-6)
    assert scale.compute_output_shape((None, None, 4)) == (4,)
    with pytest.raises(InputError, match="last axis of the inputs must be known where per='unit'"):
        sr.layers.SmeLU(relative_beta=0.3, per="unit").build((None, None))


def test_what_says_nothing_changes_nothing() -> None:
    scale = RunningScale("layer")
    scale(X, training=True)
    before = weights(scale)
    for batch in (np.zeros([0, 4], np.float32), np.float32([[1.0, np.inf]]), np.float32([[np.nan]])):
        assert float(scale(tf.constant(batch), training=True)) == pytest.approx(np.sqrt(before[0]))
    scale.trainable = False
    scale(100 * X, training=True)
    assert weights(scale) == before


@pytest.mark.parametrize("per", ["layer", "unit"])
@pytest.mark.parametrize("name", LAYERS)
def test_no_scale_changes_the_function(name: str, per: str) -> None:
    """f(s x) = s f(x), as for ReLU; a fixed beta does not have it."""

    def trained(s: float) -> Any:
        layer = LAYERS[name](per=per)
        for batch in np.split(X, 4):
            layer(s * batch, training=True)
        return np.asarray(layer(s * X)) / s

    for s in (1e-6, 0.01, 1e6):
        np.testing.assert_allclose(trained(s), trained(1.0), rtol=1e-4, atol=1e-6)
    fixed = sr.layers.SmeLU(beta=0.5)
    assert np.max(np.abs(fixed(0.01 * X) / 0.01 - fixed(X))) > 1


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_the_frozen_width(name: str) -> None:
    """Finite differences in float64, and in training: no gradient goes through the mean."""
    layer = LAYERS[name](dtype="float64")
    layer(X, training=True)
    x = tf.constant(np.random.default_rng(2).uniform(-2, 2, 200))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    h = 1e-6
    expected = (layer(x + h) - layer(x - h)) / (2 * h)
    np.testing.assert_allclose(tape.gradient(y, x), expected, rtol=1e-5, atol=2e-6)
    batch = tf.constant(X, tf.float64)
    slopes = []
    for training in (True, False):  # the same width both times: that of the mean after the batch
        with tf.GradientTape() as tape:
            tape.watch(batch)
            y = layer(batch, training=training)
        slopes.append(tape.gradient(y, batch))
    np.testing.assert_array_equal(*slopes)
    np.testing.assert_array_equal(layer.function(batch, **layer.current()), layer(batch))


def test_the_width_is_a_share_of_the_root_mean_square() -> None:
    layer = sr.layers.SmeLU(relative_beta=[0.1, 0.2, 0.3, 0.4], per="unit")
    assert layer.current()["beta"].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])  # before it has seen anything
    layer(X, training=True)
    rms = np.sqrt(np.mean(X**2, axis=0))
    np.testing.assert_allclose(layer.current()["beta"], [0.1, 0.2, 0.3, 0.4] * rms, rtol=1e-6)
    swish = sr.layers.Swish(relative_beta=3.0)
    swish(X, training=True)
    assert float(swish.current()["beta"]) == pytest.approx(3 / np.sqrt(np.mean(X**2)))
    both = sr.layers.GSmeLU(relative_beta=0.5, learn="g_minus")
    both(X, training=True)
    assert both.current()["alpha"] == both.current()["beta"] == pytest.approx(0.5 * np.sqrt(np.mean(X**2)))
    assert [weight.shape for weight in both.trainable_weights] == [()]
    zero = sr.layers.SmeLU(relative_beta=0)
    np.testing.assert_array_equal(zero(X, training=True), np.maximum(X, 0))
    dead = sr.layers.Swish(relative_beta=1.0)
    np.testing.assert_array_equal(dead(np.zeros_like(X), training=True), np.zeros_like(X))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"relative_beta": -0.1}, "relative_beta must be at least 0, got -0.1"),
        ({"relative_beta": float("nan")}, "relative_beta must be finite, got nan"),
        ({"relative_beta": 0.3, "beta": 0.2}, "beta must be left out where relative_beta sets it, got 0.2"),
        ({"relative_beta": 0.3, "learn": "all"}, "learn must leave beta out where relative_beta sets it, got beta"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as error:
        sr.layers.SmeLU(**settings)
    assert str(error.value) == words
    with pytest.raises(InputError, match="relative_beta must be above 0, got 0"):
        sr.layers.Swish(relative_beta=0)


def network(dtype: Any = None) -> Any:
    """A relative width everywhere that one can stand: in Keras' Dense, in our layers, as a layer, in a tower."""
    keras = tf.keras.layers
    tower = sr.layers.Tower([5, 4], "smelu:0.3rms", normalization="layer", dtype=dtype)
    return tf.keras.Sequential(
        [
            tf.keras.Input([4]),
            keras.Dense(6, activation=sr.layers.SmeLU(relative_beta=0.3, dtype=dtype), dtype=dtype),
            sr.layers.NormalizedDense(6, sr.layers.GSmeLU(relative_beta=0.3, per="unit", dtype=dtype), dtype=dtype),
            tower,
            sr.layers.Swish(relative_beta=3.0, dtype=dtype),
            keras.Dense(1, dtype="float32"),
        ]
    )


@pytest.mark.parametrize(("dtype", "jit_compile"), [(None, False), (None, True), ("mixed_bfloat16", False)])
def test_fit_tracks_every_layer_and_what_is_saved_predicts_the_same(
    dtype: Any, jit_compile: bool, tmp_path: Path
) -> None:
    model = network(dtype)
    model.compile(tf.keras.optimizers.SGD(0.01), "mse", jit_compile=jit_compile)
    model.fit(X, X[:, :1], batch_size=16, epochs=2, verbose=0, shuffle=False)
    layers = sr.activations.find(model)
    assert len(layers) == 5
    for layer in layers:
        assert float(np.asarray(tf.convert_to_tensor(layer.scale.steps))) == 8  # steps of 16 rows
        assert layer.scale.mean_square.dtype in (tf.float32, "float32")
        assert np.all(np.abs(layer.current()["beta"] / np.ravel(layer.relative_beta) ** 1.0 - 1) > 1e-4)
    wanted = model(X)
    if dtype is None:
        np.testing.assert_array_equal(wanted, model(X))  # predicting tracks nothing
        model.save(tmp_path / "model.keras")
        again = tf.keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(again(X), wanted)
        first, loaded = (sr.activations.find(each)[0] for each in (model, again))
        assert loaded.current() == first.current()
        fresh = network()
        fresh(X)  # Keras 3 (3.15) makes an activation's weights, in a Dense, in the first call
        fresh.set_weights([0 * weight for weight in fresh.get_weights()])
        model.save_weights(tmp_path / "of.weights.h5")
        fresh.load_weights(tmp_path / "of.weights.h5")
        np.testing.assert_array_equal(fresh(X), wanted)


def test_exports_hold_the_frozen_number() -> None:
    model = network()
    model.compile(tf.keras.optimizers.SGD(0.01), "mse")
    model.fit(X, X[:, :1], batch_size=16, verbose=0)
    with sr.activations.frozen(model):
        serve = tf.function(lambda x: model(x, training=False), autograph=False)
        serve = serve.get_concrete_function(tf.TensorSpec([None, 4]))
    wanted = model(X).numpy()
    for layer in sr.activations.find(model):
        layer.scale.mean_square.assign(100 * tf.convert_to_tensor(layer.scale.mean_square))
    np.testing.assert_allclose(tf.nest.flatten(serve(tf.constant(X)))[0], wanted, rtol=1e-5, atol=1e-6)
    assert np.max(np.abs(model(X) - wanted)) > 0.01


def test_under_mixed_precision_the_mean_is_in_float32() -> None:
    """Squares of 3e4 overflow float16, and a bfloat16 mean would stay where it is for a change of a thousandth."""
    for dtype in ("mixed_float16", "mixed_bfloat16", "bfloat16"):
        layer = sr.layers.SmeLU(relative_beta=0.3, dtype=dtype)
        large = tf.cast(3e4 * X / np.max(np.abs(X)), dtype.removeprefix("mixed_"))
        y = layer(large, training=True)
        assert y.dtype == large.dtype
        expected = 0.3 * np.sqrt(np.mean(np.square(tf.cast(large, tf.float64).numpy())))
        assert float(layer.current()["beta"]) == pytest.approx(expected, rel=1e-5)


MIRRORED = """
import json
import numpy as np
import tensorflow as tf
import smooth_recs as sr

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
X = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32) * np.linspace(1, 9, 60, dtype=np.float32)[:, None]

def make():
    tf.keras.utils.set_random_seed(1)
    layers = [sr.layers.SmeLU(relative_beta=0.3), sr.layers.SmeLU(relative_beta=0.3, per="unit")]
    dense = [tf.keras.layers.Dense(3, activation=layer) for layer in layers]
    model = tf.keras.Sequential([tf.keras.Input([4]), *dense, tf.keras.layers.Dense(1)])
    model.compile(tf.keras.optimizers.SGD(0.001), "mse")
    return model, layers

def fitted(strategy):
    with strategy.scope():
        model, layers = make()
    model.fit(X, X[:, :1], batch_size=24, epochs=2, shuffle=False, verbose=0)  # the last batch has 12 rows
    return [np.ravel(np.asarray(tf.convert_to_tensor(w))).tolist()
            for layer in layers for w in (layer.scale.mean_square, layer.scale.steps)]

single = fitted(tf.distribute.get_strategy())
print(json.dumps([fitted(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])), single]))
"""


def printed(program: str) -> Any:
    """The last line of the output of a process of its own, whose logical devices and servers nobody else sees."""
    command = [sys.executable, "-X", "warm", "-c", program]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout.splitlines()[-1])


@pytest.mark.slow
def test_two_devices_in_step_track_the_mean_of_the_whole_batch() -> None:
    mirrored, single = printed(MIRRORED)
    for of_two, of_one in zip(mirrored, single, strict=True):
        assert of_two == pytest.approx(of_one, rel=1e-5)
    assert single[1] == [6.0]
