"""The model that `distribution.strategy` tpu gets is the one of any other strategy, as far as CPUs can tell."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config as configs
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError
from smooth_recs.layers import StackedEmbedding, TPUStackedEmbedding
from smooth_recs.models import from_config
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema(
    (
        Categorical("user", "identity", size=30, dtype="int64"),
        Categorical("tags", "identity", size=9, dtype="int64", max_values=3),
        Numeric("price", "identity"),
    )
)
ENCODER = Encoder(SCHEMA)
STEPS = 20


def settings(strategy="one_device", **ensemble):
    return configs.Config(
        model=configs.Model(hidden_units=(8, 4), embedding_dim=4),
        ensemble=configs.Ensemble(**ensemble),
        siblings=configs.Siblings(differ="init"),
        train=configs.Train(embedding_learning_rate=0.2, final_learning_rate_share=0.5, steps_per_execution=4),
        distribution=configs.Distribution(strategy=strategy),
    )


def rows(count):
    random = np.random.default_rng(1)
    features = {
        "user": random.integers(0, 32, count),
        "tags": random.integers(-1, 11, (count, 3)),
        "price": random.random((count, 1)).astype(np.float32),
    }
    return features, (random.random(count) < 0.3).astype(np.float32), np.ones(count, np.float32)


def siblings_of(config):
    def build():
        model = from_config.model(config, ENCODER, total_steps=STEPS)
        model.compile(optimizer=from_config.optimizer(model, config.train, STEPS))
        return model

    siblings = SiblingModel(build, 2, config.siblings.differ)
    siblings.compile(steps_per_execution=config.train.steps_per_execution)
    siblings.build_replicas(tf.data.Dataset.from_tensors(rows(1)).element_spec)
    return siblings


def copy_weights(local, tpu):
    """Into `tpu`, whose tables are one a feature, from the rows of the local one that are the feature's."""
    for one, other in zip(local.replicas, tpu.replicas, strict=True):
        for variable, value in zip(other.dense_variables, one.dense_variables, strict=True):
            variable.assign(value)
        layers = [
            {id(layer): layer for layer in (getattr(found, "shared", found) for found in model.embedding_layers)}
            for model in (one, other)
        ]
        for stacked, split in zip(*(found.values() for found in layers), strict=True):
            assert isinstance(stacked, StackedEmbedding)
            assert isinstance(split, TPUStackedEmbedding)
            user, tags = np.split(stacked.embeddings.numpy(), [32])
            split.tables["user"].assign(user)
            split.tables["tags"].assign(tags)


@pytest.mark.parametrize(
    "ensemble",
    [{}, {"components": 2}, {"components": 2, "tables": "separate"}],
    ids=["single", "one lookup", "separate tables"],
)
def test_trains_in_fit_as_the_local_one(ensemble):
    local, tpu = (siblings_of(settings(strategy, **ensemble)) for strategy in ("one_device", "tpu"))
    copy_weights(local, tpu)
    features, label, weight = rows(16 * STEPS)
    before = local(features).numpy()
    np.testing.assert_allclose(tpu(features), before, rtol=1e-6)
    data = tf.data.Dataset.from_tensor_slices((features, label, weight)).batch(16)
    losses = [model.fit(data, verbose=0).history["loss"] for model in (local, tpu)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    np.testing.assert_allclose(tpu(features), local(features), rtol=1e-4)
    assert np.abs(local(features) - before).max() > 0.01
    optimizer = tpu.replicas[0].optimizer.optimizers[1]
    assert optimizer.iterations.numpy() == STEPS


def test_counting_ids_is_not_for_tpus():
    config = settings("tpu")
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, admission=2))
    with pytest.raises(InputError, match=r"model\.admission must be 0 with distribution\.strategy tpu, got 2"):
        from_config.model(config, ENCODER)
