"""What a sweep says of its finished runs: numbers by hand, CSV, TensorBoard."""

from __future__ import annotations

import csv
import json

import pytest
import tensorflow as tf
from sweep_cases import MANIFEST, PDS, finish, sweep, written
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from smooth_recs.experiments.cells import Folder
from smooth_recs.experiments.sweeps import choice, paired, sweep_plan, sweep_report, sweep_results, sweep_runs
from smooth_recs.experiments.variants import grid_of


@pytest.fixture
def results(tmp_path):
    """Of three variants and seeds, written into `tmp_path`."""
    return written(sweep(), tmp_path)


def of(results, name):
    return next(variant for variant in results["variants"] if variant["name"] == name)


def test_no_measure_can_fall_by_more_than_all(tmp_path, monkeypatch):
    monkeypatch.setitem(PDS, "smelu:0.1", (0.02, 0.09))  # -80% and -25%: Student's t reaches far beyond -100%
    found = of(written(sweep(2), tmp_path), "smelu:0.1")["changes"]["pd"]
    assert (found["percent"], found["percent_interval"][0]) == (pytest.approx(-0.525), -1.0)


def test_numbers_by_hand(results):
    assert (results["baseline"], results["seeds"]) == ("relu", [4, 5, 6])
    relu, smelu = of(results, "relu"), of(results, "smelu:0.1")
    pd = relu["measures"]["pd"]
    assert pd["of_seeds"] == [0.10, 0.12, 0.14]
    assert pd["value"] == pytest.approx(0.12)
    # Student's t at 97.5% with two degrees of freedom is 4.30265; the standard error is 0.02 / sqrt(3).
    half = 4.302653 * 0.02 / 3**0.5
    assert pd["interval"] == pytest.approx([0.12 - half, 0.12 + half], abs=1e-6)
    change = smelu["changes"]["pd"]
    assert change["value"] == pytest.approx(-0.06)
    assert change["interval"] == pytest.approx([-0.06 - half / 2, -0.06 + half / 2], abs=1e-6)
    assert change["percent"] == pytest.approx(-0.5)  # a share, and the same in every pair
    assert change["percent_interval"] == pytest.approx([-0.5, -0.5])
    assert relu["changes"]["pd"] == {
        "value": 0.0,
        "percent": 0.0,
        "interval": [0.0, 0.0],
        "percent_interval": [0.0, 0.0],
    }
    # Paired by seed: shares 0.04 / 0.10, 0.06 / 0.12 and 0.05 / 0.14, not the ratio of the means.
    assert of(results, "smelu:0.2")["changes"]["pd"]["percent"] == pytest.approx((0.4 + 0.5 + 5 / 14) / 3 - 1)


def test_what_is_not_known_is_none(results):
    found = of(results, "relu")["measures"]
    assert found["auc_loss"]["value"] == pytest.approx(0.25)
    assert found["calibration"]["value"] == pytest.approx(1.1)
    unknown = {"value": None, "interval": None, "of_seeds": [None] * 3}
    for name in ("per_query_auc_loss", "swap_rate", "parameters", "lookups", "serving_ms_1", "serving_ms_1000"):
        assert found[name] == unknown, name


def test_costs_and_swap_rates_are_there_where_a_run_has_them(tmp_path):
    cost = {"parameters": 7, "multiply_adds": 5, "lookups": 3}
    found = written(sweep(), tmp_path, cost=cost, recommendations={"swap_rate": 0.25}, examples_per_second=1e5)
    values = {name: measure["value"] for name, measure in of(found, "smelu:0.1")["measures"].items()}
    expected = {**cost, "swap_rate": 0.25, "examples_per_second": 1e5}
    assert {name: values[name] for name in expected} == expected


def test_a_variant_is_described_for_the_figure(results):
    assert [(each["name"], each["label"], each["line"], each["width"]) for each in results["variants"]] == [
        ("relu", "ReLU", None, None),
        ("smelu:0.1", "SmeLU 0.1", "SmeLU", 0.1),
        ("smelu:0.2", "SmeLU 0.2", "SmeLU", 0.2),
    ]
    assert of(results, "smelu:0.1")["fields"] == {"model.activation": "smelu", "model.beta": 0.1}
    assert results["config"]["seed"] == 4
    assert (results["data"], results["versions"]) == (MANIFEST["data"], MANIFEST["versions"])


def test_one_pair_has_no_interval(tmp_path):
    found = of(written(sweep(pairs=1), tmp_path), "smelu:0.1")
    assert found["measures"]["pd"] == {"value": 0.05, "interval": None, "of_seeds": [0.05]}
    assert found["changes"]["pd"]["percent"] == pytest.approx(-0.5)
    assert found["changes"]["pd"]["percent_interval"] is None


def test_runs_that_are_not_finished_are_left_out(tmp_path):
    found = written(sweep(), tmp_path, left_out=[("relu", 4), ("smelu:0.1", 6), ("smelu:0.2", 5), ("smelu:0.2", 6)])
    assert of(found, "relu")["measures"]["pd"]["of_seeds"] == [None, 0.12, 0.14]
    assert of(found, "relu")["measures"]["pd"]["value"] == pytest.approx(0.13)
    assert of(found, "smelu:0.1")["changes"]["pd"]["value"] == pytest.approx(0.06 - 0.12)  # seed 5 alone is of both
    assert of(found, "smelu:0.2")["measures"]["pd"]["value"] == 0.04
    assert of(found, "smelu:0.2")["changes"]["pd"]["value"] is None


def test_the_file_holds_what_is_returned_and_the_csv_every_run(results, tmp_path):
    assert json.loads((tmp_path / "results.json").read_text()) == results
    with open(tmp_path / "results.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    assert [float(row["pd"]) for row in rows[3:6]] == list(PDS["smelu:0.1"])
    assert [(row["variant"], row["seed"], row["model.beta"]) for row in rows[2:4]] == [
        ("relu", "6", ""),
        ("smelu:0.1", "4", "0.1"),
    ]
    assert all((tmp_path / row["workdir"] / "metrics.json").exists() for row in rows)


def test_tensorboard_gets_every_run_once(results, tmp_path):
    grid = grid_of(sweep())
    sweep_runs.write(sweep(), grid, Folder(str(tmp_path)), str(tmp_path))  # again, over files of its own
    folder = tmp_path / "tensorboard"
    runs = [path for path in folder.iterdir() if path.is_dir()]
    assert len(runs) == 9
    events = EventAccumulator(str(folder / "smelu:0.1, seed 5"), size_guidance={"tensors": 0}).Reload()
    (point,) = events.Tensors("pd")
    assert float(tf.make_ndarray(point.tensor_proto)) == pytest.approx(0.06)
    start = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    hparams = HParamsPluginData.FromString(start).session_start_info.hparams
    assert (hparams["model.activation"].string_value, hparams["model.beta"].number_value) == ("smelu", 0.1)
    assert hparams["seed"].number_value == 5
    assert len(list(folder.glob("*/events*"))) == 9


def test_a_run_that_has_learned_nothing_meets_no_goal(tmp_path, monkeypatch):
    monkeypatch.setitem(PDS, "smelu:0.1", (0.0, 0.0, 0.0))  # what a dead model has
    dead, goal = [{"replica": 0, "reason": "predicts 0 for every row"}], "min pd subject to auc_loss <= relu + 90%"
    grid = grid_of(sweep())
    written(sweep(), tmp_path)
    for seed in sweep().seeds:
        finish(tmp_path, grid.cell(sweep().variants[1], seed), 0.0, collapsed=dead)
    for allowed, chosen in ((False, "smelu:0.2"), (True, "smelu:0.1")):
        found = sweep_runs.write(sweep(allow_collapsed=allowed), grid, Folder(str(tmp_path)), str(tmp_path))
        parsed = sweep_plan.parse_goal(goal, sweep_results.names(), ["relu"])
        assert choice.choose(found, parsed)["chosen"] == chosen
        assert of(found, "smelu:0.1")["measures"]["pd"]["value"] == (0.0 if allowed else None)
        assert sweep_report.warnings(found)[0] == "SmeLU 0.1, seed 4: replica 0 predicts 0 for every row."
    assert paired.front(paired.Paired(found), ("pd", "auc_loss")).names == ["smelu:0.1"]
