"""Exports while training: at the right steps, of the weights at that step, the newest ones kept, siblings in step."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.artifacts.exports import versions
from smooth_recs.data.encoding import Encoder
from smooth_recs.models import SiblingModel, from_config
from smooth_recs.schema import Categorical, Schema
from smooth_recs.serving.saved_model import PeriodicExports

pytestmark = pytest.mark.slow

ENCODER = Encoder(Schema((Categorical("user", "identity", 10, "int64"),)))
MODEL = config.Model(hidden_units=(4,), embedding_dim=2)
TRAIN = config.Train(dense_learning_rate=0.5, embedding_learning_rate=0.5, initial_accumulator=0.1)
USERS = np.arange(160) % 10
RAW = {"user": tf.constant(np.arange(12))}
DATA = tf.data.Dataset.from_tensor_slices(({"user": USERS}, (USERS % 3 == 0).astype(np.float32))).batch(16)


def made(steps_per_execution: int = 1) -> SiblingModel:
    def build() -> Any:
        model = from_config.ranking_model(MODEL, ENCODER)
        model.compile(optimizer=from_config.optimizer(model, TRAIN, total_steps=100))
        return model

    tf.keras.utils.set_random_seed(1)
    siblings = SiblingModel(build, replicas=2, differ="init")
    siblings.compile(steps_per_execution=steps_per_execution)
    return siblings


class Predictions(tf.keras.callbacks.Callback):
    """What the siblings predict after each step, [steps][replica]."""

    def __init__(self) -> None:
        super().__init__()
        self.after: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.after.append(self.model(ENCODER(RAW)).numpy().T)


def served(folder: Path, version: int) -> np.ndarray:
    return tf.saved_model.load(str(folder / str(version))).signatures["serving_default"](**RAW)["probability"].numpy()


def test_versions_hold_what_was_learnt_up_to_their_step(tmp_path: Path) -> None:
    siblings, predictions = made(), Predictions()
    exports = PeriodicExports(ENCODER, str(tmp_path), every=4, keep=0)
    siblings.fit(DATA, verbose=0, epochs=2, callbacks=[predictions, exports])  # 10 steps an epoch
    for k in range(2):
        folder = tmp_path / f"replica_{k}"
        assert sorted(os.listdir(folder)) == ["1", "2", "3", "4", "5"]
        for version in (1, 3, 5):
            expected = predictions.after[4 * version - 1][k]
            np.testing.assert_allclose(served(folder, version), expected, rtol=1e-5)
    assert not np.allclose(predictions.after[3], predictions.after[11], rtol=1e-2)


def test_the_newest_are_kept_and_nothing_else(tmp_path: Path) -> None:
    siblings = made(steps_per_execution=3)
    exports = PeriodicExports(ENCODER, str(tmp_path), every=2, keep=2)
    siblings.fit(DATA, verbose=0, steps_per_epoch=10, callbacks=[exports])  # executions end at steps 3, 6, 9 and 10
    for k in range(2):
        assert sorted(os.listdir(tmp_path / f"replica_{k}")) == ["3", "4"]


def test_an_interrupted_set_is_taken_back(tmp_path: Path) -> None:
    """A kill between the two leaves this: versions of one number would be of different steps ever after."""
    siblings = made()
    exports = PeriodicExports(ENCODER, str(tmp_path), every=5, keep=3)
    siblings.fit(DATA, verbose=0, callbacks=[exports])
    shutil.copytree(tmp_path / "replica_0" / "2", tmp_path / "replica_0" / "3")
    siblings.fit(DATA, verbose=0, callbacks=[exports])
    assert [versions(str(tmp_path / f"replica_{k}")) for k in (0, 1)] == [[2, 3, 4]] * 2
    first, second = (served(tmp_path / "replica_0", version) for version in (3, 4))
    assert not np.array_equal(first, served(tmp_path / "replica_0", 2))
    assert not np.array_equal(first, second)
    np.testing.assert_allclose(second, siblings(ENCODER(RAW)).numpy()[:, 0], rtol=1e-5)


def test_what_somebody_took_away_takes_nothing_with_it(tmp_path: Path) -> None:
    siblings = made()
    exports = PeriodicExports(ENCODER, str(tmp_path), every=5, keep=3)
    siblings.fit(DATA, verbose=0, callbacks=[exports])
    shutil.rmtree(tmp_path / "replica_1")
    siblings.fit(DATA.take(1), verbose=0, callbacks=[exports])
    assert versions(str(tmp_path / "replica_0")) == [1, 2]


def test_exports_go_on_where_a_resumed_run_does(tmp_path: Path) -> None:
    """The next export after 8 steps and a restore is due at step 10, not at 5 after the restore."""
    siblings = made()
    siblings.fit(DATA.take(8), verbose=0)
    exports = PeriodicExports(ENCODER, str(tmp_path), every=5)
    siblings.fit(DATA.take(3), verbose=0, callbacks=[exports])
    assert versions(str(tmp_path / "replica_1")) == [1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"every": 0}, "every must be"), ({"every": "epoch"}, "every must be a number"), ({"keep": -1}, "keep must be")],
)
def test_wrong_arguments(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PeriodicExports(ENCODER, "unused", **{"every": 1, **arguments})
