"""Swap rate, overlap and Kendall distance against lists that are sorted and compared one by one."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.errors import InputError
from smooth_recs.measures import recommendations

SCORE = st.sampled_from([0.0, 0.25, 0.5, 1.0])  # few values: ties are the rule
ROW = st.tuples(st.integers(-2, 3), SCORE, SCORE, SCORE, st.sampled_from([0.0, 1.0, 2.5]))
ROWS = st.lists(ROW, min_size=1, max_size=25)


def lists(scores: Any, query_id: Any) -> dict[Any, list[int]]:
    """Row numbers of each request, best first; `sorted` keeps ties in their order."""
    requests: dict[Any, list[int]] = {}
    for row, query in enumerate(query_id):
        requests.setdefault(query, []).append(row)
    return {query: sorted(rows, key=lambda row: -scores[row]) for query, rows in requests.items()}


def expected(a: Any, b: Any, query_id: Any, k: int) -> tuple[float, float, float | None]:
    ours, theirs = lists(a, query_id), lists(b, query_id)
    swapped = [ours[query][:k] != theirs[query][:k] for query in ours]
    overlaps = [len({*ours[q][:k]} & {*theirs[q][:k]}) / min(k, len(ours[q])) for q in ours]
    distances = []
    for query, rows in ours.items():
        pairs = list(itertools.combinations(rows, 2))
        places = {row: place for place, row in enumerate(theirs[query])}
        if pairs:
            distances.append(np.mean([places[first] > places[later] for first, later in pairs]))
    return float(np.mean(swapped)), float(np.mean(overlaps)), float(np.mean(distances)) if distances else None


def measured(a: Any, b: Any, query_id: Any, k: int, multiplier: Any = None) -> tuple[float, float, float | None]:
    return (
        recommendations.swap_rate(a, b, query_id, k=k, multiplier=multiplier),
        recommendations.top_k_overlap(a, b, query_id, k=k, multiplier=multiplier),
        recommendations.kendall_distance(a, b, query_id, multiplier=multiplier),
    )


@settings(max_examples=150, deadline=None)
@given(ROWS, st.integers(1, 6))
def test_every_measure_is_that_of_the_sorted_lists(rows: list[Any], k: int) -> None:
    query_id, a, b, c, multiplier = (np.array(column) for column in zip(*rows, strict=True))
    assert measured(a, b, query_id, k) == pytest.approx(expected(a, b, query_id, k), abs=1e-14)
    times = measured(a, b, query_id, k, multiplier)
    assert times == pytest.approx(expected(a * multiplier, b * multiplier, query_id, k), abs=1e-14)
    pairs = [expected(*pair, query_id, k) for pair in itertools.combinations([a, b, c], 2)]
    found = recommendations.statistics_over_pairs(np.stack([a, b, c], 1), query_id, k=k)
    for name, position in (("swap_rate", 0), ("top_k_overlap", 1), ("kendall_distance", 2)):
        values = [pair[position] for pair in pairs]
        assert found[name] == (None if values[0] is None else pytest.approx(np.mean(values), abs=1e-14))


def test_by_hand() -> None:
    # Request 7: 0 1 2 3 and 0 2 1 3. Request 8: the same list twice. Request 9: one row.
    query_id = [7, 8, 7, 7, 8, 7, 9]
    a = [0.9, 0.6, 0.8, 0.7, 0.5, 0.1, 0.3]
    b = [0.9, 0.6, 0.7, 0.8, 0.2, 0.1, 0.9]
    assert measured(a, b, query_id, 1) == pytest.approx((0, 1, (1 / 6 + 0) / 2))
    assert measured(a, b, query_id, 2) == pytest.approx((1 / 3, (1 / 2 + 1 + 1) / 3, 1 / 12))
    assert measured(a, b, query_id, 3) == pytest.approx((1 / 3, 1, 1 / 12))
    found = recommendations.statistics(a, b, query_id, k=2)
    assert {name: found[name] for name in ("k", "requests", "single_row_requests")} == {
        "k": 2,
        "requests": 3,
        "single_row_requests": 1,
    }


def test_jaccard_index_by_hand() -> None:
    # Request 7: 0 1 2 3 and 0 3 1 2; of the first two rows one is in both, of the first three two. Request 8: one row.
    query_id = [7, 7, 7, 7, 8]
    a, b = [0.9, 0.8, 0.7, 0.1, 0.3], [0.9, 0.5, 0.2, 0.6, 0.9]
    assert recommendations.top_k_jaccard(a, b, query_id, k=2) == pytest.approx((1 / 3 + 1) / 2)
    assert recommendations.top_k_jaccard(a, b, query_id, k=3) == pytest.approx((2 / 4 + 1) / 2)
    assert recommendations.top_k_jaccard(a, b, query_id, k=4) == 1


def test_rank_biased_overlap_by_hand() -> None:
    # Request 7: 0 1 2 and 2 1 0: of the first 1, 2, 3 places 0, 1, 3 rows are in both. Request 8: one row.
    query_id, a, b = [7, 8, 7, 7], [0.9, 0.3, 0.8, 0.7], [0.1, 0.1, 0.5, 0.8]
    p = 0.8
    by_hand = p**3 + (1 - p) / p * (p * 0 / 1 + p**2 * 1 / 2 + p**3 * 3 / 3)
    assert recommendations.rank_biased_overlap(a, b, query_id, p=p) == pytest.approx((by_hand + 1) / 2)
    assert recommendations.rank_biased_overlap(a, a, query_id) == 1
    # The first place alone counts in the end.
    assert recommendations.rank_biased_overlap(a, b, query_id, p=1e-9) == pytest.approx((0 + 1) / 2)
    for p in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match=r"p must be above 0 and below 1, got"):
            recommendations.rank_biased_overlap(a, b, query_id, p=p)


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(1, 6), st.sampled_from([0.5, 0.9]))
def test_overlaps_are_those_of_sets_of_rows(rows: list[Any], k: int, p: float) -> None:
    query_id, a, b, _, _ = (np.array(column) for column in zip(*rows, strict=True))
    ours, theirs = lists(a, query_id), lists(b, query_id)
    jaccard = [len({*ours[q][:k]} & {*theirs[q][:k]}) / len({*ours[q][:k]} | {*theirs[q][:k]}) for q in ours]
    biased = []
    for query, one in ours.items():
        shared = [len({*one[:d]} & {*theirs[query][:d]}) / d for d in range(1, len(one) + 1)]
        biased.append(p ** len(one) + (1 - p) * sum(p**d * share for d, share in enumerate(shared)))
    assert recommendations.top_k_jaccard(a, b, query_id, k=k) == pytest.approx(np.mean(jaccard), abs=1e-14)
    assert recommendations.rank_biased_overlap(a, b, query_id, p=p) == pytest.approx(np.mean(biased), abs=1e-14)


def test_against_the_first_model_pairs_of_the_others_do_not_count() -> None:
    rng = np.random.default_rng(2)
    live, a, b = rng.uniform(size=(3, 300))
    query_id = np.arange(300) // 5
    found = recommendations.statistics_over_pairs(np.stack([live, a, b], 1), query_id, k=2, against_first=True)
    each = [recommendations.statistics(live, other, query_id, k=2) for other in (a, b)]
    for name in ("swap_rate", "top_k_jaccard", "rank_biased_overlap", "kendall_distance"):
        assert found[name] == pytest.approx(np.mean([one[name] for one in each]), rel=1e-13)
    low, high = found["swap_rate_interval"]
    assert low < found["swap_rate"] < high


def test_a_multiplier_orders_by_the_product() -> None:
    a, b = [0.3, 0.2], [0.3, 0.1]
    assert recommendations.swap_rate(a, b, [1, 1]) == 0.0
    assert recommendations.swap_rate(a, b, [1, 1], multiplier=[1.0, 2.0]) == 1.0
    assert recommendations.swap_rate(a, b, [1, 1], multiplier=[0.0, 0.0]) == 0.0  # ties: as they stand


def test_a_reversed_list_is_at_distance_one() -> None:
    a = np.arange(50.0)
    assert recommendations.kendall_distance(a, -a, np.zeros(50, int)) == 1.0
    assert recommendations.kendall_distance(a, a, np.zeros(50, int)) == 0.0
    assert recommendations.kendall_distance([0.1, 0.2], [0.2, 0.1], ["q1", "q2"]) is None


def test_order_of_the_requests_and_kind_of_id_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    query_id = rng.integers(0, 30, 200)
    a, b = rng.uniform(size=200), rng.uniform(size=200)
    whole = measured(a, b, query_id, 3)
    by_request = np.argsort(query_id, kind="stable")
    assert measured(a[by_request], b[by_request], query_id[by_request], 3) == pytest.approx(whole, rel=1e-14)
    names = np.array([f"request {query}" for query in query_id])
    for ids in (names, names.astype(bytes), names.astype(object), query_id[:, None] + 2**62):
        assert measured(a[:, None], b, ids, 3) == pytest.approx(whole, rel=1e-14)


def test_the_interval_covers_the_swap_rate_of_all_requests() -> None:
    # Two models, three rows a request; how unlike the models are varies from request to request.
    def models(rng: np.random.Generator, requests: int) -> tuple[Any, Any, Any]:
        a = rng.normal(size=[requests, 3])
        b = a + rng.exponential(0.5, size=[requests, 1]) * rng.normal(size=[requests, 3])
        return a.ravel(), b.ravel(), np.repeat(np.arange(requests), 3)

    truth = recommendations.swap_rate(*models(np.random.default_rng(1), 300_000))
    found = [recommendations.statistics(*models(np.random.default_rng(seed), 150)) for seed in range(2, 202)]
    covered = np.mean([low <= truth <= high for low, high in (each["swap_rate_interval"] for each in found)])
    assert 0.90 <= covered <= 0.99


def test_the_interval_of_several_models_is_that_of_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(0)
    a, b, query_id = rng.uniform(size=300), rng.uniform(size=300), np.arange(300) // 3
    two = recommendations.statistics(a, b, query_id)
    assert recommendations.statistics_over_pairs(np.stack([a, b], 1), query_id) == two
    three = recommendations.statistics_over_pairs(np.stack([a, b, a], 1), query_id)  # of three pairs one is equal
    assert three["swap_rate"] == pytest.approx(two["swap_rate"] * 2 / 3, rel=1e-13)
    np.testing.assert_allclose(three["swap_rate_interval"], np.array(two["swap_rate_interval"]) * 2 / 3, rtol=1e-12)


def test_one_large_request() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=[2, 10_000])
    tau = scipy_stats.kendalltau(a, b).statistic
    assert recommendations.kendall_distance(a, b, np.zeros(10_000, int)) == pytest.approx((1 - tau) / 2, abs=1e-12)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda f: f([0.5], [0.5, 0.5], [1]), "b must have 1 values like the others, got 2"),
        (lambda f: f([math.nan], [0.5], [1]), "a must be finite, got nan in row 0"),
        (lambda f: f([0.5, 0.5], [0.5, 0.5], [1]), "query_id must have 2 values like the others"),
        (lambda f: f([], [], []), "predictions must have at least one value, got none"),
        (
            lambda f: f([0.5], [0.5], [1], multiplier=[-1]),
            "multiplier must be at or above 0 where scores are multiplied",
        ),
        (lambda f: f([0.5], [0.5], [1], multiplier=[math.inf]), "multiplier must be finite, got inf"),
        (lambda f: f([0.5], [-2], [1], multiplier=[1]), "b must be at or above 0 where scores are multiplied, got -2"),
    ],
)
def test_errors_are_one_line(wrong: Any, message: str) -> None:
    for function in (
        recommendations.swap_rate,
        recommendations.top_k_overlap,
        recommendations.kendall_distance,
        recommendations.statistics,
    ):
        with pytest.raises(InputError, match=message) as caught:
            wrong(function)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_k_is_a_positive_whole_number(k: Any) -> None:
    with pytest.raises(InputError, match="k must be a whole number of at least 1"):
        recommendations.swap_rate([0.5], [0.5], [1], k=k)


def test_one_model_is_too_few() -> None:
    with pytest.raises(InputError, match=r"at least 2 models, got \[2, 1\]"):
        recommendations.statistics_over_pairs([[0.5], [0.5]], [1, 1])
