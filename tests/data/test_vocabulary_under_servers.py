"""Vocabularies under parameter servers, as processes: the rows that workers read have the ids of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from stream_runs import write_file
from train_runs import ROOT

CONFIG = """
from smooth_recs.config import Config, Data, Evaluation, Model, Siblings, Train
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema((Categorical("shop", "vocabulary"), Numeric("price", "standardize")))

def get_config():
    return Config(
        data=Data(source="csv", path={path!r}, schema=SCHEMA, shuffle_window=400),
        model=Model(hidden_units=(16, 8), embedding_dim=8),
        siblings=Siblings(differ="init"),
        train=Train(batch_size=16, steps_per_execution=4, evaluation_examples=100, embedding_learning_rate=0.2),
        evaluation=Evaluation(estimate=False),
    )
"""
ROWS = 4000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_vocabularies_train_under_parameter_servers(tmp_path):
    write_file(tmp_path / "log.csv", seed=1, rows=ROWS)
    config, workdir = tmp_path / "run.py", tmp_path / "run"
    config.write_text(CONFIG.format(path=str(tmp_path / "log.csv")))
    launcher = ["smooth_recs.bin.local_cluster", "--workers=2", "--servers=1", f"--logs={tmp_path}/logs", "--"]
    train = [sys.executable, "-m", "smooth_recs.bin.train", f"--config={config}", f"--workdir={workdir}"]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, *train],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads((workdir / "metrics.json").read_text())
    assert metrics["examples"] == ROWS * 0.8
    # Each shop of the training rows has been trained: with a table that every worker filled its own way, or with none,
    # some rows would be as they were made.
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    name = next(
        name
        for name, shape in reader.get_variable_to_shape_map().items()
        if "replicas/0/embeddings/embeddings/.OPTIMIZER_SLOT" in name and shape == [42, 8]
    )
    sums = reader.get_tensor(name)
    trained = np.abs(sums - sums[-1]).max(axis=1) > 0  # the last row is that of a missing value, which no row has
    assert trained.tolist() == [True] * 40 + [False] * 2
