"""Histogram and quantiles of the PD of single examples."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import prediction_difference as pd
from smooth_recs.errors import InputError

# Weights whose sums do not round, so that a share reaches q or does not.
ROWS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=20)


def test_histogram_by_hand_and_its_weight() -> None:
    a, b = [0.1, 0.2, 0.5, 0.0], [0.3, 0.2, 0.0, 0.0]
    shares, edges = pd.histogram(a, b, [1, 1, 2, 4], bins=4)
    np.testing.assert_array_equal(edges, [0, 0.5, 1, 1.5, 2])
    # PD 2, 0 and 0; 2 * 0.2 / 0.4 is 0.99..., or 1, in float64: the middle of the range either way.
    assert shares[0] == 5 / 8
    assert shares[1] + shares[2] == 1 / 8
    assert shares[3] == 2 / 8


def test_quantiles_by_hand() -> None:
    # PD 2, 0, 1, 0 of weights 1, 0, 2, 1: a quarter at 0, the next half at 1.
    a, b, weight = [0.5, 0.3, 0.125, 0.2], [0.0, 0.3, 0.375, 0.2], [1, 0, 2, 1]
    np.testing.assert_array_equal(pd.quantiles(a, b, weight, q=(0, 0.25, 0.26, 0.75, 0.76, 1)), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(pd.quantiles(a, b, weight), [1, 2, 2])
    np.testing.assert_array_equal(pd.quantiles(a, b, weight, q=0.5), [1])
    # Row 1 alone has a PD below 1, and no weight.
    np.testing.assert_array_equal(pd.quantiles(a[:3], b[:3], weight[:3], q=[0.0]), [1])


@settings(max_examples=100, deadline=None)
@given(ROWS, st.lists(st.integers(0, 64).map(lambda n: n / 64), min_size=1, max_size=5))
def test_quantiles_against_the_definition(rows: list[tuple[float, float, int]], levels: list[float]) -> None:
    a, b, weight = np.array(rows).T
    total = int(weight.sum())
    if not total:
        return
    difference = pd.per_example(a, b)
    for q, value in zip(levels, pd.quantiles(a, b, weight, q=levels), strict=True):
        candidates = [one for one, w in zip(difference, weight, strict=True) if w]
        reached = [one for one in candidates if Fraction(int(weight[difference <= one].sum()), total) >= q]
        assert value == min(reached)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: pd.histogram([], []), "positive weight, got none"),
        (lambda: pd.quantiles([], []), "positive weight, got none"),
        (lambda: pd.quantiles([0.5], [0.5], [0.0]), "positive weight, got none"),
        (lambda: pd.quantiles([0.5], [0.5], q=[0.5, 1.5]), r"q must be in \[0, 1\], got 1.5"),
        (lambda: pd.quantiles([0.5], [0.5], q=[math.nan]), "q must be finite, got nan"),
        (lambda: pd.histogram([0.5], [0.5], bins=0), "bins must be at least 1, got 0"),
    ],
)
def test_errors_are_one_line(wrong, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)
