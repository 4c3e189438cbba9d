"""`tfrs.experimental.models.Ranking`, TensorFlow Recommenders' own model, with concatenation as its interaction."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from throughput_contenders import work as works
from throughput_contenders.fitting import dataset, fitted
from throughput_contenders.work import Rows, Turn, Work


def as_it_comes(work: Work) -> Turn:
    """With the metrics that it has unless told otherwise: AUC, accuracy, means of predictions and labels."""
    return _fitted(work, None)


def without_metrics(work: Work) -> Turn:
    loss = tf.keras.losses.BinaryCrossentropy(reduction=tf.keras.losses.Reduction.NONE)
    return _fitted(work, tfrs.tasks.Ranking(loss=loss))


def _fitted(work: Work, task: Any) -> Turn:
    embedding = tfrs.layers.embedding.TPUEmbedding(_tables(work), _adagrad(works.EMBEDDING_RATE))
    model = tfrs.experimental.models.Ranking(
        embedding_layer=embedding,
        bottom_stack=tf.keras.layers.Lambda(lambda numeric: numeric),
        feature_interaction=tf.keras.layers.Concatenate(),
        concat_dense=False,
        top_stack=tfrs.layers.blocks.MLP([*work.units, 1], final_activation="sigmoid"),
        task=task,
    )
    optimizer = tfrs.experimental.optimizers.CompositeOptimizer(
        [
            (_adagrad(works.EMBEDDING_RATE), lambda: model.embedding_trainable_variables),
            (_adagrad(works.DENSE_RATE), lambda: model.dense_trainable_variables),
        ]
    )
    model.compile(optimizer=optimizer, steps_per_execution=work.per_execution)
    return fitted(work, model, dataset(work, lambda found: _features(work, found)))


def _tables(work: Work) -> dict[str, Any]:
    tpu = tf.tpu.experimental.embedding
    sizes = zip(work.names, work.rows, strict=True)
    return {name: tpu.FeatureConfig(tpu.TableConfig(rows, work.dim, name=name)) for name, rows in sizes}


def _features(work: Work, found: Rows) -> dict[str, Any]:
    return {"sparse_features": dict(zip(work.names, found.ids, strict=True)), "dense_features": found.numeric}


def _adagrad(rate: float) -> Any:
    return tf.keras.optimizers.legacy.Adagrad(rate, initial_accumulator_value=works.INITIAL_ACCUMULATOR)
