"""The PD after matching means: what it takes away, what it leaves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import prediction_difference as pd
from smooth_recs.errors import InputError
from smooth_recs.prediction_difference.differences import shifted_to_mean

PROBABILITY = st.floats(0, 1)
ROWS = st.lists(st.tuples(PROBABILITY, PROBABILITY, st.floats(0, 10)), min_size=1, max_size=20)


def test_matching_means_takes_a_pure_shift_away() -> None:
    logits = np.random.default_rng(0).normal(-3, 1, 1000)
    a, b = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-logits - 0.4))
    assert pd.relative(a, b) > 0.3
    assert pd.after_matching_means(a, b) == pytest.approx(0, abs=1e-12)


def test_matching_means_leaves_what_is_no_shift() -> None:
    # Means agree already: nothing is shifted.
    a, b = np.array([0.1, 0.3]), np.array([0.3, 0.1])
    assert pd.after_matching_means(a, b) == pytest.approx(1.0, rel=1e-12)
    # Weights: only the first row counts, and one row can always be matched.
    assert pd.after_matching_means([0.1, 0.3], [0.2, 0.1], [1, 0]) == pytest.approx(0, abs=1e-12)


def test_matching_means_takes_weights_of_any_scale() -> None:
    a, b, weight = np.array([0.1, 0.3, 0.6]), np.array([0.2, 0.1, 0.6]), np.array([1.0, 2.0, 3.0])
    expected = pd.after_matching_means(a, b, weight)
    for scale in (5e-324, 1e99):
        assert pd.after_matching_means(a, b, scale * weight) == pytest.approx(expected, rel=1e-12)


def test_matching_means_against_bisection() -> None:
    rng = np.random.default_rng(0)
    a, b, weight = rng.beta(0.5, 5, 500), rng.beta(2, 3, 500), rng.uniform(size=500)
    mean = (np.average(a, weights=weight) + np.average(b, weights=weight)) / 2

    def shifted(p: np.ndarray) -> np.ndarray:
        low, high = -30.0, 30.0
        for _ in range(200):
            middle = (low + high) / 2
            moved = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + middle)))
            low, high = (low, middle) if np.average(moved, weights=weight) > mean else (middle, high)
        return moved

    expected = pd.relative(shifted(a), shifted(b), weight)
    assert pd.after_matching_means(a, b, weight) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 0.0], [0.5, 0.5], 0.0),
        ([0.0, 0.0], [1.0, 1.0], 0.0),
        ([0, 1], [1, 0], 2.0),
    ],
)
def test_matching_means_of_certain_predictions(a, b, expected: float) -> None:
    assert pd.after_matching_means(a, b) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_matching_means_always_matches_them(rows: list[tuple[float, float, float]]) -> None:
    a, b, weight = np.array(rows).T
    if weight.sum() < 1e-3:
        return
    mean = (np.average(a, weights=weight) + np.average(b, weights=weight)) / 2
    for predictions in (a, b):
        assert np.average(shifted_to_mean(predictions, mean, weight), weights=weight) == pytest.approx(mean, abs=1e-9)


def test_nothing_to_average() -> None:
    with pytest.raises(InputError, match="positive weight, got none"):
        pd.after_matching_means([], [])
