"""Runs with `train.average`: what is measured, exported and taught by is the average; what trains is what trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import shared_runs
import tensorflow as tf

from smooth_recs import training
from smooth_recs._files import read_json
from smooth_recs.config import Config, Data, Ensemble, Evaluation, Model, SyntheticLog, Train
from smooth_recs.data import stream
from smooth_recs.errors import InputError
from smooth_recs.measures.catalogue import PD
from smooth_recs.models import averaging
from smooth_recs.models.averaging import weights_of
from smooth_recs.reports import run_report
from smooth_recs.training import loop, results, training_run
from smooth_recs.training.batches import Batches

pytestmark = pytest.mark.slow


def run(average: int | str = 10, **changes) -> Config:
    """40 steps."""
    settings = Config(
        data=Data(examples=2_000, eval_examples=1_000, shuffle_window=500, synthetic=SyntheticLog(users=100, items=50)),
        model=Model(hidden_units=(8, 4), embedding_dim=4),
        train=Train(average=average, batch_size=50, dense_learning_rate=0.1, evaluations=2, evaluation_examples=1_000),
        evaluation=Evaluation(slices=(), estimate=False),
    )
    return dataclasses.replace(settings, **changes)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory) -> Path:
    return shared_runs.trained(tmp_path_factory, run())


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return shared_runs.trained(tmp_path_factory, run(0))


def siblings_of(workdir: Path):
    config = Config.from_dict(read_json(workdir / "config.json"))
    return loop.restored(config, str(workdir), stream.open_run(config.data, str(workdir)))


def pairs_of(siblings):
    return zip(weights_of(siblings.deployed_model()), weights_of(siblings), strict=True)


def test_raw_is_the_run_without_an_average(averaged, plain):
    """Which is another one than what is measured: the average is nearer to its sibling's."""
    with_average, without = (read_json(workdir / "metrics.json") for workdir in (averaged, plain))
    assert with_average["raw"] == {name: without[name] for name in ("replicas", "pd")}
    assert "raw" not in without
    assert 0 < with_average["pd"]["relative"] < without["pd"]["relative"]


def test_the_average_is_that_of_the_steps(averaged):
    """Passes after every step are the exponential average of all of them, computed here in float64."""
    siblings = siblings_of(averaged)
    config = Config.from_dict(read_json(averaged / "config.json"))
    batches = Batches(config, str(averaged), stream.open_run(config.data, str(averaged)))
    assert (batches.steps_per_execution, batches.steps_between_passes) == (1, 1)
    tf.keras.utils.set_random_seed(config.seed)
    again = loop.build(batches)
    expected = [np.zeros(weight.shape) for weight in weights_of(again)]
    total = 0.0

    class Sum(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            nonlocal total
            total = total / 2**0.1 + 1
            for k, weight in enumerate(weights_of(again)):
                expected[k] = expected[k] / 2**0.1 + weight.numpy().astype(np.float64)

    again.fit(batches.dataset(next(batches.remaining(0))), steps_per_epoch=40, verbose=0, callbacks=[Sum()])
    assert total == pytest.approx(sum(2 ** (-age / 10) for age in range(40)))
    for found, sums in zip(weights_of(siblings.deployed_model()), expected, strict=True):
        np.testing.assert_allclose(found, sums / total, atol=2e-6)


def test_tables_by_row_are_the_average_of_the_steps_too(averaged, tmp_path, monkeypatch):
    """Chosen by the size of the tables; with exports in between, which find the averages as they are."""
    monkeypatch.setattr(averaging, "ROW_COST", 0)
    train = dataclasses.replace(run().train, export_steps=15, progressive=True)
    assert "tables by row" in training_run.plan(run(train=train), str(tmp_path / "plan"))
    training.train_and_evaluate(run(train=train), str(tmp_path / "run"))
    monkeypatch.undo()
    found, expected = (siblings_of(workdir) for workdir in (tmp_path / "run", averaged))  # as the checkpoint was made
    for one, other in zip(weights_of(found.deployed_model()), weights_of(expected.deployed_model()), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-6)
    for one, other in zip(weights_of(found), weights_of(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    loaded = results.load(str(tmp_path / "run"))
    rows = next(iter(loaded.source.holdout(raw=True).rebatch(500)))
    exports = sorted(int(path.name) for path in (tmp_path / "run/export/replica_0").iterdir())
    assert exports == [1, 2, 3]  # after 15 and 30 steps, and at the end
    serve = tf.saved_model.load(str(tmp_path / "run/export/replica_0/3")).signatures["serving_default"]
    exported = serve(**{name: rows["raw"][name] for name in serve.structured_input_signature[1]})["probability"]
    np.testing.assert_allclose(exported, loaded.siblings(rows["features"])[:, 0], rtol=0, atol=1e-6)


def test_an_export_predicts_what_the_averaged_model_does(averaged):
    loaded, siblings = results.load(str(averaged)), siblings_of(averaged)
    rows = next(iter(loaded.source.holdout(raw=True).rebatch(500)))
    found = loaded.siblings(rows["features"]).numpy()
    np.testing.assert_array_equal(found, siblings.deployed_model()(rows["features"]))
    assert np.abs(found - siblings(rows["features"])).max() > 1e-3
    for k in range(2):
        serve = tf.saved_model.load(str(averaged / f"export/replica_{k}/1")).signatures["serving_default"]
        names = serve.structured_input_signature[1]
        exported = serve(**{name: rows["raw"][name] for name in names})["probability"]
        np.testing.assert_allclose(exported, found[:, k], rtol=0, atol=1e-6)


def test_reports_and_tensorboard_show_both(averaged, tmp_path):
    metrics = read_json(averaged / "metrics.json")
    run_report.write([str(averaged)], str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text("utf-8")
    assert f"{PD.label} of the raw weights" in page
    assert f"{metrics['raw']['pd']['relative']:.2%}"[:4] in page
    tags = set()
    for file in (averaged / "tensorboard").rglob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            tags |= {value.tag for value in event.summary.value}
    assert {"pd", "raw_pd", "auc", "raw_auc"} <= tags
    assert f"raw PD       {metrics['raw']['pd']['relative']:.2%}" in training_run.summary(metrics, "")


def test_a_checkpoint_without_an_average_gives_the_weights(plain):
    """As one of an earlier version does: the average begins with what was restored."""
    config = Config.from_dict(read_json(plain / "config.json"))
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, average=10))
    found = loop.restored(config, str(plain), stream.open_run(config.data, str(plain)))
    there = siblings_of(plain)
    for deployed, raw, weight in zip(*map(weights_of, (found.deployed_model(), found, there)), strict=True):
        np.testing.assert_array_equal(raw, weight)
        np.testing.assert_array_equal(deployed, weight)
    assert int(found.weight_average.steps) == 0


def test_a_warm_start_begins_with_the_raw_weights(averaged, tmp_path):
    source = stream.open_run(run().data, str(tmp_path))
    config = run(train=dataclasses.replace(run().train, warm_start=str(averaged)))
    batches = Batches(config, str(tmp_path), source)
    siblings = loop.build(batches)
    training.training_run.warm_start.begin(siblings, config, str(tmp_path), source.encoder)
    for deployed, raw, weight in zip(
        *map(weights_of, (siblings.deployed_model(), siblings, siblings_of(averaged))), strict=True
    ):
        np.testing.assert_array_equal(raw, weight)
        np.testing.assert_array_equal(deployed, weight)
    assert int(siblings.weight_average.steps) == 0


@pytest.mark.parametrize(
    ("ensemble", "model", "row_cost"),
    [
        (Ensemble(components=2, codistillation=0.1, stale_steps=3), {}, 0),
        (Ensemble(components=2, deployed="first", tables="separate"), {"linear": True}, 0),
        (Ensemble(), {"admission": 2, "precision": "bfloat16", "normalization": "batch"}, 0),
        (Ensemble(components=2, codistillation=0.1, stale_steps=3), {}, 1_000),
    ],
)
def test_other_models(tmp_path, monkeypatch, ensemble, model, row_cost):
    """With progressive validation and patience, tables by row and in passes."""
    monkeypatch.setattr(averaging, "ROW_COST", row_cost)
    train = dataclasses.replace(run(2).train, progressive=True, patience=5)
    data = dataclasses.replace(run().data, eval_examples=2_500)
    config = run(data=data, ensemble=ensemble, model=dataclasses.replace(run().model, **model), train=train)
    metrics = training.train_and_evaluate(config, str(tmp_path / "run"))
    assert {"pd", "progressive_pd"} <= {name for entry in metrics["history"] for name in entry}
    siblings = siblings_of(tmp_path / "run")
    assert len(metrics["exports"]) == 2
    apart = [np.abs(a.numpy() - w.numpy()).max() for a, w in pairs_of(siblings)]
    assert 0 < max(apart) < 1


@pytest.mark.parametrize(
    ("average", "words"),
    [
        (-2, "train.average must be at least 0, or auto, got -2"),
        (41, "train.average must be at most the 40 steps of the run, got 41"),
    ],
)
def test_half_lives_that_are_refused(tmp_path, average, words):
    with pytest.raises(InputError) as error:
        training.train_and_evaluate(run(average), str(tmp_path))
    assert str(error.value) == words
    with pytest.raises(InputError) as error:
        training_run.plan(run(average), str(tmp_path))
    assert str(error.value) == words


def test_a_dry_run_says_what_it_costs(tmp_path):
    for average, half_life in {"auto": 1, 0.2: 8, 0.001: 1, 17: 17}.items():  # of 40 steps
        said = f"averaged weights  half-life {half_life} steps, a pass every 1: "
        assert said in training_run.plan(run(average), str(tmp_path))
    assert "averaged weights" not in training_run.plan(run(0), str(tmp_path))
