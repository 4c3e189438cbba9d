"""From a sweep to a chosen configuration, with real processes that take no time: what they train is made up."""

from __future__ import annotations

import dataclasses
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from source_imports import ROOT

from smooth_recs.bin import _configurations
from smooth_recs.config import Config, Data, Distillation, Model, SyntheticLog, Train
from smooth_recs.errors import InputError
from smooth_recs.experiments import cells, sweeps, training_processes
from smooth_recs.experiments.sweeps import workflow
from smooth_recs.experiments.variants import grid_of
from smooth_recs.schema import Categorical, Numeric, Schema

GOAL = "min pd subject to auc_loss <= relu"
# Takes the flags of the train binary. PD falls with SmeLU's width, and the loss rises above ReLU's from 0.25 on; seeds
# shift both. A second training of a cell would leave a second line.
TRAIN = """
import json, os, sys
COLLAPSED = False  # whether ReLU learns nothing
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
    "pd_live": {"relative": 0.1 - 0.1 * beta} if config["evaluation"]["live"] else None,
    "exports": [],
    "collapsed": [] if beta or not COLLAPSED else [{"replica": 1, "reason": "predicts 0 for every row"}],
}
json.dump(metrics, open(os.path.join(flags["workdir"], "metrics.json"), "w"))
"""


@pytest.fixture(autouse=True)
def train(monkeypatch, tmp_path):
    program = tmp_path / "train.py"
    program.write_text(TRAIN)
    monkeypatch.setattr(training_processes, "PROGRAM", (str(program),))
    monkeypatch.setattr(cells, "_TICK_SECONDS", 0.02)


def sweep(pairs=3, choose=GOAL, betas=(0.1, 0.2, 0.4, 0.8)):
    variants = [*sweeps.activation("relu"), *sweeps.activation("smelu", *betas)]
    return sweeps.Sweep(Config(seed=4, data=Data(examples=1000)), variants, "relu", pairs, choose)


def test_pd_to_the_live_model_bounds_a_choice(tmp_path):
    goal = "min auc_loss subject to pd_live <= 8.5%"
    with pytest.raises(InputError, match=r"^choose: pd_live needs evaluation\.live, got none$"):
        workflow.goal_of(sweep(choose=goal))
    bounded = sweep(choose=goal)
    bounded.config.evaluation.live = "models/ranker"
    said = workflow.run(bounded, str(tmp_path / "sweep"))
    # The widths of 0.1 and 0.2 have equal losses, the lowest; their PD to the live model is 9% and 8%.
    assert json.loads((tmp_path / "sweep" / "choice.json").read_text())["chosen"] == "smelu:0.2"
    assert "PD to live at most 8.50%" in said
    assert "PD to live" in (tmp_path / "sweep" / "report.html").read_text("utf-8")


def trained(workdir):
    """{(beta, seed): how often}."""
    found = {}
    for path in (workdir / "cells").glob("*/trained"):
        config = json.loads(path.parent.with_suffix(".json").read_text())
        found[config["model"]["beta"], config["seed"]] = path.read_text().count("once")
    return found


def test_a_sweep_chooses_and_leaves_a_configuration(tmp_path):
    workdir = tmp_path / "sweep"
    said = workflow.run(sweep(), str(workdir))
    assert "- Chosen: SmeLU 0.2. Without one of the 3 pairs, the choice is the same in 3 of 3." in said
    assert trained(workdir) == {(beta, seed): 1 for beta in (None, 0.1, 0.2, 0.4, 0.8) for seed in (4, 5, 6)}
    written = json.loads((workdir / "choice.json").read_text())
    assert (written["chosen"], written["verdict"], written["seeds"]) == ("smelu:0.2", "better", [4, 5, 6])
    assert written["config_file"] == str(workdir / "chosen.py")
    config = _configurations.load(str(workdir / "chosen.py"))
    assert config == Config(seed=4, data=Data(examples=1000), model=Model(activation="smelu", beta=0.2))
    assert "chosen by a sweep for 'min pd subject to auc_loss <= relu'" in (workdir / "chosen.py").read_text()
    assert {"results.json", "results.csv", "results.md", "report.html", "figure4.png"} <= {
        path.name for path in workdir.iterdir()
    }


def test_a_baseline_that_has_learned_nothing_is_named_and_what_was_trained_is_reported(tmp_path):
    program = tmp_path / "train.py"
    program.write_text(program.read_text().replace("COLLAPSED = False", "COLLAPSED = True"))
    said = "measure pd must be .* but relu's replica 1 predicts 0 for every row"
    with pytest.raises(InputError, match=rf"^{said} \(--allow_collapsed counts such runs\)$"):
        workflow.run(sweep(2), str(tmp_path / "sweep"))
    assert "predicts 0 for every row" in (tmp_path / "sweep" / "report.html").read_text("utf-8")
    assert not (tmp_path / "sweep" / "choice.json").exists()
    counted = dataclasses.replace(sweep(2), allow_collapsed=True)
    assert "Chosen: SmeLU 0.2" in workflow.run(counted, str(tmp_path / "sweep"))


def test_without_a_goal_there_is_no_choice(tmp_path):
    said = workflow.run(sweep(2, ""), str(tmp_path / "sweep"))
    assert "Goal" not in said
    assert not {"choice.json", "chosen.py"} & {path.name for path in (tmp_path / "sweep").iterdir()}


@pytest.mark.slow
def test_fresh_seeds_train_only_what_is_compared(tmp_path):
    workdir = tmp_path / "sweep"
    said = workflow.run(sweep(2), str(workdir), confirm=3)
    assert "Measured on 3 fresh pairs of each, which did not choose it." in said
    fresh = {(beta, seed) for beta, seed in trained(workdir) if seed > 5}
    assert fresh == {(beta, seed) for beta in (None, 0.2) for seed in (6, 7, 8)}
    written = json.loads((workdir / "choice.json").read_text())
    assert (written["method"], written["chose"], written["seeds"]) == ("fresh seeds", [4, 5], [6, 7, 8])
    assert [variant["name"] for variant in written["confirmation"]["variants"]] == ["relu", "smelu:0.2"]
    assert json.loads((workdir / "results.json").read_text())["seeds"] == [4, 5]
    again = workflow.run(sweep(2), str(workdir), confirm=3)
    assert again == said
    assert set(trained(workdir).values()) == {1}


@pytest.mark.slow
def test_halving_spends_its_pairs_near_the_front_and_can_be_started_again(tmp_path, monkeypatch):
    betas = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)
    whole = tmp_path / "whole"
    said = workflow.run(sweep(3, betas=betas), str(whole), halving=True)
    counts = [sum(seed == each for _, seed in trained(whole)) for each in (4, 5, 6)]
    assert counts == [9, 5, 3]
    assert sum(beta is None for beta, _ in trained(whole)) == 3
    assert {beta for beta, seed in trained(whole) if seed == 6} >= {None, 0.2}  # the best for the goal
    assert "every pair helped to choose it. --confirm=5 trains new pairs of both." in said
    killed, stopped = tmp_path / "killed", []

    def process(self, *given):
        if len(trained(killed)) in (3, 11, 15) and len(trained(killed)) not in stopped:
            stopped.append(len(trained(killed)))
            raise KeyboardInterrupt
        return original(self, *given)

    original = cells.Folder._process
    monkeypatch.setattr(cells.Folder, "_process", process)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            workflow.run(sweep(3, betas=betas), str(killed), halving=True)
    assert workflow.run(sweep(3, betas=betas), str(killed), halving=True).replace("killed", "whole") == said
    assert trained(killed) == trained(whole)
    results = [(folder / "results.json").read_bytes() for folder in (whole, killed)]
    assert results[0] == results[1]


def test_what_a_finalist_needs_is_trained_with_it(tmp_path):
    student = sweeps.Variant("student", "Student", {"model.beta": 0.15, "distillation.teachers": ("@smelu:0.8",)})
    base = sweep(2, "min pd subject to auc_loss <= relu + 50%")
    taught = dataclasses.replace(base, variants=[base.variants[0], student, base.variants[4]])
    workdir = tmp_path / "sweep"
    workflow.run(taught, str(workdir), confirm=2)
    assert json.loads((workdir / "choice.json").read_text())["chosen"] == "smelu:0.8"
    workflow.run(dataclasses.replace(taught, choose=GOAL), str(workdir), confirm=2)
    assert json.loads((workdir / "choice.json").read_text())["chosen"] == "student"
    (teacher,) = _configurations.load(str(workdir / "chosen.py")).distillation.teachers
    assert json.loads(Path(f"{teacher}.json").read_text())["model"]["beta"] == 0.8


def test_nothing_that_beats_the_baseline_is_said_and_leaves_no_configuration(tmp_path):
    workdir = tmp_path / "sweep"
    workflow.run(sweep(2), str(workdir))
    assert (workdir / "chosen.py").exists()
    said = workflow.run(sweep(2, "min pd subject to auc_loss <= 0.2"), str(workdir), confirm=2)
    assert "Nothing meets the goal: no variant keeps its bounds. Stay with ReLU, or loosen the bounds." in said
    assert not (workdir / "chosen.py").exists()
    assert len(trained(workdir)) == 10  # nothing to confirm


@pytest.mark.parametrize(
    ("choose", "confirm", "words"),
    [
        ("min pdd", 0, "choose must name a measure of the sweep (pd), got 'pdd'"),
        ("min pd subject to pd <= swish", 0, "choose must name a number, or a variant of the sweep"),
        ("", 5, "confirm needs a goal: choose must say what is wanted, got nothing"),
        (GOAL, 1, "confirm must be 0, or at least 2 pairs for an interval, got 1"),
    ],
)
def test_what_cannot_be_chosen_is_said_before_anything_is_trained(tmp_path, choose, confirm, words):
    with pytest.raises(InputError) as raised:
        workflow.run(sweep(3, choose), str(tmp_path / "sweep"), confirm=confirm)
    assert str(raised.value).startswith(words)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("path", sorted((ROOT / "configs/sweeps").glob("*.py")), ids=lambda path: path.stem)
def test_ready_sweeps_have_goals_that_can_be(path):
    ready = runpy.run_path(str(path))["get_sweep"]()
    goal = workflow.goal_of(ready)
    assert (goal is None) == (not ready.choose)
    assert goal is None or all(bound.than in ("", ready.baseline) for bound in goal.bounds)


def test_a_measure_that_no_run_has(tmp_path):
    with pytest.raises(InputError, match="measure per_query_auc_loss must be one that was measured"):
        workflow.run(sweep(1, "min per_query_auc_loss"), str(tmp_path / "sweep"))
    assert grid_of(sweep(1)).seeds == range(4, 5)


LAYER = {
    "class_name": "GSmeLU",
    "config": {"alpha": 0.3, "beta": 0.15, "t": -0.1, "learn": ["alpha", "beta"], "per": "unit"},
}


SCHEMA = Schema((Numeric("price", missing="mean"), Categorical("user", size=1000)), label="click", query_id="request")


CONFIGS = {
    "defaults": Config(),
    "demo": _configurations.load(str(ROOT / "configs/demo.py")),
    "layer": Config(model=Model(activation=LAYER, hidden_units=(8,))),
    "schema": Config(data=Data(source="csv", path='C:\\logs\\it\'s "here"', schema=SCHEMA)),
    "nested": Config(
        seed=7, data=Data(synthetic=SyntheticLog(users=10)), distillation=Distillation(teachers=("runs/a",))
    ),
    "long": Config(model=Model(beta=tuple(0.1 + k / 1000 for k in range(30)), hidden_units=(16,) * 30)),
    "integer in a float's place": Config(train=Train(clip_norm=0)),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_configuration_read_back_is_the_same(config, tmp_path):
    path = tmp_path / "chosen.py"
    workflow.write_config(config, "What it is.", str(path))
    assert _configurations.load(str(path)) == config
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--select=E,F,I,W"], ["format", "--check"]):
        done = subprocess.run(
            [*ruff, *command, "--quiet", "--no-cache", "--line-length=120", path], capture_output=True
        )
        assert (done.returncode, done.stdout) == (0, b"")


def test_a_configuration_states_only_what_differs():
    config = dataclasses.replace(CONFIGS["demo"], seed=3)
    lines = workflow.config_source(config, "Demo.").splitlines()
    assert lines[:2] == ['"""Demo."""', ""]
    assert lines[2] == "from smooth_recs import config"
    assert "    return config.Config(" in lines
    assert "        seed=3," in lines
    assert "        model=config.Model(beta=0.2, norm_value=1.4)," in lines
    assert not any("batch_size" in line or "schema" in line for line in lines)


def test_no_docstring_breaks_a_configuration(tmp_path):
    text = 'It says """ and \\n,\n\nand ends with a quote"'
    path = tmp_path / "chosen.py"
    workflow.write_config(Config(), text, str(path))
    assert _configurations.load(str(path)) == Config()
    namespace: dict[str, object] = {}
    exec(Path(path).read_text(), namespace)
    assert namespace["__doc__"] == text
