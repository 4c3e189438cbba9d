"""From a sweep to a chosen configuration, with real processes that take no time: what they train is made up."""

from __future__ import annotations

import dataclasses
import json
import runpy
from pathlib import Path

import pytest
from source_imports import ROOT

from smooth_recs.bin import _flags
from smooth_recs.config import Config, Data, Model
from smooth_recs.errors import InputError
from smooth_recs.experiments import cells, sweeps
from smooth_recs.experiments.sweeps import sweep_runs, workflow
from smooth_recs.experiments.sweeps.workflow import Way

GOAL = "min pd subject to auc_loss <= relu"
# Takes the flags of the train binary. PD falls with SmeLU's width, and the loss rises above ReLU's from 0.25 on; seeds
# shift both. A second training of a cell would leave a second line.
TRAIN = """
import json, os, sys
flags = dict(flag.lstrip("-").split("=", 1) for flag in sys.argv[1:])
config = json.load(open(flags["config"]))
beta = config["model"]["beta"] or 0.0
noise = 0.001 * ((config["seed"] * 7 + round(100 * beta) * 3) % 5 - 2)
os.makedirs(flags["workdir"], exist_ok=True)
with open(os.path.join(flags["workdir"], "trained"), "a") as file:
    file.write("once\\n")
for teacher in config["distillation"]["teachers"]:
    assert os.path.exists(os.path.join(teacher, "metrics.json"))
manifest = {"data": {"fingerprint": "abc"}, "versions": {"smooth_recs": "1"}}
json.dump(manifest, open(os.path.join(flags["workdir"], "manifest.json"), "w"))
metrics = {
    "replicas": [{"auc_loss": 0.25 + max(beta - 0.2, 0) / 10 - 0.01 * (0 < beta < 0.25) + noise / 10}] * 2,
    "pd": {"relative": 0.12 - 0.1 * beta + noise + 0.002 * config["seed"], "after_matching_means": 0.1},
    "exports": [],
}
json.dump(metrics, open(os.path.join(flags["workdir"], "metrics.json"), "w"))
"""


@pytest.fixture(autouse=True)
def train(monkeypatch, tmp_path):
    program = tmp_path / "train.py"
    program.write_text(TRAIN)
    monkeypatch.setattr(cells, "PROGRAM", (str(program),))


def sweep(pairs=3, choose=GOAL, betas=(0.1, 0.2, 0.4, 0.8)):
    variants = [*sweeps.activation("relu"), *sweeps.activation("smelu", *betas)]
    return sweeps.Sweep(Config(seed=4, data=Data(examples=1000)), variants, "relu", pairs, choose)


def trained(workdir):
    """{(beta, seed): how often}."""
    found = {}
    for path in (workdir / "cells").glob("*/trained"):
        config = json.loads(path.parent.with_suffix(".json").read_text())
        found[config["model"]["beta"], config["seed"]] = path.read_text().count("once")
    return found


def test_a_sweep_chooses_and_leaves_a_configuration(tmp_path):
    workdir = tmp_path / "sweep"
    said = workflow.run(sweep(), str(workdir), Way())
    assert "- Chosen: SmeLU 0.2. Without one of the 3 pairs, the choice is the same in 3 of 3." in said
    assert trained(workdir) == {(beta, seed): 1 for beta in (None, 0.1, 0.2, 0.4, 0.8) for seed in (4, 5, 6)}
    written = json.loads((workdir / "choice.json").read_text())
    assert (written["chosen"], written["verdict"], written["seeds"]) == ("smelu:0.2", "better", [4, 5, 6])
    assert written["config_file"] == str(workdir / "chosen.py")
    config = _flags.load(str(workdir / "chosen.py"))
    assert config == Config(seed=4, data=Data(examples=1000), model=Model(activation="smelu", beta=0.2))
    assert "chosen by a sweep for 'min pd subject to auc_loss <= relu'" in (workdir / "chosen.py").read_text()
    assert {"results.json", "results.csv", "results.md", "report.html", "figure4.png"} <= {
        path.name for path in workdir.iterdir()
    }


def test_without_a_goal_there_is_no_choice(tmp_path):
    said = workflow.run(sweep(2, ""), str(tmp_path / "sweep"), Way())
    assert "Goal" not in said
    assert not {"choice.json", "chosen.py"} & {path.name for path in (tmp_path / "sweep").iterdir()}


@pytest.mark.slow
def test_fresh_seeds_train_only_what_is_compared(tmp_path):
    workdir = tmp_path / "sweep"
    said = workflow.run(sweep(2), str(workdir), Way(confirm=3))
    assert "Measured on 3 fresh pairs of each, which did not choose it." in said
    fresh = {(beta, seed) for beta, seed in trained(workdir) if seed > 5}
    assert fresh == {(beta, seed) for beta in (None, 0.2) for seed in (6, 7, 8)}
    written = json.loads((workdir / "choice.json").read_text())
    assert (written["method"], written["chose"], written["seeds"]) == ("fresh seeds", [4, 5], [6, 7, 8])
    assert [variant["name"] for variant in written["confirmation"]["variants"]] == ["relu", "smelu:0.2"]
    assert json.loads((workdir / "results.json").read_text())["seeds"] == [4, 5]
    again = workflow.run(sweep(2), str(workdir), Way(confirm=3))
    assert again == said
    assert set(trained(workdir).values()) == {1}


@pytest.mark.slow
def test_halving_spends_its_pairs_near_the_front_and_can_be_started_again(tmp_path, monkeypatch):
    betas = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)
    whole = tmp_path / "whole"
    said = workflow.run(sweep(3, betas=betas), str(whole), Way(halve=True))
    counts = [sum(seed == each for _, seed in trained(whole)) for each in (4, 5, 6)]
    assert counts == [9, 5, 3]
    assert sum(beta is None for beta, _ in trained(whole)) == 3
    assert {beta for beta, seed in trained(whole) if seed == 6} >= {None, 0.2}  # the best for the goal
    assert "every pair helped to choose it. --confirm=5 trains new pairs of both." in said
    killed, stopped = tmp_path / "killed", []

    def train(self, cell, lock, progress):
        if len(trained(killed)) in (3, 11, 15) and len(trained(killed)) not in stopped:
            stopped.append(len(trained(killed)))
            raise KeyboardInterrupt
        original(self, cell, lock, progress)

    original = cells.Folder._train
    monkeypatch.setattr(cells.Folder, "_train", train)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            workflow.run(sweep(3, betas=betas), str(killed), Way(halve=True))
    assert workflow.run(sweep(3, betas=betas), str(killed), Way(halve=True)).replace("killed", "whole") == said
    assert trained(killed) == trained(whole)
    results = [(folder / "results.json").read_bytes() for folder in (whole, killed)]
    assert results[0] == results[1]


def test_what_a_finalist_needs_is_trained_with_it(tmp_path):
    student = sweeps.Variant("student", "Student", {"model.beta": 0.15, "distillation.teachers": ("@smelu:0.8",)})
    base = sweep(2, "min pd subject to auc_loss <= relu + 50%")
    taught = dataclasses.replace(base, variants=[base.variants[0], student, base.variants[4]])
    workdir = tmp_path / "sweep"
    workflow.run(taught, str(workdir), Way(confirm=2))
    assert json.loads((workdir / "choice.json").read_text())["chosen"] == "smelu:0.8"
    workflow.run(dataclasses.replace(taught, choose=GOAL), str(workdir), Way(confirm=2))
    assert json.loads((workdir / "choice.json").read_text())["chosen"] == "student"
    (teacher,) = _flags.load(str(workdir / "chosen.py")).distillation.teachers
    assert json.loads(Path(f"{teacher}.json").read_text())["model"]["beta"] == 0.8


def test_nothing_that_beats_the_baseline_is_said_and_leaves_no_configuration(tmp_path):
    workdir = tmp_path / "sweep"
    workflow.run(sweep(2), str(workdir), Way())
    assert (workdir / "chosen.py").exists()
    said = workflow.run(sweep(2, "min pd subject to auc_loss <= 0.2"), str(workdir), Way(confirm=2))
    assert "Nothing meets the goal: no variant keeps its bounds. Stay with ReLU, or loosen the bounds." in said
    assert not (workdir / "chosen.py").exists()
    assert len(trained(workdir)) == 10  # nothing to confirm


@pytest.mark.parametrize(
    ("choose", "way", "words"),
    [
        ("min pdd", Way(), "choose must name a measure of the sweep (pd), got 'pdd'"),
        ("min pd subject to pd <= swish", Way(), "choose must name a number, or a variant of the sweep"),
        ("", Way(confirm=5), "confirm needs a goal: choose must say what is wanted, got nothing"),
        (GOAL, Way(confirm=1), "confirm must be 0, or at least 2 pairs for an interval, got 1"),
    ],
)
def test_what_cannot_be_chosen_is_said_before_anything_is_trained(tmp_path, choose, way, words):
    with pytest.raises(InputError) as raised:
        workflow.run(sweep(3, choose), str(tmp_path / "sweep"), way)
    assert str(raised.value).startswith(words)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("path", sorted((ROOT / "configs/sweeps").glob("*.py")), ids=lambda path: path.stem)
def test_ready_sweeps_have_goals_that_can_be(path):
    ready = runpy.run_path(str(path))["get_sweep"]()
    goal = workflow.parsed(ready, Way())
    assert (goal is None) == (not ready.choose)
    assert goal is None or all(bound.than in ("", ready.baseline) for bound in goal.bounds)


def test_a_measure_that_no_run_has(tmp_path):
    with pytest.raises(InputError, match="measure per_query_auc_loss must be one that was measured"):
        workflow.run(sweep(1, "min per_query_auc_loss"), str(tmp_path / "sweep"), Way())
    assert sweep_runs.grid_of(sweep(1)).seeds == range(4, 5)
