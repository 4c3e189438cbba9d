"""Random networks against the formulas of the paper, their losses, and local minima against a slow count."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pytest
from figure_cases import scores_by_the_formulas
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.experiments.figures import random_networks


@pytest.mark.parametrize("beta", [0.0, 0.5])
@pytest.mark.parametrize("inputs", [1, 2])
@pytest.mark.parametrize(
    "kind",
    [
        random_networks.Kind("weight", 25.0, 0.25),
        random_networks.Kind("weight", 1.0, 1.0, norm_value=2.0, clip=4.0, normalize_output=True),
        random_networks.Kind("layer", 1.0, 1.0),
    ],
)
def test_scores_follow_the_formulas(kind, inputs, beta):
    x = np.random.default_rng(0).uniform(-3, 3, (7, inputs))
    scores = random_networks.RandomNetwork(kind, inputs, seed=3).scores(x, random_networks.activation(beta))
    np.testing.assert_allclose(scores, scores_by_the_formulas(kind, inputs, 3, x, beta), rtol=1e-10, atol=1e-10)


def test_networks_of_one_seed_differ_in_nothing_but_the_norm():
    one, two = (
        random_networks.RandomNetwork(random_networks.Kind("weight", 25.0, 0.25, v), 1, seed=4).layers
        for v in (1.0, 2.0)
    )
    *hidden, output = zip(one, two, strict=True)
    for (kernel, bias), (doubled, same) in hidden:
        np.testing.assert_allclose(2 * kernel, doubled)
        np.testing.assert_array_equal(bias, same)
    np.testing.assert_array_equal(output[0][0], output[1][0])


def test_the_losses_by_hand():
    assert random_networks.logistic(np.array([0.0]), 0.3) == pytest.approx(np.log(2))
    assert random_networks.logistic(np.array([np.log(3)]), 0.25) == pytest.approx(
        0.25 * np.log(4 / 3) + 0.75 * np.log(4)
    )
    at = random_networks.logit(0.1)
    assert at == pytest.approx(-np.log(9))
    near = random_networks.logistic(np.array([at - 1e-3, at, at + 1e-3]), 0.1)
    assert near.argmin() == 1
    assert random_networks.squared(np.array([1.0, -2.0]), -2.0).tolist() == [9.0, 0.0]
    assert np.isfinite(random_networks.logistic(np.array([-1e4, 1e4]), 0.1)).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 0, 1], 1),
        ([0, 1, 0], 0),  # the ends do not count
        ([2, 1, 1, 1, 2], 1),
        ([2, 1, 1, 0], 0),  # a step is no valley
        ([3, 1, 2, 0, 3, -1, 4], 3),
        ([5, 5, 5], 0),
        ([1, 1e-14, 2e-14, 1e-14, 1], 1),  # a bump of rounding
    ],
)
def test_minima_by_hand(values, expected):
    assert random_networks.minima(np.array(values, float)) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=3, max_size=30))
def test_minima_are_the_valleys_of_a_walk(values):
    heights = [height for height, _ in itertools.groupby(values)]
    valleys = sum(left > middle < right for left, middle, right in zip(heights, heights[1:], heights[2:], strict=False))
    assert random_networks.minima(np.array(values, float)) == valleys
    assert random_networks.minima(7.5 - 3 * np.array(values, float)) == sum(
        left < middle > right for left, middle, right in zip(heights, heights[1:], heights[2:], strict=False)
    )


def test_minima_off_target_leave_out_the_curve_where_the_score_is_the_best_one():
    x, y = np.meshgrid(*[np.linspace(-1, 1, 41)] * 2, indexing="ij")
    bowl, two = x**2 + y**2, (x**2 - 0.25) ** 2 + y**2
    assert random_networks.minima_off_target(bowl, -1.0) == 1
    assert random_networks.minima_off_target(-bowl, 1.0) == 1  # the score is highest where the loss is lowest
    assert random_networks.minima_off_target(bowl, 0.3) == 0  # a circle of global minima around a maximum
    assert random_networks.minima_off_target(-bowl, -3.0) == 0
    assert random_networks.minima_off_target(two, -0.1) == 2
    assert random_networks.minima_off_target(x + y, -3.0) == 0


def test_examples_in_docstrings():
    assert doctest.testmod(random_networks).failed == 0
