"""Measures of two models against hand-derived numbers and arithmetic of 150 digits."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smooth_recs import prediction_difference as pd
from smooth_recs.errors import InputError

PROBABILITY = st.floats(0, 1)
ROWS = st.lists(st.tuples(PROBABILITY, PROBABILITY, st.floats(0, 10)), min_size=1, max_size=20)
# 1 - p has to fit into the digits of the reference.
INSIDE = st.floats(1e-60, 1 - 2**-53)
CLOSE = st.tuples(INSIDE, st.floats(-1, 1), st.sampled_from([1e-15, 1e-8, 1e-3, 0.1])).map(
    lambda drawn: (drawn[0], min(drawn[0] * (1 + drawn[1] * drawn[2]), 1 - 2**-53))
)
PAIR = st.one_of(st.tuples(INSIDE, INSIDE), CLOSE)
ALL = (pd.relative, pd.absolute, pd.kl, pd.jensen_shannon, pd.logit_difference, pd.flips)


def brute_force(rows: list[tuple[float, float, float]]) -> Fraction:
    """Eq. 2 in rational arithmetic, of summands that are rounded to the digits of float64 without its least number."""
    total = weights = Fraction(0)
    for a, b, weight in rows:
        total += Fraction(weight * 2.0**500 * (2 * abs(a - b) / (a + b) if a + b > 0 else 0.0)) / 2**500
        weights += Fraction(weight)
    return total / weights


def divergence(a: Decimal, b: Decimal) -> Decimal:
    return a * (a / b).ln() + (1 - a) * ((1 - a) / (1 - b)).ln()


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
    # (a + b) / 2 rounds to 0, which must not rule out what a allows: the divergence is below a.
    assert 0 <= pd.jensen_shannon([tiny], [0.0]) <= tiny
    assert pd.logit_difference([tiny], [0.5]) == pytest.approx(1074 * math.log(2), rel=1e-14)
    assert pd.kl([0.5], [tiny]) == pytest.approx(536 * math.log(2), rel=1e-14)


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_relative_is_that_of_rational_arithmetic_symmetric_and_bounded(rows: list[tuple[float, float, float]]) -> None:
    a, b, weight = np.array(rows).T
    if not weight.any():
        return
    value = pd.relative(a, b, weight)
    assert value == pytest.approx(float(brute_force(rows)), rel=1e-14, abs=0)
    assert value == pd.relative(b, a, weight)
    assert 0 <= value <= 2 * (1 + 1e-15)
    assert pd.relative(a, a, weight) == 0


def test_the_others_by_hand() -> None:
    # Of the weights 1, 1, 2, the rows count 1/4, 1/4, 1/2.
    a, b, weight = [0.5, 0.25, 0.75], [0.25, 0.75, 0.75], [1, 1, 2]
    assert pd.absolute(a, b, weight) == (0.25 + 0.5) / 4
    # 1/2 log 2 + 1/2 log(2/3); 1/4 log(1/3) + 3/4 log 3 = 1/2 log 3; 0.
    first = math.log(2) / 2 + math.log(2 / 3) / 2
    assert pd.kl(a, b, weight) == pytest.approx((first + math.log(3) / 2) / 4, rel=1e-14)
    # logit 1/2 = 0, logit 3/4 = log 3 = -logit 1/4.
    assert pd.logit_difference(a, b, weight) == pytest.approx((math.log(3) + 2 * math.log(3)) / 4, rel=1e-14)
    assert pd.flips(a, b, weight) == 0.5
    assert pd.flips(a, b, weight, threshold=0.75) == 0.25
    assert pd.flips(a, b, weight, threshold=0.25) == 0
    # m = 1/2: [KL(1/4 || 1/2) + KL(3/4 || 1/2)] / 2, the two alike.
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert pd.jensen_shannon([0.25], [0.75]) == pytest.approx(expected, rel=1e-14)


def test_certain_predictions() -> None:
    assert pd.kl([0.0, 1.0], [0.5, 0.5]) == pytest.approx(math.log(2), rel=1e-15)
    assert pd.kl([0.0, 1.0], [0.0, 1.0]) == 0
    assert pd.logit_difference([0.0, 1.0], [0.0, 1.0]) == 0
    assert pd.jensen_shannon([0.0, 1.0], [1.0, 0.0]) == pytest.approx(math.log(2), rel=1e-15)
    assert pd.jensen_shannon([0.0, 1.0], [0.0, 1.0]) == 0
    for a, b in ((0.5, 0.0), (0.5, 1.0), (1.0, 0.0), (0.0, 1.0)):
        assert pd.kl([0.5, a], [0.5, b]) == math.inf
        assert pd.logit_difference([a, 0.5], [b, 0.5]) == math.inf
        assert pd.logit_difference([b, 0.5], [a, 0.5]) == math.inf
        # An example that does not count does not rule anything out.
        assert pd.kl([0.5, a], [0.25, b], [1, 0]) == pytest.approx(pd.kl([0.5], [0.25]))
        assert pd.logit_difference([0.5, a], [0.25, b], [1, 0]) == pytest.approx(math.log(3))


@settings(max_examples=150, deadline=None)
@given(PAIR)
@example((0.5, 0.5 - 2**-54))
@example((1 - 2**-53, 1e-60))
@example((1e-60, 1 - 2**-53))
def test_divergences_to_the_last_digits(pair: tuple[float, float]) -> None:
    a, b = pair
    with localcontext() as context:
        context.prec = 200
        x, y = Decimal(a), Decimal(b)
        middle = (x + y) / 2
        kl = float(divergence(x, y))
        jensen_shannon = float((divergence(x, middle) + divergence(y, middle)) / 2)
        logits = float(abs((x / (1 - x)).ln() - (y / (1 - y)).ln()))
    # Nothing cancels but what the rounding of a - b leaves.
    rounding = 2e-15 * abs(a - b)
    assert pd.kl([a], [b]) == pytest.approx(kl, rel=1e-12, abs=rounding)
    assert pd.jensen_shannon([a], [b]) == pytest.approx(jensen_shannon, rel=1e-12, abs=rounding)
    assert pd.logit_difference([a], [b]) == pytest.approx(logits, rel=1e-12, abs=0)


@settings(max_examples=100, deadline=None)
@given(ROWS)
@example([(0.0, 1.0, 5e-324)])
def test_bounds_and_symmetry(rows: list[tuple[float, float, float]]) -> None:
    a, b, weight = np.array(rows).T
    if not weight.any():
        return
    for measure in ALL:
        assert measure(a, b, weight) >= 0
        assert measure(a, a, weight) == 0
    for measure in (pd.absolute, pd.logit_difference, pd.flips, pd.jensen_shannon):
        assert measure(a, b, weight) == pytest.approx(measure(b, a, weight), rel=1e-12)
    assert pd.jensen_shannon(a, b, weight) <= math.log(2) * (1 + 1e-15)
    # Pinsker: 2 |a - b|^2 <= KL.
    assert 2 * pd.absolute(a, b, weight) ** 2 <= pd.kl(a, b, weight) * (1 + 1e-12) + 1e-300


@pytest.mark.parametrize("measure", ALL)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 1.5], [0.5, 0.5]), r"a must be in \[0, 1\], got 1.5 in row 1; are these logits\?"),
        (([0.5], [-2.0]), r"b must be in \[0, 1\], got -2 in row 0; are these logits\?"),
        (([0.5, math.nan], [0.5, 0.5]), "a must be finite, got nan in row 1"),
        (([0.5, 0.5], [0.5]), "b must have 2 values like the others, got 1"),
        (([[0.5, 0.5]], [0.5]), r"a must have shape \[n\] or \[n, 1\], got \[1, 2\]"),
        (([], []), "positive weight, got none"),
        (([0.5], [0.5], [0.0]), "positive weight, got none"),
        (([0.5], [0.5], [-1.0]), "sample_weight must be at or above 0, got -1 in row 0"),
        (([0.5], [0.5], [1e101]), r"sample_weight must be at most 1e100, got 1e\+101 in row 0"),
        (([0.5], [0.5], [1.0, 1.0]), "sample_weight must have 1 values like the others, got 2"),
    ],
)
def test_errors_are_one_line(measure, arguments, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        measure(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, math.nan])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(InputError, match=rf"threshold must be in \[0, 1\], got {threshold}"):
        pd.flips([0.5], [0.5], threshold=threshold)
