"""`statistics`: all measures at once, those of the functions."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from smooth_recs import prediction_difference as pd
from smooth_recs.errors import InputError

OF_PAIRS = {"absolute", "kl", "jensen_shannon", "logit_difference", "flips", "quantiles", "histogram"}
OF_MODELS = {"relative_norm_1", "relative_norm_2", "standard_deviation"}
STREAMED = {"relative", "pairs", "interval", "interval_over_replicas"} | OF_PAIRS | OF_MODELS


def sample(models: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(-1, 1, [500, 1]) + rng.normal(0, 0.3, [500, models])
    return 1 / (1 + np.exp(-logits)), rng.uniform(size=500), np.arange(500) // 4


def test_all_measures_of_three_models() -> None:
    predictions, weight, request = sample(3)
    values = pd.statistics(predictions, weight, query_id=request, threshold=0.3, replicates=100)
    assert set(values) == STREAMED | {"after_matching_means"}
    assert values["interval"] == list(pd.interval(predictions, weight, query_id=request, replicates=100))
    pairs = list(itertools.combinations(predictions.T, 2))
    matched = np.mean([pd.after_matching_means(a, b, weight) for a, b in pairs])
    assert values["after_matching_means"] == pytest.approx(matched, rel=1e-12)
    levels = np.mean([pd.quantiles(a, b, weight) for a, b in pairs], axis=0)
    assert values["quantiles"] == pytest.approx(dict(zip(("0.5", "0.9", "0.99"), levels, strict=True)), rel=1e-12)
    accumulator = pd.Accumulator(3, threshold=0.3, replicates=100)
    accumulator.add(predictions, weight, keys=request)
    streamed = accumulator.result()
    assert set(streamed) == STREAMED
    assert [name for name in STREAMED if values[name] != streamed[name]] == ["quantiles"]


def test_two_models_and_no_more() -> None:
    predictions, _, _ = sample(2)
    values = pd.statistics(predictions, replicates=100)
    assert "interval_over_replicas" not in values
    assert values["interval"] == list(pd.interval(predictions, replicates=100))
    assert values["pairs"] == [[0, 1, values["relative"]]]
    assert values["kl"] == pytest.approx((pd.kl(*predictions.T) + pd.kl(*predictions.T[::-1])) / 2)
    assert "interval" not in pd.statistics(predictions, replicates=0)


def test_values_go_through_json_infinity_included() -> None:
    values = pd.statistics([[0.5, 1.0], [0.25, 0.5]], replicates=10)
    assert values["kl"] == values["logit_difference"] == float("inf")
    assert json.loads(json.dumps(values)) == values


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"predictions": [[0.5]]}, "at least 2 models"),
        ({"predictions": np.zeros([0, 2])}, "positive weight, got none"),
        ({"predictions": [[0.5, 0.5]], "sample_weight": [0.0]}, "positive weight, got none"),
        ({"predictions": [[0.5, 0.5]], "query_id": [1, 2]}, "query_id must have 1 values like the others"),
        ({"predictions": [[0.5, 0.5]], "threshold": -1.0}, r"threshold must be in \[0, 1\], got -1.0"),
        ({"predictions": [[0.5, 0.5]], "replicates": -1}, "replicates must be at least 0, got -1"),
    ],
)
def test_errors_are_one_line(arguments, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        pd.statistics(**arguments)
    assert "\n" not in str(caught.value)
