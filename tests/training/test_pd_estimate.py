"""The estimate of PD where it is known what there is to find."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from smooth_recs.run import estimate

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
    found = estimate.pd_estimate(model, holdout(), columns(0.02 + 0.2 * np.square(X[:, 1])))
    value = correlations(found)
    assert value["units"] > 0.4
    assert value["summaries"] > 0.3
    assert abs(value["prediction_only"]) < 0.1
    low, high = found["rank_correlation"]["units"]["interval"]
    assert value["units"] - 0.05 < low < value["units"] < high < value["units"] + 0.05
    assert found["rows_fitted"] + found["rows_tested"] == ROWS
    assert set(found["rank_correlation"]) == set(estimate.INPUTS)
    assert found["method"].count("penalty") == 3


def test_what_the_prediction_shows_needs_no_units(model):
    value = correlations(estimate.pd_estimate(model, holdout(), columns(0.02 + 0.2 * np.square(X[:, 0]))))
    assert value["prediction_only"] > 0.45
    assert value["units"] == pytest.approx(value["prediction_only"], abs=0.06)


def test_where_there_is_nothing_to_find_it_finds_nothing(model):
    """The PD depends on an input that nothing in the model sees."""
    found = estimate.pd_estimate(model, holdout(), columns(0.02 + 0.2 * np.square(X[:, 2])))
    for name, each in found["rank_correlation"].items():
        if each is not None:
            assert abs(each["value"]) < 0.06, name


def test_it_never_sees_the_rows_it_is_tested_on(model):
    before = columns(0.02 + 0.2 * np.square(X[:, 1]))
    examples = estimate.observe(model, holdout(), before)
    fitting, testing = estimate.halves(examples.request)
    prediction = before["prediction"].copy()
    prediction[testing, 1] = 0.5
    others = estimate.observe(model, holdout(), {**before, "prediction": prediction})
    assert not np.array_equal(others.pd, examples.pd)
    for inputs in estimate.INPUTS:
        one, same = estimate.fit(inputs, examples, fitting), estimate.fit(inputs, others, fitting)
        assert one.method == same.method
        np.testing.assert_array_equal(one.linear.weights, same.linear.weights)
    shuffled = np.random.default_rng(5).permutation(fitting.size)
    targets = examples.targets.copy()
    targets[fitting] = targets[fitting][shuffled]
    unlike = estimate.fit("units", dataclasses.replace(examples, targets=targets), fitting)
    assert not np.allclose(unlike.linear.weights, estimate.fit("units", examples, fitting).linear.weights)


def test_requests_are_whole_on_one_side():
    fitting, testing = estimate.halves(REQUEST)
    assert not set(REQUEST[fitting]) & set(REQUEST[testing])
    np.testing.assert_array_equal(np.sort(np.concatenate([fitting, testing])), np.arange(ROWS))
    assert abs(fitting.size - ROWS / 2) < 0.05 * ROWS


def test_pd_is_the_mean_over_pairs(model):
    prediction = np.tile([0.125, 0.375, 0.375], [ROWS, 1])
    examples = estimate.observe(model, holdout(), {"prediction": prediction})
    np.testing.assert_allclose(examples.pd, 2 / 3)  # 1, 1 and 0
    np.testing.assert_allclose(examples.targets[:, 0], np.sqrt(2 / 3))
    np.testing.assert_allclose(examples.targets[:, 2], 2 / 3 * (np.log(7) - np.log(5 / 3)))
    np.testing.assert_allclose(examples.logit, -np.log(7))
    np.testing.assert_array_equal(examples.request, np.arange(ROWS))


def test_predictions_of_0_and_1_are_no_trouble(model):
    known = columns(0.02 + 0.2 * np.square(X[:, 1]))
    known["prediction"][::50] = [0, 1]
    known["prediction"][1::50] = [1, 1]
    assert estimate.pd_estimate(model, holdout(), known)["rank_correlation"]["units"]["value"] > 0.2


@pytest.mark.parametrize(
    "prediction",
    [
        np.full([ROWS, 1], 0.3),
        np.full([estimate.FEWEST_ROWS - 1, 2], 0.3),
        np.repeat(RNG.uniform(size=[ROWS, 1]), 2, axis=1),
    ],
    ids=["one model", "few rows", "no difference"],
)
def test_none_where_there_is_nothing_to_estimate(model, prediction):
    assert estimate.pd_estimate(model, holdout(), {"prediction": prediction}) is None


def test_none_for_few_requests(model):
    columns = {"prediction": RNG.uniform(size=[ROWS, 2]), "query_id": np.arange(ROWS) % 50}
    assert estimate.pd_estimate(model, holdout(), columns) is None
