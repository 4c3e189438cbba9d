"""Optimizers and penalties of the embeddings, against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data.encoding import Encoder
from smooth_recs.models import from_config, generation
from smooth_recs.schema import Categorical, Schema

pytestmark = pytest.mark.both_generations
ENCODER = Encoder(Schema((Categorical("user", "identity", 4, "int64"),)))
RATE, B1, B2, EPSILON = 0.1, 0.9, 0.999, 1e-7


def gradient(ids: list[int], values: list[float]) -> tf.IndexedSlices:
    """Of a table [3, 2]; both columns have the same values."""
    return tf.IndexedSlices(tf.constant([[v, v] for v in values]), tf.constant(ids), tf.constant([3, 2]))


def test_adam_by_rows_is_its_formula_and_leaves_the_other_rows_alone() -> None:
    """Row 1 is in steps 1 and 3, row 2, twice in the batch, in step 2, row 0 in none."""
    table = tf.Variable(tf.ones([3, 2]))
    optimizer = generation.RowAdam(RATE)
    steps = [([1], [0.5]), ([2, 2], [0.25, 0.5]), ([1], [-2.0])]
    expected, m, v = np.ones(3), np.zeros(3), np.zeros(3)
    for t, (ids, values) in enumerate(steps, start=1):
        optimizer.apply_gradients([(gradient(ids, values), table)])
        row, g = ids[0], sum(values)
        m[row], v[row] = B1 * m[row] + (1 - B1) * g, B2 * v[row] + (1 - B2) * g**2
        expected[row] -= RATE * np.sqrt(1 - B2**t) / (1 - B1**t) * m[row] / (np.sqrt(v[row]) + EPSILON)
        np.testing.assert_allclose(table.numpy(), np.stack([expected, expected], axis=1), rtol=2e-6)
    assert (table.numpy()[0] == 1).all()
    np.testing.assert_allclose(optimizer.get_slot(table, "m").numpy()[:, 0], m, rtol=1e-6)


@pytest.mark.one_generation  # Keras 3 has no legacy optimizers
def test_adam_by_rows_is_keras_own_where_every_row_is_in_every_batch() -> None:
    tables = [tf.Variable(tf.ones([3, 2])) for _ in range(2)]
    optimizers = [generation.RowAdam(RATE), tf.keras.optimizers.legacy.Adam(RATE)]
    for values in ([0.5, -1.0, 2.0], [0.1, 0.0, -3.0], [1.0, 1.0, 1.0]):
        for table, optimizer in zip(tables, optimizers, strict=True):
            optimizer.apply_gradients([(gradient([0, 1, 2], values), table)])
    np.testing.assert_allclose(tables[0].numpy(), tables[1].numpy(), rtol=1e-6)


@pytest.mark.one_generation  # Keras 3 has no legacy optimizers
def test_adagrad_is_keras_own_to_the_bit() -> None:
    """Fetching the rows first changes when they are read, and nothing else."""
    tables = [tf.Variable(tf.ones([3, 2])) for _ in range(2)]
    optimizers = [generation.Adagrad(RATE), tf.keras.optimizers.legacy.Adagrad(RATE)]
    for table, optimizer in zip(tables, optimizers, strict=True):
        for ids, values in (([1, 0], [0.3, -1.7]), ([2, 2], [0.1, 0.7]), ([1, 2], [-2.3, 0.01])):
            optimizer.apply_gradients([(gradient(ids, values), table)])
    np.testing.assert_array_equal(tables[0].numpy(), tables[1].numpy())
    slots = [one.get_slot(table, "accumulator").numpy() for one, table in zip(optimizers, tables, strict=True)]
    np.testing.assert_array_equal(*slots)


def trained_once(train: config.Train, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """The table before and after a step on a batch of the user 1."""
    tf.keras.utils.set_random_seed(1)
    model = from_config.ranking_model(config.Model(hidden_units=(4,), embedding_dim=2, **settings), ENCODER)
    model.compile(optimizer=from_config.optimizer(model, train, total_steps=10))
    batch = ({"user": tf.constant([1, 1], tf.int64)}, tf.constant([1.0, 0.0]), tf.ones(2))
    model(batch[0])
    before = model.embeddings.embeddings.numpy()
    model.train_step(batch)
    return before, model.embeddings.embeddings.numpy()


@pytest.mark.parametrize("name", from_config.SPARSE_OPTIMIZERS)
def test_every_optimizer_updates_the_rows_of_the_batch_alone(name: str) -> None:
    before, after = trained_once(config.Train(embedding_optimizer=name, embedding_learning_rate=0.5))
    moved = (before != after).any(axis=1)
    assert moved.tolist() == [False, True, False, False, False, False]


def test_the_penalty_is_half_the_square_of_the_whole_table() -> None:
    """Its gradient is lambda e: SGD multiplies the rows that are not in the batch by 1 - rate lambda."""
    train = config.Train(embedding_optimizer="sgd", embedding_learning_rate=0.5)
    (before, plain), (same, penalised) = trained_once(train), trained_once(train, embedding_l2=0.2)
    np.testing.assert_array_equal(before, same)
    np.testing.assert_allclose(penalised, plain - 0.5 * 0.2 * before, rtol=1e-5, atol=1e-8)
    assert (np.abs(before) > 1e-4).all()


def test_the_penalty_reaches_the_linear_part() -> None:
    model = from_config.ranking_model(config.Model(hidden_units=(4,), linear=True, embedding_l2=2.0), ENCODER)
    model({"user": tf.constant([1], tf.int64)})
    tables = [model.embeddings.embeddings, model.linear.table.embeddings]
    tables[1].assign(tf.ones([6, 1]))
    assert float(tf.add_n(model.losses)) == pytest.approx(sum(float(tf.reduce_sum(t**2)) for t in tables), rel=1e-6)
