"""The landscape of real runs and their exports: its ends are what the runs measured."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import shared_runs
from source_imports import ROOT

from smooth_recs import config, training
from smooth_recs.errors import InputError
from smooth_recs.experiments.drawing_settings import Plan
from smooth_recs.experiments.landscape import landscape_runs, weight_losses

pytestmark = pytest.mark.slow

CONFIG = config.Config(
    data=config.Data(examples=3000, eval_examples=400, shuffle_window=500),
    model=config.Model(hidden_units=(8, 4), beta=(0.3, 0.1), linear=True, admission=2),
    siblings=config.Siblings(replicas=3),
    train=config.Train(batch_size=50, steps_per_execution=10, dense_learning_rate=0.1),
    evaluation=config.Evaluation(slices=(), estimate=False),
)
LINES = Plan(line_steps=4, directions=0, surface_steps=0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workdir of a run of three siblings, and its metrics."""
    workdir = shared_runs.trained(tmp_path_factory, CONFIG)
    return workdir, json.loads((workdir / "metrics.json").read_text())


def test_the_ends_of_the_lines_are_the_siblings(finished):
    workdir, metrics = finished
    network = landscape_runs.of_run(str(workdir), "SmeLU", 10_000)
    assert network.rows.label.size == 400
    tables = [each.shape for each, table in zip(network.weights[0], network.is_table, strict=True) if table]
    assert [shape[1] for shape in tables] == [16, 1]  # the embeddings, and the weights of the linear part
    found = weight_losses.measure(network, LINES)
    log_losses = [replica["log_loss"] for replica in metrics["replicas"]]
    assert found["loss"] == pytest.approx(log_losses, abs=1e-6)
    for line, (a, b, pd) in zip(found["lines"], metrics["pd"]["pairs"], strict=True):
        assert line["siblings"] == [a, b]
        ends = line["at"].index(0.0), line["at"].index(1.0)
        assert [line["loss"][end] for end in ends] == pytest.approx([log_losses[a], log_losses[b]], abs=1e-6)
        assert line["pd_to_a"][ends[1]] == pytest.approx(pd, abs=1e-6)
        assert line["pd_to_b"][ends[0]] == pytest.approx(pd, abs=1e-6)
        assert line["pd_to_a"][ends[0]] == line["pd_to_b"][ends[1]] == 0
        assert 0 < line["pd_to_a"][ends[0] + 1] < pd
    dense = weight_losses.measure(network, dataclasses.replace(LINES, dense_only=True))["lines"][0]
    assert dense["loss"][ends[0]] == pytest.approx(log_losses[0], abs=1e-6)
    assert abs(dense["loss"][ends[1]] - log_losses[1]) > 1e-5
    few = landscape_runs.of_run(str(workdir), "SmeLU", 100).rows
    assert np.array_equal(few.label, network.rows.label[:100])


def test_exports_have_the_landscape_of_their_run(finished, tmp_path):
    workdir, _ = finished
    run = landscape_runs.of_run(str(workdir), "SmeLU", 300)
    exports = [str(workdir / "export" / f"replica_{k}") for k in (0, 2)]
    network = landscape_runs.of_exports(*exports, CONFIG, 300, str(tmp_path))
    assert network.names == ["--export_a", "--export_b"]
    assert sum(network.is_table) == 2
    of_run, of_exports = (weight_losses.measure(each, LINES)["lines"] for each in (run, network))
    ends = [of_exports[0]["at"].index(end) for end in (0.0, 1.0)]
    for key in ("loss", "pd_to_a", "pd_to_b"):
        found, wanted = of_exports[0][key], of_run[1][key]
        assert [found[end] for end in ends] == pytest.approx([wanted[end] for end in ends], abs=1e-6)
        # Between the ends an export's kernels, which are normalised already, take a way of their own, a little apart.
        assert found == pytest.approx(wanted, abs=1e-3)


def test_networks_that_are_not_alike_are_refused(finished, tmp_path):
    other = dataclasses.replace(
        CONFIG,
        data=dataclasses.replace(CONFIG.data, seed=2),
        model=dataclasses.replace(CONFIG.model, activation="relu", beta=None),
        siblings=config.Siblings(replicas=1),
    )
    training.train_and_evaluate(other, str(tmp_path / "relu"))
    a, b = str(finished[0] / "export" / "replica_0"), str(tmp_path / "relu" / "export" / "replica_0")
    with pytest.raises(InputError, match=r"siblings must differ in their weights only, but with those of --export_b "):
        landscape_runs.of_exports(a, b, CONFIG, 300, str(tmp_path))
    with pytest.raises(InputError, match=r"^runs must have the same held-out rows, got "):
        landscape_runs.at_runs([str(finished[0]), str(tmp_path / "relu")], str(tmp_path / "landscape"), LINES)
    assert not (tmp_path / "landscape" / "landscape.json").exists()


def figures(*arguments):
    command = [sys.executable, "-m", "smooth_recs.bin.figures", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=ROOT)
    assert "Traceback" not in done.stderr
    return done


def test_the_command(finished, tmp_path):
    few = ("--rows=200", "--line_steps=2", "--directions=1", "--direction_steps=1", "--surface_steps=1")
    done = figures(f"--workdir={tmp_path / 'out'}", f"--runs={finished[0]}", *few)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("SmeLU 0.3 to 0.1: the barrier between two siblings is ")
    made = {path.name for path in (tmp_path / "out").iterdir()}
    kinds = {f"landscape_{kind}.{end}" for kind in ("lines", "directions", "surfaces") for end in ("png", "svg", "csv")}
    assert made == kinds | {"landscape.html", "landscape.json"}
    content = json.loads((tmp_path / "out" / "landscape.json").read_text())
    assert content["settings"]["rows"] == 200
    assert len(content["networks"][0]["lines"]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--export_a=somewhere"], "--export_a, --export_b and the --config of their data must be given together"),
        (["--runs=nowhere"], "workdir nowhere must hold a finished run, got no config.json there"),
    ],
)
def test_wrong_flags_are_one_line(arguments, words, tmp_path):
    done = figures(f"--workdir={tmp_path / 'out'}", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {words}")
    assert done.stderr.count("\n") == 1
