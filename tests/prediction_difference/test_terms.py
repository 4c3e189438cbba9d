"""Terms of single examples: exact where predictions are close, and sums in which a weight of 0 counts nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from smooth_recs.prediction_difference import terms


def test_close_predictions_lose_no_digits() -> None:
    # To first order: d^2 / (2 a (1 - a)) for KL, a quarter of it for Jensen-Shannon, d / (a (1 - a)) for logits.
    a, d = np.array([0.25]), 2.0**-30
    b = a + d
    assert terms.kl(a, b)[0] == pytest.approx(d**2 / (2 * 0.1875), rel=1e-6)
    assert terms.jensen_shannon(a, b)[0] == pytest.approx(d**2 / (8 * 0.1875), rel=1e-6)
    assert terms.logit_difference(a, b)[0] == pytest.approx(d / 0.1875, rel=1e-6)
    assert terms.kl_both_ways(a, b)[0] == (terms.kl(a, b)[0] + terms.kl(b, a)[0]) / 2


def test_equal_predictions_have_no_difference() -> None:
    columns = np.array([[0.0, 0.1, 1.0]] * 3)
    for name, term in terms.by_name(0.5).items():
        np.testing.assert_array_equal(term(columns), np.zeros(3), err_msg=name)


def test_a_weight_of_0_counts_nothing_and_the_smallest_weights_count() -> None:
    assert terms.weighted_sum(np.array([math.inf, 2.0]), np.array([0.0, 3.0])) == 6.0
    assert terms.weighted_mean(np.array([1e-9, 3e-9]), np.full(2, 5e-324)) == pytest.approx(2e-9, rel=1e-15)
