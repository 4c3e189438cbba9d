"""Swap rate, overlap and Kendall distance against lists made one request at a time."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.errors import InputError
from smooth_recs.measures import recommendations

SCORE = st.one_of(st.sampled_from([0.0, 1.0, 5e-324, 0.25, 0.5, math.nextafter(0.5, 1)]), st.floats(0, 1))
BID = st.sampled_from([0.0, 1.0, 2.0, 0.5, 1e-3, 1e6])
ROWS = st.lists(st.tuples(SCORE, SCORE, BID, st.integers(0, 4)), min_size=1, max_size=20)


def lists(score: Any, query: list[Any], multiplier: Any) -> dict[Any, list[int]]:
    """Each request's rows, best first; equal ones in the order of the rows."""
    requests: dict[Any, list[int]] = {}
    for row, name in enumerate(query):
        requests.setdefault(name, []).append(row)
    value = [float(s) * (1.0 if multiplier is None else float(multiplier[row])) for row, s in enumerate(score)]
    return {name: sorted(rows, key=lambda row: (-value[row], row)) for name, rows in requests.items()}


def reference(a: Any, b: Any, query: list[Any], k: int, multiplier: Any) -> dict[str, Any]:
    first, second = lists(a, query, multiplier), lists(b, query, multiplier)
    swapped, overlap, distance, jaccard, biased = [], [], [], [], []
    for name, rows in first.items():
        others = second[name]
        swapped.append(rows[:k] != others[:k])
        overlap.append(len(set(rows[:k]) & set(others[:k])) / min(k, len(rows)))
        jaccard.append(len(set(rows[:k]) & set(others[:k])) / len(set(rows[:k]) | set(others[:k])))
        agreement = [len(set(rows[:d]) & set(others[:d])) / d for d in range(1, len(rows) + 1)]
        biased.append(0.9 ** len(rows) + 0.1 / 0.9 * sum(0.9**d * each for d, each in enumerate(agreement, 1)))
        place = {row: index for index, row in enumerate(others)}
        pairs = list(itertools.combinations(rows, 2))
        if pairs:
            distance.append(sum(place[x] > place[y] for x, y in pairs) / len(pairs))
    return {
        "k": k,
        "swap_rate": float(np.mean(swapped)),
        "top_k_overlap": float(np.mean(overlap)),
        "top_k_jaccard": float(np.mean(jaccard)),
        "rank_biased_overlap": float(np.mean(biased)),
        "kendall_distance": float(np.mean(distance)) if distance else None,
        "requests": len(first),
        "single_row_requests": sum(len(rows) == 1 for rows in first.values()),
    }


def same(value: float | None, expected: float | None) -> bool:
    return value is expected if expected is None else value == pytest.approx(expected, rel=1e-12, abs=1e-15)


@settings(max_examples=120, deadline=None)
@given(ROWS, st.integers(1, 6), st.booleans())
def test_lists_of_each_request(rows: list[Any], k: int, by_bid: bool) -> None:
    a, b, bid, query = (list(column) for column in zip(*rows, strict=True))
    multiplier = bid if by_bid else None
    expected = reference(a, b, query, k, multiplier)
    result = json.loads(json.dumps(recommendations.statistics(a, b, query, k=k, multiplier=multiplier)))
    interval = result.pop("swap_rate_interval")
    assert set(result) == set(expected)
    for name, value in expected.items():
        assert same(result[name], value), name
    if result["requests"] == 1:  # one request tells nothing about others
        assert interval is None
    else:
        assert 0 <= interval[0] <= result["swap_rate"] <= interval[1] <= 1
    assert same(recommendations.swap_rate(a, b, query, k=k, multiplier=multiplier), expected["swap_rate"])
    for name in ("top_k_overlap", "top_k_jaccard"):
        assert same(getattr(recommendations, name)(a, b, query, k=k, multiplier=multiplier), expected[name])
    found = recommendations.rank_biased_overlap(a, b, query, multiplier=multiplier)
    assert same(found, expected["rank_biased_overlap"])
    if expected["kendall_distance"] is not None:
        assert same(recommendations.kendall_distance(a, b, query, multiplier=multiplier), expected["kendall_distance"])


def test_by_hand() -> None:
    # Request x: 0 2 1 3 by a, 2 0 1 3 by b: the first two change places. Request y: one row. Request z: ties.
    query = ["x", "x", "x", "x", "y", "z", "z"]
    a, b = [0.9, 0.5, 0.8, 0.1, 0.3, 0.4, 0.4], [0.7, 0.5, 0.8, 0.1, 0.2, 0.6, 0.6]
    assert recommendations.swap_rate(a, b, query) == pytest.approx(1 / 3)
    assert recommendations.top_k_overlap(a, b, query) == 1
    assert recommendations.top_k_overlap(a, b, query, k=1) == pytest.approx(2 / 3)
    assert recommendations.kendall_distance(a, b, query) == pytest.approx((1 / 6 + 0) / 2)
    # A bid of 0 for the second row of z changes nothing; a large one for row 3 keeps it first in both lists.
    assert recommendations.swap_rate(a, b, query, k=1, multiplier=[1, 1, 1, 100, 1, 1, 0]) == 0
    assert recommendations.swap_rate([0.4, 0.4], [0.3, 0.4], [1, 1]) == 1  # a tie, in row order, against its reverse
    assert recommendations.swap_rate([0.4, 0.4], [0.4, 0.3], [1, 1]) == 0
    assert recommendations.top_k_overlap([0.1, 0.2], [0.2, 0.1], ["q", "q"], k=5) == 1


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_symmetry_bounds_and_what_does_not_matter(rows: list[Any], k: int, random: Any) -> None:
    a, b, bid, query = (np.array(column) for column in zip(*rows, strict=True))
    a, b = (np.where(score < 1e-100, 0, score) for score in (a, b))  # so that no product underflows
    result = recommendations.statistics(a, b, query, k=k, multiplier=bid)
    names = ("swap_rate", "top_k_overlap", "kendall_distance")
    for other in (
        recommendations.statistics(b, a, query, k=k, multiplier=bid),
        recommendations.statistics(a, b, query, k=k, multiplier=bid * 2.0**20),
        recommendations.statistics(
            a[:, None], b[:, None], [f"q{number}" for number in query], k=k, multiplier=bid[:, None]
        ),
    ):
        for name in names:
            assert same(other[name], result[name])
    assert recommendations.swap_rate(a, a, query, k=k) == 0
    assert recommendations.top_k_overlap(a, a, query, k=k) == 1
    same_rows = recommendations.statistics(a, a, query, k=k)
    assert same_rows["swap_rate"] == 0
    assert same_rows["kendall_distance"] in (0, None)
    # Requests may lie in any order and mixed: only the order of rows within each matters.
    order = sorted(range(len(rows)), key=lambda row: (-query[row], row))
    mixed = recommendations.statistics(a[order], b[order], query[order], k=k, multiplier=bid[order])
    for name in names:
        assert same(mixed[name], result[name])
    # The larger k, the more can differ.
    assert recommendations.swap_rate(a, b, query, k=k) <= recommendations.swap_rate(a, b, query, k=k + 1)


@pytest.mark.parametrize("rows", [2, 3, 50, 10_000])
def test_one_request_of_many_rows_against_scipy(rows: int) -> None:
    rng = np.random.default_rng(rows)
    a = rng.uniform(size=rows)
    for b in (rng.uniform(size=rows), np.round(a, 2), 1 - a, np.full(rows, 0.3)):
        # Ties in the order of the rows: ranks without ties.
        ranks = [np.argsort(np.argsort(-score, kind="stable")) for score in (a, b)]
        expected = (1 - scipy.stats.kendalltau(*ranks).statistic) / 2
        assert recommendations.kendall_distance(a, b, np.zeros(rows, int)) == pytest.approx(expected, abs=1e-12)
    reverse = recommendations.statistics(a, 1 - a, np.zeros(rows, int))
    assert reverse["kendall_distance"] == pytest.approx(1, rel=1e-12)
    assert reverse["swap_rate"] == 1


def test_many_requests_against_scipy() -> None:
    rng = np.random.default_rng(1)
    query = rng.permutation(np.repeat(np.arange(200), rng.integers(1, 60, 200)))
    a, b = rng.uniform(size=[2, query.size])
    expected = [
        (1 - scipy.stats.kendalltau(a[query == q], b[query == q]).statistic) / 2
        for q in range(200)
        if (query == q).sum() > 1
    ]
    assert recommendations.kendall_distance(a, b, query) == pytest.approx(np.mean(expected), rel=1e-11)


def test_a_million_rows_at_random() -> None:
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(40_000), rng.integers(4, 50, 40_000))[: 10**6]
    a, b = rng.uniform(size=[2, query.size])
    result = recommendations.statistics(a, b, query)
    assert result["kendall_distance"] == pytest.approx(0.5, abs=0.01)
    assert result["swap_rate"] > 0.99


def test_ids_of_any_kind() -> None:
    rng = np.random.default_rng(2)
    query = rng.integers(0, 12, 60)
    a, b = rng.uniform(size=[2, 60])
    expected = recommendations.statistics(a, b, query)
    kinds = {
        "text": [f"q{number}é" for number in query],
        "objects": np.array([f"q{number}" for number in query], object),
        "bytes": [b"q\xff%d" % number for number in query],
        "unsigned": query.astype(np.uint64) + np.uint64(2**63),
        "negative": -(2**62) - query.astype(np.int64),
        "column": query.astype(np.int8)[:, None],
    }
    for kind, ids in kinds.items():
        result = recommendations.statistics(a, b, ids)
        for name in ("swap_rate", "top_k_overlap", "kendall_distance", "requests", "single_row_requests"):
            assert result[name] == pytest.approx(expected[name], rel=1e-12), (kind, name)


def test_close_ids_and_close_scores_stay_apart() -> None:
    ids = np.array([2**62, 2**62 + 1, 2**62, 2**62 + 1])  # alike in float64
    assert recommendations.statistics([0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.1, 0.2], ids)["requests"] == 2
    next_up = math.nextafter(0.5, 1)
    assert recommendations.swap_rate([0.5, next_up], [next_up, 0.5], [1, 1]) == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 4), st.data())
def test_several_models_are_averages_over_pairs(models: int, data: Any) -> None:
    rows = data.draw(st.lists(st.tuples(*[SCORE] * models, BID, st.integers(0, 4)), min_size=1, max_size=15))
    table = np.array(rows)
    predictions, bid, query = table[:, :-2], table[:, -2], table[:, -1].astype(int)
    result = json.loads(json.dumps(recommendations.statistics_over_pairs(predictions, query, k=2, multiplier=bid)))
    references = [
        reference(predictions[:, i], predictions[:, j], query.tolist(), 2, bid)
        for i, j in itertools.combinations(range(models), 2)
    ]
    interval = result.pop("swap_rate_interval")
    assert set(result) == set(references[0])
    if result["requests"] == 1:  # one request tells nothing about others
        assert interval is None
    else:
        assert 0 <= interval[0] <= result["swap_rate"] <= interval[1] <= 1
    for name in ("k", "requests", "single_row_requests"):
        assert result[name] == references[0][name]
    for name in ("swap_rate", "top_k_overlap", "top_k_jaccard", "rank_biased_overlap"):
        assert same(result[name], float(np.mean([own[name] for own in references])))
    distances = [own["kendall_distance"] for own in references]
    assert same(result["kendall_distance"], None if None in distances else float(np.mean(distances)))


def test_the_interval_of_the_swap_rate_covers() -> None:
    rng = np.random.default_rng(3)
    covered = {2: 0, 3: 0}
    for _ in range(200):
        # Two rows a request, whose order each model turns round with probability 0.3: pairs differ with 2 * 0.3 * 0.7.
        turned = rng.uniform(size=[300, 3]) < 0.3
        predictions = np.stack([np.where(turned, 0.1, 0.2), np.full([300, 3], 0.15)], axis=1).reshape([600, 3])
        for models in covered:
            result = recommendations.statistics_over_pairs(predictions[:, :models], np.arange(600) // 2)
            low, high = result["swap_rate_interval"]
            covered[models] += low <= 0.42 <= high
    assert all(180 <= count <= 198 for count in covered.values()), covered


def refused(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["swap_rate", "top_k_overlap", "kendall_distance", "statistics"])
def test_bad_input_is_refused_in_one_line(name: str) -> None:
    measure = getattr(recommendations, name)
    a = [0.1, 0.2]
    refused(lambda: measure(a, [0.1], [1, 1]), "b must have 2 values")
    refused(lambda: measure([0.1, math.nan], a, [1, 1]), "a must be finite, got nan in row 1")
    refused(lambda: measure(a, a, [1]), "query_id must have 2 values")
    refused(lambda: measure([], [], []), "got none")
    refused(lambda: measure(a, a, [1, 1], multiplier=[1.0]), "multiplier must have 2 values")
    refused(lambda: measure(a, a, [1, 1], multiplier=[1.0, -1.0]), "multiplier must be .*got -1 in row 1")
    refused(lambda: measure(a, a, [1, 1], multiplier=[1.0, math.inf]), "multiplier must be finite")
    if name != "kendall_distance":
        refused(lambda: measure(a, a, [1, 1], k=0), "k must be .*0")
        refused(lambda: measure(a, a, [1, 1], k=-3), "k must be .*-3")


def test_ids_of_no_one_kind_are_refused_in_one_line() -> None:
    ids = np.array(["a", 1, b"b"], object)
    refused(lambda: recommendations.statistics([0.1, 0.2, 0.3], [0.1, 0.3, 0.2], ids), "query_id must")


def test_rows_of_unknown_requests_are_requests_of_their_own() -> None:
    ids = np.array(["a", None, None], object)
    assert recommendations.statistics([0.1, 0.2, 0.3], [0.1, 0.3, 0.2], ids)["requests"] == 3


def test_integers_that_only_a_float_could_hold_are_not_merged() -> None:
    ids = [-1, 2**63, 2**63 + 1]  # NumPy makes float64 of them, in which the last two are alike
    try:
        assert recommendations.statistics([0.1, 0.2, 0.3], [0.1, 0.3, 0.2], ids)["requests"] == 3
    except InputError as error:
        assert "query_id must" in str(error)  # noqa: PT017


def test_bad_matrices_are_refused_in_one_line() -> None:
    measure = recommendations.statistics_over_pairs
    refused(lambda: measure([[0.1], [0.2]], [1, 1]), "at least 2 models")
    refused(lambda: measure([[0.1, math.nan]], [1]), "finite")
    refused(lambda: measure([[0.1, 0.2]], [1, 2]), "query_id must have 1 values")
    refused(lambda: measure(np.zeros([0, 2]), []), "got none")
    refused(lambda: measure([[0.1, 0.2]], [1], k=0), "k must be")
