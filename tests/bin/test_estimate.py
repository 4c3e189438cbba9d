"""bin/estimate, from real processes over real runs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from source_imports import ROOT

from smooth_recs.experiments import estimate_runs

pytestmark = pytest.mark.slow

SMALL = ("--config.data.examples=20000", "--config.data.eval_examples=8000", "--config.model.hidden_units=16,8")

BRIEF = "--config.data.examples=1000"


def binary(name, *arguments):
    command = [sys.executable, "-m", f"smooth_recs.bin.{name}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=ROOT, check=False)


def train(workdir, *overrides):
    done = binary("train", "--config=configs/demo.py", f"--workdir={workdir}", *SMALL, *overrides)
    assert done.returncode == 0, done.stderr
    return str(workdir)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of one configuration."""
    folder = tmp_path_factory.mktemp("runs")
    return [train(folder / f"seed_{seed}", f"--config.seed={seed}") for seed in (1, 2)]


def estimate(workdirs, output):
    return binary("estimate", f"--workdirs={','.join(workdirs)}", f"--output={output}")


def refused(workdirs, tmp_path):
    done = estimate(workdirs, tmp_path / "found.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert not (tmp_path / "found.json").exists()
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("error: ").removesuffix("\n")


def test_a_table_and_a_file(runs, tmp_path):
    done = estimate(runs, tmp_path / "new" / "found.json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "new" / "found.json").read_text())
    assert done.stdout == estimate_runs.table(found) + "\n"
    assert found["fitted_on"] == runs[0]
    assert found["rows_fitted"] + found["rows_tested"] == 8000
    first, second = found["runs"]
    assert [first["workdir"], second["workdir"]] == runs
    assert set(second["rank_correlation"]) == {*first["rank_correlation"], "measured"}
    for run in found["runs"]:
        assert 0 < run["pd"] < 1
        for each in run["rank_correlation"].values():
            low, high = each["interval"]
            assert -1 < low < each["value"] < high < 1
    assert first["rank_correlation"]["units"]["interval"][0] > 0  # the units tell something of unseen rows
    assert f"{first['rank_correlation']['units']['value']:.3f}" in done.stdout


def test_a_network_of_another_shape_is_ranked_by_the_prediction_alone(runs, tmp_path):
    wider = train(tmp_path / "wider", "--config.model.hidden_units=24,8")
    assert estimate([runs[0], wider], tmp_path / "found.json").returncode == 0
    found = json.loads((tmp_path / "found.json").read_text())["runs"][1]["rank_correlation"]
    assert found["units"] is None
    assert found["prediction_only"] is not None
    assert found["summaries"] is not None  # of as many layers


def test_wrong_workdirs_are_one_line(runs, tmp_path):
    assert refused([str(tmp_path)], tmp_path).endswith("must hold a finished run, got no config.json there")
    single = train(tmp_path / "single", "--config.siblings.replicas=1", BRIEF)
    assert refused([single], tmp_path).endswith("at least 2 siblings and 500 held-out rows, got 1 and 8000")
    other = train(tmp_path / "other", "--config.data.seed=9", BRIEF)
    assert refused([runs[0], other], tmp_path).startswith("workdirs must hold runs with the same held-out rows, got ")
    assert refused([","], tmp_path) == "workdirs must name at least one finished run, got none"


def test_help_says_what_it_does():
    done = binary("estimate", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Estimates each example's prediction difference")
    assert binary("estimate", "--output=x.json").stderr.startswith("error: --workdirs must be given: ")
