"""The Poisson bootstrap: its draws, its merges, its coverage."""

from __future__ import annotations

import json

import numpy as np
import pytest

from smooth_recs.errors import InputError
from smooth_recs.statistics import bootstrap
from smooth_recs.statistics.bootstrap import PoissonBootstrap, poisson_draws, request_keys


def test_draws_are_poisson_and_independent() -> None:
    draws = poisson_draws(np.arange(5000, dtype=np.uint64), 200, seed=3)
    shares = [(draws == n).mean() for n in range(6)]
    np.testing.assert_allclose(shares, np.exp(-1) / np.array([1, 1, 2, 6, 24, 120]), atol=0.002)
    assert draws.mean() == pytest.approx(1, abs=0.005)
    assert draws.var() == pytest.approx(1, abs=0.01)
    across_replicates = np.corrcoef(draws.T)[np.triu_indices(200, 1)]
    across_keys = np.corrcoef(draws[:200])[np.triu_indices(200, 1)]
    assert across_replicates.std() == pytest.approx(1 / np.sqrt(5000), rel=0.05)
    assert across_keys.std() == pytest.approx(1 / np.sqrt(200), rel=0.05)


def test_a_draw_depends_on_seed_key_and_replicate_only() -> None:
    keys = np.array([5, 9, 5], np.uint64)
    draws = poisson_draws(keys, 30, seed=0)
    np.testing.assert_array_equal(draws[0], draws[2])
    np.testing.assert_array_equal(poisson_draws(keys[1:2], 17, seed=0)[0], draws[1, :17])
    assert (poisson_draws(keys, 30, seed=1) != draws).any()


def test_keys_of_text_do_not_depend_on_what_else_is_there() -> None:
    np.testing.assert_array_equal(request_keys(["b", "a", "b"]), request_keys([b"b", b"a", b"b"]))
    assert request_keys(["c", "a"])[1] == request_keys(["a", "b"])[0]
    assert len(set(request_keys(np.array(["a", "b", "a", 3], object)).tolist())) == 3
    np.testing.assert_array_equal(request_keys(np.array([-1, 7], np.int32)), np.array([2**64 - 1, 7], np.uint64))


def test_replicates_are_the_weighted_ratios_of_what_their_draws_repeat() -> None:
    rng = np.random.default_rng(0)
    numerator, denominator, keys = rng.uniform(size=300), rng.uniform(size=300), np.arange(300, dtype=np.uint64)
    resampled = PoissonBootstrap(replicates=40, seed=2)
    resampled.add(numerator, denominator, keys)
    draws = np.stack([draws_of(key, replicates=40, seed=2) for key in keys])
    np.testing.assert_array_equal(draws, np.round(draws))
    assert draws.mean() == pytest.approx(1, abs=0.03)
    ratios = (draws.T @ numerator) / (draws.T @ denominator)
    np.testing.assert_allclose(resampled.interval(0.9), np.quantile(ratios, [0.05, 0.95]), rtol=1e-12)


def draws_of(key: np.uint64, replicates: int, seed: int) -> np.ndarray:
    """How often each replicate counts a request, from the sums of the request alone."""
    single = PoissonBootstrap(replicates, seed)
    single.add(np.zeros(1), np.ones(1), np.array([key]))
    return single.sums[:, 1]


def test_requests_have_groups_of_their_own_up_to_chance() -> None:
    draws = np.stack([draws_of(key, replicates=200, seed=0) for key in np.arange(400, dtype=np.uint64)])
    alike = np.triu(np.corrcoef(draws) > 0.99, 1).sum()
    assert alike <= 6  # 400^2 / 2 pairs, each with a chance of 1 in 65,536: 1.2 are expected
    assert np.corrcoef(draws)[np.triu_indices(400, 1)].std() == pytest.approx(1 / np.sqrt(200), rel=0.1)


def test_sharing_groups_does_not_change_the_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_GROUP_BITS", 10)
    values = np.random.default_rng(0).exponential(size=20_000)  # 20 requests a group
    resampled = PoissonBootstrap(replicates=4000)
    resampled.add(values, np.ones(20_000), request_keys(np.arange(20_000)))
    spread = (resampled.sums[:, 0] / resampled.sums[:, 1]).std()
    # sqrt(2 / 1024) = 4% of the variance from the groups, sqrt(2 / 4000) = 2% from the replicates.
    assert spread == pytest.approx(values.std() / np.sqrt(20_000), rel=0.07)


def test_shards_merge_even_where_they_split_a_request() -> None:
    rng = np.random.default_rng(0)
    values, ones = rng.uniform(size=999), np.ones(999)
    keys = request_keys(np.arange(999) // 4)
    whole = PoissonBootstrap(replicates=100)
    whole.add(values, ones, keys)
    merged = PoissonBootstrap(replicates=100)
    for part in (slice(0, 1), slice(1, 402), slice(402, 402), slice(402, None)):
        shard = PoissonBootstrap(replicates=100)
        shard.add(values[part], ones[part], keys[part])
        merged.merge(shard)
    np.testing.assert_allclose(merged.sums, whole.sums, rtol=1e-12)


def test_the_state_goes_through_json() -> None:
    whole = PoissonBootstrap(replicates=30, seed=5)
    whole.add(np.linspace(0, 1, 50), np.ones(50), request_keys(np.arange(50)))
    again = PoissonBootstrap(replicates=30, seed=5)
    again.add_state(json.loads(json.dumps(whole.state())))
    np.testing.assert_array_equal(again.sums, whole.sums)


def test_memory_is_bounded_and_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    values, keys = np.linspace(0, 1, 500), np.arange(500, dtype=np.uint64)
    whole = PoissonBootstrap(replicates=50)
    whole.add(values, np.ones(500), keys)
    monkeypatch.setattr(bootstrap, "_CELLS", 170)  # three keys at a time
    chunked = PoissonBootstrap(replicates=50)
    chunked.add(values, np.ones(500), keys)
    np.testing.assert_allclose(chunked.sums, whole.sums, rtol=1e-12)


@pytest.mark.parametrize("room", [1000 << 16, 200 * 60, 0], ids=["all", "a part", "none"])
def test_draws_that_are_kept_change_no_bit(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(bootstrap, "_MOST_KEPT", room)
    monkeypatch.setattr(bootstrap, "_CELLS", 200 * 9)  # nine groups at a time
    bootstrap._group_draws.cache_clear()
    rng = np.random.default_rng(1)
    values, keys = rng.uniform(size=[2, 300]), np.arange(300, dtype=np.uint64)
    # Parts that have groups in common, and all; then all again, which are kept where there is room.
    for rows in (slice(0, 40), slice(20, 90), slice(None), slice(None)):
        found = PoissonBootstrap(replicates=200, seed=4)
        found.add(*values[:, rows], keys[rows])
        expected = np.zeros([200, 2])
        groups, of_row = np.unique(bootstrap._mix(keys[rows]) >> np.uint64(48), return_inverse=True)
        terms = np.stack([np.bincount(of_row, column) for column in values[:, rows]], axis=1)
        for start in range(0, len(groups), 9):
            expected += poisson_draws(groups[start : start + 9], 200, 4).T @ terms[start : start + 9]
        np.testing.assert_array_equal(found.sums, expected)


def test_a_group_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap._group_draws.cache_clear()
    drawn: list[int] = []

    def counted(keys: np.ndarray, replicates: int, seed: int) -> np.ndarray:
        drawn.extend(keys.tolist())
        return poisson_draws(keys, replicates, seed)

    monkeypatch.setattr(bootstrap, "poisson_draws", counted)
    keys = request_keys(np.arange(500))
    for rows in (slice(None), slice(100, 300), slice(None)):
        PoissonBootstrap(replicates=100, seed=7).add(np.ones(500)[rows], np.ones(500)[rows], keys[rows])
    assert len(drawn) == len(set(drawn)) > 400
    PoissonBootstrap(replicates=100, seed=8).add(np.ones(500), np.ones(500), keys)  # other draws
    assert len(drawn) == 2 * len(set(drawn))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: PoissonBootstrap(replicates=0), "replicates must be at least 1, got 0"),
        (lambda: PoissonBootstrap().interval(), "positive weight, got none"),
        (lambda: PoissonBootstrap().interval(1.0), "confidence must be between 0 and 1, got 1.0"),
        (lambda: PoissonBootstrap().merge(PoissonBootstrap(seed=1)), "same seed and replicates"),
    ],
)
def test_errors(wrong, message: str) -> None:
    with pytest.raises(InputError, match=message):
        wrong()


def test_one_request_has_no_interval() -> None:
    values, one = np.linspace(0.1, 0.9, 50), np.ones(50)
    for keys, weight, known in (
        (np.zeros(50), one, False),
        (np.arange(50) // 25, one, True),
        (np.arange(50) // 25, (np.arange(50) < 25).astype(float), False),  # the other one has no weight
    ):
        bootstrap = PoissonBootstrap()
        bootstrap.add(weight * values, weight, request_keys(keys.astype(np.int64)))
        assert (bootstrap.interval() is not None) == known
