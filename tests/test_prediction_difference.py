"""The PD of arrays of predictions against hand-derived numbers, brute force and simulation."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import prediction_difference as pd
from smooth_recs.errors import InputError

PROBABILITY = st.floats(0, 1)
ROWS = st.lists(st.tuples(PROBABILITY, PROBABILITY, st.floats(0, 10)), min_size=1, max_size=20)


def brute_force(rows: list[tuple[float, float, float]]) -> Fraction:
    """Eq. 2 in rational arithmetic, of the float64 values of its summands."""
    total = weights = Fraction(0)
    for a, b, weight in rows:
        total += Fraction(weight * (2 * abs(a - b) / (a + b) if a + b > 0 else 0.0))
        weights += Fraction(weight)
    return total / weights


def test_eq_2_by_hand() -> None:
    # 2 * 0.2 / 0.4 = 1; 0; 2 * 0.5 / 0.5 = 2; both 0: 0.
    a, b = [0.1, 0.2, 0.5, 0.0], [0.3, 0.2, 0.0, 0.0]
    np.testing.assert_allclose(pd.per_example(a, b), [1.0, 0.0, 2.0, 0.0], rtol=1e-15)
    assert pd.relative(a, b) == pytest.approx(0.75, rel=1e-15)
    assert pd.relative(a, b, sample_weight=[1, 0, 0, 3]) == pytest.approx(0.25, rel=1e-15)
    assert pd.relative(np.array(a, np.float32)[:, None], np.array(b, np.float32)) == pytest.approx(0.75, rel=1e-6)


def test_the_smallest_numbers() -> None:
    tiny = 5e-324
    np.testing.assert_allclose(pd.per_example([tiny, tiny, 1.0], [tiny, 0.0, 1.0]), [0.0, 2.0, 0.0])


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_relative_is_exact_symmetric_and_bounded(rows: list[tuple[float, float, float]]) -> None:
    a, b, weight = np.array(rows).T
    if not weight.any():
        return
    value = pd.relative(a, b, weight)
    assert value == float(brute_force(rows))
    assert value == pd.relative(b, a, weight)
    assert 0 <= value <= 2
    assert pd.relative(a, a, weight) == 0


@settings(max_examples=50, deadline=None)
@given(ROWS, st.lists(st.integers(0, 20), max_size=4), st.randoms(use_true_random=False))
def test_any_partition_in_any_order_gives_the_same_bits(rows, cuts, random) -> None:
    weights = [row[2] for row in rows]
    if not any(weights):
        return
    expected = pd.relative(*np.array(rows).T)
    random.shuffle(rows)
    edges = [0, *sorted(cuts), len(rows)]
    shards = []
    for start, end in itertools.pairwise(edges):
        shard = pd.Accumulator()
        a, b, weight = np.reshape(rows[start:end], [-1, 3]).T
        shard.add(a, b, weight)
        shards.append(shard)
    random.shuffle(shards)
    first, *others = shards
    for shard in others:
        first.merge(shard)
    assert first.result() == expected


def test_pairs_and_their_mean() -> None:
    predictions = np.array([[0.1, 0.3, 0.3], [0.2, 0.2, 0.6]])
    expected = [(0, 1, 0.5), (0, 2, 1.0), (1, 2, 0.5)]
    for (i, j, value), (k, m, other) in zip(pd.pairs(predictions), expected, strict=True):
        assert (i, j) == (k, m)
        assert value == pytest.approx(other)
    assert pd.mean_over_pairs(predictions) == pytest.approx(2 / 3)
    assert pd.mean_over_pairs(predictions, [0, 1]) == pytest.approx(2 / 3)  # 0, 1, 1
    assert pd.mean_over_pairs(predictions, [1, 0]) == pytest.approx(2 / 3)  # 1, 1, 0


def test_histogram_by_hand_and_its_weight() -> None:
    a, b = [0.1, 0.2, 0.5, 0.0], [0.3, 0.2, 0.0, 0.0]
    shares, edges = pd.histogram(a, b, [1, 1, 2, 4], bins=4)
    np.testing.assert_array_equal(edges, [0, 0.5, 1, 1.5, 2])
    # PD 2, 0 and 0; 2 * 0.2 / 0.4 is 0.99..., or 1, in float64: the middle of the range either way.
    assert shares[0] == 5 / 8
    assert shares[1] + shares[2] == 1 / 8
    assert shares[3] == 2 / 8


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
    from smooth_recs.logit_shift import shifted_to_mean

    mean = (np.average(a, weights=weight) + np.average(b, weights=weight)) / 2
    for predictions in (a, b):
        assert np.average(shifted_to_mean(predictions, mean, weight), weights=weight) == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: pd.relative([0.5, 1.5], [0.5, 0.5]), r"a must be in \[0, 1\], got 1.5 in row 1; are these logits\?"),
        (lambda: pd.relative([0.5], [-2.0]), r"b must be in \[0, 1\], got -2 in row 0; are these logits\?"),
        (lambda: pd.relative([0.5, math.nan], [0.5, 0.5]), "a must be finite, got nan in row 1"),
        (lambda: pd.relative([0.5, 0.5], [0.5]), "b must have 2 values like the others, got 1"),
        (lambda: pd.relative([[0.5, 0.5]], [0.5]), r"a must have shape \[n\] or \[n, 1\], got \[1, 2\]"),
        (lambda: pd.relative([], []), "positive weight, got none"),
        (lambda: pd.relative([0.5], [0.5], [0.0]), "positive weight, got none"),
        (lambda: pd.relative([0.5], [0.5], [-1.0]), "sample_weight must be at or above 0, got -1 in row 0"),
        (lambda: pd.relative([0.5], [0.5], [1.0, 1.0]), "sample_weight must have 1 values like the others, got 2"),
        (lambda: pd.Accumulator().result(), "positive weight, got none"),
        (lambda: pd.pairs([[0.5], [0.5]]), "at least 2 models"),
        (lambda: pd.pairs([[0.5, 3.0]]), "are these logits"),
        (lambda: pd.interval(np.zeros([0, 2])), "predictions must have at least one value, got none"),
        (lambda: pd.interval([[0.5, 0.5]], query_id=[1, 2]), "query_id must have 1 values like the others"),
        (lambda: pd.histogram([], []), "positive weight, got none"),
        (lambda: pd.after_matching_means([], []), "positive weight, got none"),
    ],
)
def test_errors_are_one_line(wrong, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)
