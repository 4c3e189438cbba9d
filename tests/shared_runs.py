"""What several tests read and none changes, such as a trained run, is made once for all workers of a test run."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from source_imports import ROOT

from smooth_recs import training
from smooth_recs.config import Config, Data, Evaluation, Model, Train
from smooth_recs.experiments import sweeps
from smooth_recs.schema import Categorical, Numeric, Schema

CSV_SCHEMA = Schema(
    (
        Categorical("user", "vocabulary"),
        Categorical("words", "hash", 30, max_values=3),
        Categorical("item", "identity", 20, "int64"),
        Numeric("price", "log_standardize", "indicator"),
    ),
    query_id="request",
)


def small_demo(seed: int = 1) -> Config:
    """The demo with few rows and units."""
    run = sweeps.config_of(ROOT / "configs" / "demo_falling.py")
    run.seed, run.data.examples, run.data.eval_examples = seed, 20_000, 8_000
    run.model.hidden_units, run.evaluation.estimate, run.evaluation.slices = (16, 8), False, ()
    return run


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` has filled: here, or in the worker that needed it first."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, made = base / f"shared_{name}", base / f"shared_{name}.made"
    with open(base / f"shared_{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


def trained(factory: pytest.TempPathFactory, config: Config) -> Path:
    """The workdir of a finished run of `config`."""
    name = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode()).hexdigest()[:16]
    return once(factory, name, lambda folder: training.train_and_evaluate(config, str(folder / "run"))) / "run"


def of_csv(factory: pytest.TempPathFactory) -> Path:
    """The workdir of a finished run of two siblings on a small CSV file."""
    return once(factory, "of_csv", _train_on_csv) / "run"


def _train_on_csv(folder: Path) -> None:
    chance = random.Random(1)
    rows = [
        f"{chance.choice(['ann', 'bob', ''])},{chance.choice(['one|two', 'two', ''])},{chance.randrange(25)},"
        f"{chance.choice(['', 0.5, 3, 700])},{n // 4},{int(chance.random() < 0.3)}"
        for n in range(2_500)
    ]
    (folder / "log.csv").write_text("user,words,item,price,request,label\n" + "\n".join(rows) + "\n")
    settings = Config(
        data=Data(source="csv", path=str(folder / "log.csv"), schema=CSV_SCHEMA),
        model=Model(hidden_units=(8, 4), embedding_dim=4),
        train=Train(batch_size=50, steps_per_execution=10, dense_learning_rate=0.1, evaluations=0),
        evaluation=Evaluation(slices=(), estimate=False),
    )
    training.train_and_evaluate(settings, str(folder / "run"))
