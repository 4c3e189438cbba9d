"""Measures of several models against hand-derived numbers and rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import prediction_difference as pd
from smooth_recs.errors import InputError

PROBABILITY = st.floats(0, 1)
MATRIX = st.integers(2, 4).flatmap(
    lambda models: st.lists(st.lists(PROBABILITY, min_size=models, max_size=models), min_size=1, max_size=8)
)


def test_pairs_and_their_mean() -> None:
    predictions = np.array([[0.1, 0.3, 0.3], [0.2, 0.2, 0.6]])
    expected = [(0, 1, 0.5), (0, 2, 1.0), (1, 2, 0.5)]
    for (i, j, value), (k, m, other) in zip(pd.pairs(predictions), expected, strict=True):
        assert (i, j) == (k, m)
        assert value == pytest.approx(other)
        assert value == pd.relative(predictions[:, i], predictions[:, j])
    assert pd.mean_over_pairs(predictions) == pytest.approx(2 / 3)
    assert pd.mean_over_pairs(predictions, [0, 1]) == pytest.approx(2 / 3)  # 0, 1, 1
    assert pd.mean_over_pairs(predictions, [1, 0]) == pytest.approx(2 / 3)  # 1, 1, 0


def test_norms_and_deviations_by_hand() -> None:
    # Means 1/4 and 1/2; deviations 1/8, 0, 1/8 and 1/4, 1/4, 1/2.
    predictions = [[0.125, 0.25, 0.375], [0.25, 0.25, 1.0]]
    assert pd.relative_norm(predictions) == pytest.approx((1 / 3 + 2 / 3) / 2, rel=1e-15)
    two = [math.sqrt(2 / 64 / 3), math.sqrt((2 / 16 + 1 / 4) / 3)]
    assert pd.standard_deviation(predictions) == pytest.approx(sum(two) / 2, rel=1e-15)
    assert pd.relative_norm(predictions, p=2) == pytest.approx((4 * two[0] + 2 * two[1]) / 2, rel=1e-15)
    assert pd.relative_norm(predictions, p=math.inf) == pytest.approx((0.5 + 1.0) / 2, rel=1e-15)
    assert pd.relative_norm(predictions, [1, 3], p=math.inf) == pytest.approx((0.5 + 3.0) / 4, rel=1e-15)
    assert pd.relative_norm([[0.0, 0.0], [0.5, 0.0]]) == 0.5
    assert pd.standard_deviation([[0.0, 0.0], [0.5, 0.0]]) == 0.125


@pytest.mark.parametrize("p", [1, 1.5, 2, 7, 1000, math.inf])
def test_of_two_models_every_norm_is_half_of_eq_2(p: float) -> None:
    a, b = np.random.default_rng(0).beta(1, 4, [2, 100])
    predictions = np.stack([a, b], axis=1)
    assert pd.relative_norm(predictions, p=p) == pytest.approx(pd.relative(a, b) / 2, rel=1e-13)
    assert pd.standard_deviation(predictions) == pytest.approx(pd.absolute(a, b) / 2, rel=1e-13)


@settings(max_examples=100, deadline=None)
@given(MATRIX)
def test_norms_against_rational_arithmetic(rows: list[list[float]]) -> None:
    first = second = spread = 0.0
    for row in rows:
        values = [Fraction(value) for value in row]
        mean = sum(values) / len(values)
        square = sum((value - mean) ** 2 for value in values) / len(values)
        spread += math.sqrt(square) if square > Fraction(1, 10**200) else 0.0
        if mean:
            first += float(sum(abs(value - mean) for value in values) / len(values) / mean)
            second += math.sqrt(square / mean**2)
    n = len(rows)
    assert pd.relative_norm(rows) == pytest.approx(first / n, rel=1e-12, abs=1e-15)
    assert pd.relative_norm(rows, p=2) == pytest.approx(second / n, rel=1e-12, abs=1e-15)
    assert pd.standard_deviation(rows) == pytest.approx(spread / n, rel=1e-12, abs=1e-15)


def test_no_power_underflows_and_equal_models_do_not_differ() -> None:
    assert pd.relative_norm([[5e-324, 0.0]], p=2) == 1
    assert pd.relative_norm([[1e-200, 3e-200]], p=50) == pytest.approx(0.5, rel=1e-14)
    assert pd.standard_deviation([[1e-200, 3e-200]]) == pytest.approx(1e-200, rel=1e-14)
    # 0.1 + 0.1 + 0.1 rounds to more than 0.3.
    assert pd.relative_norm([[0.1, 0.1, 0.1]]) == 0
    assert pd.standard_deviation([[0.1, 0.1, 0.1]]) == 0


def test_norms_grow_with_p() -> None:
    predictions = np.random.default_rng(0).beta(1, 4, [200, 5])
    norms = [pd.relative_norm(predictions, p=p) for p in (1, 1.5, 2, 4, 16, 256, math.inf)]
    assert norms == sorted(norms)
    assert norms[-1] == pytest.approx(norms[-2], rel=0.02)
    assert norms[0] < 0.8 * norms[-1]


@pytest.mark.parametrize("measure", [pd.pairs, pd.mean_over_pairs, pd.relative_norm, pd.standard_deviation])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.5], [0.5]],), r"predictions must have shape \[n, R\] with at least 2 models, got \[2, 1\]"),
        (([0.5, 0.5],), r"predictions must have shape \[n, R\] with at least 2 models, got \[2\]"),
        (([[0.5, 3.0]],), r"predictions\[:, 1\] must be in \[0, 1\], got 3 in row 0; are these logits\?"),
        (([[0.5, math.nan]],), r"predictions\[:, 1\] must be finite, got nan in row 0"),
        ((np.zeros([0, 2]),), "positive weight, got none"),
        (([[0.5, 0.5]], [0.0]), "positive weight, got none"),
        (([[0.5, 0.5]], [1.0, 1.0]), "sample_weight must have 1 values like the others, got 2"),
    ],
)
def test_errors_are_one_line(measure, arguments, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        measure(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("p", [0.5, math.nan, -math.inf])
def test_p_is_at_least_1(p: float) -> None:
    with pytest.raises(InputError, match=f"p must be at least 1, got {p}"):
        pd.relative_norm([[0.5, 0.5]], p=p)
