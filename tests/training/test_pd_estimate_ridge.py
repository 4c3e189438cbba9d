"""Ridge regression from moments against direct solutions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from smooth_recs.training.pd_estimate import Moments

RNG = np.random.default_rng(1)
X = RNG.normal([3, 0, -50], [1, 0.01, 20], size=[300, 3])
Y = np.stack([X @ [1, 200, 0.1] + RNG.normal(size=300), X[:, 0] ** 2], axis=1)


def moments(x, y):
    found = Moments(x.shape[1], y.shape[1])
    found.add(x, y)
    return found


def test_without_penalty_it_is_least_squares():
    expected = np.linalg.lstsq(np.column_stack([np.ones(300), X]), Y, rcond=None)[0]
    linear = moments(X, Y).solve(0.0)
    np.testing.assert_allclose(linear.weights, expected[1:], rtol=1e-6)
    np.testing.assert_allclose(linear.intercept, expected[0], rtol=1e-6)


@pytest.mark.parametrize("penalty", [1e-3, 0.1, 2.0])
def test_the_penalty_is_on_standardised_inputs_for_each_row(penalty):
    standardised = (X - X.mean(axis=0)) / X.std(axis=0)
    reference = Ridge(alpha=penalty * 300).fit(standardised, Y)
    np.testing.assert_allclose(moments(X, Y).solve(penalty)(X), reference.predict(standardised), rtol=1e-9)


def test_blocks_and_sums_of_moments_are_the_whole():
    whole = moments(X, Y).solve(0.1)
    parts = moments(X[:100], Y[:100])
    parts.add(X[100:170], Y[100:170])
    both = parts + moments(X[170:], Y[170:])
    np.testing.assert_allclose(both.solve(0.1).weights, whole.weights, rtol=1e-10)
    assert not np.allclose(parts.solve(0.1).weights, whole.weights)  # which + leaves as they are


def test_an_input_that_does_not_vary_has_weight_0():
    x = np.column_stack([X, np.full(300, 7.7)])
    linear = moments(x, Y).solve(0.1)
    np.testing.assert_array_equal(linear.weights[3], 0)
    np.testing.assert_allclose(linear.weights[:3], moments(X, Y).solve(0.1).weights, rtol=1e-9)
