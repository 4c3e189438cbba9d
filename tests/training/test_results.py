"""A finished run read back: its models predict what they predicted, or one line says why they cannot."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal

import numpy as np
import pytest

from smooth_recs import config, prediction_difference, training
from smooth_recs.errors import InputError, Interrupted
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.training import monitoring, results

pytestmark = pytest.mark.slow

SCHEMA = Schema((Categorical("user", "identity", 50, "int64"), Numeric("price", "log", "mean")), query_id="request")


def write_log(path):
    chance = random.Random(1)
    rows = [f"{chance.randrange(50)},{chance.random()},{n // 4},{int(chance.random() < 0.3)}" for n in range(2500)]
    path.write_text("user,price,request,label\n" + "\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workdir of a run on a small CSV file, and its metrics."""
    folder = tmp_path_factory.mktemp("finished")
    write_log(folder / "log.csv")
    run = config.Config(
        data=config.Data(source="csv", path=str(folder / "log.csv"), schema=SCHEMA),
        model=config.Model(hidden_units=(8, 4), beta=(0.3, 0.1)),
        train=config.Train(batch_size=50, steps_per_execution=10, dense_learning_rate=0.1),
    )
    return folder / "run", training.train_and_evaluate(run, str(folder / "run"))


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the run, to be damaged, with a log of its own."""
    shutil.copytree(finished[0], tmp_path / "run")
    write_log(tmp_path / "log.csv")
    rewrite(tmp_path / "run" / "config.json", lambda content: content["data"].update(path=str(tmp_path / "log.csv")))
    return tmp_path / "run"


def rewrite(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def refused(workdir):
    with pytest.raises(InputError) as error:
        results.load(str(workdir))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_models_predict_what_they_predicted(finished, capfd):
    workdir, metrics = finished
    run = results.load(str(workdir))
    rows = next(iter(run.source.holdout().rebatch(1000)))
    predictions = run.siblings(rows["features"]).numpy()
    assert predictions.shape == (metrics["eval_examples"], 2) == (500, 2)
    assert prediction_difference.relative(*predictions.T) == pytest.approx(metrics["pd"]["relative"], abs=1e-6)
    assert predictions.mean(axis=0) == pytest.approx([r["mean_prediction"] for r in metrics["replicas"]], rel=1e-5)
    assert np.ptp(predictions) > 0.01
    assert run.config.model.beta == (0.3, 0.1)
    assert run.config.data.schema == SCHEMA
    assert capfd.readouterr().out == ""


def test_a_run_may_lie_elsewhere(copy):
    assert results.load(str(copy)).siblings.replicas[0].top_stack.hidden_units == (8, 4)


@pytest.mark.parametrize("missing", ["config.json", "manifest.json", "metrics.json"])
def test_a_run_that_is_not_finished(copy, missing):
    (copy / missing).unlink()
    assert refused(copy) == f"workdir {copy} must hold a finished run, got no {missing} there"
    assert refused(copy / "nowhere").endswith("must hold a finished run, got no config.json there")


def test_a_file_that_is_no_json(copy):
    (copy / "metrics.json").write_text("{")
    assert refused(copy).startswith(f"{copy}/metrics.json cannot be read (it is not JSON, or not all of it: Expecting")
    (copy / "metrics.json").write_text("[]")
    assert refused(copy).startswith(f"{copy}/metrics.json must hold a JSON object, got a list: delete it, and ")


def test_data_that_changed(copy):
    log = copy.parent / "log.csv"
    log.write_text(log.read_text().replace("0.5", "0.6"))
    assert refused(copy) == f"workdir {copy} holds a run on other data: those at data.path '{log}' have changed since"


def test_a_checkpoint_that_is_lost(copy):
    shutil.rmtree(copy / "checkpoints")
    assert refused(copy) == f"workdir {copy} must hold the checkpoints of its run, got none in {copy}/checkpoints"


def test_a_checkpoint_of_another_model(copy):
    rewrite(copy / "config.json", lambda content: content["model"].update(hidden_units=[8, 8, 4], beta=None))
    assert "is not of the model in config.json" in refused(copy)


def test_a_configuration_of_another_version(copy):
    rewrite(copy / "config.json", lambda content: content["model"].update(wings=2))
    assert refused(copy).startswith(f"workdir {copy} is of another version: model.wings: no such field")


def test_a_run_that_was_killed_after_its_last_step_ends_as_it_would_have(finished, copy):
    config_of = config.Config.from_dict(json.loads((copy / "config.json").read_text()))
    for name in ("metrics.json", "report.html"):
        (copy / name).unlink()
    shutil.rmtree(copy / "export" / "replica_1" / "1")  # killed between the two exports
    history = (copy / "history.json").read_text()
    for content in (history[: len(history) // 2], "{}", '[{"pd": 1}]'):
        (copy / "history.json").write_text(content)
        with pytest.raises(InputError, match=r"/history\.json .*: delete it, and the run resumes without what was"):
            training.train_and_evaluate(config_of, str(copy))
    (copy / "history.json").write_text(history)
    speed = (copy / "speed.json").read_text()
    (copy / "speed.json").write_text("[1.0")
    with pytest.raises(InputError, match=r"/speed\.json .*: delete it, and the speed is that of the rest of the run"):
        training.train_and_evaluate(config_of, str(copy))
    (copy / "speed.json").write_text(speed)

    metrics = training.train_and_evaluate(config_of, str(copy))
    assert metrics["exports"] == ["export/replica_0/1", "export/replica_1/1"]  # versions of one number are siblings
    assert sorted(path.name for path in (copy / "export").glob("replica_?/*")) == ["1", "1"]
    assert metrics["examples_per_second"] == pytest.approx(finished[1]["examples_per_second"], rel=0.01)
    assert metrics["replicas"] == finished[1]["replicas"]

    (copy / "metrics.json").unlink()
    (copy / "speed.json").unlink()  # as in a workdir of 0.1.0
    assert training.train_and_evaluate(config_of, str(copy))["examples_per_second"] is None


def test_a_run_that_is_preempted_saves_and_ends_where_it_would_have(finished, tmp_path, monkeypatch):
    write_log(tmp_path / "log.csv")
    run = config.Config.from_dict(json.loads((finished[0] / "config.json").read_text()))
    run.data.path, run.train.checkpoint_seconds, run.train.deterministic = str(tmp_path / "log.csv"), 3600.0, True
    run.model.dropout = 0.2
    whole = training.train_and_evaluate(run, str(tmp_path / "whole"))

    after, ended = monitoring.Speed.on_train_batch_end, []

    def preempted(speed, batch, logs=None):
        after(speed, batch, logs)
        if not ended and batch >= 15:
            ended.append(batch + 1)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(monitoring.Speed, "on_train_batch_end", preempted)
    with pytest.raises(Interrupted, match="interrupted by SIGTERM: the same command resumes the run"):
        training.train_and_evaluate(run, str(tmp_path / "run"))
    assert (tmp_path / "run" / "checkpoints" / f"ckpt-{ended[0]}.index").exists()
    metrics = training.train_and_evaluate(run, str(tmp_path / "run"))
    for name in ("replicas", "pd", "history", "examples"):
        assert metrics[name] == whole[name]


def test_few_steps_and_siblings_that_predict_the_same_are_warned_of():
    measured = {"diverged": [], "collapsed": [], "layers": [], "pd": {"relative": 0.0}}
    same = "PD is exactly 0: the siblings predict the same for every row, so nothing differed in their trainings"
    few = "only 99 training steps: the models may still be close to their initialisation"
    assert results.warnings(measured, steps=99) == [same, few]
    assert results.warnings(measured | {"pd": {"relative": 0.01}}, steps=100) == []
    assert results.warnings(measured | {"pd": None}, steps=100) == []  # a single replica
