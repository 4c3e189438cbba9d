"""Ranking losses, calibration and entropy against all pairs in rational arithmetic; increases between two models."""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.errors import InputError
from smooth_recs.measures import accuracy
from smooth_recs.measures.increases import increase

SCORE = st.one_of(
    st.sampled_from([0.0, 1.0, 5e-324, 1e-300, 0.5, math.nextafter(0.5, 1), math.nextafter(1, 0)]), st.floats(0, 1)
)
ROW = st.tuples(st.integers(0, 1), SCORE, st.sampled_from([0.0, 1.0, 0.1, 2.5, 1e-9, 1e9]))
ROWS = st.lists(ROW, min_size=1, max_size=25)
EPSILON = 2.0**-52


def ref_pairs(rows: list[Any], ties: float) -> tuple[Fraction, Fraction]:
    """Eq. 1: the weight of the pairs in the wrong order, and of all."""
    wrong = total = Fraction(0)
    for label, score, weight in rows:
        for other, other_score, other_weight in rows:
            if label == 1 and other == 0:
                product = Fraction(weight) * Fraction(other_weight)
                total += product
                wrong += product * ((other_score > score) + Fraction(ties) * (other_score == score))
    return wrong, total


def ref_log_loss(rows: list[Any]) -> float | None:
    total = math.fsum(weight for *_, weight in rows)
    losses = []
    for label, score, weight in rows:
        clipped = min(max(score, EPSILON), 1 - EPSILON)
        losses.append(weight * -(math.log(clipped) if label else math.log1p(-clipped)))
    return math.fsum(losses) / total if total else None


def ref_entropy(rows: list[Any]) -> float | None:
    total, positive = (
        sum((Fraction(row[2]) for row in rows if row[0] or which), Fraction(0)) for which in (True, False)
    )
    if not 0 < positive < total:
        return None
    shares = float(positive / total), float(1 - positive / total)
    logs = [math.log(share) if share < 0.5 else math.log1p(-other) for share, other in (shares, shares[::-1])]
    return -shares[0] * logs[0] - shares[1] * logs[1]


@settings(max_examples=80, deadline=None)
@given(ROWS, st.sampled_from([0.0, 0.5, 1.0]))
def test_auc_loss_is_that_of_all_pairs_exactly(rows: list[Any], ties: float) -> None:
    wrong, total = ref_pairs(rows, ties)
    loss = accuracy.auc_loss(*np.array(rows).T, ties=ties)
    assert loss == (pytest.approx(float(wrong / total), rel=1e-12, abs=1e-15) if total else None)
    if loss is not None:
        assert 0 <= loss <= 1 + 1e-15


@settings(max_examples=60, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_auc_loss_looks_at_the_order_alone(rows: list[Any], random: Any) -> None:
    label, score, weight = np.array(rows).T
    loss = accuracy.auc_loss(label, score, weight)
    if loss is None:
        return
    ranks = np.unique(score, return_inverse=True)[1]
    assert accuracy.auc_loss(label, ranks, weight) == pytest.approx(loss, rel=1e-12)
    assert accuracy.auc_loss(1 - label, score, weight) == pytest.approx(1 - loss, abs=1e-12)
    assert accuracy.auc_loss(label, -ranks, weight) == pytest.approx(1 - loss, abs=1e-12)
    assert accuracy.auc_loss(label, np.full(len(rows), 0.7), weight) == pytest.approx(0.5, rel=1e-12)
    random.shuffle(rows)
    assert accuracy.auc_loss(*np.array(rows).T) == pytest.approx(loss, rel=1e-12, abs=1e-15)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), SCORE, st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=15))
def test_weights_are_repetitions(rows: list[Any]) -> None:
    label, score, weight, query = np.array(rows).T
    repeated = [np.repeat(values, weight.astype(int)) for values in (label, score, query)]
    measures: list[Any] = [accuracy.auc_loss, accuracy.log_loss, accuracy.calibration, accuracy.normalized_entropy]
    for measure in measures if weight.any() else []:
        expected = measure(*repeated[:2])
        for factor in (1.0, 2.0**-300, 2.0**300):
            value = measure(label, score, weight * factor)
            assert value == (None if expected is None else pytest.approx(expected, rel=1e-12, abs=1e-15))
    if weight.any():
        whole = accuracy.per_query_auc_loss(label, score, query, weight, weighting="examples")
        apart = accuracy.per_query_auc_loss(*repeated, weighting="examples")
        assert whole[1:] == apart[1:]
        assert whole.value == (None if apart.value is None else pytest.approx(apart.value, rel=1e-12, abs=1e-15))


def name_ids(kind: str, query: list[int]) -> Any:
    """The same requests under ids of another kind."""
    return {
        "text": [f"q{number}é" for number in query],
        "objects": np.array([f"q{number}" for number in query], object),
        "bytes": [b"q\xff%d" % number for number in query],
        "huge": np.array([2**63 + number for number in query], np.uint64),
        "negative": np.array([-(2**62) - number for number in query])[:, None],
    }[kind]


@pytest.mark.parametrize("kind", ["text", "objects", "bytes", "huge", "negative"])
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 4), ROW), min_size=1, max_size=25), ties=st.sampled_from([0.0, 0.5, 1.0]))
def test_per_query_auc_loss_is_that_of_all_pairs_exactly(kind: str, rows: list[Any], ties: float) -> None:
    members = defaultdict(list)
    for query, row in rows:
        members[query].append(row)
    pairs = {query: ref_pairs(own, ties) for query, own in members.items()}
    weights = {query: sum(Fraction(row[2]) for row in own) for query, own in members.items()}
    label, score, weight = np.array([row for _, row in rows]).T
    ids = name_ids(kind, [query for query, _ in rows])
    for weighting in ("pairs", "queries", "examples"):
        own_weight = {
            query: {"pairs": total, "queries": Fraction(1), "examples": weights[query]}[weighting]
            for query, (_, total) in pairs.items()
            if total
        }
        result = accuracy.per_query_auc_loss(label, score, ids, weight, weighting=weighting, ties=ties)
        assert result.queries == len(own_weight)
        assert result.one_class_queries == sum(weight > 0 for weight in weights.values()) - len(own_weight)
        if own_weight:
            losses = {query: wrong / total for query, (wrong, total) in pairs.items() if total}
            expected = sum(losses[q] * own for q, own in own_weight.items()) / sum(own_weight.values())
            assert result.value == pytest.approx(float(expected), rel=1e-11, abs=1e-14)
        else:
            assert result.value is None


def test_one_query_is_the_whole_and_single_rows_are_none() -> None:
    rng = np.random.default_rng(0)
    label, score = rng.integers(0, 2, 200), np.round(rng.uniform(size=200), 1)
    whole = accuracy.per_query_auc_loss(label, score, np.zeros(200, int))
    assert whole == (pytest.approx(accuracy.auc_loss(label, score), rel=1e-13), 1, 0)
    assert accuracy.per_query_auc_loss(label, score, np.arange(200)) == (None, 0, 200)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_log_loss_calibration_and_entropy(rows: list[Any]) -> None:
    label, score, weight = np.array(rows).T
    if not weight.any():
        return
    assert accuracy.log_loss(label, score, weight) == pytest.approx(ref_log_loss(rows), rel=1e-12, abs=1e-15)
    observed = sum(Fraction(w) for y, _, w in rows if y)
    predicted = sum(Fraction(s) * Fraction(w) for _, s, w in rows)
    expected = pytest.approx(float(predicted / observed), rel=1e-12) if observed else None
    assert accuracy.calibration(label, score, weight) == expected
    entropy = ref_entropy(rows)
    result = accuracy.normalized_entropy(label, score, weight)
    if entropy is None:
        assert result is None
    else:  # a base rate very near to 0 or 1 may lose digits
        tolerance = 1e-6 if entropy > 1e-7 else 0.1
        assert result == pytest.approx(ref_log_loss(rows) / entropy, rel=tolerance)


def test_normalized_entropy_by_hand() -> None:
    entropy = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert accuracy.normalized_entropy([1, 0, 0, 0], [0.25] * 4) == pytest.approx(1, rel=1e-14)
    assert accuracy.normalized_entropy([1, 0], [0.5, 0.5], [1, 3]) == pytest.approx(math.log(2) / entropy, rel=1e-14)
    assert accuracy.normalized_entropy([1, 0], [1.0, 0.0]) == pytest.approx(0, abs=1e-14)
    assert accuracy.normalized_entropy([1, 0, 1], [0.9, 0.1, 0.9], [1, 0, 2]) is None
    assert accuracy.normalized_entropy([0, 0], [0.1, 0.2]) is None
    assert accuracy.normalized_entropy(np.array([[1], [0]]), np.array([[0.5], [0.5]], np.float32)) == pytest.approx(1)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_million_rows_agree_with_scikit_learn(weighted: bool) -> None:
    rng = np.random.default_rng(8)
    # Half of the predictions on a coarse grid, zeros and ones among them; 2% clicks.
    prediction = rng.beta(0.2, 9, 10**6)
    prediction[::2] = np.round(prediction[::2], 2)
    label = rng.uniform(size=10**6) < np.clip(prediction, 1e-4, 1 - 1e-4)
    weight = np.where(rng.uniform(size=10**6) < 0.1, 0, rng.exponential(size=10**6)) if weighted else None
    auc = sklearn.metrics.roc_auc_score(label, prediction, sample_weight=weight)
    assert abs(accuracy.auc_loss(label, prediction, weight) - (1 - auc)) <= 1e-12
    loss = sklearn.metrics.log_loss(label, prediction, sample_weight=weight)
    assert abs(accuracy.log_loss(label, prediction, weight) - loss) <= 1e-12
    rate = np.average(label, weights=weight)
    entropy = sklearn.metrics.log_loss([1, 0], [rate, rate], sample_weight=[rate, 1 - rate])
    assert abs(accuracy.normalized_entropy(label, prediction, weight) - loss / entropy) <= 1e-11


# The increase from one model to another.

METRICS = ("auc_loss", "log_loss", "per_query_auc_loss")


def loss_of(metric: str, label: Any, prediction: Any, weight: Any, query: Any) -> float | None:
    if metric == "per_query_auc_loss":
        return accuracy.per_query_auc_loss(label, prediction, query, weight).value
    return getattr(accuracy, metric)(label, prediction, weight)


def simulated(rng: np.random.Generator, requests: int) -> tuple[Any, ...]:
    """Clicks and two models; a request's rows share its click rate and much of the second model's error."""
    query = np.repeat(np.arange(requests), rng.integers(3, 9, requests))
    request = rng.normal(0, 1, requests)[query]
    item = rng.normal(0, 1, query.size)
    label = rng.uniform(size=query.size) < 1 / (1 + np.exp(0.5 - request - item))
    errors = 0.9 * rng.normal(size=requests)[query] + 0.5 * rng.normal(size=query.size)
    tilt = rng.choice([-0.6, 0.2], requests)[query]  # how well the second model ranks within this request
    a = 1 / (1 + np.exp(0.5 - 0.5 * request - 0.8 * item))
    b = 1 / (1 + np.exp(0.5 - 0.5 * request - (0.8 + tilt) * item - errors))
    return label, a, b, query


@pytest.mark.parametrize("metric", METRICS)
def test_increases_cover_the_truth_over_requests(metric: str) -> None:
    rng = np.random.default_rng(21)
    label, a, b, query = simulated(rng, 150_000)
    truth = loss_of(metric, label, b, None, query) - loss_of(metric, label, a, None, query)
    covered = 0
    for _ in range(200):
        label, a, b, query = simulated(rng, 120)
        low, high = increase(metric, label, a, b, query_id=query, replicates=250)["interval"]
        covered += low <= truth <= high
    assert 180 <= covered <= 198


@pytest.mark.parametrize("metric", METRICS)
def test_increases_are_as_wide_as_the_jackknife_over_requests_says(metric: str) -> None:
    label, a, b, query = simulated(np.random.default_rng(3), 150)
    weight = np.random.default_rng(4).exponential(size=query.size)
    result = increase(metric, label, a, b, weight, query_id=query, replicates=2000)

    def value(kept: Any) -> float:
        rows = (weight[kept], query[kept])
        return loss_of(metric, label[kept], b[kept], *rows) - loss_of(metric, label[kept], a[kept], *rows)

    left = np.array([value(query != out) for out in range(150)])
    error = math.sqrt(149 / 150 * ((left - left.mean()) ** 2).sum())
    low, high = result["interval"]
    assert result["value"] == pytest.approx(value(query >= 0), rel=1e-10)
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.12)
    assert low < result["value"] < high


@pytest.mark.parametrize("metric", METRICS)
def test_increases_of_rows_that_do_not_matter(metric: str) -> None:
    label, a, b, query = simulated(np.random.default_rng(5), 40)
    result = increase(metric, label, a, b, query_id=query, replicates=100)
    assert increase(metric, label, a, a, query_id=query, replicates=100) == {"value": 0, "interval": [0, 0]}
    back = increase(metric, label, b, a, query_id=query, replicates=100)
    assert back["value"] == pytest.approx(-result["value"], rel=1e-12)
    np.testing.assert_allclose(back["interval"], np.negative(result["interval"])[::-1], rtol=1e-9)
    order = np.random.default_rng(6).permutation(query.size)
    shuffled = increase(metric, label[order], a[order], b[order], query_id=query[order], replicates=100)
    np.testing.assert_allclose(shuffled["interval"], result["interval"], rtol=1e-9)
    scaled = increase(metric, label, a, b, np.full(query.size, 2.0**100), query_id=query, replicates=100)
    np.testing.assert_allclose(scaled["interval"], result["interval"], rtol=1e-9)
    text = increase(
        metric, label, a.astype(np.float32)[:, None], b[:, None], query_id=query.astype(str), replicates=100
    )
    assert text["value"] == pytest.approx(result["value"], abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("of", ["requests that are there", "requests of no weight"])
def test_increases_do_not_see_rows_of_no_weight(metric: str, of: str) -> None:
    label, a, b, query = simulated(np.random.default_rng(5), 40)
    result = increase(metric, label, a, b, query_id=query, replicates=100)
    rows = np.concatenate([np.arange(query.size), np.arange(30)])
    weight = np.repeat([1, 0], [query.size, 30])
    label, a, b = (np.where(weight, first[rows], second[rows]) for first, second in ((label, ~label), (a, b), (b, a)))
    ids = np.concatenate([query, np.arange(30) + (0 if of == "requests that are there" else 40)])
    absent = increase(metric, label, a, b, weight, query_id=ids, replicates=100)
    assert absent["value"] == pytest.approx(result["value"], rel=1e-12)
    np.testing.assert_allclose(absent["interval"], result["interval"], rtol=1e-9)


def test_increases_without_requests_are_over_rows() -> None:
    rng = np.random.default_rng(7)
    label, a, b, query = simulated(rng, 300)
    by_row = increase("log_loss", label, a, b, replicates=2000)
    terms = [-np.log(np.where(label, p, 1 - p)) for p in (a, b)]
    error = np.std(terms[1] - terms[0]) / math.sqrt(query.size)
    low, high = by_row["interval"]
    assert by_row["value"] == pytest.approx(np.mean(terms[1] - terms[0]), rel=1e-11)
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)
    low, high = increase("auc_loss", label, a, b, replicates=100)["interval"]
    assert low < high


def test_increases_that_are_not_defined() -> None:
    ones, a, b = [1, 1, 1], [0.1, 0.2, 0.3], [0.3, 0.2, 0.2]
    assert increase("auc_loss", ones, a, b) is None
    assert increase("auc_loss", [1, 1, 0], a, b, [1, 1, 0]) is None
    assert increase("per_query_auc_loss", [1, 0, 1], a, b, query_id=[1, 2, 3]) is None
    only_positives = increase("log_loss", ones, a, b, query_id=["q"] * 3, replicates=20)
    expected = -math.log(0.3 * 0.2 * 0.2 / (0.1 * 0.2 * 0.3)) / 3
    assert only_positives["value"] == pytest.approx(expected, rel=1e-12)
    assert only_positives["interval"] == pytest.approx([expected] * 2)


def refused(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["auc_loss", "log_loss", "calibration", "normalized_entropy", "per_query_auc_loss"])
def test_bad_rows_are_refused_in_one_line(name: str) -> None:
    def measure(label: Any, prediction: Any, weight: Any = None) -> Any:
        if name == "per_query_auc_loss":
            return accuracy.per_query_auc_loss(label, prediction, np.zeros(len(label), int), weight)
        return getattr(accuracy, name)(label, prediction, weight)

    refused(lambda: measure([0, 0.5], [0.5, 0.5]), "label must be 0 or 1, got 0.5 in row 1")
    refused(lambda: measure([0, math.nan], [0.5, 0.5]), "label must be finite, got nan in row 1")
    refused(lambda: measure([0, 1], [0.5, math.nan]), "prediction must be finite, got nan in row 1")
    refused(lambda: measure([0, 1], [-math.inf, 0.5]), "prediction must be finite, got -inf in row 0")
    refused(lambda: measure([0, 1], [0.5]), "length|values")
    refused(lambda: measure([0, 1], [[0.5, 0.5], [0.5, 0.5]]), "prediction must have shape")
    refused(lambda: measure([0, 1], [0.5, 0.5], [1]), "sample_weight must have 2 values")
    refused(lambda: measure([0, 1], [0.5, 0.5], [1, -1]), "sample_weight must be at or above 0, got -1 in row 1")
    refused(lambda: measure([0, 1], [0.5, 0.5], [1, math.inf]), "sample_weight must be finite")
    refused(lambda: measure([], []), "got none")
    if name in ("log_loss", "calibration", "normalized_entropy"):
        refused(lambda: measure([0, 1], [0.5, 1.5]), r"prediction must be in \[0, 1\].*are these logits\?")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: increase("auc", [0, 1], [0.1, 0.2], [0.1, 0.2]), "metric must be .*auc_loss.*'?auc'?"),
        (lambda: increase("log_loss", [0, 1], [0.1, 0.2], [0.1]), "length|values"),
        (lambda: increase("log_loss", [0, 1], [0.1, 0.2], [0.1, 1.2]), "are these logits"),
        (lambda: increase("auc_loss", [0, 1], [0.1, math.nan], [0.1, 0.2]), "a must be finite"),
        (lambda: increase("auc_loss", [0, 2], [0.1, 0.1], [0.1, 0.2]), "label must be 0 or 1"),
        (lambda: increase("auc_loss", [], [], []), "got none"),
        (lambda: increase("log_loss", [0, 1], [0.1, 0.2], [0.1, 0.2], [0, 0]), "weight"),
        (lambda: increase("log_loss", [0, 1], [0.1, 0.2], [0.1, 0.2], query_id=[1]), "query_id must have 2 values"),
        (lambda: increase("log_loss", [0, 1], [0.1, 0.2], [0.1, 0.2], replicates=0), "replicates must be at least 1"),
    ],
)
def test_bad_increases_are_refused_in_one_line(wrong: Any, message: str) -> None:
    refused(wrong, message)
