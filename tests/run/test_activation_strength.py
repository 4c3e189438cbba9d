"""Outputs of the units and summaries of the layers, by hand, in both generations of Keras."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from smooth_recs.run import activation_strength

import smooth_recs as sr
from smooth_recs.errors import InputError

pytestmark = pytest.mark.both_generations

X = np.array([[1.0, -2.0], [0.05, 3.0], [0.0, 0.0], [2.0, 0.5]], np.float32)
NAMES = activation_strength.SUMMARIES


def dense(activation, units=2, **kwargs):
    return tf.keras.layers.Dense(units, activation, **kwargs)


def network(*layers):
    model = tf.keras.Sequential(layers)
    model(X)
    return model


def chunks(x, size=100):
    """Held-out rows as a source gives them."""
    return tf.data.Dataset.from_tensor_slices({"features": x}).batch(size)


def standardised(values):
    values = np.asarray(values, float)
    return np.clip((values - values.mean(axis=0)) / values.std(axis=0), -4, 4)


def test_strengths_are_the_outputs_of_all_activations():
    model = network(dense("relu", kernel_initializer="identity"), dense(None), dense("relu", 3), dense("sigmoid", 1))
    first = np.maximum(X, 0)
    third = np.maximum(model.layers[1](first) @ model.layers[2].kernel + model.layers[2].bias, 0)
    found = activation_strength.strengths(model, X)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.concatenate([first, third, model(X)], axis=1), rtol=1e-6)


def test_summaries_by_hand():
    model = network(dense(sr.layers.SmeLU(beta=0.1), kernel_initializer="identity"))
    model.add(dense(None, 1))
    model(X)
    found = activation_strength.record(model, chunks(X), rows=4).summaries
    y = np.array([[1, 0], [0.15**2 / 0.4, 3], [0.025, 0.025], [2, 0.5]])  # eq. 7
    expected = {
        "mean": y.mean(axis=1),
        "rms": np.sqrt(np.mean(y**2, axis=1)),
        "active": [0.5, 1, 0, 1],
        "transition": [0, 0.5, 1, 0],
        "max": [1, 3, 0.025, 2],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[:, NAMES.index(name)], standardised(values), rtol=1e-4, err_msg=name)
    centred = y - y.mean(axis=0)
    distance = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(centred.T @ centred / 4), centred) / 2
    assert distance.mean() == pytest.approx(1)
    np.testing.assert_allclose(found[:, NAMES.index("novelty")], standardised(np.log1p(distance)), atol=1e-4)


def test_without_a_transition_region_its_share_is_0():
    found = activation_strength.record(network(dense("relu", 4)), chunks(X), rows=4).summaries
    np.testing.assert_array_equal(found[:, NAMES.index("transition")], 0)


def test_summaries_do_not_depend_on_the_order_of_the_units():
    x = np.random.default_rng(1).normal(size=[200, 5]).astype(np.float32)
    one, other = ([dense("smelu", 16), dense("smelu", 8), dense("sigmoid", 1)] for _ in range(2))
    one, other = tf.keras.Sequential(one), tf.keras.Sequential(other)
    one(x), other(x)
    rng = np.random.default_rng(2)
    first, second, keep = rng.permutation(16), rng.permutation(8), np.arange(5)
    orders = [(keep, first), (first, second), (second, np.arange(1))]
    for layer, twin, (rows, columns) in zip(one.layers, other.layers, orders, strict=True):
        kernel, bias = layer.get_weights()
        twin.set_weights([kernel[rows][:, columns], bias[columns]])
    np.testing.assert_allclose(one(x), other(x), rtol=1e-5)
    found, same = (activation_strength.record(model, chunks(x), rows=200) for model in (one, other))
    np.testing.assert_allclose(found.summaries, same.summaries, atol=1e-3)
    assert np.abs(found.units - same.units).max() > 0.01


def test_rows_are_the_first_in_order_whatever_the_chunks():
    x = np.random.default_rng(1).normal(size=[5000, 2]).astype(np.float32)
    model = network(dense("relu", 3))
    whole = activation_strength.record(model, chunks(x[:4500], 5000), rows=4500)
    parts = activation_strength.record(model, chunks(x, 70), rows=4500)
    assert parts.units.shape == (4500, 3)
    np.testing.assert_allclose(parts.units, activation_strength.strengths(model, x[:4500]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(parts.summaries, whole.summaries, atol=1e-4)


def test_of_a_large_network_every_other_unit_is_kept():
    model = network(dense("relu", 1200), dense("relu", 301))
    units = activation_strength.record(model, chunks(X), rows=4).units
    every = activation_strength.strengths(model, X)
    np.testing.assert_allclose(units, np.concatenate([every[:, :1200:2], every[:, 1200::2]], axis=1), rtol=1e-5)


def test_what_does_not_vary_is_0():
    """Three points in general position are equally far from their mean, but for rounding."""
    found = activation_strength.record(
        network(dense("relu", kernel_initializer="identity")), chunks(X[[0, 1, 3]]), rows=3
    )
    np.testing.assert_array_equal(found.summaries[:, NAMES.index("novelty")], 0)


def test_dead_layers_are_no_trouble():
    dead = dense("relu", 4, bias_initializer=tf.keras.initializers.Constant(-100.0))
    found = activation_strength.record(network(dead), chunks(X), rows=4)
    np.testing.assert_array_equal(found.units, 0)
    np.testing.assert_array_equal(found.summaries, 0)


def test_a_model_without_hidden_layers_is_refused():
    with pytest.raises(InputError, match=r"^model must have hidden layers with an activation, got '.*' without$"):
        activation_strength.strengths(network(dense(None)), X)
