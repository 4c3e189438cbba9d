"""Rows of the table of measures: what they are called, and how they are read from a `metrics.json`."""

from __future__ import annotations

import doctest

import numpy as np

from smooth_recs.measures import catalogue
from smooth_recs.measures.catalogue import BY_NAME, PD
from smooth_recs.measures.measure import Rows

METRICS = {
    "replicas": [{"auc": 0.75, "log_loss": 0.5}, {"auc": 0.25, "log_loss": None}],
    "pd": {"relative": 0.1, "quantiles": {"0.5": 0.05}},
    "recommendations": None,
    "examples_per_second": 9e4,
}


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(catalogue).failed == 0


def test_a_value_is_read_from_the_section_of_its_family() -> None:
    read = {name: measure.read(METRICS) for name, measure in BY_NAME.items()}
    assert read["pd"] == 0.1
    assert read["quantiles.0.5"] == 0.05
    assert read["quantiles.0.9"] is None
    assert read["auc"] == 0.5, "the mean over the replicas"
    assert read["log_loss"] is None, "a replica has none"
    assert read["swap_rate"] is None
    assert read["examples_per_second"] == 9e4


def test_a_measure_without_its_columns_is_none() -> None:
    rows = Rows(np.array([1, 0]), np.array([0.5, 0.25]))
    assert BY_NAME["auc"].of(rows) == 1.0
    assert BY_NAME["per_query_auc_loss"].of(rows) is None
    assert BY_NAME["auc"].of(Rows(None, rows.prediction)) is None
    assert PD.of(rows) is None, "computed together with its family"


def test_labels_inside_a_sentence() -> None:
    assert [BY_NAME[name].inside for name in ("pd", "log_loss", "auc_loss", "per_query_auc_loss")] == [
        "PD",
        "log loss",
        "AUC loss",
        "per-query AUC loss",
    ]
