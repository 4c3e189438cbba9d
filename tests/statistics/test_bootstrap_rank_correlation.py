"""The rank correlation against SciPy and by hand, and how often its interval covers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from smooth_recs.errors import InputError
from smooth_recs.statistics.bootstrap import spearman


def test_by_hand():
    assert spearman([1.0, 2.0, 3.0], [0.1, 0.3, 0.2])["value"] == pytest.approx(0.5)  # 1 - 6 (0 + 1 + 1) / (3 x 8)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), min_size=2, max_size=40))
def test_values_are_those_of_scipy_ties_included(pairs):
    a, b = np.array(pairs, float).T
    found = spearman(a, b, replicates=20)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert found is None
    else:
        assert found["value"] == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
        low, high = found["interval"]
        assert -1 <= low <= high <= 1


def test_a_monotone_function_has_no_uncertainty():
    a = np.random.default_rng(1).normal(size=500)
    found = spearman(a, np.exp(a))
    assert found["value"] == pytest.approx(1)
    assert found["interval"] == pytest.approx([1, 1], abs=1e-2)
    assert spearman(a, -a)["value"] == pytest.approx(-1)


def test_influence_is_the_derivative():
    """An example that counts a little more changes the correlation as the linearisation says."""
    rng = np.random.default_rng(2)
    a = rng.normal(size=400)
    b = 0.5 * a + rng.normal(size=400)
    jackknife = [stats.spearmanr(np.delete(a, i), np.delete(b, i)).statistic for i in range(400)]
    spread = np.sqrt(399 / 400 * np.sum(np.square(jackknife - np.mean(jackknife))))
    low, high = spearman(a, b, replicates=4000)["interval"]
    assert (high - low) / (2 * 1.96) == pytest.approx(spread, rel=0.06)


def test_the_interval_covers_by_request_and_not_by_example():
    """Requests of four equal-ish rows around normal effects, whose rank correlation is known."""
    rng = np.random.default_rng(3)
    correlation = 0.4
    truth = 6 / np.pi * np.arcsin(correlation / 2)
    covered = {"request": 0, "example": 0}
    for _ in range(200):
        effect = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=150)
        a, b = np.repeat(effect, 4, axis=0).T + 1e-3 * rng.normal(size=[2, 600])
        request = np.repeat(np.arange(150), 4)
        for name, query_id in (("request", request), ("example", None)):
            low, high = spearman(a, b, query_id=query_id, replicates=200)["interval"]
            covered[name] += low <= truth <= high
    assert 180 <= covered["request"] <= 198
    assert covered["example"] < 160


def test_requests_may_be_named_by_text():
    a, names = np.arange(6.0), np.array(["x", "x", "y", "y", "z", "z"])
    numbers = spearman(a, a[::-1] + a % 2, query_id=names)
    assert numbers["value"] == pytest.approx(stats.spearmanr(a, a[::-1] + a % 2).statistic)


def test_bad_input_is_one_line():
    with pytest.raises(InputError, match=r"^b must have 3 values like the others, got 2$"):
        spearman([1, 2, 3], [1, 2])
    with pytest.raises(InputError, match=r"^a must be finite, got nan in row 0$"):
        spearman([np.nan, 1], [1, 2])
    assert spearman([1.0], [2.0]) is None
