"""Sums without rounding."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.exact_sum import ExactSum

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(FINITE, max_size=30))
def test_the_sum_is_that_of_rational_arithmetic(values: list[float]) -> None:
    total = ExactSum()
    total.add(np.array(values, np.float64))
    assert Fraction(total.units, 2**1126) == sum((Fraction(value) for value in values), Fraction(0))


def test_terms_that_cancel_leave_the_small_one() -> None:
    total = ExactSum()
    total.add(np.array([1e300, 5e-324, 1.0, -1e300]))
    total.add(np.array([-1.0]))
    assert total.value() == 5e-324


@settings(max_examples=50, deadline=None)
@given(st.lists(FINITE, max_size=30), st.integers(0, 30), st.randoms(use_true_random=False))
def test_order_and_partition_do_not_matter(values: list[float], cut: int, random) -> None:
    whole, first, second = ExactSum(), ExactSum(), ExactSum()
    whole.add(np.array(values, np.float64))
    random.shuffle(values)
    first.add(np.array(values[:cut], np.float64))
    second.add(np.array(values[cut:], np.float64))
    second.merge(first)
    assert second.units == whole.units
