"""Rows find their like by key, or by their place; nothing is lost without being counted."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.artifacts.exports import EXPORT, PREDICTIONS, Artifact
from smooth_recs.comparison.rows import match
from smooth_recs.comparison.settings import Side
from smooth_recs.errors import InputError


def side(flag, columns, kind=PREDICTIONS):
    columns = {role: np.asarray(column) for role, column in columns.items()}
    size = len(columns["prediction"])
    return Side(Artifact(flag, "p.csv", kind), size, np.arange(size), columns)


def pair(a, b, kind=PREDICTIONS):
    return side("--a", a), side("--b", b, kind)


def refused(a, b):
    with pytest.raises(InputError) as error:
        match(*pair(a, b))
    return str(error.value)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-50, 50), unique=True, min_size=1), st.lists(st.integers(-50, 50), unique=True, min_size=1))
def test_matching_is_the_join_of_two_dictionaries(keys_a, keys_b):
    a = {key: (0.5 + key / 200) for key in keys_a}
    b = {key: (0.5 - key / 200) for key in keys_b}
    sides = pair(*({"prediction": list(d.values()), "key/0": list(d)} for d in (a, b)))
    common = [key for key in a if key in b]
    if not common:
        with pytest.raises(InputError, match="no row of --a has the key of a row of --b"):
            match(*sides)
        return
    matched = match(*sides)
    assert matched.columns["prediction"].tolist() == [[a[key], b[key]] for key in common]
    assert (matched.only_in_a, matched.only_in_b) == (len(a) - len(common), len(b) - len(common))
    assert set(matched.columns) == {"prediction"}


def test_integers_and_texts_of_them_are_the_same_key():
    big = 9007199254740993
    matched = match(*pair(
        {"prediction": [0.1, 0.2, 0.3], "key/0": [big, 2, 1]},
        {"prediction": [0.4, 0.5, 0.6], "key/0": np.array([b"x", b"1", str(big).encode()])},
    ))  # fmt: skip
    assert matched.columns["prediction"].tolist() == [[0.1, 0.6], [0.3, 0.5]]
    assert (matched.only_in_a, matched.only_in_b) == (1, 1)


def test_numbers_are_the_same_key_in_whatever_type():
    numbers = pair(
        {"prediction": [0.1, 0.2, 0.3], "key/0": [7.0, 7.5, 8.0]},
        {"prediction": [0.4, 0.5, 0.6], "key/0": np.array([8.0, 7.0, 0.1], np.float32)},
    )
    assert match(*numbers).columns["prediction"].tolist() == [[0.1, 0.5], [0.3, 0.4]]
    for texts in ([b"7", b"7.5", b"x"], [b"7.0", b"7.5", b"x"]):
        other = {"prediction": [0.4, 0.5, 0.6], "key/0": np.array(texts)}
        matched = match(numbers[0], side("--b", other))
        assert matched.columns["prediction"].tolist() == [[0.1, 0.4], [0.2, 0.5]]
    integers = {"prediction": [0.1, 0.2], "key/0": [7, 8]}
    assert match(*pair(integers, other)).columns["prediction"].tolist() == [[0.1, 0.4]]


def test_texts_on_both_sides_are_no_numbers():
    versions = {"prediction": [0.1, 0.2], "key/0": np.array([b"1", b"1.0"])}
    assert match(*pair(versions, versions)).columns["prediction"].tolist() == [[0.1, 0.1], [0.2, 0.2]]


def test_a_key_of_several_columns_does_not_run_together():
    matched = match(*pair(
        {"prediction": [0.1, 0.2], "key/0": np.array([b"ab", b"a"]), "key/1": np.array([b"c", b"bc"])},
        {"prediction": [0.3, 0.4], "key/0": np.array([b"a", b"x"]), "key/1": np.array([b"bc", b"y"])},
    ))  # fmt: skip
    assert matched.columns["prediction"].tolist() == [[0.2, 0.3]]


def test_each_column_comes_from_a_where_it_has_it():
    matched = match(*pair(
        {"prediction": [0.1, 0.2], "key/0": [1, 2], "label": [0, 1], "slice/country": np.array([b"at", b"de"])},
        {"prediction": [0.3, 0.4], "key/0": [2, 1], "label": [1, 0], "weight": [5.0, 7.0]},
    ))  # fmt: skip
    assert {role: column.tolist() for role, column in matched.columns.items()} == {
        "prediction": [[0.1, 0.4], [0.2, 0.3]],
        "label": [0, 1],
        "weight": [7.0, 5.0],
        "slice/country": [b"at", b"de"],
    }
    assert list(matched.group("slice/")) == ["country"]


def test_without_a_key_rows_stand_in_order():
    matched = match(*pair({"prediction": [0.1, 0.2]}, {"prediction": [0.3, 0.4]}))
    assert matched.columns["prediction"].tolist() == [[0.1, 0.3], [0.2, 0.4]]
    assert (matched.only_in_a, matched.only_in_b) == (0, 0)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"key/0": [4, 7, 4]}, "--b: --key must tell rows apart, got 4 in rows 0 and 2"),
        ({"key/0": np.array([b"x", b"y", b"y"])}, "--b: --key must tell rows apart, got 'y' in rows 1 and 2"),
    ],
)
def test_a_key_that_is_twice_is_an_error(keys, words):
    unique = {"prediction": [0.1, 0.2, 0.3], "key/0": [4, 7, 9]}
    assert refused(unique, {"prediction": [0.1, 0.2, 0.3], **keys}) == words


def test_a_key_of_two_columns_that_is_twice_is_shown_as_such():
    both = {"prediction": [0.1, 0.2], "key/0": [1, 1], "key/1": np.array([b"x", b"x"])}
    assert refused(both, both) == "--a: --key must tell rows apart, got '1,x' in rows 0 and 1"


def test_no_common_key_shows_what_keys_look_like():
    said = refused({"prediction": [0.1], "key/0": [17]}, {"prediction": [0.1], "key/0": np.array([b"user-17"])})
    assert said.endswith("no row of --a has the key of a row of --b; the first ones are '17' and 'user-17'")


@pytest.mark.parametrize(
    ("role", "a", "b", "words"),
    [
        ("label", [0, 1], [1, 1], "label must be the same in --a and --b, got 0 and 1 in row 0"),
        ("weight", [1.0, 0.0], [1.0, 0.1], "weight must be the same in --a and --b, got 0 and 0.1 in row 1"),
        ("query_id", [5, 6], np.array([b"5", b"x"]), "query_id must be the same in --a and --b, got '6' and 'x' in"),
    ],
)
def test_what_both_sides_know_of_a_row_must_agree(role, a, b, words):
    rows = {"prediction": [0.1, 0.2]}
    assert refused(rows | {role: a}, rows | {role: b}).startswith(words)
    match(*pair(rows | {role: a}, rows | {role: a}))


def test_weights_may_differ_by_the_rounding_of_float32():
    rows = {"prediction": [0.1]}
    match(*pair(rows | {"weight": [0.1]}, rows | {"weight": [np.float64(np.float32(0.1))]}))


def test_query_ids_of_a_model_are_fingerprints_which_a_file_need_not_know():
    rows = {"prediction": [0.1]}
    matched = match(*pair(rows | {"query_id": np.array([b"request"])}, rows | {"query_id": [123456]}, EXPORT))
    assert matched.columns["query_id"].tolist() == [b"request"]
    assert re.fullmatch(r"\|S\d+", matched.columns["query_id"].dtype.str)
