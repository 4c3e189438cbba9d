"""The estimate of PD where it is known what there is to find; what it is made of, by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import smooth_recs as sr
from smooth_recs.errors import InputError
from smooth_recs.training import pd_estimate

ROWS = 8000
RNG = np.random.default_rng(1)
X = RNG.normal(size=[ROWS, 3]).astype(np.float32)
REQUEST = np.arange(ROWS) // 4


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


@pytest.fixture(scope="module")
def model():
    """Predicts from the first input alone; the second moves its hidden units, the third nothing."""
    hidden = tf.keras.layers.Dense(8, "relu")
    network = tf.keras.Sequential([hidden, tf.keras.layers.Dense(1, "sigmoid")])
    network(X[:1])
    kernel = np.random.default_rng(2).normal(size=[3, 8])
    kernel[2] = 0
    hidden.set_weights([kernel, np.zeros(8)])
    return network


def holdout():
    return tf.data.Dataset.from_tensor_slices({"features": X}).batch(1000)


def columns(scale):
    """Predictions of two models whose log-odds are `scale` times a normal number apart: so is PD, as they are small."""
    logit = X[:, 0] - 6.0
    apart = scale * np.random.default_rng(3).normal(size=ROWS)
    return {"prediction": sigmoid(np.stack([logit, logit + apart], axis=1)), "query_id": REQUEST}


def correlations(found):
    return {name: each["value"] for name, each in found["rank_correlation"].items()}


def test_it_finds_what_the_units_show_and_the_prediction_does_not(model):
    found = pd_estimate.pd_estimate(model, holdout(), columns(0.02 + 0.2 * np.square(X[:, 1])))
    value = correlations(found)
    assert value["units"] > 0.4
    assert value["summaries"] > 0.3
    assert abs(value["prediction_only"]) < 0.1
    low, high = found["rank_correlation"]["units"]["interval"]
    assert value["units"] - 0.05 < low < value["units"] < high < value["units"] + 0.05
    assert found["rows_fitted"] + found["rows_tested"] == ROWS
    assert set(found["rank_correlation"]) == set(pd_estimate.INPUTS)
    assert found["method"].count("penalty") == 3


def test_what_the_prediction_shows_needs_no_units(model):
    value = correlations(pd_estimate.pd_estimate(model, holdout(), columns(0.02 + 0.2 * np.square(X[:, 0]))))
    assert value["prediction_only"] > 0.45
    assert value["units"] == pytest.approx(value["prediction_only"], abs=0.06)


def test_where_there_is_nothing_to_find_it_finds_nothing(model):
    """The PD depends on an input that nothing in the model sees."""
    found = pd_estimate.pd_estimate(model, holdout(), columns(0.02 + 0.2 * np.square(X[:, 2])))
    for name, each in found["rank_correlation"].items():
        if each is not None:
            assert abs(each["value"]) < 0.06, name


def test_it_never_sees_the_rows_it_is_tested_on(model):
    before = columns(0.02 + 0.2 * np.square(X[:, 1]))
    examples = pd_estimate.observe(model, holdout(), before)
    fitting, testing = pd_estimate.halves(examples.request)
    prediction = before["prediction"].copy()
    prediction[testing, 1] = 0.5
    others = pd_estimate.observe(model, holdout(), {**before, "prediction": prediction})
    assert not np.array_equal(others.pd, examples.pd)
    for inputs in pd_estimate.INPUTS:
        one, same = pd_estimate.fit(inputs, examples, fitting), pd_estimate.fit(inputs, others, fitting)
        assert one.method == same.method
        np.testing.assert_array_equal(one.linear.weights, same.linear.weights)
    shuffled = np.random.default_rng(5).permutation(fitting.size)
    targets = examples.targets.copy()
    targets[fitting] = targets[fitting][shuffled]
    unlike = pd_estimate.fit("units", dataclasses.replace(examples, targets=targets), fitting)
    assert not np.allclose(unlike.linear.weights, pd_estimate.fit("units", examples, fitting).linear.weights)


def test_requests_are_whole_on_one_side():
    fitting, testing = pd_estimate.halves(REQUEST)
    assert not set(REQUEST[fitting]) & set(REQUEST[testing])
    np.testing.assert_array_equal(np.sort(np.concatenate([fitting, testing])), np.arange(ROWS))
    assert abs(fitting.size - ROWS / 2) < 0.05 * ROWS


def test_pd_is_the_mean_over_pairs(model):
    prediction = np.tile([0.125, 0.375, 0.375], [ROWS, 1])
    examples = pd_estimate.observe(model, holdout(), {"prediction": prediction})
    np.testing.assert_allclose(examples.pd, 2 / 3)  # 1, 1 and 0
    np.testing.assert_allclose(examples.targets[:, 0], np.sqrt(2 / 3))
    np.testing.assert_allclose(examples.targets[:, 2], 2 / 3 * (np.log(7) - np.log(5 / 3)))
    np.testing.assert_allclose(examples.logit, -np.log(7))
    np.testing.assert_array_equal(examples.request, np.arange(ROWS))


def test_predictions_of_0_and_1_are_no_trouble(model):
    known = columns(0.02 + 0.2 * np.square(X[:, 1]))
    known["prediction"][::50] = [0, 1]
    known["prediction"][1::50] = [1, 1]
    assert pd_estimate.pd_estimate(model, holdout(), known)["rank_correlation"]["units"]["value"] > 0.2


@pytest.mark.parametrize(
    "prediction",
    [
        np.full([ROWS, 1], 0.3),
        np.full([pd_estimate.FEWEST_ROWS - 1, 2], 0.3),
        np.repeat(RNG.uniform(size=[ROWS, 1]), 2, axis=1),
    ],
    ids=["one model", "few rows", "no difference"],
)
def test_none_where_there_is_nothing_to_estimate(model, prediction):
    assert pd_estimate.pd_estimate(model, holdout(), {"prediction": prediction}) is None


def test_none_for_few_requests(model):
    columns = {"prediction": RNG.uniform(size=[ROWS, 2]), "query_id": np.arange(ROWS) % 50}
    assert pd_estimate.pd_estimate(model, holdout(), columns) is None


FOUR_ROWS = np.array([[1.0, -2.0], [0.05, 3.0], [0.0, 0.0], [2.0, 0.5]], np.float32)
NAMES = pd_estimate.SUMMARIES


def dense(activation, units=2, **kwargs):
    return tf.keras.layers.Dense(units, activation, **kwargs)


def network(*layers):
    model = tf.keras.Sequential(layers)
    model(FOUR_ROWS)
    return model


def chunks(x, size=100):
    """Held-out rows as a source gives them."""
    return tf.data.Dataset.from_tensor_slices({"features": x}).batch(size)


def standardised(values):
    values = np.asarray(values, float)
    return np.clip((values - values.mean(axis=0)) / values.std(axis=0), -4, 4)


def test_strengths_are_the_outputs_of_all_activations():
    model = network(dense("relu", kernel_initializer="identity"), dense(None), dense("relu", 3), dense("sigmoid", 1))
    first = np.maximum(FOUR_ROWS, 0)
    third = np.maximum(model.layers[1](first) @ model.layers[2].kernel + model.layers[2].bias, 0)
    found = pd_estimate.strengths(model, FOUR_ROWS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.concatenate([first, third, model(FOUR_ROWS)], axis=1), rtol=1e-6)


def test_summaries_by_hand():
    model = network(dense(sr.layers.SmeLU(beta=0.1), kernel_initializer="identity"))
    model.add(dense(None, 1))
    model(FOUR_ROWS)
    found = pd_estimate.record(model, chunks(FOUR_ROWS), rows=4).summaries
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
    found = pd_estimate.record(network(dense("relu", 4)), chunks(FOUR_ROWS), rows=4).summaries
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
    found, same = (pd_estimate.record(model, chunks(x), rows=200) for model in (one, other))
    np.testing.assert_allclose(found.summaries, same.summaries, atol=1e-3)
    assert np.abs(found.units - same.units).max() > 0.01


def test_rows_are_the_first_in_order_whatever_the_chunks():
    x = np.random.default_rng(1).normal(size=[5000, 2]).astype(np.float32)
    model = network(dense("relu", 3))
    whole = pd_estimate.record(model, chunks(x[:4500], 5000), rows=4500)
    parts = pd_estimate.record(model, chunks(x, 70), rows=4500)
    assert parts.units.shape == (4500, 3)
    np.testing.assert_allclose(parts.units, pd_estimate.strengths(model, x[:4500]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(parts.summaries, whole.summaries, atol=1e-4)


def test_of_a_large_network_every_other_unit_is_kept():
    model = network(dense("relu", 1200), dense("relu", 301))
    units = pd_estimate.record(model, chunks(FOUR_ROWS), rows=4).units
    every = pd_estimate.strengths(model, FOUR_ROWS)
    np.testing.assert_allclose(units, np.concatenate([every[:, :1200:2], every[:, 1200::2]], axis=1), rtol=1e-5)


def test_what_does_not_vary_is_0():
    """Three points in general position are equally far from their mean, but for rounding."""
    found = pd_estimate.record(
        network(dense("relu", kernel_initializer="identity")), chunks(FOUR_ROWS[[0, 1, 3]]), rows=3
    )
    np.testing.assert_array_equal(found.summaries[:, NAMES.index("novelty")], 0)


def test_dead_layers_are_no_trouble():
    dead = dense("relu", 4, bias_initializer=tf.keras.initializers.Constant(-100.0))
    found = pd_estimate.record(network(dead), chunks(FOUR_ROWS), rows=4)
    np.testing.assert_array_equal(found.units, 0)
    np.testing.assert_array_equal(found.summaries, 0)


def test_a_model_without_hidden_layers_is_refused():
    with pytest.raises(InputError, match=r"^model must have hidden layers with an activation, got '.*' without$"):
        pd_estimate.strengths(network(dense(None)), FOUR_ROWS)
