"""The examples do what they show: each is a process in an empty folder, with sizes that are small."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from source_imports import ROOT

from smooth_recs import config, prediction_difference
from smooth_recs.data.presets import open_source
from smooth_recs.serving import requests
from smooth_recs.serving.loader import LoadedModel

FOLDER = ROOT / "examples"
PROGRAMS = sorted(path.name for path in FOLDER.glob("*.py"))
PATIENCE = 900  # seconds, of a machine with much else to do
PERCENT = r"(\d+\.\d+)%"

slow = pytest.mark.slow
patient = pytest.mark.timeout(PATIENCE)


def run(folder: Path, name: str, *flags: str, legacy: bool = True) -> subprocess.CompletedProcess[str]:
    """`python examples/NAME.py`, as somebody would who has the package."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_USE_LEGACY_KERAS": str(int(legacy))}
    command = [sys.executable, str(FOLDER / f"{name}.py"), *flags]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done


def metrics(workdir: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((workdir / "metrics.json").read_text())
    return found


def probabilities(export: Path, rows: requests.Batch) -> Any:
    with LoadedModel(str(export)) as model:
        return model.run("serving_default", rows)["probability"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_is_short_and_says_what_it_is_for(name: str) -> None:
    source = (FOLDER / name).read_text("utf-8")
    assert len(source.splitlines()) < 80
    assert source.startswith('"""')


def test_the_table_lists_every_example() -> None:
    listed = re.findall(r"^\| \[`([^`]+)`\]", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted([*PROGRAMS, "story.ipynb"])


@slow
@patient
@pytest.mark.parametrize("legacy", [False, True])
def test_a_keras_model_and_its_siblings(tmp_path: Path, legacy: bool) -> None:
    """The accuracy that it prints is of models that have learnt something; what it saves is a Keras model."""
    said = run(tmp_path, "keras_model", "--rows=3000", legacy=legacy).stdout
    rows = re.findall(rf"^(\S+) +{PERCENT} +(0\.\d+)  (0\.\d+)$", said, re.MULTILINE)
    assert [name for name, *_ in rows] == ["relu", "smelu", "smelu_0.5"]
    for name, pd, first, second in rows:
        assert 0 < float(pd) < 60
        assert float(first) < 0.48
        assert float(second) < 0.48
        assert (tmp_path / f"{name}.keras").is_file()


def test_the_tuner_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "keras_tuner.py").write_text("raise ImportError")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, str(FOLDER / "tune_beta.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "This example needs KerasTuner: pip install 'keras-tuner[bayesian]'"


@slow
@patient
def test_a_tuner_keeps_a_bound(tmp_path: Path) -> None:
    """What is chosen has the lowest loss of the trials that are not refused; refused are those above the bound."""
    pytest.importorskip("keras_tuner", reason="no dependency of the package")
    said = run(tmp_path, "tune_beta", "--rows=2000", "--trials=4", "--max_pd=0.2").stdout
    trials = re.findall(rf"^ +(\d+\.\d+) +{PERCENT} +(\d+\.\d+)  (refused|)$", said, re.MULTILINE)
    assert len(trials) == 4
    assert all((float(pd) > 20) == bool(refused) for _, pd, _, refused in trials)
    kept = [(float(loss), beta, pd) for beta, pd, loss, refused in trials if not refused]
    loss, beta, pd = min(kept)
    assert said.splitlines()[-1] == f"chosen: beta {beta}, PD {pd}%, log loss {loss:.4f}"


@slow
@patient
def test_two_models_are_compared(tmp_path: Path) -> None:
    """The functions and the command find the same; a model is no further than 0 from itself."""
    said = run(tmp_path, "compare_two_models", "--requests=500").stdout
    pds = re.findall(rf"^relative PD +{PERCENT} \(95% over requests: {PERCENT} to {PERCENT}\)$", said, re.MULTILINE)
    assert len(pds) == 2
    assert pds[0] == pds[1]
    assert float(pds[0][1]) < float(pds[0][0]) < float(pds[0][2])
    shares = re.findall(rf"^  (de|fr|it|at|li) .* PD {PERCENT}  (\d+)% of the total$", said, re.MULTILINE)
    assert [float(pd) for _, pd, _ in shares] == sorted((float(pd) for _, pd, _ in shares), reverse=True)
    assert sum(int(share) for *_, share in shares) == pytest.approx(100, abs=2)
    comparison = json.loads((tmp_path / "comparison.json").read_text())
    assert f"{comparison['pd']['relative']:.2%}" == f"{pds[0][0]}%"

    said = run(tmp_path, "compare_two_models", "--new=live.keras").stdout
    assert re.search(r"^relative PD +0\.00% ", said, re.MULTILINE)
    assert json.loads((tmp_path / "comparison.json").read_text())["pd"]["relative"] == 0


@slow
@patient
def test_a_csv_file_is_trained_on(tmp_path: Path) -> None:
    said = run(tmp_path, "train_from_csv", "--rows=4000").stdout
    with open(tmp_path / "clicks.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4_000
    assert "1 malformed row is left out: clicks.csv:2002 (clicked is neither 0 nor 1, got 'perhaps')" in said
    found = metrics(tmp_path / "runs/csv")
    assert found["examples"] + found["eval_examples"] == 3_999
    assert 0 < found["pd"]["relative"] < 0.5
    assert {part["slice"] for part in found["slices"]["country"]} == {"de", "fr", "it"}
    assert len(re.findall(rf"^slice +(?:de|fr|it): PD {PERCENT}, \d+% of the total$", said, re.MULTILINE)) == 3
    assert (tmp_path / "runs/csv/report.html").is_file()
    rows = {
        "user_id": np.array([3, -1]),
        "country": np.array([b"de", b"unheard of"], object),
        "tags": np.array([[b"t1", b"t2"], [b"", b""]], object),
        "price": np.array([1.5, np.nan], np.float32),
    }
    answers = probabilities(tmp_path / "runs/csv/export/replica_0/1", rows)
    assert ((answers > 0) & (answers < 1)).all()


@slow
@patient
def test_a_sweep_chooses(tmp_path: Path) -> None:
    flags = ("--rows=16000", "--pairs=2", "--activations=relu,smelu:0.2")
    said = run(tmp_path, "sweep_and_choose", *flags).stdout
    choice = json.loads((tmp_path / "runs/sweep/choice.json").read_text())
    results = json.loads((tmp_path / "runs/sweep/results.json").read_text())
    assert [variant["name"] for variant in results["variants"]] == ["relu", "smelu:0.2"]
    assert all(0 < pd < 1 for variant in results["variants"] for pd in variant["measures"]["pd"]["of_seeds"])
    chosen = (tmp_path / "runs/sweep/chosen.py").is_file()
    assert chosen == bool(choice["config_file"])
    assert ("chosen   SmeLU 0.2\n" in said) == chosen
    assert ("chosen   nothing" in said) != chosen
    assert (tmp_path / "runs/sweep/report.html").is_file()


@slow
@patient
def test_a_log_grows_and_a_day_begins_with_the_one_before(tmp_path: Path) -> None:
    said = run(tmp_path, "online_learning", "--rows=2000").stdout
    runs = tmp_path / "runs/online"
    assert [metrics(runs / day)["examples"] for day in ("monday", "tuesday", "tuesday_cold")] == [8_000] * 3
    taken = json.loads((runs / "monday/stream.json").read_text())
    assert [Path(each["file"]).name for each in taken["files"]] == ["00.csv", "01.csv", "02.csv", "03.csv"]
    losses = dict(re.findall(r"^(monday|tuesday|tuesday_cold) +(0\.\d+) \d+\.\d%", said, re.MULTILINE))
    assert float(losses["tuesday"]) < float(losses["tuesday_cold"])  # what Monday taught helps with the first new rows
    assert (runs / "tuesday/warm_start.json").is_file()
    assert not (runs / "tuesday_cold/warm_start.json").exists()


@slow
@patient
def test_two_workers_are_one_process(tmp_path: Path) -> None:
    said = run(tmp_path, "local_cluster", "--rows=4000").stdout
    one, two = (metrics(tmp_path / "runs/cluster" / name) for name in ("one", "two"))
    for alone, together in zip(one["replicas"], two["replicas"], strict=True):
        assert together["log_loss"] == pytest.approx(alone["log_loss"], rel=1e-4)
    assert one["pd"]["relative"] > 0
    assert re.search(r"^log losses differ by \S+ of themselves at the most: equal$", said, re.MULTILINE)


@slow
@patient
def test_a_release(tmp_path: Path) -> None:
    said = run(tmp_path, "release", "--rows=30000", "--config.evaluation.estimate=false")
    assert re.findall(r"^\$ python -m smooth_recs\.bin\.(\w+)", said.stdout, re.MULTILINE) == [
        *("train", "export", "train", "compare", "export", "export")
    ]
    errors = [line for line in said.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert re.search(r"--live \S+/ranker/1: gate not met: --max_pd_live=0\.01: pd is 0\.\d+, 0\.\d+ above$", errors[0])

    runs = tmp_path / "runs/release"
    ranker = runs / "models" / "ranker"
    assert sorted(path.name for path in ranker.iterdir()) == ["1", "2"]
    comparison = json.loads((runs / "comparison.json").read_text())
    settings = config.Config.from_dict(json.loads((runs / "second" / "config.json").read_text()))
    source = open_source(settings.data, str(tmp_path / "cache"))
    rows = requests.held_out(source, source.eval_rows)
    live, new = (probabilities(ranker / version, rows) for version in "12")
    assert prediction_difference.relative(live, new) == pytest.approx(comparison["pd"]["relative"], rel=1e-5)
    assert 0.01 < comparison["pd"]["relative"] <= 0.3
    assert (runs / "comparison.html").is_file()
