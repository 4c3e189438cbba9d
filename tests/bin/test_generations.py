"""Commands of one generation of Keras on what a run of the other one has left: the same numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import binaries_in_process
import numpy as np
import pyarrow.csv
import pytest
import shared_runs
from source_imports import ROOT

from smooth_recs import keras_generation, training
from smooth_recs.artifacts.exports import is_export

pytestmark = [pytest.mark.both_generations, pytest.mark.slow]
GENERATION = 2 if keras_generation.is_legacy() else 3
OTHER = 5 - GENERATION


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a run of this process' generation."""
    return shared_runs.trained(tmp_path_factory, shared_runs.small_demo())


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, here: Path) -> Path:
    """The workdir of the same run in the other generation, which --keras has chosen."""

    def train(folder: Path) -> None:
        flags = [f"--keras={OTHER}", f"--config={here}/config.json", f"--workdir={folder}/run"]
        command = [sys.executable, "-B", "-m", "smooth_recs.bin.train", *flags]  # imports TensorFlow itself
        # As a user has it: the tests' own level shows what TensorFlow (2.21) says of tensors in `tf.data`.
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=ROOT, env=environment)
        assert (done.returncode, done.stderr) == (0, "")

    return shared_runs.once(tmp_path_factory, "of_the_other_generation", train) / "run"


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def test_the_runs_have_the_same_numbers(here: Path, there: Path) -> None:
    assert [read(workdir / "manifest.json")["keras"] for workdir in (here, there)] == [GENERATION, OTHER]
    one, other = (read(workdir / "metrics.json") for workdir in (here, there))
    assert one["pd"]["relative"] == pytest.approx(other["pd"]["relative"], rel=1e-4)
    for a, b in zip(one["replicas"], other["replicas"], strict=True):
        assert a["log_loss"] == pytest.approx(b["log_loss"], rel=1e-6)
        assert a["auc"] == pytest.approx(b["auc"], abs=1e-5)


def test_exports_are_compared(here: Path, there: Path, tmp_path: Path) -> None:
    """Two trainings of one seed in two generations differ by rounding alone; two siblings differ."""
    found = []
    for replica in (0, 1):
        models = f"--a={there}/export/replica_0", f"--b={here}/export/replica_{replica}"
        output = tmp_path / f"{replica}.json"
        binaries_in_process.main("compare", *models, f"--config={here}/config.json", f"--output={output}")
        found.append(read(output)["pd"]["relative"])
    assert found[0] < 1e-4 < 1e-2 < found[1]


def test_rows_are_predicted(here: Path, there: Path, tmp_path: Path) -> None:
    columns = []
    for workdir in (here, there):
        output = tmp_path / f"{workdir.parent.name}.csv"
        binaries_in_process.main("predict", f"--export={workdir}", f"--config={here}/config.json", f"--output={output}")
        columns.append(pyarrow.csv.read_csv(output)["prediction"].to_numpy())
    np.testing.assert_allclose(*columns, rtol=1e-4)
    assert columns[0].std() > 0


def test_a_checkpoint_is_exported_and_passes_all_checks(there: Path, tmp_path: Path) -> None:
    sibling = there / "export" / "replica_1"
    binaries_in_process.main(
        "export", f"--workdir={there}", f"--output={tmp_path}/models", f"--against={sibling}", "--max_pd=0.9"
    )
    assert is_export(str(tmp_path / "models" / "1"))


def test_a_page_has_both(here: Path, there: Path, tmp_path: Path) -> None:
    binaries_in_process.main("report", f"--workdirs={here},{there}", f"--output={tmp_path}/both.html")
    assert "SmeLU" in (tmp_path / "both.html").read_text("utf-8")


def test_a_run_begins_with_the_weights_and_is_compared_with_the_live_model(there: Path, tmp_path: Path) -> None:
    run = shared_runs.small_demo(seed=2)
    run.data.examples = 2_000
    run.train.warm_start, run.evaluation.live = str(there), str(there)
    metrics = training.train_and_evaluate(run, str(tmp_path / "next"))
    before = read(there / "metrics.json")["replicas"][0]["log_loss"]
    assert metrics["replicas"][0]["log_loss"] < before  # after 8 more steps, which lead nowhere by themselves
    assert 0 < metrics["pd_live"]["relative"] < 0.3
