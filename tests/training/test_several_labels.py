"""A run of several labels from the log to the answers of a server: measured, exported, predicted, refused."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.csv
import pytest
import tensorflow as tf

from smooth_recs import prediction_difference, training
from smooth_recs.config import Config, Data, Distillation, Evaluation, Model, Train
from smooth_recs.errors import InputError
from smooth_recs.measures import accuracy
from smooth_recs.release import predicting, publishing
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.serving import checks, requests
from smooth_recs.serving.loader import LoadedModel
from smooth_recs.training import results

pytestmark = pytest.mark.slow

SCHEMA = Schema(
    (Categorical("user", "vocabulary"), Categorical("item", "vocabulary"), Numeric("price")),
    label=("click", "long_view"),
    query_id="request",
)


class Run(NamedTuple):
    """A finished run: its workdir, metrics, what it printed, and what `results.load` reads back."""

    workdir: str
    metrics: dict[str, Any]
    said: str
    trained: results.Trained


def settings(path: Path, **sections: Any) -> Config:
    run = Config(
        data=Data(source="csv", path=str(path), schema=SCHEMA, shuffle_window=500),
        model=Model(hidden_units=(8, 4), embedding_dim=4, linear=True, task_weights=(1.0, 0.5)),
        train=Train(batch_size=50, steps_per_execution=10, average="auto", evaluations=1, dense_learning_rate=0.05),
        evaluation=Evaluation(estimate=False, slices=("label",)),
    )
    return dataclasses.replace(run, **sections)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long views follow clicks, on the items' own merits."""
    random = np.random.default_rng(1)
    user, item = random.integers(0, 40, 2_500), random.integers(0, 20, 2_500)
    taste, merit = random.normal(size=40), random.normal(size=20)
    click = random.random(2_500) < 1 / (1 + np.exp(0.5 - 2 * taste[user]))
    long_view = click & (random.random(2_500) < 1 / (1 + np.exp(-2 * merit[item])))
    rows = zip(user, item, random.lognormal(size=2_500).round(3), click.astype(int), long_view.astype(int), strict=True)
    lines = [f"u{u},i{i},{price},{n // 4},{c},{view}" for n, (u, i, price, c, view) in enumerate(rows)]
    path = tmp_path_factory.mktemp("log") / "log.csv"
    path.write_text("user,item,price,request,click,long_view\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def run(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    workdir, said = str(tmp_path_factory.mktemp("runs") / "run"), io.StringIO()
    with contextlib.redirect_stdout(said):
        metrics = training.train_and_evaluate(settings(log), workdir)
    return Run(workdir, metrics, said.getvalue(), results.load(workdir))


@pytest.fixture(scope="module")
def predicted(run: Run, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the exports of both siblings predict for the held-out rows, column by column."""
    found = []
    for k in range(2):
        output = str(tmp_path_factory.mktemp("predicted") / "p.csv")
        export = f"{run.workdir}/export/replica_{k}"
        assert predicting.predict(predicting.PredictSettings(export, run.trained.config, output)) == 500
        table = pyarrow.csv.read_csv(output)
        found.append({name: table[name].to_numpy() for name in table.column_names})
    return found


def test_each_task_is_measured_as_what_the_exports_predict(run: Run, predicted: list[dict[str, Any]]) -> None:
    names = ["row", "query_id", "label", "label_long_view", "prediction", "prediction_long_view"]
    assert list(predicted[0]) == names
    for of_label, found in (("", run.metrics), ("_long_view", run.metrics["tasks"]["long_view"])):
        label = predicted[0][f"label{of_label}"]
        columns = [each[f"prediction{of_label}"] for each in predicted]
        assert 0 < label.sum() < 500
        for replica, prediction in zip(found["replicas"], columns, strict=True):
            assert replica["log_loss"] == pytest.approx(accuracy.log_loss(label, prediction), rel=1e-5)
            assert replica["auc_loss"] == pytest.approx(accuracy.auc_loss(label, prediction), abs=1e-5)
        assert found["pd"]["relative"] == pytest.approx(prediction_difference.relative(*columns), rel=1e-4)
        assert found["recommendations"]["swap_rate"] >= 0
    assert list(run.metrics["tasks"]) == ["long_view"]
    assert run.metrics["tasks"]["long_view"].keys() == {"diverged", "collapsed", "replicas", "pd", "recommendations"}
    last = run.metrics["history"][-1]
    assert last.keys() >= {"pd", "auc", "log_loss", "long_view_pd", "long_view_auc", "long_view_log_loss"}
    # Both have learned what they can: the users' taste makes the clicks, the items' merits the rest.
    assert all(replica["auc"] > 0.7 for replica in run.metrics["tasks"]["long_view"]["replicas"])


def test_each_task_is_told_in_the_terminal_the_report_and_the_model_card(run: Run) -> None:
    task = run.metrics["tasks"]["long_view"]
    said = next(line for line in run.said.splitlines() if line.startswith("long_view "))
    assert said.startswith(
        f"long_view    PD {task['pd']['relative']:.2%}, AUC loss {task['replicas'][0]['auc_loss']:.4f}"
    )
    page = Path(run.workdir, "report.html").read_text("utf-8")
    assert "Other labels" in page
    assert "long_view: PD, 95% interval" in page
    card = Path(run.workdir, "export/replica_1/1/model_card.md").read_text("utf-8")
    assert (
        f"Of the output `long_view`, whose PD between the replicas of the run is {task['pd']['relative']:.2%}" in card
    )
    stored = json.loads(Path(run.workdir, "export/replica_1/1/model_card.json").read_text())
    assert stored["tasks"]["long_view"]["auc"] == task["replicas"][1]["auc"]


def test_every_signature_answers_as_the_trained_model_in_the_loader_of_tensorflow_serving(run: Run) -> None:
    encoder, model = run.trained.source.encoder, run.trained.siblings.replicas[0]
    rows = requests.held_out(run.trained.source, 100)
    expected = model.task_probabilities(encoder(rows)).numpy()
    assert np.abs(expected[:, 0] - expected[:, 1]).max() > 0.05
    np.testing.assert_allclose(model(encoder(rows)), expected[:, 0], rtol=1e-6)
    examples = requests.serialized_examples(encoder.schema, rows)
    with LoadedModel(f"{run.workdir}/export/replica_0/1") as loaded:
        for found in (loaded.run("serving_default", rows), loaded.run("serving_examples", {"examples": examples})):
            assert list(found) == ["long_view", "probability"]
            both = np.stack([found["probability"], found["long_view"]], axis=1)
            np.testing.assert_allclose(both, expected, rtol=0, atol=1e-6)
        logits = loaded.run("logits", rows)
        both = np.stack([logits["logit"], logits["long_view"]], axis=1)
        np.testing.assert_allclose(1 / (1 + np.exp(-both)), expected, rtol=0, atol=1e-6)
        regressed = loaded.run("regress", {"inputs": examples})["outputs"]
        np.testing.assert_allclose(regressed, expected[:, 0], rtol=0, atol=1e-6)


def test_an_export_is_checked_task_by_task(run: Run) -> None:
    export, model, encoder = (
        f"{run.workdir}/export/replica_0/1",
        run.trained.siblings.replicas[0],
        run.trained.source.encoder,
    )
    passed = publishing.check(export, run.trained, model)
    assert passed.largest_difference <= 1e-6

    def another(raw: Any) -> Any:
        return model.task_probabilities(encoder(raw)) * tf.constant([1.0, 0.9])

    with pytest.raises(
        checks.CheckFailed, match="serving_default, a batch of 1: long_view for row 0 the export predicts"
    ):
        checks.check(export, encoder.schema, requests.held_out(run.trained.source, 10), another)


def test_rows_without_a_label_are_predicted_for_all_tasks(run: Run, tmp_path: Path) -> None:
    rows = tmp_path / "new.csv"
    rows.write_text("user,item,price,long_view\nu1,i1,1.5,1\nu2,i2,,0\n")
    output = str(tmp_path / "p.csv")
    wanted = predicting.PredictSettings(f"{run.workdir}/export", run.trained.config, output, data=str(rows))
    assert predicting.predict(wanted) == 2
    assert pyarrow.csv.read_csv(output).column_names == ["row", "prediction", "prediction_long_view"]
    with pytest.raises(InputError, match="--key must not name 'prediction_long_view'"):
        dataclasses.replace(wanted, key=("prediction_long_view",))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"distillation": Distillation(teachers=("runs/teacher",))},
            "distillation.teachers must be none with several labels, of which a teacher predicts one, got runs/teacher",
        ),
        ({"model": Model(task_weights=(1.0, 2.0, 3.0))}, "model.task_weights must be one for each of several labels"),
        ({"data": Data(labels=("click", "sale"))}, "data.labels needs a data.source of files"),
    ],
)
def test_what_does_not_go_together_is_one_line_that_names_the_field(
    log: Path, tmp_path: Path, sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=f"^{message}") as raised:
        training.train_and_evaluate(settings(log, **sections), str(tmp_path / "run"))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run" / "metrics.json").exists()
