"""keras-rs on Keras 3, on either backend: its `DistributedEmbedding`, Dense layers with ReLU, Keras' own `fit`.

On a processor `DistributedEmbedding` is a gather for each table. Needs `pip install keras-rs`, and TensorFlow or JAX.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

from throughput_contenders import work as works
from throughput_contenders.work import Turn, Work, rows


def on_tensorflow(work: Work) -> Turn:
    """As `compile` chooses: by XLA."""
    return _fitted(work, "tensorflow", "auto")


def on_tensorflow_graph(work: Work) -> Turn:
    """In graph mode, `jit_compile=False`."""
    return _fitted(work, "tensorflow", jit=False)


def on_jax(work: Work) -> Turn:
    return _fitted(work, "jax", "auto")


def _fitted(work: Work, backend: str, jit: bool | str) -> Turn:
    os.environ["KERAS_BACKEND"] = backend
    import keras
    import keras_rs

    size = work.batch_size

    def adagrad(rate: float) -> Any:
        return keras.optimizers.Adagrad(rate, works.INITIAL_ACCUMULATOR)

    def feature(name: str, count: int) -> Any:
        table = keras_rs.layers.TableConfig(name, count, work.dim, optimizer=adagrad(works.EMBEDDING_RATE))
        return keras_rs.layers.FeatureConfig(name, table, (size,), (size, work.dim))

    features = {name: feature(name, count) for name, count in zip(work.names, work.rows, strict=True)}
    ids = {name: keras.Input([], batch_size=size, name=name, dtype="int64") for name in work.names}
    inputs = dict(ids)
    parts = list(keras_rs.layers.DistributedEmbedding(features)(ids).values())
    if work.numeric:
        inputs["numeric"] = keras.Input([work.numeric], batch_size=size, name="numeric")
        parts.append(inputs["numeric"])
    hidden = keras.layers.Concatenate()(parts)
    for units in work.units:
        hidden = keras.layers.Dense(units, activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(optimizer=adagrad(works.DENSE_RATE), loss="binary_crossentropy", jit_compile=jit)
    found = rows(work)
    columns = dict(zip(work.names, found.ids, strict=True)) | ({"numeric": found.numeric} if work.numeric else {})
    batches = (_dataset if backend == "tensorflow" else _generator)(columns, found.label[..., None])

    def turn(steps: int) -> int:
        model.fit(batches, steps_per_epoch=steps, verbose=0)
        return steps * size

    return turn


def _dataset(columns: dict[str, Any], label: Any) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((columns, label)).repeat().prefetch(2)


def _generator(columns: dict[str, Any], label: Any) -> Iterator[Any]:
    for k in itertools.cycle(range(len(label))):
        yield {name: column[k] for name, column in columns.items()}, label[k]
