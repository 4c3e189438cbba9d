"""The search for the weight of distillation: which weights it tries, what it chooses, exports and says."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from comparison_log import DATA, save

from smooth_recs.config import Config, Distillation, Evaluation
from smooth_recs.errors import Diverged, GateNotMet, InputError
from smooth_recs.experiments import churn_budget
from smooth_recs.experiments.cells import Cell, Folder
from smooth_recs.experiments.churn_budget import Plan


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    live = tmp_path_factory.mktemp("live")
    save(live / "3", 0.5)
    return Config(data=DATA, evaluation=Evaluation(live=str(live)))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The weights in the order in which they are trained; a run of weight w ends with a PD of (1 - w) / 10 + 0.01.

    Its two siblings lie 0.005 above and below that, the first one with the higher loss; the loss is least at 0.4.
    """
    weights: list[float] = []

    def run(folder: Folder, cells: list[Cell]) -> None:
        for cell in cells:
            if folder.is_finished(cell):
                continue
            weight = cell.config.distillation.weight if cell.config.distillation.teachers else 0.0
            assert isinstance(weight, float)
            weights.append(weight)
            workdir = Path(folder.workdir(cell))
            for replica in range(2):
                export = workdir / "export" / f"replica_{replica}" / "1"
                export.mkdir(parents=True)
                (export / "saved_model.pb").write_text(f"{weight} {replica}")
            relative, loss = 0.1 * (1 - weight) + 0.01, 0.3 + (weight - 0.4) ** 2
            metrics = {
                "replicas": [{"log_loss": loss + 0.01, "auc_loss": 0.2}, {"log_loss": loss - 0.01, "auc_loss": 0.2}],
                "pd_live": {
                    "relative": relative,
                    "interval": [relative - 0.002, relative + 0.002],
                    "of_replicas": [relative - 0.005, relative + 0.005],
                    "recommendations": {"swap_rate": 0.1},
                    "negative_flips": 0.001,
                    "accuracy": {"log_loss": 0.31},
                },
                "exports": ["export/replica_0/1", "export/replica_1/1"],
            }
            (workdir / "metrics.json").write_text(json.dumps(metrics))

    monkeypatch.setattr(Folder, "run", run)
    return weights


def weight_of(exponent: float) -> float:
    """The weight where the constraint's multiplier is 2 to a power."""
    return 2**exponent / (1 + 2**exponent)


def test_the_ends_then_a_bisection_on_a_log_scale(config: Config, trained: list[float], tmp_path: Path) -> None:
    # PD is at most 0.05 from a weight of 0.6 on: the logarithm of l is 0.585 there.
    said = churn_budget.run(Plan(config, budget=0.05, runs=7), str(tmp_path))
    assert trained == pytest.approx([0, 1, *map(weight_of, (0, 2, 1, 0.5, 0.75))])
    found = json.loads((tmp_path / "churn.json").read_text())
    assert [point["weight"] for point in found["points"]] == sorted(trained)
    assert [point["weight"] for point in found["points"] if point["keeps"]] == [
        weight_of(exponent) for exponent in (0.75, 1, 2)
    ] + [1]
    # The least loss of those that keep the budget is that of the smallest weight.
    assert found["chosen"] == weight_of(0.75)
    assert "Of the weights that keep the budget of 5.00%, 0.627 has the lowest log loss: 0.3516" in said
    # Its PD is 0.0473: one sibling lies above the budget, and has the lower loss.
    assert found["replica"] == 0
    assert Path(found["export"], "saved_model.pb").read_text() == f"{weight_of(0.75)} 0"
    assert found["export"] == str(tmp_path / "export" / "1")
    for name in ("churn.md", "churn.png", "report.html"):
        assert (tmp_path / name).stat().st_size > 0
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<h1>PD to the live model 4.73%, within the budget of 5.00%; log loss −0.1084</h1>" in page
    assert "<small>budget: 5.00%</small>" in page
    # Again: nothing is trained, and no second version is made of the same choice.
    trained.clear()
    assert churn_budget.run(Plan(config, budget=0.05, runs=7), str(tmp_path)) == said
    assert trained == []
    # Another budget goes on with the runs that are there.
    churn_budget.run(Plan(config, budget=0.08, runs=4), str(tmp_path))
    assert trained == pytest.approx([weight_of(-2)])
    assert json.loads((tmp_path / "churn.json").read_text())["chosen"] == weight_of(0)
    assert sorted(os.listdir(tmp_path / "export")) == ["1", "2"]


def test_a_budget_that_is_kept_for_nothing(config: Config, trained: list[float], tmp_path: Path) -> None:
    said = churn_budget.run(Plan(config, budget=0.2), str(tmp_path))
    assert trained == [0, 1]
    found = json.loads((tmp_path / "churn.json").read_text())
    assert found["chosen"] == 0
    assert "The budget is kept without distillation" in said
    assert "within the budget of 20.0%; without distillation</h1>" in (tmp_path / "report.html").read_text("utf-8")
    assert (found["replica"], Path(found["export"], "saved_model.pb").read_text()) == (1, "0.0 1")


def test_a_budget_that_no_weight_keeps(config: Config, trained: list[float], tmp_path: Path) -> None:
    with pytest.raises(GateNotMet) as error:
        churn_budget.run(Plan(config, budget=0.005), str(tmp_path))
    assert str(error.value) == (
        "gate not met: --max_pd_live=0.005: no weight of distillation keeps it; the best reached is 0.01 with weight "
        f"1, see {tmp_path}/report.html"
    )
    assert trained == [0, 1, 0.5]
    found = json.loads((tmp_path / "churn.json").read_text())
    assert found["chosen"] is None
    assert not (tmp_path / "export").exists()
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "No weight keeps the budget of 0.500%: the best reached is 1.00% with weight 1.00." in page
    assert "<h1>No model keeps the budget of 0.500%: the best reached is 1.00%</h1>" in page


def test_a_model_that_has_learned_nothing_keeps_no_budget(
    config: Config, trained: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Folder.metrics

    def collapsed(folder: Folder, cell: Cell) -> dict[str, Any]:
        reasons = [{"replica": 0, "reason": "predicts 0 for every row"}] if cell.config.distillation.weight == 1 else []
        return {**metrics(folder, cell), "collapsed": reasons}

    monkeypatch.setattr(Folder, "metrics", collapsed)
    with pytest.raises(GateNotMet, match=r"keeps it; the best reached is 0\.06 with weight 0\.5, see "):
        churn_budget.run(Plan(config, budget=0.05), str(tmp_path))
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "The model with weight 1.00 has learned nothing: it counts for no budget." in page


def test_a_run_that_diverged_is_named(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(folder: Folder, cells: list[Cell]) -> None:
        Path(folder.workdir(cells[0])).mkdir(parents=True)
        Path(folder.workdir(cells[0]), "metrics.json").write_text(
            '{"diverged": [0], "replicas": [{}], "pd_live": null}'
        )

    monkeypatch.setattr(Folder, "run", run)
    with pytest.raises(Diverged, match=r"^weight 0 diverged, see \S+: lower the learning rates$"):
        churn_budget.run(Plan(config, budget=0.05), str(tmp_path))


def test_runs_differ_in_the_weight_alone(config: Config) -> None:
    live = f"{config.evaluation.live}/3"
    without, taught = (Plan(config, 0.05).cell(weight).config for weight in (0.0, 0.25))
    assert without.distillation == Distillation()
    assert taught.distillation == Distillation(teachers=(live,), weight=0.25)
    assert without.evaluation.live == live
    assert dataclasses.replace(taught, distillation=Distillation()) == without
    how = Distillation(teachers=(config.evaluation.live,), loss="logit", weight=0.9)
    by_logit = Plan(dataclasses.replace(config, distillation=how), 0.05).cell(0.25).config
    assert by_logit.distillation == Distillation(teachers=(live,), loss="logit", weight=0.25)


def test_what_is_wrong_with_a_plan(config: Config, tmp_path: Path) -> None:
    def refused(config: Config, **options: Any) -> str:
        with pytest.raises(InputError) as error:
            Plan(config, **{"budget": 0.05, **options})
        return str(error.value)

    for budget in (0.0, -1.0, 2.5, math.nan):
        assert refused(config, budget=budget) == f"--max_pd_live must be above 0 and at most 2, got {budget:g}"
    assert refused(config, runs=2) == "--runs must be at least 3, for both ends and one between, got 2"
    none = dataclasses.replace(config, evaluation=Evaluation())
    assert refused(none) == "evaluation.live must name the live model, from which runs learn, got ''"
    other = dataclasses.replace(config, distillation=Distillation(teachers=("runs/a",)))
    assert refused(other) == "distillation.teachers must be none, or evaluation.live alone, got runs/a"
    file = tmp_path / "p.csv"
    file.write_text("prediction\n0.5\n")
    for live, words in {
        str(file): f"evaluation.live must be an export, or a workdir with one, to be learnt from, got {file}",
        "nowhere": "evaluation.live: no such file or folder: nowhere",
    }.items():
        wrong = dataclasses.replace(config, evaluation=Evaluation(live=live))
        with pytest.raises(InputError) as error:
            churn_budget.run(Plan(wrong, 0.05), str(tmp_path))
        assert str(error.value) == words
