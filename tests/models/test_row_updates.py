"""Updates of rows: TensorFlow's fused operations' numbers to the bit, and nothing but the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.models import from_config, row_updates

pytestmark = pytest.mark.both_generations

RATE, EPSILON = 0.05, 1e-7


@tf.function
def adagrad(*arguments: Any) -> None:
    row_updates.adagrad(*arguments)


def variables(rows: int, dim: int) -> tuple[tf.Variable, tf.Variable]:
    random = np.random.default_rng(3)
    weights = random.normal(size=(rows, dim)).astype(np.float32)
    return tf.Variable(weights), tf.Variable(random.uniform(1e-6, 3, size=(rows, dim)).astype(np.float32))


def gradients(count: int, dim: int, step: int) -> np.ndarray:
    random = np.random.default_rng(100 + step)
    sizes = 10.0 ** random.uniform(-25, 3, size=(count, 1))  # squares reach below the smallest normal number
    return (random.normal(size=(count, dim)) * sizes).astype(np.float32)


@pytest.mark.parametrize("dim", [1, 3, 16, 40])
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_adagrad_has_the_numbers_of_the_fused_operation(dim: int, mode: str) -> None:
    table, sums = variables(500, dim)
    other, other_sums = variables(500, dim)
    update = adagrad if mode == "graph" else row_updates.adagrad
    for step in range(4):
        rows = np.random.default_rng(step).permutation(500)[:300]
        gradient = tf.constant(gradients(300, dim, step))
        update(table, sums, tf.constant(rows), gradient, tf.constant(RATE), tf.constant(EPSILON))
        tf.raw_ops.ResourceSparseApplyAdagradV2(
            var=other.handle, accum=other_sums.handle, lr=RATE, epsilon=EPSILON, grad=gradient, indices=rows
        )
        assert table.numpy().tobytes() == other.numpy().tobytes()
        assert sums.numpy().tobytes() == other_sums.numpy().tobytes()


def test_adagrad_by_hand() -> None:
    """9 + 4^2 = 25, and 1 - 0.5 * 4 / 5 = 0.6."""
    table, sums = tf.Variable(tf.ones([3, 1])), tf.Variable(tf.fill([3, 1], 9.0))
    row_updates.adagrad(table, sums, tf.constant([1]), tf.constant([[4.0]]), tf.constant(0.5), tf.constant(0.0))
    assert sums.numpy().ravel().tolist() == [9, 25, 9]
    np.testing.assert_array_equal(table.numpy().ravel(), np.float32([1, 0.6, 1]))


@pytest.mark.parametrize("rows", [[], [3], [4, 0, 2]])
@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf")])
def test_other_rows_stay(rows: list[int], value: float) -> None:
    """Whatever a gradient has, it is in its rows alone, and in all numbers of them."""
    table, sums = variables(5, 2)
    before, before_sums = table.numpy(), sums.numpy()
    gradient = tf.fill([len(rows), 2], value)
    adagrad(table, sums, tf.constant(rows, tf.int64), gradient, tf.constant(RATE), tf.constant(EPSILON))
    moved = (table.numpy() != before) | (sums.numpy() != before_sums)  # NaN differs from everything
    assert moved.all(axis=1).nonzero()[0].tolist() == sorted(rows)
    assert not moved[[row for row in range(5) if row not in rows]].any()


def test_a_row_that_the_table_does_not_have_is_an_error() -> None:
    table, sums = variables(5, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"5"):
        adagrad(table, sums, tf.constant([5]), tf.ones([1, 2]), tf.constant(RATE), tf.constant(EPSILON))


def test_descent() -> None:
    table = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    row_updates.descend(table, tf.constant([2, 0]), tf.constant([[1.0, 1.0], [0.5, 0.0]]))
    assert table.numpy().tolist() == [[0.5, 2], [3, 4], [4, 5]]


@pytest.mark.parametrize(
    ("device", "fused"),
    [
        ("/job:ps/replica:0/task:1", True),
        ("/job:ps/replica:0/task:1/device:CPU:0", True),
        ("/job:worker/task:0/device:CPU:0", False),
        ("/device:CPU:0", False),
        ("", False),
        ("/device:GPU:0", True),
    ],
)
def test_one_operation_where_others_write_or_where_rows_do_not_wait(device: str, fused: bool) -> None:
    """Two workers that gather, compute and write the same row would lose the update of one."""
    with tf.Graph().as_default() as graph:
        with tf.device(device):
            table, sums = tf.Variable(tf.ones([10, 2])), tf.Variable(tf.ones([10, 2]))
        row_updates.adagrad(table, sums, tf.constant([1]), tf.ones([1, 2]), tf.constant(RATE), tf.constant(EPSILON))
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count("ResourceSparseApplyAdagradV2") == fused
    assert kinds.count("ResourceScatterUpdate") == 2 * (not fused)


def test_the_embeddings_optimizer_updates_so() -> None:
    """A row that a batch has twice, by the sum of both gradients: 9 + 4^2 = 25, and 1 - 0.5 * 4 / 5 = 0.6."""
    train = config.Train(initial_accumulator=9.0)
    optimizer = from_config.SPARSE_OPTIMIZERS["adagrad"](0.5, train, {})
    table = tf.Variable(tf.ones([3, 1]))

    @tf.function
    def step() -> None:
        gradient = tf.IndexedSlices(tf.constant([[1.0], [3.0]]), tf.constant([1, 1]), tf.constant([3, 1]))
        optimizer.apply_gradients([(gradient, table)])

    step()
    np.testing.assert_allclose(table.numpy().ravel(), [1, 0.6, 1], rtol=1e-6)
    kinds = [operation.type for operation in step.get_concrete_function().graph.get_operations()]
    assert kinds.count("ResourceScatterUpdate") == 2
    assert "ResourceSparseApplyAdagradV2" not in kinds
