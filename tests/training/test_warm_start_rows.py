"""Rows of two tables that stand for the same value, against a search through all pairs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.data.encoding import Encoding
from smooth_recs.data.feature_statistics import Statistics
from smooth_recs.schema import Categorical, Schema
from smooth_recs.training.warm_start import matching

VALUES = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"\xff"]), unique=True, max_size=5).map(tuple)


def encoding(sites: tuple[bytes, ...], size: int, buckets: int, order: tuple[str, ...]) -> Encoding:
    features = {
        "site": Categorical("site", "vocabulary"),
        "user": Categorical("user", "identity", size, "int64"),
        "query": Categorical("query", "hash", buckets),
    }
    return Encoding(Schema(tuple(features[name] for name in order)), Statistics({"site": sites}))


def meanings(made: Encoding) -> list[tuple[str, object]]:
    """What each row of the stacked table stands for."""
    rows: list[tuple[str, object]] = []
    for feature in made.schema.categorical:
        known: list[object] = list(range(made.known_values(feature)))
        if feature.encoding == "vocabulary":
            known = list(made.statistics.vocabularies[feature.name])
        if feature.encoding == "hash":
            known = [(feature.size, bucket) for bucket in known]
        # The special rows of hashes into other numbers of buckets are not each other's, as nothing there is.
        special = feature.size if feature.encoding == "hash" else 0
        rows += [(feature.name, value) for value in (*known, ("unknown", special), ("missing", special))]
    return rows


ENCODINGS = st.builds(
    encoding,
    VALUES,
    st.integers(1, 4),
    st.integers(1, 2),
    st.permutations(["site", "user", "query"]).flatmap(
        lambda names: st.integers(1, 3).map(lambda count: tuple(names[:count]))
    ),
)


@settings(max_examples=60, deadline=None)
@given(ENCODINGS, ENCODINGS)
def test_pairs_are_all_rows_of_the_same_meaning(there: Encoding, here: Encoding) -> None:
    found = matching(there, here)
    one, other = meanings(there), meanings(here)
    assert found.equal == (one == other)
    if not found.equal:
        expected = {(i, j) for i, a in enumerate(one) for j, b in enumerate(other) if a == b}
        assert sorted(zip(*map(np.ndarray.tolist, found.rows), strict=True)) == sorted(expected)
        names = [[feature.name for feature in made.schema.categorical] for made in (there, here)]
        for k, j in zip(*found.features, strict=True):
            assert names[0][k] == names[1][j]


def test_words_say_how_much_or_why_not() -> None:
    there = encoding((b"a", b"b"), 3, 2, ("site", "user", "query"))
    here = encoding((b"b", b"c", b"d"), 4, 5, ("query", "site", "user"))
    assert matching(there, here).words == {
        "query": "2 buckets there, 5 here",
        "site": "1 of 3 values",
        "user": "3 of 4 values",
    }
    other = Encoding(Schema((Categorical("user", "hash", 3), Categorical("shop", "hash", 3))), Statistics())
    assert matching(there, other).words == {
        "user": "identity of int64 there, hash of string here",
        "shop": "not in that run",
    }
