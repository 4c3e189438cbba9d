"""Gates as functions, and as the assertion for a user's own tests: who passes, who does not, what the line says."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import prediction_difference
from smooth_recs.errors import InputError
from smooth_recs.measures import accuracy, recommendations
from smooth_recs.measures.gates import Gate, Limits, failure, judge
from smooth_recs.testing import assert_reproducible

A = [0.125, 0.2, 0.6, 0.4]
B = [0.375, 0.2, 0.6, 0.4]  # relative PD (1 + 0 + 0 + 0) / 4
LABEL = [1, 0, 1, 0]  # AUC loss of A: 2 of 4 pairs; of B: 1 of 4
QUERY = [7, 7, 8, 8]  # request 7 changes its order


def test_a_value_at_its_limit_meets_it():
    judged = judge(Limits(max_pd=0.25, max_swap_rate=0.5), {"pd": 0.25, "swap_rate": math.nextafter(0.5, 1)})
    assert [gate.met for gate in judged] == [True, False]
    assert [gate.as_dict() for gate in judged] == [
        {"name": "max_pd", "limit": 0.25, "value": 0.25, "met": True},
        {"name": "max_swap_rate", "limit": 0.5, "value": math.nextafter(0.5, 1), "met": False},
    ]


def test_one_line_names_every_gate_that_is_not_met():
    gates = [Gate("max_pd", 0.1, 0.125), Gate("max_swap_rate", 0.5, 0.4), Gate("max_auc_loss_increase", 0.0, 1e-5)]
    assert failure(gates) == (
        "gates not met: max_pd=0.1: pd is 0.125, 0.025 above; "
        "max_auc_loss_increase=0: auc_loss_increase is 1e-05, 1e-05 above"
    )
    assert failure(gates[:1]) == "gate not met: max_pd=0.1: pd is 0.125, 0.025 above"
    assert failure(gates[1:2]) is None
    assert failure([]) is None


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(max_pd=10), "max_pd must be a fraction from 0 to 2, got 10"),
        (Limits(max_pd=-0.1), "max_pd must be a fraction from 0 to 2, got -0.1"),
        (Limits(max_pd="5%"), "max_pd must be a fraction from 0 to 2, got '5%'"),  # type: ignore[arg-type]
        (Limits(max_pd=math.nan), "max_pd must be a fraction from 0 to 2, got nan"),
        (Limits(max_swap_rate=5), "max_swap_rate must be a fraction from 0 to 1, got 5"),
        (Limits(max_auc_loss_increase=math.inf), "max_auc_loss_increase must be a fraction from -1 to 1, got inf"),
        (Limits(max_auc_loss_increase=0), "max_auc_loss_increase=0 cannot be measured: the rows have no labels"),
        (Limits(max_swap_rate=0.5), "max_swap_rate=0.5 cannot be measured: the rows have no query ids"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(limits, words):
    with pytest.raises(InputError, match=f"^{re.escape(words)}$"):
        limits.check(known=())


def test_a_gate_on_one_class_cannot_be_measured():
    with pytest.raises(InputError, match="the labels are all alike"):
        judge(Limits(max_auc_loss_increase=0.1), {"auc_loss_increase": None})
    with pytest.raises(InputError, match="the labels are all alike"):
        assert_reproducible(A, B, label=[1, 1, 1, 1], max_auc_loss_increase=0.1)


@pytest.mark.parametrize(
    ("limit", "value"), [("max_pd", 0.25), ("max_auc_loss_increase", -0.25), ("max_swap_rate", 0.5)]
)
def test_the_assertion_passes_at_its_limit_and_fails_just_below(limit, value):
    assert_reproducible(A, B, label=LABEL, query_id=QUERY, **{limit: value})
    with pytest.raises(AssertionError, match=f"^gate not met: {limit}="):
        assert_reproducible(A, B, label=LABEL, query_id=QUERY, **{limit: math.nextafter(value, -1)})


def test_weights_k_and_multiplier_count():
    assert_reproducible(A, B, sample_weight=[0, 1, 1, 1], max_pd=0)
    assert_reproducible(A, B, query_id=QUERY, max_swap_rate=0, multiplier=[9, 1, 1, 1])
    with pytest.raises(AssertionError):
        assert_reproducible(A, B, query_id=QUERY, max_swap_rate=0, k=1)


@pytest.mark.parametrize(
    ("a", "b", "arguments", "words"),
    [
        (A, B, {}, "assert_reproducible needs max_pd, max_auc_loss_increase or max_swap_rate, got none of them"),
        (A, B[:3], {"max_pd": 1}, "b must have 4 values like the others, got 3"),
        ([2.0], [0.5], {"max_pd": 1}, "a must be in [0, 1], got 2 in row 0; are these logits?"),
        ([0.5], [math.nan], {"max_pd": 1}, "b must be finite, got nan in row 0"),
        (A, B, {"max_swap_rate": 0.1}, "max_swap_rate=0.1 cannot be measured: the rows have no query ids"),
        ([], [], {"max_pd": 1}, "prediction difference needs examples of positive weight, got none"),
    ],
)
def test_the_assertion_refuses_what_it_cannot_measure(a, b, arguments, words):
    with pytest.raises(InputError, match=f"^{re.escape(words)}"):
        assert_reproducible(a, b, **arguments)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_the_assertion_measures_what_the_statistics_do(seed, rows):
    random = np.random.default_rng(seed)
    a, b = random.uniform(size=(2, rows)).round(1)
    label = np.append(random.integers(0, 2, rows - 2), [0, 1])
    query, weight = random.integers(0, 5, rows), random.uniform(0.1, 1, rows)
    measured = {
        "max_pd": prediction_difference.relative(a, b, weight),
        "max_auc_loss_increase": accuracy.auc_loss(label, b, weight) - accuracy.auc_loss(label, a, weight),
        "max_swap_rate": recommendations.swap_rate(a, b, query, k=2),
    }
    rows_ = {"label": label, "query_id": query, "sample_weight": weight, "k": 2}
    assert_reproducible(a[:, None], b[:, None], **rows_, **measured)
    tighter = {limit: math.nextafter(value, -1) for limit, value in measured.items() if value > 0}
    if tighter:
        with pytest.raises(AssertionError) as error:
            assert_reproducible(a, b, **rows_, **tighter)
        assert str(error.value).count(" above") == len(tighter)


def test_a_constant_model_is_not_reproducible():
    with pytest.raises(AssertionError, match=r"^gate not met: the new model predicts 0\.5 for every row"):
        assert_reproducible([0.5] * 100, [0.5] * 100, max_pd=0.1)
    assert_reproducible([0.5] * 100, [0.5] * 100, max_pd=0.1, allow_collapsed=True)
