"""Tables of a report: every number is the one in metrics.json, and what was not measured has no row."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from report_pages import MANIFEST, METRICS, SLICES, page_of, relu, workdir


def test_numbers_in_tables_are_those_of_the_metrics(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    overview = page.table("PD, 95% interval")
    assert overview["Prediction difference (PD)"] == [[0.085312345]]
    assert overview["PD, 95% interval"] == [[0.0832, 0.0871]]
    assert overview["PD with means matched"] == [[0.0812]]
    assert overview["AUC"] == [[pytest.approx(0.77215)]]
    assert overview["AUC of the true probabilities"] == [[0.8336]]
    assert overview["Training examples"] == [[1_000_000]]

    replicas = next(table for table in page.tables if len(table.get("AUC", ())) == 2)
    for name, key in {
        "Log loss": "log_loss",
        "AUC": "auc",
        "AUC loss": "auc_loss",
        "Calibration": "calibration",
    }.items():
        assert replicas[name] == [[replica[key]] for replica in METRICS["replicas"]]

    bins = page.table("10.0% to 20.0%")
    assert list(bins.values()) == [[[0.7]], [[0.25]], [[0.05]]], "no rows after the last bin that has examples"
    steps = page.table("1,800")
    assert steps == {"400": [[0.2], [0.7], [0.4]], "1,800": [[0.09], [0.77], [0.34]]}
    assert page.table("dense_0")["dense_0"] == [[0.62], [0.31]]
    assert page.table("train.batch_size")["train.batch_size"] == [[256.0]]
    for said in ("8.53%", "8.32% to 8.71%", "log.csv:99: empty line", "2.21.0", MANIFEST["command"], "sha256:9c11"):
        assert said in page.text


def test_all_measures_and_what_they_mean(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    measures = page.table("Classification flips")
    expected = {
        "Relative (PD)": 0.085312345,
        "Relative, means matched": 0.0812,
        "Relative, median example": 0.061,
        "Relative, 90% of examples": 0.19,
        "Relative, 99% of examples": 0.37,
        "Relative to the mean, L1": 0.0427,
        "Relative to the mean, L2": 0.0431,
        "Absolute": 0.0123,
        "Standard deviation": 0.0062,
        "Logits": 0.0931,
        "Jensen-Shannon": 0.00041,
        "Classification flips": 0.0021,
    }
    assert measures == {name: [[value]] for name, value in expected.items()} | {"KL divergence": [[]]}
    assert re.search("in nats *infinite", page.prose)
    assert "examples on different sides of the threshold" in page.prose
    assert "1.23 points" in page.prose


def test_estimate_from_one_model(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    assert page.table("Every unit") == {
        "Every unit": [[0.62], [0.6, 0.64]],
        "Summaries of each layer": [[0.55], [0.53, 0.57]],
        "The prediction alone": [[0.21], [0.2, 0.23]],
    }
    assert "Fitted on 50,000 rows, tested on 49,000; ridge regression." in page.prose


def test_progressive_curves_have_their_own_section(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    progressive = {"step": 400, "progressive_pd": 0.21, "progressive_auc_loss": 0.3, "progressive_log_loss": 0.41}
    metrics["history"] = [*METRICS["history"], progressive]
    page = page_of(tmp_path, workdir(tmp_path / "smelu", metrics=metrics))
    assert page.text.index("While training") < page.text.index("On rows not trained on yet")
    steps = [table for table in page.tables if "400" in table]
    assert steps == [
        {"400": [[0.2], [0.7], [0.4]], "1,800": [[0.09], [0.77], [0.34]]},
        {"400": [[0.21], [0.3], [0.41]]},
    ]
    assert [tag for tag, _ in page.tags].count("svg") == 5 + len(SLICES)


def test_interval_over_replicas_is_told_apart(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path, interval_over_replicas=[0.12, 0.17]))
    overview = page.table("PD, 95% interval over replicas")
    assert overview["PD, 95% interval over replicas"] == [[0.12, 0.17]]
    assert overview["PD, 95% interval"] == [[0.141, 0.147]]
    assert "with other replicas of the same run" in page.prose
    of_two = page_of(tmp_path, workdir(tmp_path / "smelu")).prose
    assert "with other replicas of the same run" not in of_two
    assert "Two replicas are one pair, and one pair has no interval over replicas." in of_two


def test_what_the_metrics_cannot_say_is_infinite_only_where_a_measure_can_be(tmp_path: Path) -> None:
    """JSON has no word for infinity: null stands for it, as a run or a comparison writes it."""
    metrics = copy.deepcopy(METRICS)
    metrics["pd"].update(kl=None, logit_difference=None, flips=None)
    del metrics["pd"]["jensen_shannon"]
    page = page_of(tmp_path, workdir(tmp_path / "smelu", metrics=metrics))
    measures = page.table("KL divergence")
    assert measures["KL divergence"] == measures["Logits"] == [[]]
    assert page.prose.count("infinite") == 2
    assert not {"Jensen-Shannon", "Classification flips"} & set(measures), "not measured"


def test_schedule_and_pairs_of_three_replicas(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["replicas"].append(METRICS["replicas"][0])
    metrics["pd"]["pairs"] = [[0, 1, 0.08], [0, 2, 0.09], [1, 2, 0.0856]]
    page = page_of(tmp_path, workdir(tmp_path / "smelu", beta=[0.4, 0.2, 0.05], metrics=metrics))
    assert page.prose.startswith("SmeLU 0.4 to 0.05")
    assert page.table("0 and 2") == {"0 and 1": [[0.08]], "0 and 2": [[0.09]], "1 and 2": [[0.0856]]}


def test_other_labels_stand_in_a_table_of_their_own(tmp_path: Path) -> None:
    def tasks(relative: float, loss: float) -> dict[str, Any]:
        pd = {"relative": relative, "interval": [relative / 2, relative * 2]}
        sale = {"replicas": [{"auc_loss": loss}, {"auc_loss": loss + 0.02}], "pd": pd, "recommendations": None}
        return {**copy.deepcopy(METRICS), "tasks": {"sale": sale}}

    one = workdir(tmp_path / "one", metrics=tasks(0.25, 0.3))
    other = workdir(tmp_path / "other", beta=0.2, metrics=tasks(0.1875, 0.28))
    found = page_of(tmp_path, one).table("sale: PD")
    assert found == {"sale: PD": [[0.25]], "sale: PD, 95% interval": [[0.125, 0.5]], "sale: AUC loss": [[0.31]]}
    both = page_of(tmp_path, one, other)
    assert both.table("sale: PD")["sale: PD"] == [[0.25], [0.1875], []]
    assert "−25%" in both.text
    assert "−0.0200" in both.text
    assert "Other labels" not in page_of(tmp_path, workdir(tmp_path / "alone")).text
