"""Plain tf.keras: an Embedding a feature, Dense layers with ReLU, one Adagrad for all."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from throughput_contenders import work as works
from throughput_contenders.fitting import by_name, dataset, fitted
from throughput_contenders.work import Turn, Work


def one_step_a_call(work: Work) -> Turn:
    """As people write it: `fit` returns to Python after every step."""
    return _fitted(work, 1)


def many_steps_a_call(work: Work) -> Turn:
    return _fitted(work, work.per_execution)


def _fitted(work: Work, per_execution: int) -> Turn:
    layers = tf.keras.layers
    inputs: dict[str, Any] = {name: layers.Input([], name=name, dtype=tf.int64) for name in work.names}
    parts = [layers.Embedding(rows, work.dim)(column) for rows, column in zip(work.rows, inputs.values(), strict=True)]
    if work.numeric:
        inputs["numeric"] = layers.Input([work.numeric], name="numeric")
        parts.append(inputs["numeric"])
    hidden = layers.Concatenate()(parts)
    for units in work.units:
        hidden = layers.Dense(units, activation="relu")(hidden)
    model = tf.keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    optimizer = tf.keras.optimizers.Adagrad(works.DENSE_RATE, works.INITIAL_ACCUMULATOR)
    model.compile(optimizer=optimizer, loss="binary_crossentropy", steps_per_execution=per_execution)
    return fitted(work, model, dataset(work, by_name(work)))
