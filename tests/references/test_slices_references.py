"""Slices against groups made one row at a time, and what is measured in them against each slice alone."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import prediction_difference as pd
from smooth_recs.errors import InputError
from smooth_recs.measures import accuracy, slices


def rows_of(group: Any, size: int) -> frozenset[int]:
    """A group is a mask or row numbers."""
    group = np.asarray(group)
    assert group.ndim == 1
    if group.dtype == bool:
        assert group.size == size
        return frozenset(np.flatnonzero(group).tolist())
    assert np.issubdtype(group.dtype, np.integer)
    assert len(set(group.tolist())) == group.size
    return frozenset(group.tolist())


def members(groups: dict[str, Any], size: int) -> dict[str, frozenset[int]]:
    assert all(isinstance(name, str) for name in groups)
    return {name: rows_of(group, size) for name, group in groups.items()}


def cells(groups: dict[str, Any], size: int) -> set[frozenset[int]]:
    return set(members(groups, size).values())


def is_partition(groups: dict[str, Any], size: int) -> bool:
    own = list(members(groups, size).values())
    return all(own) and sum(map(len, own)) == size and frozenset().union(*own) == frozenset(range(size))


# By value.


@pytest.mark.parametrize("as_bytes", [False, True])
@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.sampled_from(["", "us", "de", "fr", "jp", "ü"]), min_size=1, max_size=40))
def test_text_by_value(as_bytes: bool, values: list[str]) -> None:
    given_values = [value.encode() for value in values] if as_bytes else values
    expected: dict[str, set[int]] = defaultdict(set)
    for row, value in enumerate(values):
        expected[value or "missing"].add(row)
    assert members(slices.by_value(np.array(given_values)), len(values)) == expected
    assert members(slices.by_value(np.array(given_values, object)), len(values)) == expected


def test_the_most_frequent_values_and_the_rest() -> None:
    counts = {"a": 9, "b": 7, "c": 5, "d": 3, "e": 1, "": 20}
    values = np.random.default_rng(0).permutation([value for value, count in counts.items() for _ in range(count)])
    groups = members(slices.by_value(values, most=2), values.size)
    assert {name: len(rows) for name, rows in groups.items()} == {"a": 9, "b": 7, "other": 9, "missing": 20}
    assert is_partition(slices.by_value(values, most=2), values.size)
    assert set(members(slices.by_value(values, most=5), values.size)) == {"a", "b", "c", "d", "e", "missing"}


def test_integers_by_value() -> None:
    values = np.array([3, 3, -1, 7, 3, 7, 10])
    groups = members(slices.by_value(values), 7)
    assert groups == {"3": {0, 1, 4}, "7": {3, 5}, "10": {6}, "missing": {2}}
    assert cells(slices.by_value(values[:, None]), 7) == cells(slices.by_value(values), 7)


def test_few_numbers_by_value_and_nan_is_missing() -> None:
    values = np.array([0.5, np.nan, 0.25, 0.5, np.nan])
    groups = members(slices.by_value(values), 5)
    assert set(groups.values()) == {frozenset({0, 3}), frozenset({2}), frozenset({1, 4})}
    assert groups["missing"] == {1, 4}


def test_missing_among_objects() -> None:
    groups = members(slices.by_value(np.array(["a", None, math.nan, "", "a"], object)), 5)
    assert groups == {"a": {0, 4}, "missing": {1, 2, 3}}


def test_many_integers_are_categories() -> None:
    values = np.concatenate([np.repeat(np.arange(30), np.arange(30) + 1), [-1]])
    groups = members(slices.by_value(values), values.size)
    assert set(groups) == {str(value) for value in range(10, 30)} | {"other", "missing"}
    assert len(groups["other"]) == 55
    assert is_partition(slices.by_value(values), values.size)


def test_many_numbers_become_fifths() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1000) / 7)
    values[:50] = np.nan
    groups = members(slices.by_value(values), 1000)
    assert is_partition(slices.by_value(values), 1000)
    assert groups.pop("missing") == frozenset(range(50))
    assert len(groups) == 5
    ranges = sorted((min(values[list(rows)]), max(values[list(rows)]), len(rows)) for rows in groups.values())
    assert all(earlier[1] < later[0] for earlier, later in itertools.pairwise(ranges))
    assert all(abs(size - 190) <= 1 for *_, size in ranges)


def test_fifths_of_tied_numbers_keep_ties_together() -> None:
    rng = np.random.default_rng(2)
    values = np.where(rng.uniform(size=500) < 0.7, 0.0, np.round(rng.exponential(size=500), 2))
    assert np.unique(values).size > 20
    groups = slices.by_value(values)
    assert is_partition(groups, 500)
    own = [sorted(set(values[list(rows)])) for rows in cells(groups, 500)]
    own.sort()
    assert all(earlier[-1] < later[0] for earlier, later in itertools.pairwise(own))


@pytest.mark.parametrize(
    "values",
    [
        1_700_000_000 + np.arange(500) * 60,
        1_700_000_000 + np.arange(500) * 60.0,
        1000 + np.arange(500) * 1e-9,
        -np.arange(500) - 5,
        np.arange(500) * 1e-300,
        np.array([0.1, 0.1 + 1e-12, 0.1 + 2e-12] * 5),
        np.concatenate([np.zeros(70), np.arange(30) + 1.0]),
        np.concatenate([np.arange(30.0), np.full(70, 30.0)]),
        np.arange(500).astype(np.uint64) + np.uint64(2**63),
        np.float32(0.1) * np.arange(500, dtype=np.float32),
    ],
)
def test_numbers_that_look_alike_lose_no_row(values: np.ndarray) -> None:
    groups = slices.by_value(values)
    assert is_partition(groups, values.size)
    own = sorted(sorted(set(values[list(cell)])) for cell in cells(groups, values.size))
    assert len(own) > 1
    assert all(earlier[-1] < later[0] for earlier, later in itertools.pairwise(own))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 40), st.just(7)), min_size=60, max_size=120))
def test_fifths_of_any_numbers_hold_every_row_once(values: list[int]) -> None:
    for kind in (np.int64, np.float32):
        groups = slices.by_value(np.array(values, kind), most=5)
        assert is_partition(groups, len(values))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "b", "c"]), max_size=4), min_size=1, max_size=20), st.booleans())
def test_a_row_of_several_values_belongs_to_each(rows: list[list[str]], as_integers: bool) -> None:
    expected: dict[str, set[int]] = defaultdict(set)
    padded: Any = np.full([len(rows), 4], -1) if as_integers else np.full([len(rows), 4], "", object)
    number = {"a": 0, "b": 1, "c": 2}
    for row, values in enumerate(rows):
        for place, value in enumerate(values):
            padded[row, place] = number[value] if as_integers else value
            expected[str(number[value]) if as_integers else value].add(row)
        if not values:
            expected["missing"].add(row)
    assert members(slices.by_value(padded if as_integers else padded.astype(str)), len(rows)) == expected


def test_several_rare_values_in_a_row_count_once() -> None:
    values = np.array([["a", "x"], ["a", "b"], ["b", ""], ["y", "z"], ["a", "a"], ["b", "a"], ["", ""]])
    groups = members(slices.by_value(values, most=2), 7)
    assert groups == {"a": {0, 1, 4, 5}, "b": {1, 2, 5}, "other": {0, 3}, "missing": {6}}


def test_values_named_like_our_own_groups_lose_no_row() -> None:
    values = np.array(["other"] * 5 + ["missing"] * 4 + ["a"] * 3 + ["b"] * 2 + [""])
    for most in (1, 2, 3, 20):
        groups = members(slices.by_value(values, most=most), values.size)
        assert frozenset().union(*groups.values()) == frozenset(range(values.size))


# By decile, position and frequency.


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, 0.5, 0.25, 5e-324]) | st.floats(0, 1), st.integers(1, 3)), min_size=1)
)
def test_deciles_are_ordered_and_keep_ties_together(rows: list[tuple[float, int]]) -> None:
    prediction, weight = np.array(rows).T
    for groups in (
        slices.by_decile(prediction),
        slices.by_decile(prediction, weight),
        slices.by_decile(prediction[:, None]),
    ):
        assert is_partition(groups, len(rows))
        assert len(groups) <= 10
        own = sorted(sorted(set(prediction[list(cell)])) for cell in cells(groups, len(rows)))
        assert all(earlier[-1] < later[0] for earlier, later in itertools.pairwise(own))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), min_size=1, max_size=30))
def test_deciles_count_weights_as_repetitions(rows: list[tuple[int, int]]) -> None:
    score, weight = np.array(rows).T
    if not weight.any():
        return
    groups = slices.by_decile(score / 20, weight)
    assert is_partition(groups, len(rows))
    taken = np.repeat(np.arange(len(rows)), weight)
    repeated = members(slices.by_decile(score[taken] / 20), taken.size)
    expected = {frozenset(taken[list(rows_)].tolist()) for rows_ in repeated.values()}
    own = {frozenset(row for row in rows_ if weight[row]) for rows_ in members(groups, len(rows)).values()}
    assert own - {frozenset()} == expected


@pytest.mark.parametrize("weighted", [False, True])
def test_deciles_hold_a_tenth_of_the_weight(weighted: bool) -> None:
    rng = np.random.default_rng(3)
    prediction = rng.beta(1, 20, 5000)
    weight = rng.exponential(size=5000) * (1 + 10 * prediction) if weighted else None
    groups = members(slices.by_decile(prediction, weight), 5000)
    assert len(groups) == 10
    total = np.ones(5000) if weight is None else weight
    shares = [total[list(rows)].sum() / total.sum() for rows in groups.values()]
    assert min(shares) > 0.095
    assert max(shares) < 0.105
    assert cells(slices.by_decile(np.full(30, 0.2)), 30) == {frozenset(range(30))}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_positions_count_the_rows_of_a_request(query: list[int]) -> None:
    seen: Counter[int] = Counter()
    expected: dict[int, set[int]] = defaultdict(set)
    for row, name in enumerate(query):
        expected[seen[name]].add(row)
        seen[name] += 1
    if max(seen.values()) <= 4:  # further ones may share a group
        for ids in (query, [f"q{name}" for name in query], np.array(query, np.uint64)[:, None] + np.uint64(2**63)):
            assert cells(slices.by_position(ids), len(query)) == {frozenset(rows) for rows in expected.values()}
    assert is_partition(slices.by_position(query), len(query))


def test_one_long_request() -> None:
    assert is_partition(slices.by_position(["q"] * 1000), 1000)


def test_frequencies_go_by_powers_of_ten() -> None:
    counts = np.array([0, 1, 9, 10, 99, 100, 999, 1000, 10**6, 0, 5])
    groups = slices.by_frequency(counts)
    assert is_partition(groups, counts.size)
    for rows in cells(groups, counts.size):
        assert len({0 if count == 0 else len(str(count)) for count in counts[list(rows)].tolist()}) == 1
    first = {frozenset({0, 9}), frozenset({1, 2, 10}), frozenset({3, 4})}
    assert first <= cells(groups, counts.size)
    assert "0" in groups


# What is measured in a slice.


def log(rows: int = 900, models: int = 2, seed: int = 0) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    base = rng.beta(1, 5, rows)
    group = rng.integers(0, 4, rows)
    predictions = np.clip(base[:, None] * np.exp(rng.normal(0, 0.1 + 0.2 * group[:, None], [rows, models])), 0, 1)
    return predictions, (rng.uniform(size=rows) < base).astype(float), rng.exponential(size=rows), group


@pytest.mark.parametrize("models", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_slice_measures_what_its_rows_give_alone(models: int, weighted: bool) -> None:
    y, label, weight, group = log(models=models)
    weight = weight if weighted else None
    ones = np.ones(label.size) if weight is None else weight
    groups = {f"g{number}": group == number for number in range(4)} | {"few": np.arange(40), "all": group >= 0}
    result = json.loads(json.dumps(slices.measure(groups, y, label, weight)))
    assert sorted(entry["slice"] for entry in result) == sorted(groups)
    assert [entry["pd"] for entry in result] == sorted((entry["pd"] for entry in result), reverse=True)
    whole = pd.mean_over_pairs(y, weight)
    for entry in result:
        rows = groups[entry["slice"]]
        part_weight = ones[rows]
        assert entry["rows"] == part_weight.size
        assert bool(entry.get("small")) == (entry["slice"] == "few")
        assert entry["weight_share"] == pytest.approx(part_weight.sum() / ones.sum(), rel=1e-12)
        assert entry["pd"] == pytest.approx(pd.mean_over_pairs(y[rows], part_weight), rel=1e-12)
        expected_share = entry["pd"] * part_weight.sum() / (whole * ones.sum())
        assert entry["pd_share"] == pytest.approx(expected_share, rel=1e-11)
        assert entry["label_mean"] == pytest.approx(np.average(label[rows], weights=part_weight), rel=1e-12)
        for name in ("auc_loss", "log_loss"):
            measure = getattr(accuracy, name)
            losses = [measure(label[rows], y[rows, model], part_weight) for model in range(models)]
            assert entry[name] == pytest.approx(np.mean(losses), rel=1e-11)
        low, high = entry["interval"]
        assert low < entry["pd"] < high
    shares = {entry["slice"]: entry["pd_share"] for entry in result}
    assert sum(shares[f"g{number}"] for number in range(4)) == pytest.approx(1, rel=1e-11)
    assert shares["all"] == pytest.approx(1, rel=1e-11)


def test_intervals_are_by_request() -> None:
    """Every request twice over says no more than once: a request's rows stand together."""
    y, label, weight, group = log(400)
    query = np.arange(400)
    twice = [np.repeat(values, 4, axis=0) for values in (y, label, weight, query, group)]

    def width(*rows: Any, **options: Any) -> float:
        (entry,) = slices.measure({"all": np.ones(len(rows[1]), bool)}, *rows, **options)
        return entry["interval"][1] - entry["interval"][0]

    once = width(y, label, weight, query_id=query)
    assert width(*twice[:3], query_id=twice[3]) == pytest.approx(once, rel=0.15)
    assert width(*twice[:3]) < 0.7 * once
    names = [f"q{number}" for number in twice[3]]
    assert width(*twice[:3], query_id=names) == pytest.approx(once, rel=0.2)


def test_models_that_agree_and_labels_of_one_class() -> None:
    y = np.repeat([[0.2], [0.4], [0.0]], 2, axis=1)
    (entry,) = slices.measure({"all": np.ones(3, bool)}, y, [1, 1, 1])
    assert entry["pd"] == 0
    assert entry["interval"] == [0, 0]
    assert entry["auc_loss"] is None
    assert entry["label_mean"] == 1
    assert entry["pd_share"] is None or not math.isnan(entry["pd_share"])
    json.dumps(entry, allow_nan=False)


def test_rows_of_no_weight_are_absent() -> None:
    y, label, weight, group = log(600)
    weight[::3] = 0
    kept = weight > 0
    names = ("pd", "weight_share", "pd_share", "auc_loss", "log_loss", "label_mean")
    query = np.arange(600) // 3
    whole = slices.measure({f"g{n}": group == n for n in range(4)}, y, label, weight, query_id=query)
    left = slices.measure(
        {f"g{n}": group[kept] == n for n in range(4)}, y[kept], label[kept], weight[kept], query_id=query[kept]
    )
    for entry, expected in zip(whole, left, strict=True):
        assert entry["slice"] == expected["slice"]
        for name in names:
            assert entry[name] == pytest.approx(expected[name], rel=1e-11)
        np.testing.assert_allclose(entry["interval"], expected["interval"], rtol=1e-9)


def test_groups_of_every_kind_can_be_measured() -> None:
    y, label, weight, group = log(500, models=3)
    query = np.arange(500) // 3
    text = np.array(["a", "b", "", "d"])[group]
    for groups in (
        slices.by_value(text, most=1),
        slices.by_value(np.stack([group, (group + 1) % 4], axis=1)),
        slices.by_value(y[:, 0]),
        slices.by_decile(y.mean(axis=1), weight),
        slices.by_position(query),
        slices.by_frequency(group * 7),
    ):
        result = slices.measure(groups, y, label, weight, query_id=query)
        assert {entry["slice"] for entry in result} == set(groups)
        json.dumps(result, allow_nan=False)


def refused(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


ALL = {"all": np.ones(2, bool)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: slices.measure({"germany": np.zeros(2, bool)} | ALL, [[0.1, 0.2]] * 2, [0, 1]), "germany"),
        (lambda: slices.measure({"germany": np.zeros(0, int)} | ALL, [[0.1, 0.2]] * 2, [0, 1]), "germany"),
        (lambda: slices.measure({"wide": np.ones(3, bool)}, [[0.1, 0.2]] * 2, [0, 1]), "wide"),
        (lambda: slices.measure({"far": np.array([5])}, [[0.1, 0.2]] * 2, [0, 1]), "far"),
        (lambda: slices.measure(ALL, [[0.1, 0.2]] * 2, [0]), "length|values"),
        (lambda: slices.measure(ALL, [[0.1, 0.2]] * 2, [0, 3]), "label must be 0 or 1"),
        (lambda: slices.measure(ALL, [[0.1], [0.2]], [0, 1]), "at least 2 models"),
        (lambda: slices.measure(ALL, [[0.1, 2.0]] * 2, [0, 1]), "are these logits"),
        (lambda: slices.measure(ALL, [[0.1, math.nan]] * 2, [0, 1]), "finite"),
        (lambda: slices.measure(ALL, [[0.1, 0.2]] * 2, [0, 1], [1]), "sample_weight must have 2 values"),
        (lambda: slices.measure(ALL, [[0.1, 0.2]] * 2, [0, 1], [0, 0]), "weight"),
        (lambda: slices.measure(ALL, [[0.1, 0.2]] * 2, [0, 1], query_id=[1]), "query_id must have 2 values"),
        (lambda: slices.by_value(np.zeros([2, 2, 2])), "shape"),
        (lambda: slices.by_decile([0.1, math.nan]), "finite"),
        (lambda: slices.by_decile([0.1, 0.2], [1.0]), "sample_weight must have 2 values"),
        (lambda: slices.by_frequency([3, -1]), "-1"),
    ],
)
def test_bad_input_is_refused_in_one_line(wrong: Any, message: str) -> None:
    refused(wrong, message)
