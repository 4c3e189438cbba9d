"""Our ranking model: what each part of the paper's recipe costs, siblings, half precision, rows from files."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from smooth_recs import config
from smooth_recs.callbacks import PredictionDifference
from smooth_recs.data.shuffling import SiblingBatches
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, Tower
from smooth_recs.layers import compiled as by_xla
from smooth_recs.models import RankingModel, SiblingModel, from_config, interactions
from throughput_contenders import work as works
from throughput_contenders.fitting import by_name, dataset, fitted
from throughput_contenders.work import Turn, Work

EVALUATED = 25  # a pair's PD is measured on one held-out row for so many that were trained on, as in configs/demo.py
RECIPE: dict[str, Any] = {"activation": "smelu", "normalization": "weight", "clip": 6.0}
TRAIN = config.Train(
    dense_learning_rate=works.DENSE_RATE,
    embedding_learning_rate=works.EMBEDDING_RATE,
    initial_accumulator=works.INITIAL_ACCUMULATOR,
)


def relu(work: Work) -> Turn:
    return _fitted(work, activation="relu", normalization="none")


def smelu(work: Work) -> Turn:
    return _fitted(work, activation="smelu", normalization="none")


def recipe(work: Work) -> Turn:
    return _fitted(work, **RECIPE)


def recipe_not_compiled(work: Work) -> Turn:
    """As `model.compile_dense="never"` has it."""
    model = compiled(work, **RECIPE)
    model.compile_dense = False
    return fitted(work, model, dataset(work, by_name(work)))


def recipe_bfloat16(work: Work) -> Turn:
    """As `model.precision` has it: the tower alone."""
    return _fitted(work, **RECIPE, dtype="mixed_bfloat16")


def pair(work: Work) -> Turn:
    """Two siblings on the same rows in two orders, and their PD at the end of a turn."""
    return siblings(dataclasses.replace(work, siblings=2))


def siblings(work: Work) -> Turn:
    """As many as the work says; a single one is a plain model, which has no PD."""
    if work.siblings == 1:
        return recipe(work)
    model = SiblingModel(lambda: compiled(work, **RECIPE), replicas=work.siblings, differ="order")
    model.compile(steps_per_execution=work.per_execution)
    orders = tuple(dataset(work, by_name(work), seed) for seed in range(1, work.siblings + 1))
    batches = tf.data.Dataset.zip(orders).map(lambda *each: SiblingBatches(each)).prefetch(2)
    measured = -(-work.steps * work.batch_size // EVALUATED)
    held_out = dataset(work, by_name(work), work.siblings + 1).unbatch().take(measured).batch(1024)
    return fitted(work, model, batches, [PredictionDifference(held_out.cache())])


def devices(work: Work) -> Turn:
    """The same batch, shared by logical devices of this machine."""
    if work.parts == 1:
        return recipe(work)
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * work.parts)
    with tf.distribute.MirroredStrategy([f"CPU:{k}" for k in range(work.parts)]).scope():
        model = compiled(work, **RECIPE)
    return fitted(work, model, dataset(work, by_name(work)))


def ranking(work: Work, **tower: Any) -> RankingModel:
    features = [EmbeddedFeature(name, rows) for name, rows in zip(work.names, work.rows, strict=True)]
    return RankingModel(
        embeddings=StackedEmbedding(features, work.dim),
        numeric=["numeric"] if work.numeric else [],
        interaction=interactions.Concatenation(),
        top_stack=Tower(work.units, **tower),
    )


def compiled(work: Work, **tower: Any) -> RankingModel:
    model = ranking(work, **tower)
    model.compile_dense = by_xla.pays(work.batch_size, work.units)
    model.compile(optimizer=from_config.optimizer(model, TRAIN, total_steps=1), steps_per_execution=work.per_execution)
    features, _ = next(iter(dataset(work, by_name(work))))
    model(features)
    model.make_slots()
    return model


def _fitted(work: Work, **tower: Any) -> Turn:
    return fitted(work, compiled(work, **tower), dataset(work, by_name(work)))
