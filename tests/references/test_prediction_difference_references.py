"""Every measure of prediction difference against rational arithmetic; its properties; simulations of its intervals."""

from __future__ import annotations

import decimal
import itertools
import json
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from smooth_recs import prediction_difference as pd
from smooth_recs.errors import InputError

decimal.getcontext().prec = 60
TINY = 5e-324
PROBABILITY = st.one_of(
    st.sampled_from([0.0, 1.0, TINY, 2 * TINY, 1e-300, 1e-9, 0.1, 0.5, float(np.float32(0.1)), math.nextafter(1, 0)]),
    st.floats(0, 1),
)
WEIGHT = st.sampled_from([0.0, 1.0, 2.5, 1e-9, 1e9])
ROWS = st.lists(st.tuples(PROBABILITY, PROBABILITY, WEIGHT), min_size=1, max_size=12)
DYADIC = st.integers(0, 64).map(lambda n: n / 64)
EXACT_KEYS = ("relative", "pairs", "absolute", "kl", "jensen_shannon", "logit_difference", "flips", "histogram")
PAIRWISE = ("absolute", "jensen_shannon", "logit_difference", "flips")


# References: one example at a time, in rational arithmetic or with 60 digits.


def ref_relative(a: float, b: float) -> Fraction:
    return 2 * abs(Fraction(a) - Fraction(b)) / (Fraction(a) + Fraction(b)) if a or b else Fraction(0)


def part(p: Decimal, q: Decimal) -> Decimal:
    """p log(p / q), 0 log 0 = 0, inf where q alone is 0."""
    if not p:
        return Decimal(0)
    return p * (p.ln() - q.ln()) if q else Decimal("inf")


def ref_kl(a: float | Decimal, b: float | Decimal) -> Decimal:
    with decimal.localcontext() as context:
        context.prec = 400  # so that 1 - 5e-324 is not 1
        p, q = Decimal(a), Decimal(b)
        rest = (1 - p, 1 - q)
    with decimal.localcontext() as context:
        context.prec = 60 if min(p, q) > Decimal("1e-15") or p == q else 360
        return part(p, q) + part(*rest)


def ref_jensen_shannon(a: float, b: float) -> Decimal:
    with decimal.localcontext() as context:
        context.prec = 1100
        middle = (Decimal(a) + Decimal(b)) / 2
    return (ref_kl(a, middle) + ref_kl(b, middle)) / 2


def ref_logit_difference(a: float, b: float) -> Decimal:
    if a == b:
        return Decimal(0)
    if {a, b} & {0.0, 1.0}:
        return Decimal("inf")
    with decimal.localcontext() as context:
        context.prec = 360
        rests = [1 - Decimal(a), 1 - Decimal(b)]
    return abs((Decimal(a).ln() - rests[0].ln()) - (Decimal(b).ln() - rests[1].ln()))


def ref_norm(row: Any, p: float) -> Decimal:
    """(mean |y - ybar|^p)^(1/p), without the division."""
    mean = sum(map(Fraction, row)) / len(row)
    gaps = [abs(Fraction(y) - mean) for y in row]
    gaps = [Decimal(gap.numerator) / Decimal(gap.denominator) for gap in gaps]
    if p == math.inf:
        return max(gaps)
    return (
        (sum(gap ** Decimal(p) if gap else gap for gap in gaps) / len(row)) ** (1 / Decimal(p))
        if any(gaps)
        else gaps[0]
    )


def ref_relative_norm(row: Any, p: float) -> Decimal:
    mean = sum(map(Fraction, row)) / len(row)
    return ref_norm(row, p) * mean.denominator / mean.numerator if mean else Decimal(0)


def ref_mean(terms: list[Any], weights: Any) -> float:
    kept = [(term, float(weight)) for term, weight in zip(terms, weights, strict=True) if weight]
    if any(isinstance(term, Decimal) and term.is_infinite() for term, _ in kept):
        return math.inf
    return float(sum(Fraction(term) * Fraction(weight) for term, weight in kept) / sum(Fraction(w) for _, w in kept))


def close(expected: float, absolute: float = 1e-13) -> Any:
    return pytest.approx(expected, rel=1e-11, abs=absolute)


def columns(rows: list[tuple[float, ...]]) -> list[np.ndarray]:
    assume(any(row[-1] for row in rows))
    return list(np.array(rows, np.float64).T)


def test_by_hand() -> None:
    a, b = [0.5, 0.25, 1.0, 0.0], [0.25, 0.5, 1.0, 0.0]
    assert pd.absolute(a, b) == pytest.approx(0.125, rel=1e-15)
    assert pd.absolute(a, b, [1, 0, 3, 0]) == pytest.approx(0.0625, rel=1e-15)
    assert pd.kl([0.5], [0.25]) == pytest.approx(math.log(2) / 2 + math.log(2 / 3) / 2, rel=1e-14)
    assert pd.kl(a, b) == pytest.approx((math.log(4 / 3) / 2 + math.log(0.5) / 4 + 0.75 * math.log(1.5)) / 4, rel=1e-13)
    assert pd.kl([0.0], [0.75]) == pytest.approx(math.log(4), rel=1e-14)
    assert pd.kl([1.0], [0.25]) == pytest.approx(math.log(4), rel=1e-14)
    assert pd.jensen_shannon([0.0, 0.3], [1.0, 0.3]) == pytest.approx(math.log(2) / 2, rel=1e-14)
    assert pd.logit_difference([0.5, 0.8], [0.75, 0.2]) == pytest.approx((math.log(3) + math.log(16)) / 2, rel=1e-14)
    assert pd.flips([0.5, 0.4, 0.6, 0.5], [0.4, 0.5, 0.7, 0.5], [1, 2, 4, 8]) == 3 / 15
    assert pd.flips([0.5, 0.4, 0.6, 0.5], [0.4, 0.5, 0.7, 0.5], threshold=0.65) == 0.25
    predictions = [[0.1, 0.3], [0.0, 0.0], [0.2, 0.2]]
    assert pd.relative_norm(predictions) == pytest.approx(0.5 / 3, rel=1e-14)
    assert pd.relative_norm([[0.0, 0.0, 0.6]], p=1) == pytest.approx((0.2 + 0.2 + 0.4) / 3 / 0.2, rel=1e-14)
    assert pd.relative_norm([[0.0, 0.0, 0.6]], p=2) == pytest.approx(math.sqrt(0.24 / 3) / 0.2, rel=1e-14)
    assert pd.relative_norm([[0.0, 0.0, 0.6]], p=math.inf) == pytest.approx(2.0, rel=1e-14)
    assert pd.standard_deviation([[0.0, 0.0, 0.6], [0.5, 0.5, 0.5]], [1, 3]) == pytest.approx(math.sqrt(0.08) / 4)


def test_what_is_infinite_and_what_is_not() -> None:
    assert pd.kl([0.5], [0.0]) == math.inf
    assert pd.kl([0.5], [1.0]) == math.inf
    assert pd.kl([0.0, 1.0], [0.0, 1.0]) == 0
    assert pd.kl([0.5], [TINY]) == pytest.approx(float(ref_kl(0.5, TINY)), rel=1e-12)
    assert pd.logit_difference([0.0, 1.0], [0.0, 1.0]) == 0
    assert pd.logit_difference([0.0], [0.5]) == math.inf
    assert pd.logit_difference([1.0], [0.0]) == math.inf
    assert pd.logit_difference([TINY], [0.5]) == pytest.approx(-math.log(TINY), rel=1e-14)
    assert pd.kl([0.5, 0.5], [0.0, 0.5], [0, 1]) == 0
    assert pd.logit_difference([0.5, 0.5], [0.0, 0.5], [0, 1]) == 0
    assert pd.jensen_shannon([TINY, 0.0], [0.0, TINY]) == pytest.approx(0, abs=1e-300)
    assert pd.jensen_shannon([0.0, 1.0], [1.0, 0.0]) == pytest.approx(math.log(2), rel=1e-15)


def test_the_smallest_numbers_lose_nothing_that_is_relative() -> None:
    assert pd.relative([TINY], [2 * TINY]) == pytest.approx(2 / 3, rel=1e-14)
    assert pd.relative([TINY], [0.0]) == 2
    assert pd.relative_norm([[TINY, 0.0]]) == pytest.approx(1, rel=1e-12)
    assert pd.relative_norm([[1e-200, 3e-200]], p=2) == pytest.approx(0.5, rel=1e-12)
    assert pd.relative_norm([[1e-300, 0.0, 0.0]], p=2) == pytest.approx(math.sqrt(2), rel=1e-12)
    assert pd.standard_deviation([[1e-200, 3e-200]]) == pytest.approx(1e-200, rel=1e-12)


def test_rare_clicks_keep_their_digits() -> None:
    for a, b in [(1e-6, 1.1e-6), (1e-20, 2e-20), (1e-4, 1e-9)]:
        assert pd.kl([a], [b]) == pytest.approx(float(ref_kl(a, b)), rel=1e-6)
        assert pd.logit_difference([a], [b]) == pytest.approx(float(ref_logit_difference(a, b)), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from([0.5, 0.1, 0.0, 1.0]))
def test_pairwise_measures_are_those_of_exact_arithmetic(
    rows: list[tuple[float, float, float]], threshold: float
) -> None:
    a, b, weight = columns(rows)
    pairs = [(x, y) for x, y, _ in rows]
    assert pd.relative(a, b, weight) == close(ref_mean([ref_relative(*p) for p in pairs], weight))
    assert pd.absolute(a, b, weight) == close(ref_mean([abs(Fraction(x) - Fraction(y)) for x, y in pairs], weight))
    assert pd.kl(a, b, weight) == close(ref_mean([ref_kl(*p) for p in pairs], weight))
    assert pd.jensen_shannon(a, b, weight) == close(ref_mean([ref_jensen_shannon(*p) for p in pairs], weight))
    assert pd.logit_difference(a, b, weight) == close(
        ref_mean([ref_logit_difference(*p) for p in pairs], weight), 1e-12
    )
    flipped = [Fraction((x >= threshold) != (y >= threshold)) for x, y in pairs]
    assert pd.flips(a, b, weight, threshold=threshold) == close(ref_mean(flipped, weight))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 4), st.sampled_from([1, 1.5, 2, 3, math.inf]), st.data())
def test_measures_of_many_models_are_those_of_exact_arithmetic(models: int, p: float, data: Any) -> None:
    rows = data.draw(st.lists(st.tuples(*[PROBABILITY] * models, WEIGHT), min_size=1, max_size=8))
    *_, weight = columns(rows)
    predictions = np.array(rows)[:, :-1]
    expected = ref_mean([ref_relative_norm(row[:-1], p) for row in rows], weight)
    assert pd.relative_norm(predictions, weight, p=p) == close(expected)
    deviation = ref_mean([ref_norm(row[:-1], 2) for row in rows], weight)
    assert pd.standard_deviation(predictions, weight) == close(deviation)
    assert pd.relative_norm(predictions, weight, p=1) <= pd.relative_norm(predictions, weight, p=2) * (1 + 1e-12)
    assert pd.relative_norm(predictions, weight, p=2) <= pd.relative_norm(predictions, weight, p=math.inf) * (1 + 1e-12)
    if models == 2:
        assert pd.relative_norm(predictions, weight) == close(pd.relative(*predictions.T, weight) / 2)


def test_high_powers_do_not_underflow() -> None:
    row = [0.2, 0.21, 0.22, 0.25]
    for p in (50.0, 1000.0):
        assert pd.relative_norm([row], p=p) == pytest.approx(float(ref_relative_norm(row, p)), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_symmetry_and_bounds(rows: list[tuple[float, float, float]]) -> None:
    a, b, weight = columns(rows)
    for measure in (pd.relative, pd.absolute, pd.jensen_shannon, pd.logit_difference, pd.flips):
        assert measure(a, b, weight) == pytest.approx(measure(b, a, weight), rel=1e-13)
        assert measure(a, a, weight) == 0
    assert pd.kl(a, a, weight) == 0
    assert 0 <= pd.relative(a, b, weight) <= 2
    assert 0 <= pd.absolute(a, b, weight) <= 1
    assert 0 <= pd.flips(a, b, weight) <= 1
    assert 0 <= pd.jensen_shannon(a, b, weight) <= math.log(2) * (1 + 1e-15)
    forth, back = pd.kl(a, b, weight), pd.kl(b, a, weight)
    assert forth >= 0
    assert 2 * pd.absolute(a, b, weight) ** 2 <= forth + 1e-15  # Pinsker and Jensen
    assert pd.jensen_shannon(a, b, weight) <= (forth + back) / 4 + 1e-15
    quantiles = pd.quantiles(a, b, weight)
    assert (np.diff(quantiles) >= 0).all()
    np.testing.assert_array_equal(quantiles, pd.quantiles(b, a, weight))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(DYADIC, DYADIC), min_size=1, max_size=10))
def test_naming_the_other_class_changes_only_what_is_relative(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    for measure in (pd.absolute, pd.kl, pd.jensen_shannon, pd.logit_difference):
        assert measure(1 - a, 1 - b) == pytest.approx(measure(a, b), rel=1e-11, abs=1e-15)


MEASURES = {
    "relative": pd.relative,
    "absolute": pd.absolute,
    "kl": pd.kl,
    "jensen_shannon": pd.jensen_shannon,
    "logit_difference": pd.logit_difference,
    "flips": pd.flips,
    "quantiles": pd.quantiles,
    "relative_norm": lambda a, b, w=None: pd.relative_norm(np.stack([a, b], 1), w, p=2),
    "standard_deviation": lambda a, b, w=None: pd.standard_deviation(np.stack([a, b], 1), w),
    "mean_over_pairs": lambda a, b, w=None: pd.mean_over_pairs(np.stack([a, b], 1), w),
    "after_matching_means": pd.after_matching_means,
}


@pytest.mark.parametrize("name", MEASURES)
@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(DYADIC, DYADIC, st.integers(0, 4)), min_size=1, max_size=12), st.randoms(use_true_random=False)
)
def test_weights_are_repetitions_and_order_does_not_matter(name: str, rows: list[Any], random: Any) -> None:
    a, b, weight = columns(rows)
    measure = MEASURES[name]
    expected = measure(a, b, weight)
    repeated = [np.repeat(values, weight.astype(int)) for values in (a, b)]
    absolute = 1e-9 if name == "after_matching_means" else 1e-14  # found by iteration
    np.testing.assert_allclose(measure(*repeated), expected, rtol=1e-12, atol=absolute)
    kept = weight > 0
    np.testing.assert_allclose(measure(a[kept], b[kept], weight[kept]), expected, rtol=1e-12, atol=absolute)
    order = list(range(len(rows)))
    random.shuffle(order)
    np.testing.assert_allclose(measure(a[order], b[order], weight[order]), expected, rtol=1e-12, atol=absolute)
    for factor in (2.0**-300, 2.0**300):
        np.testing.assert_allclose(measure(a, b, weight * factor), expected, rtol=1e-12, atol=absolute)


@pytest.mark.parametrize("name", MEASURES)
def test_float32_lists_and_one_column(name: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=[2, 50]).astype(np.float32)
    weight = rng.exponential(size=50).astype(np.float32)
    measure = MEASURES[name]
    expected = measure(a.astype(np.float64), b.astype(np.float64), weight.astype(np.float64))
    np.testing.assert_array_equal(measure(a, b, weight), expected)
    np.testing.assert_array_equal(measure(a.tolist(), b.tolist(), weight.tolist()), expected)
    if name not in ("relative_norm", "standard_deviation", "mean_over_pairs"):
        np.testing.assert_array_equal(measure(a[:, None], b[:, None], weight[:, None]), expected)


def ref_quantile(values: list[float], weights: list[int], q: str) -> float:
    """The least value at which the cumulated share of weight reaches q (a decimal)."""
    total = seen = Fraction(0)
    total = Fraction(sum(weights))
    for value, weight in sorted(zip(values, weights, strict=True)):
        seen += weight
        if weight and seen >= Fraction(q) * total:
            return value
    raise AssertionError


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(PROBABILITY, PROBABILITY, st.integers(0, 30)), min_size=1, max_size=40))
def test_quantiles_are_the_least_values_that_reach_the_share(rows: list[Any]) -> None:
    a, b, weight = columns(rows)
    values = pd.per_example(a, b).tolist()
    shares = ("0.01", "0.1", "0.25", "0.5", "0.9", "0.99", "1")
    result = pd.quantiles(a, b, weight, q=tuple(map(float, shares)))
    assert [float(value) for value in result] == [ref_quantile(values, weight.astype(int).tolist(), q) for q in shares]


def test_quantiles_at_exact_shares() -> None:
    b = np.arange(1, 101) / 200  # eq. 2 of (0.5, b) falls as b grows
    values = np.sort(pd.per_example(np.full(100, 0.5), b))
    np.testing.assert_array_equal(pd.quantiles(np.full(100, 0.5), b), values[[49, 89, 98]])
    np.testing.assert_array_equal(pd.quantiles([0.5, 0.5], [0.5, 0.25]), [0.0, 2 / 3, 2 / 3])


# Several models at once.


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 4), st.data())
def test_statistics_are_averages_over_pairs(models: int, data: Any) -> None:
    rows = data.draw(st.lists(st.tuples(*[PROBABILITY] * models, WEIGHT), min_size=1, max_size=8))
    *_, weight = columns(rows)
    y = np.array(rows)[:, :-1]
    result = json.loads(json.dumps(pd.statistics(y, weight, threshold=0.3, replicates=20)))
    pairs = list(itertools.combinations(range(models), 2))
    assert [(i, j) for i, j, _ in result["pairs"]] == pairs
    for i, j, value in result["pairs"]:
        assert value == pd.relative(y[:, i], y[:, j], weight)
    assert result["relative"] == close(np.mean([value for *_, value in result["pairs"]]))
    assert result["relative"] == close(pd.mean_over_pairs(y, weight))
    for name in PAIRWISE:
        settings_ = {"threshold": 0.3} if name == "flips" else {}
        values = [getattr(pd, name)(y[:, i], y[:, j], weight, **settings_) for i, j in pairs]
        assert result[name] == close(np.mean(values))
    both = [pd.kl(y[:, i], y[:, j], weight) for i, j in itertools.permutations(range(models), 2)]
    assert result["kl"] == close(np.mean(both))
    assert result["after_matching_means"] == pytest.approx(
        np.mean([pd.after_matching_means(y[:, i], y[:, j], weight) for i, j in pairs]), abs=1e-9
    )
    assert result["relative_norm_1"] == close(pd.relative_norm(y, weight, p=1))
    assert result["relative_norm_2"] == close(pd.relative_norm(y, weight, p=2))
    assert result["standard_deviation"] == close(pd.standard_deviation(y, weight))
    quantiles = np.mean([pd.quantiles(y[:, i], y[:, j], weight) for i, j in pairs], axis=0)
    assert list(result["quantiles"]) == ["0.5", "0.9", "0.99"]
    np.testing.assert_allclose(list(result["quantiles"].values()), quantiles, rtol=1e-12)
    shares = np.mean([pd.histogram(y[:, i], y[:, j], weight, bins=100)[0] for i, j in pairs], axis=0)
    np.testing.assert_allclose(result["histogram"]["counts"], shares, atol=1e-12)
    np.testing.assert_allclose(result["histogram"]["edges"], np.linspace(0, 2, 101), atol=1e-15)
    assert ("interval_over_replicas" in result) == (models >= 3)
    if models >= 3:
        assert result["interval_over_replicas"] == list(pd.interval_over_replicas(y, weight))
    low, high = result["interval"]
    assert 0 <= low <= high <= 2


def test_histogram_against_a_count() -> None:
    rng = np.random.default_rng(0)
    a, b, weight = rng.beta(0.3, 2, 500), rng.beta(0.3, 2, 500), rng.integers(0, 3, 500)
    a[:50], b[:40] = 0, 0
    shares, edges = pd.histogram(a, b, weight, bins=100)
    values = [float(ref_relative(x, y)) for x, y in zip(a, b, strict=True)]
    for edge, below in zip(edges[1:-1], np.cumsum(shares), strict=False):
        if min(abs(value - edge) for value in values) > 1e-9:
            count = sum(w for value, w in zip(values, weight, strict=True) if value < edge)
            assert below == pytest.approx(count / weight.sum(), abs=1e-12)
    assert shares.sum() == pytest.approx(1, abs=1e-12)


def test_a_calibration_shift_is_told_from_disagreement() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(-2, 1, 400)
    noise = 0.2 * rng.normal(size=400)

    def probability(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    a, b, shifted = probability(logits), probability(logits + noise), probability(logits + noise + 0.7)
    assert pd.relative(a, shifted) > 2 * pd.relative(a, b)
    # A shift of logits is undone whatever it was: what is left depends on it through the middle of the means alone.
    assert pd.after_matching_means(a, shifted) == pytest.approx(pd.after_matching_means(a, b), rel=0.1)


# Streaming.


def accumulated(y: np.ndarray, weight: Any, keys: Any = None, **settings_: Any) -> pd.Accumulator:
    accumulator = pd.Accumulator(y.shape[1], **settings_)
    accumulator.add(y, weight, keys=keys)
    return accumulator


def through_json(accumulator: pd.Accumulator) -> pd.Accumulator:
    return pd.Accumulator.from_dict(json.loads(json.dumps(accumulator.to_dict())))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 4), st.data(), st.randoms(use_true_random=False))
def test_any_partition_in_any_order_gives_the_same_values(models: int, data: Any, random: Any) -> None:
    rows = data.draw(st.lists(st.tuples(*[PROBABILITY] * models, WEIGHT), min_size=1, max_size=14))
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=5))
    *_, weight = columns(rows)
    y, keys = np.array(rows)[:, :-1], np.arange(len(rows)) // 3
    expected = accumulated(y, weight, keys, replicates=10, seed=4, threshold=0.1).result()
    order = list(range(len(rows)))
    random.shuffle(order)
    shards = []
    for start, end in itertools.pairwise([0, *sorted(cuts), len(rows)]):
        taken = order[start:end]
        shard = accumulated(y[taken], weight[taken], keys[taken], replicates=10, seed=4, threshold=0.1)
        shards.append(through_json(shard) if random.random() < 0.5 else shard)
    shards.append(pd.Accumulator(models, replicates=10, seed=4, threshold=0.1))
    random.shuffle(shards)
    while len(shards) > 1:  # a random tree of merges
        left = shards.pop(random.randrange(len(shards)))
        shards[random.randrange(len(shards))].merge(left)
    result = through_json(shards[0]).result()
    assert result.keys() == expected.keys()
    for name in result.keys() - {"quantiles", "histogram"}:
        # Sums are rounded; a jackknife and a bootstrap of what hardly differs leave the rounding of what is near 1.
        near_zero = 1e-13 if name.startswith("interval") else 1e-300
        np.testing.assert_allclose(result[name], expected[name], rtol=1e-12, atol=near_zero, err_msg=name)
    counts = [each["histogram"]["counts"] for each in (result, expected)]
    np.testing.assert_allclose(*counts, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 4), st.data())
def test_streamed_is_what_the_rows_give(models: int, data: Any) -> None:
    rows = data.draw(st.lists(st.tuples(*[PROBABILITY] * models, WEIGHT), min_size=1, max_size=10))
    *_, weight = columns(rows)
    y = np.array(rows)[:, :-1]
    streamed = accumulated(y, weight, threshold=0.3).result()
    whole = pd.statistics(y, weight, threshold=0.3, replicates=5)
    assert set(streamed) == set(whole) - {"after_matching_means", "interval"}
    assert streamed["relative"] == close(whole["relative"], 0)
    for (i, j, value), (k, m, other) in zip(streamed["pairs"], whole["pairs"], strict=True):
        assert (i, j, value) == (k, m, other)
    for name in (*PAIRWISE, "kl", "relative_norm_1", "relative_norm_2", "standard_deviation"):
        assert streamed[name] == close(whole[name])
    np.testing.assert_allclose(streamed["histogram"]["counts"], whole["histogram"]["counts"], atol=1e-12)
    np.testing.assert_allclose(streamed["histogram"]["edges"], whole["histogram"]["edges"], atol=1e-15)
    for q in ("0.5", "0.9", "0.99"):
        assert abs(streamed["quantiles"][q] - whole["quantiles"][q]) <= 2 / 6400 * (1 + 1e-9)  # the width of a bin
    if models >= 3:
        np.testing.assert_allclose(streamed["interval_over_replicas"], whole["interval_over_replicas"], atol=1e-12)


def test_streamed_interval_is_that_of_the_rows() -> None:
    y, query = simulated_pair(np.random.default_rng(3), requests=50)
    weight = np.random.default_rng(4).exponential(size=len(query))
    whole = pd.statistics(y, weight, query_id=query, replicates=100)["interval"]
    accumulator = pd.Accumulator(2, replicates=100)
    for part_ in np.array_split(np.random.default_rng(5).permutation(len(query)), 7):
        accumulator.add(y[part_], weight[part_], keys=query[part_])
    np.testing.assert_allclose(accumulator.result()["interval"], whole, rtol=1e-9)
    np.testing.assert_allclose(pd.interval(y, weight, query_id=query, replicates=100), whole, rtol=1e-9)


def test_infinite_terms_outlive_merges() -> None:
    certain = accumulated(np.array([[0.0, 0.5], [0.3, 0.4]]), None)
    plain = accumulated(np.array([[0.3, 0.4]]), None)
    assert math.isfinite(plain.result()["kl"])
    plain.merge(through_json(certain))
    assert plain.result()["kl"] == plain.result()["logit_difference"] == math.inf
    ignored = accumulated(np.array([[0.0, 0.5], [0.3, 0.4]]), [0.0, 1.0])
    assert ignored.result() == accumulated(np.array([[0.3, 0.4]]), None).result()


def test_memory_is_constant() -> None:
    rng = np.random.default_rng(0)
    accumulator = pd.Accumulator(2, replicates=5)
    sizes = []
    for start in range(0, 60_000, 3000):
        accumulator.add(rng.uniform(size=[3000, 2]), keys=np.arange(start, start + 3000))
        sizes.append(len(json.dumps(accumulator.to_dict())))
    assert sizes[-1] < 1.1 * sizes[9]


def test_merging_leaves_the_other_as_it_was_and_bad_rows_leave_no_trace() -> None:
    first, second = (accumulated(np.array([[0.1, value]]), None) for value in (0.2, 0.3))
    before = json.dumps(second.to_dict())
    first.merge(second)
    assert json.dumps(second.to_dict()) == before
    for wrong in ([[0.5, 1.5]], [[0.1, 0.2], [0.5, math.nan]], [[0.1, 0.2, 0.3]], [0.5, 0.5]):
        with pytest.raises(InputError):
            second.add(np.array(wrong))
    with pytest.raises(InputError):
        second.add(np.array([[0.9, 0.1]]), [-1.0])
    assert json.dumps(second.to_dict()) == before


def test_keys_of_any_kind() -> None:
    y, query = simulated_pair(np.random.default_rng(0), requests=20)
    text = [f"request-{number}" for number in query]
    kinds = {
        "text": [np.array(text), np.array(text, object), text, np.array(text, "S"), [name.encode() for name in text]],
        "integers": [query, query.astype(np.int32), query.astype(np.uint64), query.tolist(), query[:, None]],
        "huge": [query.astype(np.uint64) + np.uint64(2**63), [int(number) + 2**63 for number in query]],
    }
    for alike in kinds.values():
        intervals = [pd.interval(y, query_id=ids, replicates=50) for ids in alike]
        streamed = [accumulated(y, None, ids, replicates=50).result()["interval"] for ids in alike]
        for interval in (*intervals, *streamed):
            np.testing.assert_allclose(interval, intervals[0], rtol=1e-12)


# Intervals.


def simulated_pair(rng: np.random.Generator, requests: int) -> tuple[np.ndarray, np.ndarray]:
    """Two models that differ by a request's own level of disagreement; requests of 2 to 7 rows."""
    query = np.repeat(np.arange(requests), rng.integers(2, 8, requests))
    level = rng.exponential(0.25, requests)[query] * rng.uniform(0.8, 1.2, query.size)
    base = rng.uniform(0.001, 0.02, query.size)
    return np.stack([base * np.exp(level / 2), base * np.exp(-level / 2)], axis=1), query


def test_the_interval_by_request_covers_and_the_one_by_example_does_not() -> None:
    rng = np.random.default_rng(11)
    level = rng.exponential(0.25, 10**6) * rng.uniform(0.8, 1.2, 10**6)
    truth = float(np.mean(2 * np.tanh(level / 2)))
    covered = {"request": 0, "example": 0}
    for seed in range(200):
        y, query = simulated_pair(rng, requests=100)
        for name, ids in (("request", query), ("example", None)):
            low, high = pd.interval(y, query_id=ids, replicates=250, seed=seed)
            covered[name] += low <= truth <= high
    assert 180 <= covered["request"] <= 198
    assert covered["example"] < 160


@pytest.mark.parametrize(("requests", "tolerance"), [(600, 0.06), (60_000, 0.1)])
def test_the_interval_is_as_wide_as_linearisation_says(requests: int, tolerance: float) -> None:
    y, query = simulated_pair(np.random.default_rng(2), requests)
    weight = np.random.default_rng(3).exponential(size=query.size)
    terms = pd.per_example(y[:, 0], y[:, 1])
    value = np.average(terms, weights=weight)
    by_request = np.bincount(query, weight * (terms - value))
    error = math.sqrt((by_request**2).sum()) / weight.sum()
    low, high = pd.interval(y, weight, query_id=query, replicates=3000)
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=tolerance)
    assert (low + high) / 2 == pytest.approx(value, abs=0.3 * error)


def test_one_request_one_row_and_requests_of_no_weight() -> None:
    y = np.array([[0.1, 0.2], [0.3, 0.2], [0.5, 0.5]])
    assert pd.interval(y, query_id=["q"] * 3, replicates=50) == pytest.approx([pd.mean_over_pairs(y)] * 2)
    assert pd.interval(y[:1], replicates=50) == pytest.approx([2 / 3] * 2)
    low, high = pd.interval(y, [1, 1, 0], query_id=[1, 2, 3], replicates=50)
    np.testing.assert_allclose((low, high), pd.interval(y[:2], query_id=[1, 2], replicates=50), rtol=1e-12)


def ref_jackknife(y: np.ndarray, weight: Any, confidence: float) -> tuple[float, float]:
    """Leave one replica out, by the book."""
    models = y.shape[1]

    def mean_over_pairs(kept: list[int]) -> float:
        return float(np.mean([pd.relative(y[:, i], y[:, j], weight) for i, j in itertools.combinations(kept, 2)]))

    value = mean_over_pairs(list(range(models)))
    left = np.array([mean_over_pairs([i for i in range(models) if i != out]) for out in range(models)])
    error = math.sqrt((models - 1) / models * ((left - left.mean()) ** 2).sum())
    t = scipy.stats.t.ppf((1 + confidence) / 2, models - 1)
    return max(0.0, value - t * error), value + t * error


@pytest.mark.parametrize("models", [3, 4, 7])
@pytest.mark.parametrize("confidence", [0.95, 0.5])
def test_the_interval_over_replicas_is_the_jackknife(models: int, confidence: float) -> None:
    rng = np.random.default_rng(models)
    y, weight = rng.beta(1, 5, [60, models]) * rng.uniform(0.5, 1, models), rng.exponential(size=60)
    result = pd.interval_over_replicas(y, weight, confidence=confidence)
    np.testing.assert_allclose(result, ref_jackknife(y, weight, confidence), rtol=1e-9, atol=1e-12)


def test_the_interval_over_replicas_does_not_go_below_zero() -> None:
    y = np.array([[0.1, 0.1, 0.9]])
    low, high = pd.interval_over_replicas(y)
    assert low == 0
    assert high > pd.mean_over_pairs(y)
    np.testing.assert_allclose(pd.interval_over_replicas(np.full([3, 4], 0.2)), [0, 0], atol=1e-15)


def test_the_interval_over_replicas_covers() -> None:
    """Each training run has its own level of noise: what another run differs by is what the interval is about."""
    rng = np.random.default_rng(5)
    noise = rng.uniform(0.05, 0.5, [2, 10**6])
    truth = float(np.mean(2 * np.tanh(np.abs(np.sqrt((noise**2).sum(0)) * rng.normal(size=noise.shape[1])) / 2)))
    covered = 0
    for _ in range(200):
        logs = rng.uniform(0.05, 0.5, 8) * rng.normal(size=[150, 8])
        low, high = pd.interval_over_replicas(0.02 * np.exp(logs))
        covered += low <= truth <= high
    assert 180 <= covered <= 198


def test_the_interval_over_seeds() -> None:
    # Mean 3, standard error 1, t(2 df, 0.975) = 4.30265.
    assert pd.interval_over_seeds([3 - math.sqrt(3), 3, 3 + math.sqrt(3)]) == pytest.approx((-1.302653, 7.302653))
    assert pd.interval_over_seeds([0.1, 0.1]) == pytest.approx((0.1, 0.1))
    values = np.random.default_rng(0).normal(size=9)
    expected = scipy.stats.t.interval(0.8, 8, values.mean(), scipy.stats.sem(values))
    assert pd.interval_over_seeds(values, confidence=0.8) == pytest.approx(expected)
    rng = np.random.default_rng(1)
    intervals = [pd.interval_over_seeds(rng.normal(0.1, 0.02, 4)) for _ in range(400)]
    assert 360 <= sum(low <= 0.1 <= high for low, high in intervals) <= 396


# Bad input.

TWO = {name: MEASURES[name] for name in ("relative", "absolute", "kl", "jensen_shannon", "logit_difference", "flips")}
TWO |= {"quantiles": pd.quantiles, "histogram": pd.histogram, "after_matching_means": pd.after_matching_means}
MANY: dict[str, Any] = {
    name: getattr(pd, name)
    for name in ("pairs", "mean_over_pairs", "relative_norm", "standard_deviation", "interval", "statistics")
} | {"add": lambda y, w=None: accumulated(np.asarray(y, np.float64).reshape([-1, 2]), w).result()}


def refused(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", TWO)
def test_bad_pairs_are_refused_in_one_line(name: str) -> None:
    measure = TWO[name]
    refused(lambda: measure([0.5, 0.5], [0.5]), r"b must have 2 values")
    refused(lambda: measure([0.5, 1.0001], [0.5, 0.5]), r"a must be in \[0, 1\], got .* row 1; are these logits\?")
    refused(lambda: measure([0.5], [-0.1]), r"b must be in \[0, 1\].*are these logits\?")
    refused(lambda: measure([0.5, math.nan], [0.5, 0.5]), "a must be finite, got nan in row 1")
    refused(lambda: measure([0.5], [math.inf]), "b must be finite")
    refused(lambda: measure([[0.5, 0.5]], [[0.5, 0.5]]), "a must have shape")
    refused(lambda: measure([], []), "weight|value")
    refused(lambda: measure([0.5], [0.5], [0.0]), "weight")
    refused(lambda: measure([0.5], [0.5], [-1.0]), "sample_weight must be at or above 0")
    refused(lambda: measure([0.5], [0.5], [math.nan]), "sample_weight must be finite")
    refused(lambda: measure([0.5], [0.5], [1.0, 1.0]), "sample_weight must have 1 values")


@pytest.mark.parametrize("name", MANY)
def test_bad_matrices_are_refused_in_one_line(name: str) -> None:
    measure = MANY[name]
    if name != "add":
        refused(lambda: measure([[0.5], [0.5]]), "at least 2 models")
        refused(lambda: measure([0.5, 0.5]), "at least 2 models")
    refused(lambda: measure([[0.5, 0.5], [3.0, 0.5]]), "are these logits")
    refused(lambda: measure([[0.5, math.nan]]), "finite, got nan in row 0")
    refused(lambda: measure(np.zeros([0, 2])), "weight|value")
    refused(lambda: measure([[0.5, 0.5]], [0.0]), "weight")
    refused(lambda: measure([[0.5, 0.5]], [-1.0]), "sample_weight must be at or above 0")
    refused(lambda: measure([[0.5, 0.5]], [1.0, 1.0]), "sample_weight must have 1 values")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: pd.relative_norm([[0.1, 0.2]], p=0.5), "p must be .*0.5"),
        (lambda: pd.relative_norm([[0.1, 0.2]], p=math.nan), "p must be .*nan"),
        (lambda: pd.quantiles([0.1], [0.2], q=(0.5, 1.5)), "q must be .*1.5"),
        (lambda: pd.quantiles([0.1], [0.2], q=(-0.1,)), "q must be .*-0.1"),
        (lambda: pd.interval_over_replicas([[0.1, 0.2]]), "3"),
        (lambda: pd.interval_over_replicas([[0.1, 0.2, 0.3]], confidence=1.0), "confidence must be .*1"),
        (lambda: pd.interval_over_replicas(np.zeros([0, 3])), "weight|value"),
        (lambda: pd.interval_over_replicas([[0.1, 0.2, 0.3]], [0.0]), "weight"),
        (lambda: pd.interval_over_seeds([0.1]), "values .*2"),
        (lambda: pd.interval_over_seeds([]), "values .*2"),
        (lambda: pd.interval_over_seeds([0.1, math.nan]), "values must be finite"),
        (lambda: pd.interval_over_seeds([0.1, 0.2], confidence=0.0), "confidence must be .*0"),
        (lambda: pd.statistics([[0.1, 0.2]], query_id=[1, 2]), "query_id must have 1 values"),
        (lambda: pd.statistics([[0.1, 0.2]], replicates=-1), "replicates must be .*-1"),
        (lambda: pd.interval([[0.1, 0.2]], replicates=0), "replicates must be at least 1, got 0"),
        (lambda: pd.Accumulator(1), "2"),
        (lambda: pd.Accumulator(replicates=-1), "replicates must be .*-1"),
        (lambda: pd.Accumulator().result(), "weight"),
        (lambda: pd.Accumulator(3).add([[0.1, 0.2]]), "3"),
        (lambda: pd.Accumulator(replicates=5).add([[0.1, 0.2]]), "keys"),
        (lambda: pd.Accumulator(replicates=5).add([[0.1, 0.2]], keys=[1, 2]), "keys must have 1 values"),
        (lambda: pd.Accumulator().merge(pd.Accumulator(3)), "same"),
        (lambda: pd.Accumulator().merge(pd.Accumulator(threshold=0.4)), "same"),
        (lambda: pd.Accumulator(replicates=5).merge(pd.Accumulator()), "same"),
        (lambda: pd.Accumulator(replicates=5).merge(pd.Accumulator(replicates=5, seed=1)), "same"),
    ],
)
def test_bad_settings_are_refused_in_one_line(wrong: Any, message: str) -> None:
    refused(wrong, message)


def test_nothing_of_no_weight_has_no_result_but_merges() -> None:
    empty = accumulated(np.zeros([0, 2]), None)
    empty.merge(accumulated(np.array([[0.2, 0.9]]), [0.0]))
    refused(empty.result, "weight")
    full = accumulated(np.array([[0.2, 0.4]]), None)
    expected = full.result()
    full.merge(through_json(empty))
    assert full.result() == expected
    empty.merge(full)
    assert empty.result() == expected
