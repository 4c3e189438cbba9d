"""Sums without rounding."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.statistics.exact_sum import ExactSum, ExactSums

FINITE = st.floats(allow_nan=False, allow_infinity=False)
GROUPED = st.lists(st.tuples(FINITE, st.integers(0, 4)), max_size=30)


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


@settings(max_examples=50, deadline=None)
@given(st.lists(FINITE, max_size=30))
def test_the_state_goes_through_json(values: list[float]) -> None:
    total, again = ExactSum(), ExactSum()
    total.add(np.array(values, np.float64))
    again.add_state(json.loads(json.dumps(total.state())))
    assert again.units == total.units


def test_a_state_is_short() -> None:
    total = ExactSum()
    total.add(np.array([-12.0]))
    assert total.state() == f"-3p{1126 + 2:x}"
    assert ExactSum().state() == "0p0"


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(FINITE, st.integers(0, 4)), max_size=30), st.integers(0, 30), st.randoms(use_true_random=False)
)
def test_sums_of_groups_are_the_sums_of_each(rows: list[tuple[float, int]], cut: int, random) -> None:
    expected = {group: ExactSum() for _, group in rows}
    for value, group in rows:
        expected[group].add(np.array([value]))
    random.shuffle(rows)
    first, second = ExactSums(), ExactSums()
    for sums, part in ((first, rows[:cut]), (second, rows[cut:])):
        sums.add(np.array([value for value, _ in part], np.float64), np.array([group for _, group in part], np.int64))
    second.merge(first)
    again = ExactSums()
    again.add_state(json.loads(json.dumps(second.state())))
    for sums in (second, again):
        assert {group: total.units for group, total in sums.groups.items()} == {g: t.units for g, t in expected.items()}
