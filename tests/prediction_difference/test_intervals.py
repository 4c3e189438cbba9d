"""Intervals: hand-derived, by brute force, and how often they hold the truth in simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from smooth_recs import prediction_difference as pd
from smooth_recs.errors import InputError

# The 97.5% quantiles of Student's t, from printed tables.
T_1, T_2, T_3 = 12.7062, 4.30265, 3.18245


def simulated_pair(rng: np.random.Generator, requests: int) -> tuple[np.ndarray, np.ndarray]:
    """A pair of models whose log-ratio is uniform, most of it common to the four rows of a request."""
    query = np.repeat(np.arange(requests), 4)
    ratio = 0.3 * rng.uniform(-1, 1, requests)[query] + 0.1 * rng.uniform(-1, 1, query.size)
    base = rng.uniform(0.05, 0.4, query.size)
    return np.stack([base * np.exp(ratio / 2), base * np.exp(-ratio / 2)], axis=1), query


def test_intervals_by_request_cover_and_those_by_example_do_not() -> None:
    rng = np.random.default_rng(7)
    # Per example 2 |a - b| / (a + b) = 2 tanh(|ratio| / 2).
    truth = float(np.mean(2 * np.tanh(np.abs(0.3 * rng.uniform(-1, 1, 10**6) + 0.1 * rng.uniform(-1, 1, 10**6)) / 2)))
    covered = {"request": 0, "example": 0}
    for seed in range(200):
        predictions, query = simulated_pair(rng, requests=120)
        for name, query_id in (("request", query), ("example", None)):
            low, high = pd.interval(predictions, query_id=query_id, replicates=300, seed=seed)
            covered[name] += low <= truth <= high
    assert 180 <= covered["request"] <= 198
    assert covered["example"] < 160


def test_interval_holds_the_value_and_repeats() -> None:
    predictions, query = simulated_pair(np.random.default_rng(0), requests=100)
    low, high = pd.interval(predictions, query_id=query)
    assert low < pd.mean_over_pairs(predictions) < high
    assert (low, high) == pd.interval(predictions, query_id=query)
    names = np.array([f"request {number}" for number in query])
    shuffled = np.random.default_rng(1).permutation(query.size)
    one = pd.interval(predictions, query_id=names)
    np.testing.assert_allclose(one, pd.interval(predictions[shuffled], query_id=names[shuffled]), rtol=1e-12)
    narrow = pd.interval(predictions, query_id=query, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_interval_of_three_models_is_that_of_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(0)
    predictions = rng.uniform(0.1, 0.3, [2000, 3])
    weight = rng.uniform(size=2000)
    low, high = pd.interval(predictions, weight)
    assert low < pd.mean_over_pairs(predictions, weight) < high
    assert high - low < 0.05


def test_interval_over_replicas_by_hand() -> None:
    # The pairs differ by 1, 1 and 0; without models 0, 1, 2 what is left is 0, 1, 1: variance 2/9, two thirds its sum.
    error = math.sqrt(2 / 3 * (4 / 9 + 1 / 9 + 1 / 9))
    low, high = pd.interval_over_replicas([[0.125, 0.375, 0.375]])
    assert low == 0
    assert high == pytest.approx(2 / 3 + T_2 * error, rel=1e-5)


def test_interval_over_replicas_leaves_out_models_not_pairs() -> None:
    rng = np.random.default_rng(0)
    predictions, weight = rng.uniform(0.1, 0.9, [50, 4]), rng.uniform(size=50)
    without = [pd.mean_over_pairs(np.delete(predictions, r, axis=1), weight) for r in range(4)]
    error = math.sqrt(3 / 4 * sum((value - np.mean(without)) ** 2 for value in without))
    mean = pd.mean_over_pairs(predictions, weight)
    expected = (mean - T_3 * error, mean + T_3 * error)
    assert pd.interval_over_replicas(predictions, weight) == pytest.approx(expected, rel=1e-5)
    low, high = pd.interval_over_replicas(predictions, weight, confidence=0.5)
    assert expected[0] < low < mean < high < expected[1]


def test_interval_over_replicas_covers_further_models() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=[300, 1000])  # 1000 models: each one's noise in logit space, of a scale of its own
    scale = rng.uniform(0.1, 0.3, 1000)
    population = 1 / (1 + np.exp(2 - scale * noise))
    truth = pd.mean_over_pairs(population[:, :100])
    covered = 0
    for _ in range(200):
        models = rng.choice(1000, 5, replace=False)
        low, high = pd.interval_over_replicas(population[:, models])
        covered += low <= truth <= high
    assert 180 <= covered <= 199


def test_interval_over_seeds_by_hand() -> None:
    # Mean 3, standard deviation sqrt(2) of two values: error 1.
    assert pd.interval_over_seeds([2.0, 4.0]) == pytest.approx((3 - T_1, 3 + T_1), rel=1e-5)
    assert pd.interval_over_seeds([-0.5, -0.5, -0.5]) == (-0.5, -0.5)
    low, high = pd.interval_over_seeds([0.08, 0.10, 0.12])
    assert (low, high) == pytest.approx((0.1 - T_2 * 0.02 / math.sqrt(3), 0.1 + T_2 * 0.02 / math.sqrt(3)), rel=1e-5)


def test_interval_over_seeds_covers() -> None:
    runs = np.random.default_rng(0).normal(0.1, 0.02, [2000, 4])
    covered = sum(low <= 0.1 <= high for low, high in map(pd.interval_over_seeds, runs))
    assert 1870 <= covered <= 1930


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: pd.interval(np.zeros([0, 2])), "predictions must have at least one value, got none"),
        (lambda: pd.interval([[0.5, 0.5]], [0.0]), "positive weight, got none"),
        (lambda: pd.interval([[0.5, 0.5]], query_id=[1, 2]), "query_id must have 1 values like the others"),
        (lambda: pd.interval_over_replicas([[0.5, 0.5]]), "predictions must be of at least 3 models .*, got 2"),
        (lambda: pd.interval_over_replicas([[0.5, 0.5, 0.5]], confidence=1.0), "confidence must be between 0 and 1"),
        (lambda: pd.interval_over_replicas(np.zeros([0, 3])), "positive weight, got none"),
        (lambda: pd.interval_over_seeds([0.1]), "values must be of at least 2 training runs, got 1"),
        (lambda: pd.interval_over_seeds([0.1, math.nan]), "values must be finite, got nan in row 1"),
        (lambda: pd.interval_over_seeds([0.1, 0.2], confidence=0.0), "confidence must be between 0 and 1, got 0.0"),
    ],
)
def test_errors_are_one_line(wrong, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)
