"""A workdir and data in TensorFlow's in-memory file system: killed, resumed, exported, compared, reported."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator

import binaries_in_process
import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import _files, training
from smooth_recs.artifacts import prediction_files
from smooth_recs.artifacts.exports import PREDICTIONS, Artifact
from smooth_recs.artifacts.prediction_files import Wanted
from smooth_recs.callbacks import checkpoints
from smooth_recs.config import Config, Data, Evaluation, Model, Train
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.training import monitoring, results

pytestmark = pytest.mark.slow

SCHEMA = Schema(
    (
        Categorical("user", "vocabulary"),
        Categorical("words", "hash", 30, max_values=3),
        Numeric("price", "log_standardize", "indicator"),
    ),
    query_id="request",
)
ROWS, BATCH = 1_250, 50


class Killed(Exception):
    """In place of a signal that no process outlives."""


def write_log(path: str) -> None:
    """Users who click often, and others."""
    chance = random.Random(1)
    lines = ["user,words,price,request,label"]
    for n in range(ROWS):
        user = chance.choice(["ann", "bob", ""])
        clicked = int(chance.random() < {"ann": 0.7, "bob": 0.1, "": 0.3}[user])
        lines.append(
            f"{user},{chance.choice(['one|two', 'two', ''])},{chance.choice(['', 0.5, 700])},{n // 4},{clicked}"
        )
    _files.write_bytes(path, gzip.compress("\n".join(lines).encode()))


def config(path: str) -> Config:
    return Config(
        data=Data(source="csv", path=path, schema=SCHEMA, shuffle_window=400),
        model=Model(hidden_units=(8, 4), embedding_dim=4, dropout=0.2),
        train=Train(
            batch_size=BATCH, epochs=2, steps_per_execution=5, dense_learning_rate=0.1, evaluations=4,
            evaluation_examples=200, checkpoint_seconds=3600.0, deterministic=True, average=10,
        ),
        evaluation=Evaluation(slices=("label",), estimate=False),
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs() -> Iterator[tuple[str, str]]:
    """The workdirs of an uninterrupted run and of one that was killed in its second epoch, and resumed."""
    write_log("ram://data/day=1/part-0.csv.gz")
    run = config("ram://data")
    training.train_and_evaluate(run, "ram://runs/whole")
    after = monitoring.Speed.on_train_batch_end

    def killed(speed: monitoring.Speed, batch: int, logs: object = None) -> None:
        after(speed, batch, logs)
        if _files.exists("ram://runs/killed/checkpoints/checkpoint") and batch >= 10:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitoring.Speed, "on_train_batch_end", killed)
        with pytest.raises(Killed):
            training.train_and_evaluate(run, "ram://runs/killed")
    assert not _files.exists("ram://runs/killed/metrics.json")
    assert _files.listdir("ram://runs/killed/checkpoints") == [
        "checkpoint",
        "ckpt-20.data-00000-of-00001",
        "ckpt-20.index",
    ]
    training.train_and_evaluate(run, "ram://runs/killed")
    yield "ram://runs/whole", "ram://runs/killed"
    for folder in ("ram://data", "ram://runs"):
        _files.remove_folder(folder)


def tensors(workdir: str) -> dict[str, np.ndarray]:
    """Everything in the newest checkpoint, by the key of its place."""
    reader = checkpoints.reader(checkpoints.newest_first(f"{workdir}/checkpoints")[0])
    keys = [key for key in reader.get_variable_to_shape_map() if key.endswith("VARIABLE_VALUE")]
    return {key: reader.get_tensor(key) for key in keys if not key.startswith("save_counter")}


def metrics(workdir: str) -> dict:
    return json.loads(_files.read_text(f"{workdir}/metrics.json"))


def test_a_resumed_run_equals_the_uninterrupted_one_to_the_bit(runs):
    whole, resumed = map(tensors, runs)
    assert whole.keys() == resumed.keys()
    assert int(whole[next(key for key in whole if key.startswith("steps"))]) == 2 * 0.8 * ROWS / BATCH
    for key, value in whole.items():
        np.testing.assert_array_equal(value, resumed[key], key)
    for name in ("replicas", "pd", "raw", "history", "examples", "exports"):
        assert metrics(runs[0])[name] == metrics(runs[1])[name], name


def test_the_workdir_holds_what_a_local_one_does_and_nothing_half_written(runs):
    names = _files.listdir(runs[1])
    assert names == [
        *("cache", "checkpoints", "config.json", "encoder.json", "export", "history.json", "manifest.json"),
        *("metrics.json", "report.html", "speed.json", "tensorboard"),
    ]
    assert not [file for file in _files.files_in(runs[1]) if "/." in file]
    export = f"{runs[1]}/export/replica_0/1"
    assert {"saved_model.pb", "model_card.md", "assets.extra"} <= set(_files.listdir(export))
    assert _files.read_text(f"{runs[1]}/report.html").startswith("<!DOCTYPE html>")


def test_a_finished_run_answers_and_its_models_predict_what_was_measured(runs, capsys):
    training.train_and_evaluate(config("ram://data"), runs[1])
    assert "holds this run, finished" in capsys.readouterr().out
    run = results.load(runs[1])
    rows = next(iter(run.source.holdout(raw=True).rebatch(100)))
    served = tf.saved_model.load(f"{runs[1]}/export/replica_0/1").signatures["serving_default"](**rows["raw"])
    own = tf.reshape(run.siblings.replicas[0](rows["features"], training=False), [-1])
    np.testing.assert_allclose(served["probability"], own, rtol=1e-5)


def test_export_predict_compare_and_report(runs, capsys):
    whole, resumed = runs
    main = binaries_in_process.main
    main("export", f"--workdir={resumed}", "--output=ram://runs/models/ranker", f"--against={whole}", "--max_pd=1e-6")
    assert "ram://runs/models/ranker/1" in capsys.readouterr().out

    given = ["--config=ram://runs/killed/config.json", "--export=ram://runs/models/ranker", "--data=ram://data"]
    for ending in ("csv.gz", "tfrecord.gz", "parquet"):
        main("predict", *given, f"--output=ram://runs/predicted.{ending}")
        path = f"ram://runs/predicted.{ending}"
        predicted = prediction_files.read(Artifact("--a", path, PREDICTIONS), Wanted())["prediction"]
        assert predicted.size == ROWS
        assert 0 < predicted.std() < 0.5

    main(
        "compare",
        "--a=ram://runs/predicted.parquet",
        "--b=ram://runs/predicted.csv.gz",
        "--output=ram://runs/equal.json",
    )
    assert _files.read_json("ram://runs/equal.json")["pd"]["relative"] < 1e-6
    replicas = [f"--{flag}={whole}/export/replica_{k}" for k, flag in enumerate("ab")]
    for shard in ("1/2", "2/2"):
        main("compare", *replicas, given[0], "--output=ram://runs/siblings.json", f"--shard={shard}")
    main("compare", *replicas, given[0], "--output=ram://runs/siblings.json", "--merge")
    compared = _files.read_json("ram://runs/siblings.json")
    assert compared["pd"]["relative"] == pytest.approx(metrics(whole)["pd"]["relative"], rel=1e-4)
    assert "<html" in _files.read_text("ram://runs/siblings.html")

    main("report", f"--workdirs={whole},{resumed}", "--output=ram://runs/both.html", "--picture=ram://runs/both.png")
    assert _files.read_bytes("ram://runs/both.png").startswith(b"\x89PNG")


def test_another_run_begins_with_its_weights_and_is_held_against_it(runs):
    after = config("ram://data")
    after.train.warm_start, after.train.epochs, after.evaluation.live = runs[0], 1, f"{runs[0]}/export/replica_0"
    after.distillation.teachers = (runs[0],)
    found = training.train_and_evaluate(after, "ram://runs/after")
    assert found["pd_live"]["model"]["path"] == f"{runs[0]}/export/replica_0/1"
    assert found["pd_live"]["relative"] < 0.5
    begun_with = {"live.json", "live.parquet", "teachers.json", "warm_start.json"}
    assert begun_with <= set(_files.listdir("ram://runs/after"))
