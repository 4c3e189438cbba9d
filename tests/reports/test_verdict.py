"""Sentences of a report: what they say of the numbers, and what they do not say."""

from __future__ import annotations

import copy
from pathlib import Path

from report_pages import MANIFEST, METRICS, page_of, relu, workdir


def test_recommendations_in_words_and_numbers(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    said = "Two models have a different ordered top 3 in 21.7% of the requests (95% interval 21.0% to 22.4%)."
    assert said in page.prose
    lists = page.table("Kendall distance")
    assert lists == {
        "Length of the lists (k)": [[3]],
        "Swap rate": [[0.217]],
        "Swap rate, 95% interval": [[0.21, 0.224]],
        "Overlap": [[0.961]],
        "Kendall distance": [[0.052]],
        "Requests": [[25_000]],
        "of a single row": [[12]],
    }


def test_one_replica_has_no_prediction_difference(tmp_path: Path) -> None:
    metrics = {**METRICS, "pd": None, "replicas": METRICS["replicas"][:1]}
    alone = workdir(tmp_path / "alone", activation="relu", beta=None, metrics=metrics)
    page = page_of(tmp_path, alone)
    assert "no prediction difference is measured" in page.prose
    assert "The interval is over held-out requests" not in page.prose
    both = page_of(tmp_path, alone, workdir(tmp_path / "pair"))
    assert "cannot be compared in PD with ReLU" in both.prose
    assert "not measured" in both.text


def test_comparison_says_what_is_measured_and_no_more(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path), workdir(tmp_path / "smelu"))
    assert page.prose.startswith("SmeLU 0.1 against ReLU")
    assert (
        "The PD of SmeLU 0.1 is 8.53% (95% interval 8.32% to 8.71%), that of ReLU 14.4% (14.1% to 14.7%): 41% lower. "
        "The two intervals do not overlap. Its AUC loss is 0.2278 against 0.2298, 0.0020 lower; replicas of the same "
        "run differ by up to 0.0019."
    ) in page.prose
    assert "It says nothing about another training run." in page.prose
    overview = page.table("PD, 95% interval")
    assert overview["Prediction difference (PD)"] == [[0.144], [0.085312345], []]
    assert overview["PD, 95% interval"] == [[0.141, 0.147], [0.0832, 0.0871], []]
    assert page.prose.count("\N{MINUS SIGN}41%") == 1
    changed = [table for table in page.tables if list(table) == ["model.activation", "model.beta"]]
    assert changed == [{"model.activation": [[], []], "model.beta": [[], [0.1]]}]
    assert page.source.index("<svg") < page.source.index('<h2 id="what-is-measured">'), "a picture first"


def test_comparison_that_goes_against_the_second_run(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path, relative=0.08, interval=[0.078, 0.084]), workdir(tmp_path / "smelu"))
    assert ": 7% higher. The two intervals overlap, so the difference is inconclusive." in page.prose


def test_a_difference_that_replicas_of_one_run_have_too_is_inconclusive(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    for replica in metrics["replicas"]:
        replica["auc_loss"] += 0.0018
    page = page_of(tmp_path, workdir(tmp_path / "a"), workdir(tmp_path / "b", activation="relu", metrics=metrics))
    assert "0.0018 higher; replicas of the same run differ by up to 0.0019, so this is inconclusive." in page.prose
    equal = page_of(tmp_path, workdir(tmp_path / "c"), workdir(tmp_path / "d", activation="relu"))
    assert "the same to four decimals; replicas of the same run differ by up to 0.0019." in equal.prose


def test_pd_of_zero_has_no_relative_change(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path, relative=0.0, interval=[0.0, 0.0]), workdir(tmp_path / "smelu"))
    assert "that of ReLU 0% (0% to 0%). The two intervals do not overlap." in page.prose


def test_runs_measured_on_other_rows_are_said_to_be(tmp_path: Path) -> None:
    """Best weights that are chosen on the first held-out rows leave those out of what is measured."""
    counted = [workdir(tmp_path / str(rows), metrics={**METRICS, "eval_examples": rows}) for rows in (1000, 1500)]
    said = "These runs were not measured on the same held-out rows (1,000, 1,500)."
    assert said in page_of(tmp_path, *counted).prose
    assert "not measured on the same" not in page_of(tmp_path, counted[0], counted[0]).prose
    other = {**MANIFEST, "data": {**MANIFEST["data"], "fingerprint": "sha256:0"}}
    on_other_data = workdir(tmp_path / "b", metrics={**METRICS, "eval_examples": 9}, manifest=other)
    prose = page_of(tmp_path, counted[0], on_other_data).prose
    assert "did not see the same data" in prose
    assert "not measured on the same" not in prose, "the greater difference says it all"


def test_runs_on_other_data_are_said_to_be(tmp_path: Path) -> None:
    first = workdir(tmp_path / "a", activation="relu", beta=None)
    assert "did not see the same data" not in page_of(tmp_path, first, workdir(tmp_path / "b")).prose
    other = {**MANIFEST, "data": {**MANIFEST["data"], "fingerprint": "sha256:0"}}
    page = page_of(tmp_path, first, workdir(tmp_path / "c", manifest=other))
    assert "These runs did not see the same data (their fingerprints differ)" in page.prose


def test_what_is_likely_to_be_wrong_stands_on_top(tmp_path: Path) -> None:
    manifest = {**MANIFEST, "data": {**MANIFEST["data"], "warnings": ["price is the same in every row"]}}
    one = workdir(tmp_path / "one", metrics={**METRICS, "warnings": ["PD is exactly 0"]}, manifest=manifest)
    page = page_of(tmp_path, one)
    first = page.source.index("Price is the same in every row.")
    assert first < page.source.index("PD is exactly 0.") < page.source.index('class="cards')
    both = page_of(tmp_path, workdir(tmp_path / "relu", activation="relu", beta=None), one)
    assert "Price is the same in every row (SmeLU 0.1)." in both.prose
    assert "PD is exactly 0 (SmeLU 0.1)." in both.prose
