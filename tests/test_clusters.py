"""One run on several processes through the public commands: the same data, model and binary."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import pytest
import shared_runs

from smooth_recs.measures.gates import Limits
from smooth_recs.release import publishing
from smooth_recs.release.publishing import Release

ROOT = pathlib.Path(__file__).parents[1]
SETTINGS = (
    *("--config.data.examples=12000", "--config.data.eval_examples=4000", "--config.data.shuffle_window=3000"),
    *("--config.train.evaluation_examples=2000", "--config.train.evaluations=3", "--config.evaluation.estimate=false"),
    "--config.evaluation.slices=label",
    *("--config.train.steps_per_execution=8", "--config.train.average=40"),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


TWO_DEVICES = """
import sys
import tensorflow as tf

one = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(one, [tf.config.LogicalDeviceConfiguration()] * 2)
from smooth_recs.bin import _command, train

sys.argv[0] = "train"
_command.run(train.main)
"""


def trained(workdir: pathlib.Path, *launcher: str, strategy: str, settings: Sequence[str] = ()) -> dict:
    program = ["-X", "warm", "-c", TWO_DEVICES] if strategy == "mirrored" else ["-m", "smooth_recs.bin.train"]
    command = [
        *(sys.executable, *program, f"--config={ROOT}/configs/demo_falling.py", f"--workdir={workdir}"),
        *(*SETTINGS, *settings, f"--config.distribution.strategy={strategy}"),
    ]
    if launcher:
        logs = f"--logs={workdir.parent}/logs"
        command = [sys.executable, "-m", "smooth_recs.bin.local_cluster", *launcher, logs, "--", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((workdir / "metrics.json").read_text())


def check_average(metrics: dict, alone: dict) -> None:
    """The average is of the same steps: as near to that of one process as the weights are, and not the weights."""
    for here, there in zip(metrics["raw"]["replicas"], alone["raw"]["replicas"], strict=True):
        assert here["log_loss"] == pytest.approx(there["log_loss"], rel=1e-4)
    raw = [abs(each["raw"]["replicas"][0]["log_loss"] - each["replicas"][0]["log_loss"]) for each in (metrics, alone)]
    assert raw[0] == pytest.approx(raw[1], rel=0.05)


def check_published(workdir: pathlib.Path) -> None:
    """All checks of an export, through the C++ loader, on what a strategy has trained."""
    sibling, limits = str(workdir / "export" / "replica_1"), Limits(max_pd=0.5)
    publishing.publish(Release(str(workdir), str(workdir / "models"), against=sibling, sibling_limits=limits))
    assert (workdir / "models/1/saved_model.pb").exists()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    def make(folder):
        trained(folder / "run", strategy="one_device")

    return json.loads((shared_runs.once(tmp_path_factory, "alone", make) / "run" / "metrics.json").read_text())


@pytest.mark.both_generations
def test_two_workers_in_step_are_one_process(tmp_path, alone):
    exports = ["--config.train.export_steps=40", "--config.train.keep_exports=0"]
    metrics = trained(tmp_path / "run", "--workers=2", strategy="multi_worker_mirrored", settings=exports)
    assert metrics["examples"] == 12_000
    for here, there in zip(metrics["replicas"], alone["replicas"], strict=True):
        assert here["log_loss"] == pytest.approx(there["log_loss"], rel=1e-4)
        assert here["auc"] == pytest.approx(there["auc"], abs=1e-3)
    check_average(metrics, alone)
    assert metrics["pd"]["relative"] == pytest.approx(alone["pd"]["relative"], rel=0.02)
    assert [entry["step"] for entry in metrics["history"]] == [entry["step"] for entry in alone["history"]]
    for version in (1, 2):  # after 40 of 47 steps, and at the end
        assert (tmp_path / f"run/export/replica_1/{version}/saved_model.pb").exists()


@pytest.mark.both_generations
def test_two_devices_are_one(tmp_path, alone):
    """The last batch of the epoch is smaller, and in even parts too."""
    metrics = trained(tmp_path / "run", strategy="mirrored")
    assert metrics["examples"] == 12_000
    assert 12_000 % 256 % 2 == 0 < 12_000 % 256
    for here, there in zip(metrics["replicas"], alone["replicas"], strict=True):
        assert here["log_loss"] == pytest.approx(there["log_loss"], rel=1e-4)
    check_average(metrics, alone)
    assert [entry["step"] for entry in metrics["history"]] == [entry["step"] for entry in alone["history"]]
    check_published(tmp_path / "run")


def test_parameter_servers_train_every_row_asynchronously(tmp_path, alone):
    metrics = trained(tmp_path / "run", "--workers=2", "--servers=2", strategy="parameter_server")
    assert metrics["examples"] == 12_000
    for here, there in zip(metrics["replicas"], alone["replicas"], strict=True):
        assert here["log_loss"] == pytest.approx(there["log_loss"], rel=0.03)  # in another order
    assert 0 < metrics["pd"]["relative"] != metrics["raw"]["pd"]["relative"]
    check_published(tmp_path / "run")
