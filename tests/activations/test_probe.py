"""The pre-activation probe against numbers by hand, in both generations of Keras."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import smooth_recs as sr
from smooth_recs.errors import InputError

pytestmark = pytest.mark.both_generations

X = np.array([[1.0, -2.0], [0.05, 3.0]], np.float32)


def dense(activation, name):
    """Two units that see their inputs as they are."""
    return tf.keras.layers.Dense(2, activation, kernel_initializer="identity", name=name)


def test_rms_and_share_by_hand():
    model = tf.keras.Sequential([dense(sr.layers.SmeLU(beta=0.1), "first"), dense("relu", "second")])
    first, second = sr.activations.probe(model, X)
    assert (first.name, first.units) == ("first", 2)
    assert first.rms == pytest.approx(np.sqrt((1 + 4 + 0.0025 + 9) / 4), rel=1e-6)
    assert first.transition_share == 0.25  # 0.05 only
    after = np.array([1.0, 0.0, 0.15**2 / 0.4, 3.0])  # eq. 7
    assert second.rms == pytest.approx(np.sqrt(np.mean(after**2)), rel=1e-6)
    assert second.transition_share is None


@pytest.mark.parametrize(
    ("activation", "region"),
    [
        ("smelu", (-sr.activations.DEFAULT_BETA, sr.activations.DEFAULT_BETA)),
        ("gsmelu", (-1.0, 1.0)),
        (sr.layers.GSmeLU(alpha=0.2, beta=0.7), (-0.2, 0.7)),
        (sr.layers.RESCU(knots=(-0.5, 0.1, 2.0), slopes=(0.0, 0.5, 1.0)), (-0.5, 2.0)),
    ],
)
def test_regions(activation, region):
    x = np.linspace(-2.995, 3.005, 601, dtype=np.float32).reshape(-1, 1)
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, activation, kernel_initializer="ones")])
    (layer,) = sr.activations.probe(model, x)
    assert layer.transition_share == np.mean((x > region[0]) & (x < region[1]))


def test_linear_layers_are_left_out_and_the_model_is_as_before():
    tower = sr.layers.Tower([4, 3], activation={"class_name": "GSmeLU", "config": {"learn": "all", "per": "unit"}})
    model = tf.keras.Sequential([tower, tf.keras.layers.Dense(1)])
    before = model(X)
    weights = [id(weight) for weight in model.weights]
    assert [layer.units for layer in sr.activations.probe(model, X)] == [4, 3]
    assert [id(weight) for weight in model.weights] == weights
    np.testing.assert_array_equal(model(X), before)


def test_learned_widths_are_those_of_now():
    activation = sr.layers.SmeLU(beta=0.1, learn="beta")
    model = tf.keras.Sequential([dense(activation, "only")])
    model(X)
    activation.beta_weight.assign(1.5)
    (layer,) = sr.activations.probe(model, X)
    assert layer.transition_share == 0.5


def test_the_linear_share_by_hand():
    x = np.array([[-1.0], [0.0], [1.0]], np.float32)
    for activation, share in (("relu", 0.75), (sr.layers.SmeLU(beta=100.0), 1.0), (sr.layers.SmeLU(beta=0.0), 0.75)):
        # ReLU: y = 0, 0, 1; cov 1/3, var(x) 2/3, var(y) 2/9: (1/9) / (2/3) / (2/9) = 3/4.
        model = tf.keras.Sequential([tf.keras.layers.Dense(1, activation, kernel_initializer="ones")])
        (layer,) = sr.activations.probe(model, x)
        assert layer.linear_share == pytest.approx(share, abs=1e-4)
    constant = tf.keras.Sequential([tf.keras.layers.Dense(1, "relu", kernel_initializer="zeros")])
    assert sr.activations.probe(constant, x)[0].linear_share == 1.0


def test_a_layer_of_its_own_is_measured():
    alone = sr.layers.SmeLU(beta=0.1, name="alone")
    model = tf.keras.Sequential(
        [tf.keras.layers.Dense(2, kernel_initializer="identity"), alone, dense("smelu", "last")]
    )
    before = model(X)
    first, last = sr.activations.probe(model, X)
    assert (first.name, first.transition_share, last.name) == ("alone", 0.25, "last")
    assert first.half_width == pytest.approx(0.1)
    np.testing.assert_array_equal(model(X), before)


def test_a_relative_width_is_that_of_now():
    activation = sr.layers.SmeLU(relative_beta=0.3)
    model = tf.keras.Sequential([dense(activation, "only")])
    model(X, training=True)
    (layer,) = sr.activations.probe(model, X)
    assert layer.half_width == pytest.approx(0.3 * layer.rms, rel=1e-5)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN", "Bidirectional"])
def test_recurrent_layers_are_left_out_and_the_others_measured(kind):
    layers = tf.keras.layers
    recurrent = layers.Bidirectional(layers.LSTM(3)) if kind == "Bidirectional" else getattr(layers, kind)(3)
    model = tf.keras.Sequential([layers.Dense(2, "smelu", name="before"), recurrent, dense("relu", "after")])
    steps = np.tile(X[:, None], (1, 4, 1))
    before = model(steps)
    found = sr.activations.probe(model, steps)
    assert [layer.name for layer in found] == ["before", "after"]
    assert found[1].rms == pytest.approx(
        np.sqrt(np.mean(np.square(model.layers[1](model.layers[0](steps)) @ model.layers[2].kernel))), rel=1e-5
    )
    np.testing.assert_array_equal(model(steps), before)


def test_what_is_no_batch_is_refused_in_a_line():
    model = tf.keras.Sequential([tf.keras.layers.Dense(2, activation="smelu")])
    with pytest.raises(InputError, match=r"inputs must be a batch for the model, such as x of .*, got a dataset"):
        sr.activations.probe(model, tf.data.Dataset.from_tensors(np.ones((4, 3), "float32")))
    with pytest.raises(InputError, match="inputs must have at least one row, got none"):
        sr.activations.probe(model, np.ones((0, 3), "float32"))
