"""Checks of arrays: what is accepted comes back as float64 [n]; what is not is named with its row."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from smooth_recs.errors import InputError
from smooth_recs.statistics import arrays


def test_a_column_of_a_model_is_a_vector() -> None:
    found = arrays.probabilities("a", np.array([[0.5], [1.0]], np.float32))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [0.5, 1.0])


def test_each_model_of_a_matrix_is_contiguous() -> None:
    matrix = arrays.prediction_matrix([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    assert matrix.shape == (2, 3)
    assert all(column.flags["C_CONTIGUOUS"] for column in matrix.T)


def test_no_weights_are_equal_weights() -> None:
    np.testing.assert_array_equal(arrays.weights(None, 3), np.ones(3))


def test_unknown_identifiers_are_all_different() -> None:
    nan = float("nan")
    for values in (
        [7, None, 7, None],
        [7.0, nan, 7.0, nan],
        np.array(["a", "", "a", ""]),
        np.array([b"a", b"", b"a", b""]),
        np.array(["a", None, "a", nan], object),
        np.array([2**63 + 1, None, 2**63 + 1, None], object),
        np.array([0, None, 0, None], object),
    ):
        _, number = arrays.numbered("query_id", values)
        assert number[0] == number[2]
        assert len(set(number.tolist())) == 3, values
    for nothing in ([None, None], ["", ""], [nan, nan]):
        assert len(set(arrays.identifiers("query_id", nothing).tolist())) == 2


def test_identifiers_that_pandas_made_floats_are_integers() -> None:
    found = arrays.identifiers("query_id", np.array([7.0, -1.0]))
    assert found.dtype == np.int64
    assert arrays.identifiers("query_id", [["a"], ["b"]]).tolist() == ["a", "b"]
    distinct, number = arrays.numbered("query_id", ["b", "a", "b"])
    assert (distinct.tolist(), number.tolist()) == (["a", "b"], [1, 0, 1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: arrays.scores("a", [[1.0, 2.0]]), "a must have shape [n] or [n, 1], got [1, 2]"),
        (lambda: arrays.scores("a", [1.0], 2), "a must have 2 values like the others, got 1"),
        (lambda: arrays.scores("a", [0.0, np.inf]), "a must be finite, got inf in row 1"),
        (lambda: arrays.probabilities("a", [0.5, 7.0]), "a must be in [0, 1], got 7 in row 1; are these logits?"),
        (lambda: arrays.probability("threshold", np.nan), "threshold must be in [0, 1], got nan"),
        (lambda: arrays.at_or_above_0("bid", [-1.0], where=" here"), "bid must be at or above 0 here, got -1 in row 0"),
        (lambda: arrays.weights([1e101], 1), "sample_weight must be at most 1e100, got 1e+101 in row 0"),
        (lambda: arrays.labels([0, 2]), "label must be 0 or 1, got 2 in row 1"),
        (lambda: arrays.identifiers("query_id", [0.5]), "query_id must be integers, strings or bytes, all of one kind"),
        (lambda: arrays.identifiers("query_id", np.array([1, "a"], object)), "all of one kind, got int, str"),
        (lambda: arrays.refuse_empty("a", np.zeros(0)), "a must have at least one value, got none"),
        (lambda: arrays.refuse_weightless("a mean", np.zeros(2)), "a mean needs examples of positive weight, got none"),
    ],
)
def test_errors_name_the_array_the_rule_and_the_row(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        wrong()
