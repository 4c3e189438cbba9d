"""The main job, mostly through the public command: real processes, real files."""

from __future__ import annotations

import copy
import dataclasses
import gzip
import json
import os
import pathlib
import random
import re
import subprocess
import sys

import pytest
import shared_runs

from smooth_recs import training
from smooth_recs.config import Config, Data
from smooth_recs.errors import InputError
from smooth_recs.experiments import sweeps

ROOT = pathlib.Path(__file__).parents[2]
DATA = pathlib.Path(os.environ.get("SMOOTH_RECS_DATA", ROOT.parent / "shared" / "data"))
SMALL = ("--config.data.examples=6000", "--config.data.eval_examples=2000", "--config.data.shuffle_window=2500")
ON_PREDICTIONS_ALONE = ("--config.evaluation.estimate=false", "--config.evaluation.slices=label")

pytestmark = pytest.mark.slow


def command(config: str, workdir: pathlib.Path, *overrides: str) -> list[str]:
    return [
        *(sys.executable, "-m", "smooth_recs.bin.train"),
        *(f"--config={ROOT}/configs/{config}.py", f"--workdir={workdir}", *overrides),
    ]


def train(config: str, workdir: pathlib.Path, *overrides: str) -> dict:
    done = subprocess.run(command(config, workdir, *overrides), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((workdir / "metrics.json").read_text())


def small_demo(**data: int) -> Config:
    """The demo with few rows, for runs in this process."""
    run = sweeps.config_of(ROOT / "configs" / "demo_falling.py")
    return dataclasses.replace(run, data=Data(examples=6000, **data))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = shared_runs.once(tmp_path_factory, "demo_of_the_command", lambda made: train("demo", made / "run", *SMALL))
    return folder / "run", json.loads((folder / "run" / "metrics.json").read_text())


def test_every_key_of_the_metrics_is_documented(demo):
    def keys(value):
        if isinstance(value, list):
            return {key for item in value for key in keys(item)}
        if not isinstance(value, dict):
            return set()
        return value.keys() | {key for item in value.values() for key in keys(item)}

    pages = "".join((ROOT / "docs" / page).read_text("utf-8") for page in ("runs.md", "measuring.md"))
    _, metrics = demo
    metrics = copy.deepcopy(metrics)
    slices, quantiles = metrics.pop("slices"), metrics["pd"].pop("quantiles")
    assert metrics["raw"]["pd"].pop("quantiles").keys() == quantiles.keys()
    assert all(f"`{kind.split(' of ')[0]}" in pages for kind in slices)
    assert all(f"{float(share):.0%}".removesuffix("%") in pages for share in quantiles)
    found = keys(metrics) | keys(list(slices.values()))
    assert len(found) > 50
    assert not {key for key in found if f"`{key}`" not in pages} - {"relative_norm_2"}


def test_a_workdir_holds_what_the_design_lists(demo):
    workdir, metrics = demo
    for name in ("config.json", "manifest.json", "metrics.json", "report.html", "checkpoints/checkpoint"):
        assert (workdir / name).stat().st_size > 0
    assert any((workdir / "tensorboard").rglob("events*"))
    for replica in (0, 1):
        assert (workdir / f"export/replica_{replica}/1/saved_model.pb").exists()
    assert metrics["examples"] == 6000
    assert metrics["examples_per_second"] > 0
    assert metrics["eval_examples"] == 2000
    low, high = metrics["pd"]["interval"]
    assert 0 < low < metrics["pd"]["relative"] < high
    for replica in metrics["replicas"]:
        assert replica["auc"] == pytest.approx(1 - replica["auc_loss"])
        assert replica["auc"] < metrics["best_possible"]["auc"]
        assert 0 < replica["per_query_auc_loss"] < 1
    assert [entry["step"] for entry in metrics["history"]] == sorted({e["step"] for e in metrics["history"]})


def test_a_finished_run_is_not_repeated_and_another_is_refused(demo):
    workdir, metrics = demo
    before = (workdir / "metrics.json").stat().st_mtime_ns
    assert train("demo", workdir, *SMALL) == metrics
    assert (workdir / "metrics.json").stat().st_mtime_ns == before
    other = subprocess.run(command("demo", workdir, *SMALL, "--config.seed=9"), capture_output=True, text=True)
    assert other.returncode == 2
    assert "config.seed=1" in other.stderr.splitlines()[-1]


def test_nothing_differs_means_a_pd_of_exactly_0(tmp_path):
    settings = (*SMALL, *ON_PREDICTIONS_ALONE, "--config.siblings.differ=nothing", "--config.train.deterministic")
    metrics = train("demo", tmp_path / "run", *settings)
    assert metrics["pd"]["relative"] == 0.0
    assert metrics["replicas"][0] == metrics["replicas"][1]


def test_a_training_that_diverges_says_so_and_is_finished(tmp_path):
    rate = ("--config.train.dense_learning_rate=3e38", "--config.train.dense_optimizer=sgd")
    too_fast = (*SMALL, *ON_PREDICTIONS_ALONE, *rate)
    for _ in range(2):
        done = subprocess.run(command("demo", tmp_path / "run", *too_fast), capture_output=True, text=True, check=False)
        assert done.returncode == 4, done.stderr[-2000:]
        assert "lower train.dense_learning_rate" in done.stderr.splitlines()[-1]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["diverged"], metrics["pd"], metrics["exports"]) == ([0, 1], None, [])
    assert (tmp_path / "run" / "report.html").exists()


def test_a_training_that_collapses_is_named_everywhere(tmp_path, capsys):
    run = small_demo(eval_examples=500)
    run.data.examples, run.model.hidden_units, run.evaluation.estimate = 2_000, (8,), False
    run.train.dense_learning_rate = run.train.embedding_learning_rate = 1e6
    metrics = training.train_and_evaluate(run, str(tmp_path / "run"))
    assert [each["replica"] for each in metrics["collapsed"]] == [0, 1]
    said = [f"replica {each['replica']} {each['reason']}" for each in metrics["collapsed"]]
    few = "only 8 training steps: the models may still be close to their initialisation"
    assert metrics["warnings"] == [*said, few, *(each["warning"] for each in metrics["layers"] if each["warning"])]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["warnings"] == metrics["warnings"]
    printed, report = capsys.readouterr().out, (tmp_path / "run" / "report.html").read_text()
    assert all(f"warning      {text}\n" in printed for text in said)
    assert all(f'<p class="warning">R{text[1:]}.</p>' in report for text in said)


def test_patience_stops_and_the_rows_that_chose_do_not_judge(tmp_path):
    settings = ("--config.data.examples=4000", "--config.data.eval_examples=3000", "--config.data.shuffle_window=2500")
    metrics = train(
        *("demo", tmp_path / "run", *settings, *ON_PREDICTIONS_ALONE),
        *("--config.train.epochs=40", "--config.train.evaluations=40", "--config.train.patience=3"),
        *("--config.train.evaluation_examples=2000", "--config.train.max_pd=0.5"),
    )
    assert metrics["eval_examples"] == 1000
    history = metrics["history"]
    allowed = [entry for entry in history if entry["pd"] <= 0.5]
    best = min(allowed, key=lambda entry: entry["log_loss"])
    assert history.index(best) == len(history) - 4  # and three that were no better
    assert metrics["examples"] == pytest.approx(history[-1]["step"] * 256, rel=0.05)
    assert metrics["examples"] < 40 * 4000


@pytest.mark.parametrize("activation", ["smelu", "relu"])
def test_a_dry_run_counts_and_trains_nothing(tmp_path, activation):
    run = [*command("demo", tmp_path / "run", f"--config.model.activation={activation}"), "--dry_run"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert "1,000,000 rows, 3,907 steps" in done.stdout
    assert "10^9 ids" in done.stdout
    assert not (tmp_path / "run" / "config.json").exists()


def test_criteo_files_with_gzip_and_empty_fields_after_a_mistyped_path(tmp_path):
    """A path that leads nowhere can be corrected on the same workdir."""
    chance = random.Random(1)
    rows = []
    for _ in range(10_000):
        label = int(chance.random() < 0.25)
        integers = ["" if chance.random() < 0.2 else str(chance.randrange(-1, 500) + 40 * label) for _ in range(13)]
        categories = ["" if chance.random() < 0.1 else f"{chance.randrange(300):08x}" for _ in range(26)]
        rows.append("\t".join([str(label), *integers, *categories]))
    with gzip.open(tmp_path / "day_0.gz", "wt") as file:
        file.write("\n".join(rows) + "\n")
    overrides = (
        "--config.model.hidden_units=32,16",
        "--config.model.bottom_units=32,16",
        "--config.train.batch_size=128",
        "--config.evaluation.estimate=false",
    )
    wrong = command("criteo", tmp_path / "run", f"--config.data.path={tmp_path}/dya_*.gz", *overrides)
    assert subprocess.run(wrong, capture_output=True, check=False).returncode == 2
    metrics = train("criteo", tmp_path / "run", f"--config.data.path={tmp_path}/day_*.gz", *overrides)
    assert (metrics["examples"], metrics["eval_examples"]) == (8000, 2000)
    assert min(replica["auc"] for replica in metrics["replicas"]) > 0.6  # the integers tell


@pytest.mark.skipif(not (DATA / "open-bandit/men.csv").exists(), reason=f"no Open Bandit log in {DATA}")
def test_the_open_bandit_log(tmp_path):
    metrics = train("open_bandit", tmp_path / "run", f"--config.data.path={DATA}/open-bandit/men.csv")
    assert metrics["examples"] + metrics["eval_examples"] == 10_000
    assert metrics["pd"]["relative"] > 0


@pytest.mark.parametrize("generation", ["0", "1"])
def test_a_plain_keras_process_takes_the_string(tmp_path, generation):
    """One import and one string: builds, trains, saves and reloads, in Keras 3 (0) and tf_keras (1)."""
    code = f"""
import numpy as np, tensorflow as tf, smooth_recs
model = tf.keras.Sequential([tf.keras.layers.Input((4,)), tf.keras.layers.Dense(8, activation="smelu"),
                             tf.keras.layers.Dense(1, activation="sigmoid")])
model.compile(optimizer="adam", loss="binary_crossentropy")
x = np.random.default_rng(1).normal(size=(64, 4)).astype("float32")
before = model.predict(x, verbose=0)
model.fit(x, (x[:, 0] > 0).astype("float32"), epochs=2, verbose=0)
after = model.predict(x, verbose=0)
model.save({str(tmp_path / "model.keras")!r})
again = tf.keras.models.load_model({str(tmp_path / "model.keras")!r})
np.testing.assert_array_equal(again.predict(x, verbose=0), after)
assert np.abs(after - before).max() > 0
print(type(model).__module__)
"""
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": generation}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split(".")[0] == ("tf_keras" if generation == "1" else "keras")


@pytest.mark.parametrize(
    ("section", "settings", "said"),
    [
        ("evaluation", {"order_by": "price"}, "evaluation.order_by must name a feature whose values are at least 0"),
        ("evaluation", {"order_by": "user"}, "evaluation.order_by must name a numeric feature"),
        ("evaluation", {"slices": ("colour",)}, "evaluation.slices must name any of"),
        ("train", {"max_pd": 0.1}, "train.max_pd needs train.patience"),
        ("train", {"patience": 2}, "train.patience needs more held-out rows"),
    ],
)
def test_what_the_measurements_lack_is_an_error_before_training(tmp_path, section, settings, said):
    run = small_demo(eval_examples=2000, shuffle_window=2500)
    setattr(run, section, dataclasses.replace(getattr(run, section), **settings))
    with pytest.raises(InputError, match=f"^{re.escape(said)}"):
        training.train_and_evaluate(run, str(tmp_path / "run"))
    assert not (tmp_path / "run" / "config.json").exists()


def test_held_out_labels_of_one_class_leave_measures_undefined(tmp_path):
    metrics = training.train_and_evaluate(small_demo(eval_examples=1, shuffle_window=9), str(tmp_path / "run"))
    assert metrics["replicas"][0]["auc_loss"] is None
    assert metrics["replicas"][0]["log_loss"] > 0
