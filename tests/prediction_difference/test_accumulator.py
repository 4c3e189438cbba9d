"""The accumulator: the values of `statistics`, whatever the partition, and its way through JSON."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import prediction_difference as pd
from smooth_recs.errors import InputError

# Ties, certainties, the smallest and the nearly equal, weights of 0.
PROBABILITY = st.one_of(st.sampled_from([0.0, 5e-324, 1e-9, 0.25, 0.5, 1 - 2**-53, 1.0]), st.floats(0, 1))
ROW = st.tuples(PROBABILITY, PROBABILITY, PROBABILITY, st.one_of(st.just(0.0), st.floats(0, 1e6)))
ROWS = st.lists(ROW, min_size=1, max_size=15)
BIN = 2 / 6400


def accumulated(rows: list[tuple[float, ...]], **settings: Any) -> pd.Accumulator:
    table = np.reshape(rows, [-1, 4])
    accumulator = pd.Accumulator(3, **settings)
    accumulator.add(table[:, :3], table[:, 3])
    return accumulator


def through_json(accumulator: pd.Accumulator) -> pd.Accumulator:
    return pd.Accumulator.from_dict(json.loads(json.dumps(accumulator.to_dict())))


def assert_close(result: dict[str, Any], expected: dict[str, Any]) -> None:
    """All values agree up to the rounding of float64 sums, but for quantiles, where rounding may choose another bin."""
    assert result.keys() == expected.keys()
    for name in result.keys() - {"quantiles", "histogram"}:
        # The jackknife takes differences of the means of the pairs, which rounding does not leave 0.
        smallest = 1e-13 if name == "interval_over_replicas" else 1e-300
        np.testing.assert_allclose(result[name], expected[name], rtol=1e-12, atol=smallest, err_msg=name)
    counts = [each["histogram"]["counts"] for each in (result, expected)]
    np.testing.assert_allclose(*counts, rtol=1e-12)


def sample(rows: int, models: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, weights and the requests, of about four rows each."""
    rng = np.random.default_rng(0)
    base = rng.normal(-2, 1, [rows, 1])
    predictions = 1 / (1 + np.exp(-base - rng.normal(0, 0.2, [rows, models])))
    return predictions, rng.uniform(size=rows), rng.integers(0, rows // 4, rows)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.lists(st.integers(0, 15), max_size=4), st.randoms(use_true_random=False))
def test_any_partition_in_any_order_gives_the_same_values(rows, cuts, random) -> None:
    if not any(row[3] for row in rows):
        return
    expected = accumulated(rows).result()
    random.shuffle(rows)
    edges = [0, *sorted(cuts), len(rows)]
    shards = [through_json(accumulated(rows[start:end])) for start, end in itertools.pairwise(edges)]
    random.shuffle(shards)
    total = pd.Accumulator(3)
    for shard in shards:
        total.merge(shard)
    assert_close(total.result(), expected)
    assert through_json(total).to_dict() == total.to_dict()


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_values_are_those_of_the_functions(rows: list[tuple[float, ...]]) -> None:
    table = np.array(rows)
    predictions, weight = table[:, :3], table[:, 3]
    if not weight.any():
        return
    result = accumulated(rows, threshold=0.3).result()
    pairs = list(itertools.combinations(predictions.T, 2))
    assert result["pairs"] == [list(pair) for pair in pd.pairs(predictions, weight)]
    assert result["relative"] == pd.mean_over_pairs(predictions, weight)
    both_ways = [*pairs, *[(b, a) for a, b in pairs]]
    expected = {
        "absolute": np.mean([pd.absolute(a, b, weight) for a, b in pairs]),
        "kl": np.mean([pd.kl(a, b, weight) for a, b in both_ways]),
        "jensen_shannon": np.mean([pd.jensen_shannon(a, b, weight) for a, b in pairs]),
        "logit_difference": np.mean([pd.logit_difference(a, b, weight) for a, b in pairs]),
        "flips": np.mean([pd.flips(a, b, weight, threshold=0.3) for a, b in pairs]),
        "relative_norm_1": pd.relative_norm(predictions, weight),
        "relative_norm_2": pd.relative_norm(predictions, weight, p=2),
        "standard_deviation": pd.standard_deviation(predictions, weight),
    }
    assert {name: result[name] for name in expected} == pytest.approx(expected, rel=1e-12, abs=1e-300)
    assert result["interval_over_replicas"] == list(pd.interval_over_replicas(predictions, weight))


def test_quantiles_are_within_a_bin_and_the_histogram_is_exact() -> None:
    predictions, weight, _ = sample(3000)
    accumulator = pd.Accumulator(3)
    accumulator.add(predictions, weight)
    result = accumulator.result()
    pairs = list(itertools.combinations(predictions.T, 2))
    exact = np.mean([pd.quantiles(a, b, weight) for a, b in pairs], axis=0)
    for value, (name, streamed) in zip(exact, result["quantiles"].items(), strict=True):
        assert value - BIN <= streamed <= value, name
    shares, edges = zip(*[pd.histogram(a, b, weight, bins=100) for a, b in pairs], strict=True)
    np.testing.assert_allclose(result["histogram"]["counts"], np.mean(shares, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(result["histogram"]["edges"], edges[0])


def test_an_edge_belongs_to_the_bin_above_it() -> None:
    # PD 0, 1 and 2 exactly.
    accumulator = pd.Accumulator()
    accumulator.add([[0.2, 0.2], [0.125, 0.375], [0.5, 0.0]], [1, 2, 1])
    result = accumulator.result()
    counts = np.array(result["histogram"]["counts"])
    np.testing.assert_array_equal(np.flatnonzero(counts), [0, 50, 99])
    np.testing.assert_array_equal(counts[[0, 50, 99]], [0.25, 0.5, 0.25])
    assert result["quantiles"] == {"0.5": 1.0, "0.9": 2 - BIN, "0.99": 2 - BIN}


def test_infinite_terms_survive_where_they_count() -> None:
    shard, total = pd.Accumulator(), pd.Accumulator()
    shard.add([[0.5, 0.0]], [0.0])
    total.add([[0.5, 0.25]])
    total.merge(through_json(shard))
    assert total.result()["kl"] == pytest.approx((pd.kl([0.5], [0.25]) + pd.kl([0.25], [0.5])) / 2)
    shard.add([[0.5, 0.0]], [1e-300])
    total.merge(through_json(shard))
    assert total.result()["kl"] == total.result()["logit_difference"] == math.inf
    assert total.result()["absolute"] == pytest.approx(0.25)


def test_the_bootstrap_of_shards_that_split_requests() -> None:
    predictions, weight, request = sample(400)
    expected = pd.interval(predictions, weight, query_id=request, replicates=50, seed=3)
    total = pd.Accumulator(3, replicates=50, seed=3)
    for rows in np.array_split(np.random.default_rng(1).permutation(400), [0, 1, 150, 151]):
        shard = pd.Accumulator(3, replicates=50, seed=3)
        shard.add(predictions[rows], weight[rows], keys=request[rows])
        total.merge(through_json(shard))
    np.testing.assert_allclose(total.result()["interval"], expected, rtol=1e-12)
    total.merge(pd.Accumulator(3, replicates=50, seed=3))
    total.add(np.zeros([0, 3]), keys=[])
    assert through_json(total).result() == total.result()
    assert "interval" not in accumulated([(0.5, 0.5, 0.5, 1.0)]).result()


def test_memory_does_not_grow_with_the_rows() -> None:
    predictions, weight, _ = sample(100_000, models=2)
    accumulator, sizes = pd.Accumulator(), []
    for _ in range(3):
        accumulator.add(predictions, weight)
        sizes.append(len(json.dumps(accumulator.to_dict())))
    assert sizes[2] < 1.1 * sizes[0] < 150_000


def test_a_merge_leaves_the_other_as_it_is() -> None:
    first, second = accumulated([(0.1, 0.2, 0.3, 1.0)]), accumulated([(0.5, 0.2, 0.1, 2.0)])
    before = second.to_dict()
    first.merge(second)
    first.add([[0.5, 0.5, 0.5]])
    assert second.to_dict() == before


def test_what_is_refused_adds_nothing() -> None:
    accumulator = accumulated([(0.1, 0.2, 0.3, 1.0)])
    before = accumulator.to_dict()
    for wrong in ([[0.1, 0.2, 1.5]], [[0.1, 0.2]]):
        with pytest.raises(InputError):
            accumulator.add(wrong)
    assert accumulator.to_dict() == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: pd.Accumulator(1), "models must be at least 2, got 1"),
        (lambda: pd.Accumulator(replicates=-1), "replicates must be at least 0, got -1"),
        (lambda: pd.Accumulator(threshold=2), r"threshold must be in \[0, 1\], got 2"),
        (lambda: pd.Accumulator().result(), "positive weight, got none"),
        (lambda: pd.Accumulator(replicates=9).result(), "positive weight, got none"),
        (lambda: accumulated([(0.5, 0.5, 0.5, 0.0)]).result(), "positive weight, got none"),
        (lambda: pd.Accumulator().add([[0.5, 0.5, 0.5]]), "predictions must be of 2 models, got 3"),
        (lambda: pd.Accumulator().add([[0.5, 7.0]]), "are these logits"),
        (lambda: pd.Accumulator(replicates=9).add([[0.5, 0.5]]), "keys must be given where there are replicates"),
        (lambda: pd.Accumulator(replicates=9).add([[0.5, 0.5]], keys=[1, 2]), "keys must have 1 values"),
        (lambda: pd.Accumulator().merge(pd.Accumulator(3)), "only accumulators of the same settings merge"),
        (lambda: pd.Accumulator().merge(pd.Accumulator(threshold=0.25)), "only accumulators of the same settings"),
        (lambda: pd.Accumulator(replicates=9).merge(pd.Accumulator(replicates=9, seed=1)), "of the same settings"),
    ],
)
def test_errors_are_one_line(wrong, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"a": 1}, "KeyError: 'settings'"),
        ({"settings": {"wings": 2}, "sums": {}}, "TypeError: .*'wings'"),
        ({"settings": {"models": 1}, "sums": {}}, "InputError: models must be at least 2, got 1"),
        ({"settings": {"models": 2}, "sums": {}}, "KeyError: 'weight'"),
        ([1], "TypeError: "),
    ],
)
def test_a_state_that_is_none_is_one_line(state: Any, said: str) -> None:
    with pytest.raises(InputError, match=rf"^state must be what Accumulator\.to_dict\(\) gave, .* fails with {said}"):
        pd.Accumulator.from_dict(state)
