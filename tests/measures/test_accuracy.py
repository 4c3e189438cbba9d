"""Exact accuracy against hand-derived numbers, O(n^2) pairs and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.errors import InputError
from smooth_recs.measures import accuracy

# Few values, so that ties, zeros, ones and weights of zero are the rule.
ROW = st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.sampled_from([0.0, 1.0, 2.5]))
ROWS = st.lists(ROW, min_size=1, max_size=25)


def pair_sums(rows, ties: float) -> tuple[float, float]:
    """Weight of the pairs in the wrong order, and of all pairs (eq. 1)."""
    wrong = total = 0.0
    for label, score, weight in rows:
        for other, other_score, other_weight in rows:
            if label == 1 and other == 0:
                total += weight * other_weight
                wrong += weight * other_weight * ((other_score > score) + ties * (other_score == score))
    return wrong, total


def test_auc_loss_by_hand() -> None:
    label, prediction = [1, 1, 0, 0], [0.9, 0.3, 0.3, 0.1]
    assert accuracy.auc_loss(label, prediction) == 0.125
    assert accuracy.auc_loss(label, prediction, ties=0) == 0.0
    assert accuracy.auc_loss(label, prediction, [1, 3, 1, 1]) == 0.5 * 3 / 8
    assert accuracy.auc_loss([0, 1], [0.9, 0.1]) == 1.0


def test_a_constant_prediction_is_a_coin_flip() -> None:
    label, prediction = np.arange(10) % 2, np.full(10, 0.3)
    assert accuracy.auc_loss(label, prediction) == 0.5
    assert accuracy.auc_loss(label, prediction, ties=0) == 0.0  # what eq. 1 says, and why ties count by default


@settings(max_examples=150, deadline=None)
@given(ROWS, st.sampled_from([0.0, 0.5, 1.0]))
def test_auc_loss_is_that_of_all_pairs(rows, ties: float) -> None:
    wrong, total = pair_sums(rows, ties)
    loss = accuracy.auc_loss(*np.array(rows).T, ties=ties)
    assert loss == (pytest.approx(wrong / total, abs=1e-14) if total else None)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), ROW), min_size=1, max_size=25), st.sampled_from([0.0, 0.5]))
def test_per_query_auc_loss_is_that_of_all_pairs(rows, ties: float) -> None:
    queries: dict[int, list] = {}
    for query, row in rows:
        queries.setdefault(query, []).append(row)
    sums = {query: pair_sums(members, ties) for query, members in queries.items()}
    losses = {query: wrong / total for query, (wrong, total) in sums.items() if total}
    weights = {query: sum(row[2] for row in members) for query, members in queries.items()}
    totals = {
        "pairs": {query: sums[query][1] for query in losses},
        "queries": dict.fromkeys(losses, 1.0),
        "examples": {query: weights[query] for query in losses},
    }
    label, score, weight = np.array([row for _, row in rows]).T
    for weighting, total in totals.items():
        query_id = [query for query, _ in rows]
        result = accuracy.per_query_auc_loss(label, score, query_id, weight, weighting=weighting, ties=ties)
        expected = sum(losses[q] * total[q] for q in losses) / sum(total.values()) if losses else None
        assert result.value == (pytest.approx(expected, abs=1e-13) if losses else None)
        assert result.queries == len(losses)
        assert result.one_class_queries == sum(weights[q] > 0 for q in queries) - len(losses)


def test_per_query_auc_loss_by_hand() -> None:
    # Query 7: one pair, wrong. Query 8: four pairs, one wrong. Query 9: one class.
    label = [1, 0, 1, 1, 0, 0, 1]
    prediction = [0.2, 0.6, 0.9, 0.3, 0.4, 0.1, 0.5]
    query = np.array(["q7", "q7", "q8", "q8", "q8", "q8", "q9"])
    by = {
        w: accuracy.per_query_auc_loss(label, prediction, query, weighting=w) for w in ("pairs", "queries", "examples")
    }
    assert by["pairs"] == (pytest.approx(2 / 5), 2, 1)
    assert by["queries"].value == pytest.approx((1 + 1 / 4) / 2)
    assert by["examples"].value == pytest.approx((2 * 1 + 4 / 4) / 6)
    assert accuracy.per_query_auc_loss([1, 1], [0.1, 0.2], [1, 2]) == (None, 0, 2)


def test_small_queries_stay_exact_beside_a_large_sum() -> None:
    # The last query's weights are below the rounding of the sum of all that come before it.
    rng = np.random.default_rng(0)
    label, score, query = rng.integers(0, 2, 40), rng.uniform(size=40), np.repeat([0, 1], 20)
    weight = np.where(query == 0, 1e9, 1e-9) * rng.uniform(0.5, 1, 40)
    both = accuracy.per_query_auc_loss(label, score, query, weight, weighting="queries")
    alone = [accuracy.auc_loss(label[query == q], score[query == q], weight[query == q]) for q in (0, 1)]
    assert both.value == pytest.approx(np.mean(alone), rel=1e-13)


def test_a_million_rows_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    prediction = np.round(rng.beta(1, 20, 10**6), 4)  # with ties, zeros among them
    label, weight = rng.uniform(size=10**6) < prediction, rng.exponential(size=10**6)
    for w in (None, weight):
        auc = sklearn.metrics.roc_auc_score(label, prediction, sample_weight=w)
        assert accuracy.auc_loss(label, prediction, w) == pytest.approx(1 - auc, abs=1e-12)
        expected = sklearn.metrics.log_loss(label, prediction, sample_weight=w)
        assert accuracy.log_loss(label, prediction, w) == pytest.approx(expected, abs=1e-12)


def test_log_loss_by_hand() -> None:
    assert accuracy.log_loss([1, 0], [0.5, 0.75]) == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert accuracy.log_loss([1, 0], [0.5, 0.75], [1, 0]) == pytest.approx(math.log(2))
    assert accuracy.log_loss([1], [0.0]) == pytest.approx(52 * math.log(2))
    assert accuracy.log_loss([0], [1.0]) == pytest.approx(52 * math.log(2))
    assert accuracy.log_loss([0], [1e-300]) == pytest.approx(2**-52)


def test_calibration_by_hand() -> None:
    assert accuracy.calibration([1, 0], [0.5, 0.25]) == 0.75
    assert accuracy.calibration([1, 0], [0.5, 0.25], [2, 4]) == 1.0
    assert accuracy.calibration([0, 0], [0.5, 0.25]) is None


def test_one_class_is_not_defined() -> None:
    assert accuracy.auc_loss([1, 1], [0.1, 0.2]) is None
    assert accuracy.auc_loss([0, 0], [0.1, 0.2]) is None
    assert accuracy.auc_loss([0, 1], [0.1, 0.2], [1, 0]) is None


def test_normalized_entropy_by_hand() -> None:
    # The base rate scores 1; halves on a base rate of 1/4: log 2 over its entropy.
    label = [1, 0, 0, 0]
    assert accuracy.normalized_entropy(label, [0.25] * 4) == pytest.approx(1, rel=1e-15)
    entropy = (math.log(4) + 3 * math.log(4 / 3)) / 4
    assert accuracy.normalized_entropy(label, [0.5] * 4) == pytest.approx(math.log(2) / entropy, rel=1e-15)
    assert accuracy.normalized_entropy(label, [0.5] * 4, [3, 1, 1, 1]) == pytest.approx(1, rel=1e-15)
    assert accuracy.normalized_entropy([1, 0], [1.0, 0.0]) == pytest.approx(0, abs=1e-15)
    assert accuracy.normalized_entropy([1, 1, 0], [0.5, 0.5, 0.5], [1, 1, 0]) is None
    assert accuracy.normalized_entropy([0, 0], [0.5, 0.5]) is None


@settings(max_examples=60, deadline=None)
@given(ROWS.filter(lambda rows: any(row[2] for row in rows)), st.floats(0.01, 100))
def test_normalized_entropy_compares_with_the_base_rate(rows, scale: float) -> None:
    label, prediction, weight = np.array(rows).T
    found = accuracy.normalized_entropy(label, prediction, weight)
    rate = np.average(label, weights=weight)
    if rate in (0, 1):
        assert found is None
        return
    base = accuracy.log_loss(label, np.full(label.size, rate), weight)
    assert found == pytest.approx(accuracy.log_loss(label, prediction, weight) / base, rel=1e-12)
    assert accuracy.normalized_entropy(label, prediction, scale * weight) == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: accuracy.auc_loss([0, 2], [0.5, 0.5]), "label must be 0 or 1, got 2 in row 1"),
        (lambda: accuracy.auc_loss([0, 1], [0.5, math.nan]), "prediction must be finite, got nan in row 1"),
        (lambda: accuracy.auc_loss([0, 1], [0.5]), "label and prediction must have the same length, got 2 and 1"),
        (lambda: accuracy.auc_loss([0, 1], [0.5, 0.5], ties=2), r"ties must be in \[0, 1\], got 2"),
        (lambda: accuracy.auc_loss([], []), "label must have at least one value, got none"),
        (lambda: accuracy.log_loss([0, 1], [0.5, 1.5]), "are these logits"),
        (lambda: accuracy.log_loss([0], [0.5], [0]), "positive weight, got none"),
        (lambda: accuracy.calibration([0, 1], [0.5, -1]), "are these logits"),
        (lambda: accuracy.normalized_entropy([0, 1], [0.5, 7]), "are these logits"),
        (lambda: accuracy.normalized_entropy([0, 1], [0.5, 0.5], [0, 0]), "positive weight, got none"),
        (lambda: accuracy.per_query_auc_loss([0, 1], [0.5, 0.5], [1]), "query_id must have 2 values"),
        (lambda: accuracy.per_query_auc_loss([0], [0.5], [1], weighting="pair"), "weighting must be one of pairs"),
    ],
)
def test_errors_are_one_line(wrong, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)


def test_a_share_of_weighted_pairs_is_never_above_one() -> None:
    random = np.random.default_rng(98158)
    for _ in range(2000):
        weight = random.uniform(0.1, 1, 4)
        assert accuracy.auc_loss([1, 0, 1, 0], [0.0, 1.0, 0.25, 0.75], weight) <= 1.0
