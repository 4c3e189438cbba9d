"""bin/estimate over real runs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import shared_runs
from source_imports import ROOT

from smooth_recs import training
from smooth_recs.errors import InputError
from smooth_recs.experiments import estimates

pytestmark = pytest.mark.slow


def binary(*arguments):
    command = [sys.executable, "-m", "smooth_recs.bin.estimate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=ROOT, check=False)


def train(workdir, *, data_seed=1, hidden_units=(16, 8), replicas=2):
    """A short run, which differs from those of `runs`."""
    run = shared_runs.small_demo()
    run.data.seed = data_seed  # not fewer examples: the held-out rows are those that follow
    run.model.hidden_units, run.siblings.replicas = hidden_units, replicas
    training.train_and_evaluate(run, str(workdir))
    return str(workdir)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of one configuration."""
    return [str(shared_runs.trained(tmp_path_factory, shared_runs.small_demo(seed))) for seed in (1, 2)]


def refused(*workdirs):
    with pytest.raises(InputError) as error:
        estimates.across(workdirs)
    return str(error.value)


def test_a_table_and_a_file(runs, tmp_path):
    done = binary(f"--workdirs={','.join(runs)}", f"--output={tmp_path}/new/found.json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "new" / "found.json").read_text())
    assert done.stdout == estimates.table(found) + "\n"
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
    wider = train(tmp_path / "wider", hidden_units=(24, 8))
    found = estimates.across([runs[0], wider])["runs"][1]["rank_correlation"]
    assert found["units"] is None
    assert found["prediction_only"] is not None
    assert found["summaries"] is not None  # of as many layers


def test_wrong_workdirs_are_one_line(runs, tmp_path):
    assert refused(str(tmp_path)).endswith("must hold a finished run, got no config.json there")
    single = train(tmp_path / "single", replicas=1)
    assert refused(single).endswith("at least 2 siblings and 500 held-out rows, got 1 and 8000")
    other = train(tmp_path / "other", data_seed=9)
    assert refused(runs[0], other).startswith("workdirs must hold runs with the same held-out rows, got ")
    done = binary("--workdirs=,", f"--output={tmp_path}/found.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: workdirs must name at least one finished run, got none\n"
    assert not (tmp_path / "found.json").exists()


def test_help_says_what_it_does():
    done = binary("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Estimates each example's prediction difference")
    assert binary("--output=x.json").stderr.startswith("error: --workdirs must be given: ")
