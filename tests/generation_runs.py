"""A small training of siblings, the same in both generations of Keras; as a program, its second half in Keras 3."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import config
from smooth_recs.callbacks.checkpoints import Checkpoints
from smooth_recs.data.encoding import Encoder
from smooth_recs.models import from_config
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.schema import Categorical, Numeric, Schema

ENCODER = Encoder(Schema((Categorical("user", "identity", 20, "int64"), Numeric("price", "identity"))))
STEPS, ROWS = 3, 32


def dataset(half: int) -> Any:
    """The batches of the first or second half: users come several times in each."""
    chance = np.random.default_rng(half)
    rows = STEPS * ROWS
    features = {"user": chance.integers(0, 20, rows), "price": chance.normal(size=(rows, 1)).astype(np.float32)}
    label = (chance.random(rows) < 0.4).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((features, label, np.ones(rows, np.float32))).batch(ROWS)


def built(interaction: str = "cross", embedding_optimizer: str = "adagrad") -> SiblingModel:
    """Two siblings of different initial values, with dropout, clipped gradients and rates that fall."""
    tf.keras.utils.set_random_seed(3)
    model = config.Model(hidden_units=(8, 4), embedding_dim=4, interaction=interaction, dropout=0.2)  # type: ignore[arg-type]
    train = config.Train(
        dense_optimizer="adam",
        clip_norm=0.1,
        final_learning_rate_share=0.1,
        embedding_optimizer=embedding_optimizer,  # type: ignore[arg-type]
    )

    def build_fn() -> Any:
        ranking = from_config.ranking_model(model, ENCODER)
        ranking.compile(optimizer=from_config.optimizer(ranking, train, 2 * STEPS))
        return ranking

    siblings = SiblingModel(build_fn, differ="init")
    siblings.compile(steps_per_execution=2)
    siblings.build_replicas(dataset(1).element_spec)
    for replica in siblings.replicas:
        replica.make_slots()
    return siblings


def trained(siblings: SiblingModel, folder: str, half: int) -> None:
    """Trains one half, from the newest checkpoint in the folder on, and leaves one."""
    checkpoints = Checkpoints(siblings, folder, seconds=1e6)
    assert checkpoints.restore() == (half - 1) * STEPS
    siblings.fit(dataset(half), steps_per_epoch=STEPS, callbacks=[checkpoints], verbose=0)


if __name__ == "__main__":
    trained(built(), sys.argv[1], half=2)
