"""A measure is one row of `measures.catalogue`: nothing else lists measures, and the row alone brings it everywhere."""

from __future__ import annotations

import ast
import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import sweep_cases
from source_imports import module_name, modules

from smooth_recs import metrics
from smooth_recs.config import Config, Evaluation, Train
from smooth_recs.experiments.sweeps import Variant, choice, sweep_plan, sweep_report, sweep_results
from smooth_recs.experiments.variants import Grid
from smooth_recs.measures import catalogue, gates, held_out, increases
from smooth_recs.measures.catalogue import BY_NAME, MEASURES
from smooth_recs.measures.measure import ACCURACY, PROGRESSIVE, Family, Measure, Rows
from smooth_recs.models.progressive import ProgressiveMetrics
from smooth_recs.prediction_difference import terms
from smooth_recs.reports import comparison_report, formats, tables
from smooth_recs.serving import model_card
from smooth_recs.workdir.finished_runs import Run

CATALOGUE = "smooth_recs.measures.catalogue"
EXCEPTIONS = {
    "smooth_recs.measures.increases.TERMS": "functions that a bootstrap needs; compare takes the measures from here",
    "smooth_recs.measures.predictive_churn.FLIPS": "functions of labels too, which compare takes; each has its row",
    "smooth_recs.prediction_difference.terms.by_name": "functions, which are streamed together; each has its row",
    "smooth_recs.measures.recommendations._statistics": "computes them together, from lists that are made once",
    "smooth_recs.models.progressive.result": "metrics with names of their own in checkpoints",
    "smooth_recs.measures.measure.": "sections of metrics.json, two of which are called as a measure",
    "smooth_recs.config.": "choices of train.best, below the measures; each has its row",
}
NAMES = {
    text: measure.name for measure in MEASURES for text in (measure.name, measure.label, measure.short, measure.inside)
}


def named(literal: ast.expr) -> Iterator[str]:
    """The measures that a literal names, inner tuples, lists and dictionaries included."""
    if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
        name = literal.value.removeprefix(PROGRESSIVE)
        if name in NAMES:
            yield NAMES[name]
    elif isinstance(literal, ast.Tuple | ast.List | ast.Set):
        for each in literal.elts:
            yield from named(each)
    elif isinstance(literal, ast.Dict):
        for part in (*literal.keys, *literal.values):
            if part is not None:
                yield from named(part)


def lists(node: ast.AST, within: str) -> Iterator[tuple[str, set[str]]]:
    """Where two or more measures are listed, by the nearest function or assignment."""
    for child in ast.iter_child_nodes(node):
        place = within
        if isinstance(child, ast.FunctionDef):
            place = child.name
        elif isinstance(child, ast.Assign) and isinstance(child.targets[0], ast.Name) and not within:
            place = child.targets[0].id
        if isinstance(child, ast.Tuple | ast.List | ast.Set | ast.Dict):
            found = set(named(child))
            if len(found) > 1:
                yield place, found
        yield from lists(child, place)


def listed(path: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for place, names in lists(ast.parse(path.read_text("utf-8")), ""):
        if place != "__all__":  # what a module offers are functions
            found.setdefault(f"{module_name(path)}.{place}", set()).update(names)
    return found


LISTED = {
    place: names for module, path in modules().items() if module != CATALOGUE for place, names in listed(path).items()
}


def test_measures_are_listed_in_the_catalogue_alone() -> None:
    again = {place: names for place, names in LISTED.items() if place not in EXCEPTIONS}
    assert not again, "read these from smooth_recs.measures.catalogue"


def test_every_exception_is_one() -> None:
    assert set(EXCEPTIONS) <= set(LISTED)


def test_a_row_is_said_once_and_can_be_written() -> None:
    assert len(BY_NAME) == len(MEASURES)
    for texts in ([measure.name for measure in MEASURES], [measure.label for measure in MEASURES]):
        assert len(set(texts)) == len(texts)
    assert {measure.family for measure in MEASURES} == set(get_args(Family))
    assert all(formats.of(measure)(0.25) != formats.MISSING for measure in MEASURES)
    assert all(len(measure.terminal or measure.inside) <= 11 for measure in MEASURES if measure.name in increases.TERMS)
    assert all(measure.function is None for measure in MEASURES if measure.family not in ACCURACY)


def test_functions_that_stand_elsewhere_have_their_rows() -> None:
    assert set(terms.by_name(0.5)) <= {measure.name for measure in catalogue.of("difference")}
    assert set(get_args(get_type_hints(Train)["best"])) <= set(BY_NAME)
    assert set(increases.TERMS) <= {measure.name for measure in catalogue.of(*ACCURACY)}
    assert catalogue.BY_NAME["auc_loss"] in catalogue.leading()
    for field in dataclasses.fields(gates.Limits):
        measure, _ = gates.limited(field.name)
        assert measure.bounds is not None


def test_metrics_of_keras_are_called_as_their_rows() -> None:
    streamed = {measure.keras: measure.name for measure in MEASURES if measure.keras}
    assert set(streamed) == set(metrics.__all__)
    assert {each: getattr(metrics, each)().name for each in streamed} == streamed
    watched = {PROGRESSIVE + measure.name for measure in catalogue.progressive()}
    assert set(ProgressiveMetrics(2).result()) == watched


def squared_distance(rows: Rows) -> float:
    return float(np.average((rows.prediction - rows.label) ** 2, weights=rows.weight))


ONE_MORE = Measure(
    name="squared_distance",
    family="probability",
    label="Squared distance",
    form="decimal",
    function=squared_distance,
    needs=("label",),
    meaning="Mean squared distance of the predictions from the labels; lower is better.",
)


@pytest.fixture(params=["as it is", "a row more"])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Measure, ...]:
    """The table, and once more with a row that is nowhere else: what a new measure needs."""
    if request.param == "a row more":
        monkeypatch.setattr(catalogue, "MEASURES", (*MEASURES, ONE_MORE))
        monkeypatch.setitem(BY_NAME, "squared_distance", ONE_MORE)
    return catalogue.MEASURES


def measured() -> dict[str, Any]:
    """The content of a `metrics.json` of three replicas, but for what a run alone knows."""
    rng = np.random.default_rng(5)
    probability = rng.uniform(0.05, 0.5, 400)
    columns = {
        "prediction": np.clip(probability[:, None] * np.exp(rng.normal(0, 0.1, (400, 3))), 0, 1),
        "label": (rng.uniform(size=400) < probability).astype(float),
        "query_id": np.arange(400) // 4,
        "true_probability": probability,
        "live": probability,
    }
    found = held_out.metrics(columns, evaluation=Evaluation())
    cost = {measure.name: 7 for measure in catalogue.of("size")}
    speed = {measure.name: 9e4 for measure in catalogue.of("training")}
    return {**found, "cost": cost, "examples": 1000, **speed}


def test_every_row_is_in_metrics_json(rows: tuple[Measure, ...]) -> None:
    found = measured()
    for measure in rows:
        assert measure.family == "serving" or measure.read(found) is not None, measure.name
    accuracies = [measure.name for measure in rows if measure.family in ACCURACY]
    assert all(list(each) == accuracies for each in (*found["replicas"], found["best_possible"]))
    diverged = held_out.of_diverged({"prediction": np.full([4, 2], 0.5), "label": np.array([0, 1, 0, 1])}, [1])
    assert diverged["replicas"][1] == dict.fromkeys(accuracies)


def test_every_row_is_in_the_reports(rows: tuple[Measure, ...], tmp_path: Path) -> None:
    found = measured()
    run = Run("runs/one", "SmeLU", {}, {}, found)
    shown = {*tables.overview([run]).rows, *tables.replicas([run]).rows}
    shown |= {*tables.differences([run]).rows, *tables.recommendations([run]).rows}
    missing = [each.name for each in rows if not {each.row or each.label, each.label} & shown]
    assert missing == [each.name for each in rows if each.family in ("size", "serving")]  # a sweep shows what costs
    assert {each.label for each in rows if each.meaning} == set(tables.words())
    two = {**found, "replicas": found["replicas"][:2], "increase": {}, "gates": []}
    sides = {side: {"path": side, "kind": "export", "rows": 400} for side in "ab"}
    comparison_report.write({**two, **sides, "rows": 400, "data": {}, "versions": {}}, str(tmp_path / "two.html"))
    page = (tmp_path / "two.html").read_text("utf-8")
    assert [each.name for each in rows if each.family in ACCURACY and each.label not in page] == []
    heads = model_card.accuracy_table(found["replicas"][0]).splitlines()[0].strip("| ").split(" | ")
    assert heads == [each.inside for each in rows if each.family in ACCURACY and each.swept]


def test_every_row_is_in_a_sweep(rows: tuple[Measure, ...], tmp_path: Path) -> None:
    names = [measure.name for measure in rows if measure.swept]
    assert sorted(sweep_results.names()) == sorted(names)
    of_variants = {
        variant: {name: [scale * 0.5, scale * 0.6] for name in names}
        for variant, scale in (("relu", 1.0), ("smelu", 0.9))
    }
    results = sweep_cases.results(of_variants)
    sweep_report.write(results, str(tmp_path))
    said = (tmp_path / "results.md").read_text("utf-8")
    assert [name for name in names if BY_NAME[name].short not in said] == []
    for name in names:
        goal = sweep_plan.parse_goal(f"min pd subject to {name} <= relu", sweep_results.names(), ["relu", "smelu"])
        assert choice.choose(results, goal)["chosen"] == "smelu"
    grid = Grid(Config(), [Variant("relu", "ReLU", {})], [1])
    run = sweep_results.Run(grid.variants[0], 1, "key", dict.fromkeys(names, 0.5))
    sweep_results.write_csv(grid, [run], str(tmp_path / "results.csv"))
    with open(tmp_path / "results.csv", encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    assert {name: row[name] for name in names} == dict.fromkeys(names, "0.5")


def test_what_is_measured_of_a_run_reaches_the_sweep(rows: tuple[Measure, ...]) -> None:
    found = measured()
    serving = {measure.key: {"median": 2.0} for measure in catalogue.of("serving")}
    values = sweep_results.measures_of(found, serving)
    assert list(values) == sweep_results.names()
    assert [name for name, value in values.items() if value is None] == []
