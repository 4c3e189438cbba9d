"""The best pair of siblings: kept with PD and log loss of the pair in mind, all replicas at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config, prediction_difference
from smooth_recs.callbacks import KeepBest, PredictionDifference
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.shuffling import shuffled
from smooth_recs.models import SiblingModel, from_config
from smooth_recs.schema import Categorical, Numeric, Schema

pytestmark = [
    pytest.mark.both_generations,
    # Keras 3 says that a file of weights alone has none of the optimizers.
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning"),
]

ROWS, BATCH = 240, 16
SCHEMA = Schema((Categorical("user", "identity", 30, "int64"), Numeric("price", "identity", "zero")))
TRAIN = config.Train(dense_learning_rate=0.2, embedding_learning_rate=0.5, initial_accumulator=0.1)
RNG = np.random.default_rng(1)
FEATURES = {"user": RNG.integers(0, 30, ROWS), "price": RNG.normal(size=(ROWS, 1)).astype(np.float32)}
LABEL = (FEATURES["price"][:, 0] > 0).astype(np.float32)
# Labels the wrong way round: the log loss of these rows grows once the siblings have learnt something.
HELD_OUT = tf.data.Dataset.from_tensors(({k: v[:40] for k, v in FEATURES.items()}, 1 - LABEL[:40]))


def made() -> Any:
    def build() -> Any:
        model = from_config.ranking_model(config.Model(hidden_units=(8, 4), embedding_dim=4), Encoder(SCHEMA))
        model.compile(optimizer=from_config.optimizer(model, TRAIN, total_steps=100))
        return model

    tf.keras.utils.set_random_seed(7)
    siblings = SiblingModel(build)
    siblings.compile(steps_per_execution=3)
    siblings.build_replicas(tf.data.Dataset.from_tensors((FEATURES, LABEL)).element_spec)
    return siblings


def test_both_replicas_come_back_from_memory_and_from_the_file(tmp_path: Path) -> None:
    def open_rows(start: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((FEATURES, LABEL)).skip(start).batch(50)

    siblings, path = made(), tmp_path / "best.weights.h5"
    measured = PredictionDifference(HELD_OUT, every=3)
    best = KeepBest(measured, minimize="log_loss", subject_to={"pd": 1.0}, patience=2, filepath=path)
    batches = shuffled(open_rows, window=80, batch_size=BATCH, seeds=[1, 2])
    siblings.fit(batches, steps_per_epoch=15, callbacks=[measured, best], verbose=0)
    losses = [entry["log_loss"] for entry in measured.history]
    assert best.stopped
    assert len(losses) < 5
    assert best.best["log_loss"] == min(losses) < losses[-1]
    loaded = made()
    loaded.load_weights(path)
    for model in (siblings, loaded):
        predictions = model(next(iter(HELD_OUT))[0]).numpy().astype(np.float64)
        assert prediction_difference.mean_over_pairs(predictions) == pytest.approx(best.best["pd"], rel=1e-5)
