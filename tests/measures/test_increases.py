"""Increases of a loss from one model to another: values, intervals, coverage."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs.errors import InputError
from smooth_recs.measures import accuracy
from smooth_recs.measures.increases import increase
from smooth_recs.statistics.bootstrap import PoissonBootstrap, request_keys

SCORE = st.sampled_from([0.0, 0.2, 0.5, 1.0])
ROW = st.tuples(st.integers(0, 1), SCORE, SCORE, st.sampled_from([0.0, 1.0, 2.5]), st.integers(0, 4))
METRICS = ("auc_loss", "log_loss", "per_query_auc_loss")


def exact(metric: str, label: Any, prediction: Any, weight: Any, query_id: Any) -> float | None:
    if metric == "per_query_auc_loss":
        return accuracy.per_query_auc_loss(label, prediction, query_id, weight).value
    return {"auc_loss": accuracy.auc_loss, "log_loss": accuracy.log_loss}[metric](label, prediction, weight)


@settings(max_examples=100, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=25).filter(lambda rows: any(row[3] for row in rows)))
def test_the_value_is_the_difference_of_the_metrics(rows: list[Any]) -> None:
    label, a, b, weight, query_id = (np.array(column) for column in zip(*rows, strict=True))
    for metric in METRICS:
        found = increase(metric, label, a, b, weight, query_id=query_id, replicates=10)
        before, after = (exact(metric, label, prediction, weight, query_id) for prediction in (a, b))
        if before is None:
            assert found is None
        else:
            assert found["value"] == pytest.approx(after - before, abs=1e-12)
            assert found["interval"][0] <= found["interval"][1]


def test_by_hand() -> None:
    # One pair of four turns from right to a tie: 1/8.
    found = increase("auc_loss", [1, 1, 0, 0], [0.9, 0.4, 0.3, 0.1], [0.9, 0.3, 0.3, 0.1])
    assert found["value"] == 0.125
    assert increase("log_loss", [1, 0], [0.5, 0.5], [0.25, 0.5])["value"] == pytest.approx(math.log(2) / 2)
    per_query = increase(
        "per_query_auc_loss", [1, 0, 1, 0], [0.6, 0.2, 0.9, 0.4], [0.2, 0.6, 0.9, 0.4], query_id=[7, 7, 8, 8]
    )
    assert per_query["value"] == 0.5


def test_a_model_is_no_worse_than_itself() -> None:
    label, a, _, weight, query_id = simulated(np.random.default_rng(0), 50)
    for metric in METRICS:
        found = increase(metric, label, a, a, weight, query_id=query_id, replicates=50)
        assert found == {"value": 0.0, "interval": [0.0, 0.0]}


def test_what_is_not_defined_is_none() -> None:
    assert increase("auc_loss", [1, 1], [0.1, 0.2], [0.2, 0.1]) is None
    assert increase("auc_loss", [1, 0], [0.1, 0.2], [0.2, 0.1], [1, 0]) is None
    assert increase("per_query_auc_loss", [1, 0], [0.1, 0.2], [0.2, 0.1]) is None
    assert increase("per_query_auc_loss", [1, 0], [0.1, 0.2], [0.2, 0.1], query_id=[1, 2]) is None


def simulated(rng: np.random.Generator, requests: int, rows: int = 20) -> tuple[Any, Any, Any, Any, Any]:
    """Labels of requests of unlike click rates; what b makes of the signal differs from request to request."""
    query_id = np.repeat(np.arange(requests), rows)
    level, taste, weight = (np.repeat(values, rows) for values in rng.normal(size=[3, requests]))
    signal, noise = rng.normal(size=[2, query_id.size])
    label = (rng.uniform(size=query_id.size) < sigmoid(level + signal - 1)).astype(np.float64)
    a = sigmoid(0.5 * level + signal + 0.3 * noise - 1)
    b = sigmoid(0.3 * level + (0.7 + 0.3 * taste) * signal + 0.8 * taste - 1)
    return label, a, b, np.exp(weight / 2), query_id


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def draws(requests: int, replicates: int) -> Any:
    """[requests, replicates]: how often the bootstrap draws each."""
    drawn = []
    for request in range(requests):
        alone = PoissonBootstrap(replicates)
        alone.add(np.ones(1), np.ones(1), request_keys([request]))
        drawn.append(alone.sums[:, 0].astype(int))
    return np.array(drawn)


@pytest.mark.parametrize(
    ("metric", "tolerance"), [("auc_loss", 0.05), ("log_loss", 1e-9), ("per_query_auc_loss", 1e-9)]
)
def test_the_interval_is_that_of_measuring_every_replicate(metric: str, tolerance: float) -> None:
    """The rows of a request that is drawn n times are there n times; the AUC loss is linearised, the others exact."""
    label, a, b, weight, query_id = simulated(np.random.default_rng(0), 400)
    replicates = []
    for draw in draws(400, 80).T:
        rows = np.repeat(np.arange(query_id.size), draw[query_id])
        copy = np.concatenate([np.arange(count) for count in draw[query_id]])
        copied = (weight[rows], query_id[rows] + 1000 * copy)  # pairs within a copy, none between copies
        before, after = (exact(metric, label[rows], prediction[rows], *copied) for prediction in (a, b))
        replicates.append(after - before)
    low, high = increase(metric, label, a, b, weight, query_id=query_id, replicates=80)["interval"]
    expected = np.quantile(replicates, [0.025, 0.975])
    np.testing.assert_allclose([low, high], expected, atol=tolerance * (expected[1] - expected[0]), rtol=0)


def test_intervals_by_request_cover_and_by_row_do_not() -> None:
    large = simulated(np.random.default_rng(1), 50_000)
    truth = {metric: increase(metric, *large[:4], query_id=large[4], replicates=1)["value"] for metric in METRICS}
    covered = dict.fromkeys(METRICS, 0)
    by_row = {"auc_loss": 0, "log_loss": 0}
    for seed in range(2, 202):
        *columns, query_id = simulated(np.random.default_rng(seed), 150)
        for metric in METRICS:
            low, high = increase(metric, *columns, query_id=query_id, replicates=400)["interval"]
            covered[metric] += low <= truth[metric] <= high
        for metric in by_row:
            low, high = increase(metric, *columns, replicates=400)["interval"]
            by_row[metric] += low <= truth[metric] <= high
    assert all(0.90 <= count / 200 <= 0.99 for count in covered.values()), covered
    assert all(count / 200 < 0.90 for count in by_row.values()), by_row


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: increase("auc", [0, 1], [0.5, 0.5], [0.5, 0.5]),
            "metric must be one of auc_loss, log_loss, per_query_auc_",
        ),
        (lambda: increase("auc_loss", [0, 1], [0.5, 0.5], [0.5]), "b must have 2 values like the others, got 1"),
        (
            lambda: increase("auc_loss", [0, 1], [0.5], [0.5, 0.5]),
            "label and prediction must have the same length, got 2 and 1",
        ),
        (lambda: increase("auc_loss", [0, 1], [0.5, math.nan], [0.5, 0.5]), "a must be finite, got nan in row 1"),
        (
            lambda: increase("log_loss", [0, 1], [0.5, 0.5], [0.5, 3]),
            "b must be in .0, 1., got 3 in row 1; are these logits",
        ),
        (
            lambda: increase("auc_loss", [0, 1], [0.5, 0.5], [0.5, 0.5], [0, 0]),
            "auc_loss needs examples of positive weight",
        ),
        (lambda: increase("auc_loss", [0, 1], [0.5, 0.5], [0.5, 0.5], query_id=[1]), "query_id must have 2 values"),
        (lambda: increase("auc_loss", [], [], []), "label must have at least one value, got none"),
    ],
)
def test_errors_are_one_line(wrong: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)
