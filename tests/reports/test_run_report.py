"""Reports of runs that were never trained: what a page says, what it never does, and how it looks in a browser."""

from __future__ import annotations

import copy
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from report_pages import (
    ATTACK,
    MANIFEST,
    METRICS,
    SLICES,
    assert_asks_for_nothing,
    assert_nothing_overflows,
    needs_chromium,
    page_of,
    relu,
    slice_of,
    workdir,
)

from smooth_recs.reports import run_report


def test_page_is_whole_and_asks_for_nothing(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path), workdir(tmp_path / "smelu"))
    assert [tag for tag, _ in page.tags].count("svg") == 5 + len(SLICES)
    assert assert_asks_for_nothing(page) > 0, "the charts refer to their own parts"


def test_equal_workdirs_give_equal_files(tmp_path: Path) -> None:
    run = workdir(tmp_path / "smelu")
    for name in ("first", "second"):
        run_report.write([run], str(tmp_path / f"{name}.html"))
        run_report.picture([run], str(tmp_path / f"{name}.png"))
    assert (tmp_path / "first.html").read_bytes() == (tmp_path / "second.html").read_bytes()
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


@hypothesis.given(
    name=st.text(alphabet="<>&\"'{}%$_#/ab", min_size=1, max_size=30),
    relative=st.floats(0, 2),
    auc=st.floats(0, 1),
)
@hypothesis.settings(max_examples=25, deadline=None)
def test_any_name_stays_text_and_any_number_stays_exact(
    tmp_path_factory: pytest.TempPathFactory, name: str, relative: float, auc: float
) -> None:
    tmp_path = tmp_path_factory.mktemp("any")
    metrics = {"replicas": [{"auc": auc}, {"auc": auc}], "pd": {"relative": relative}}
    plain = page_of(tmp_path, workdir(tmp_path / "plain", activation="plain", beta=None, metrics=metrics))
    page = page_of(tmp_path, workdir(tmp_path / "named", activation=name, beta=None, metrics=metrics))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert name in page.text
    assert page.table("AUC")["Prediction difference (PD)"] == [[relative]]
    assert next(table for table in page.tables if len(table.get("AUC", ())) == 2)["AUC"] == [[auc], [auc]]


def test_markup_in_data_and_configuration_stays_text(tmp_path: Path) -> None:
    manifest = {
        "versions": {ATTACK: ATTACK},
        "data": {"malformed": {"first": [f"log.csv:1: column {ATTACK}"]}, ATTACK: 1},
        "command": ATTACK,
        "unknown": [{ATTACK: [ATTACK]}],
    }
    metrics = copy.deepcopy(METRICS)
    metrics["layers"][0]["name"] = ATTACK
    metrics["exports"] = [ATTACK]
    metrics["replicas"][0][ATTACK] = 0.5
    metrics["slices"] = {ATTACK: [slice_of(ATTACK, 0.1, 1.0, 1.0)]}
    metrics["recommendations"]["k"] = ATTACK
    metrics["pd_estimate"]["method"] = ATTACK
    metrics["pd_estimate"]["rank_correlation"][ATTACK] = {"value": 0.5, "interval": [0.4, 0.6]}
    runs = [
        workdir(tmp_path / str(number), activation=ATTACK, beta=number, metrics=metrics, manifest=manifest)
        for number in range(2)
    ]
    for page in (page_of(tmp_path, runs[0]), page_of(tmp_path, *runs)):
        assert "<script" not in page.markup.lower()
        assert page.text.count(ATTACK) >= 17


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        ("history", "While training"),
        ("layers", "Scale of the pre-activations"),
        ("best_possible", "true probabilities"),
        ("examples_per_second", "Examples a second"),
        ("recommendations", "ordered top"),
        ("slices", "Where the difference is"),
        ("pd_estimate", "Estimated from one model"),
    ],
)
@pytest.mark.parametrize("null", [False, True])
def test_missing_part_leaves_out_its_section_only(tmp_path: Path, missing: str, gone: str, null: bool) -> None:
    metrics = {key: value for key, value in METRICS.items() if key != missing} | ({missing: None} if null else {})
    page = page_of(tmp_path, workdir(tmp_path / "smelu", metrics=metrics))
    assert gone not in page.prose
    assert gone in page_of(tmp_path, workdir(tmp_path / "whole")).prose
    assert page.table("PD, 95% interval")["Prediction difference (PD)"] == [[0.085312345]]


def test_hardly_anything_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "manifest.json").write_text("{}")
    (folder / "metrics.json").write_text('{"replicas": [{"auc": null, "log_loss": NaN}, {"auc": 0.5}]}')
    page = page_of(tmp_path, str(folder))
    assert page.prose.startswith("bare")
    assert "nan" not in page.prose.lower()


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [360, 390, 1200])
def test_nothing_overflows_in_a_browser(tmp_path: Path, width: int) -> None:
    long_name = {**MANIFEST, "data": {"fingerprint": "0123456789abcdef" * 20}, "command": "x" * 400}
    runs = [relu(tmp_path), workdir(tmp_path / "smelu", manifest=long_name), workdir(tmp_path / "swish", beta=0.2)]
    assert_nothing_overflows(page_of(tmp_path, *runs), tmp_path, width, charts=5 + len(SLICES))
