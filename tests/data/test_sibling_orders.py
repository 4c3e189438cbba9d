"""Orders of their own from arrays, datasets, sequences and generators: every row once an epoch, none like another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.data import sibling_orders
from smooth_recs.data.shuffling import SiblingBatches

pytestmark = pytest.mark.both_generations

ROWS, SEEDS = 50, [3, 4]
X = np.arange(ROWS, dtype=np.float32)[:, None]
Y = np.arange(ROWS) * 2


def orders(dataset: tf.data.Dataset) -> tuple[list[list[int]], list[int]]:
    """The rows of each sibling in order, and the sizes of the batches; features and label must belong together."""
    rows: list[list[int]] = [[], []]
    sizes = []
    for step in dataset:
        assert isinstance(step, SiblingBatches)
        sizes.append(len(step.batches[0][1]))
        for seen, (x, y) in zip(rows, step.batches, strict=True):
            assert len(y) == sizes[-1]
            np.testing.assert_array_equal(tf.reshape(x, [-1]).numpy() * 2, y)
            seen += tf.reshape(y // 2, [-1]).numpy().tolist()
    return rows, sizes


def assert_own(epochs: list[list[list[int]]], all_rows: Any = range(ROWS)) -> None:
    """Every row once in each epoch, in an order that no other epoch of any sibling has."""
    seen = [rows for epoch in epochs for rows in epoch]
    assert all(sorted(rows) == sorted(all_rows) for rows in seen)
    assert len({tuple(rows) for rows in [*seen, list(all_rows)]}) == len(seen) + 1


def test_arrays_are_permuted_as_a_whole_and_anew_in_every_epoch() -> None:
    dataset = sibling_orders.of_arrays(sibling_orders.as_tensors((X, Y)), SEEDS, batch_size=16)
    (first, sizes), (second, _) = orders(dataset), orders(dataset)
    assert sizes == [16, 16, 16, 2]
    assert dataset.cardinality() == 4
    assert_own([first, second])
    again, _ = orders(sibling_orders.of_arrays(sibling_orders.as_tensors((X, Y)), SEEDS, batch_size=16))
    assert again == first


def test_arrays_without_end_go_on_with_other_orders() -> None:
    dataset = sibling_orders.of_arrays(sibling_orders.as_tensors((X, Y)), SEEDS, endless=True)
    rows, sizes = orders(dataset.take(4))
    assert sizes == [32, 18, 32, 18]
    assert_own([[seen[:ROWS] for seen in rows], [seen[ROWS:] for seen in rows]])


def test_batches_keep_their_sizes_and_rows_their_window() -> None:
    """Batches of 5, 5, ..., then 2 and again, as of a repeated dataset, in windows of 4 batches."""
    batches = tf.data.Dataset.from_tensor_slices((X, Y)).take(27).batch(5).repeat(2)
    permuted = sibling_orders.of_batches(batches, SEEDS, window=4)
    rows, sizes = orders(permuted)
    assert sizes == [5, 5, 5, 5, 5, 2] * 2
    assert permuted.cardinality() == 12
    told = [y // 2 for _, label in batches for y in label.numpy()]
    for seen in rows:
        for start, stop in ((0, 20), (20, 37), (37, 54)):
            assert sorted(seen[start:stop]) == sorted(told[start:stop])
            assert seen[start:stop] != told[start:stop]
    assert rows[0] != rows[1]
    assert orders(permuted)[0] != rows


def test_datasets_that_never_end_and_of_other_structures() -> None:
    tables = tf.data.Dataset.from_tensor_slices({"x": X, "word": np.array(["a", "b"] * 25)}).batch(10).repeat()
    permuted = sibling_orders.of_batches(tables, SEEDS, window=5)
    assert permuted.cardinality() == tf.data.INFINITE_CARDINALITY
    assert permuted.element_spec.batches[0].keys() == {"x", "word"}
    seen: list[list[float]] = [[], []]
    for step in permuted.take(5):
        for rows, batch in zip(seen, step.batches, strict=True):
            np.testing.assert_array_equal(batch["word"] == b"b", batch["x"][:, 0] % 2 == 1)
            rows += batch["x"].numpy().ravel().tolist()
    assert sorted(seen[0]) == sorted(seen[1]) == X.ravel().tolist()
    assert seen[0] != seen[1]


@pytest.mark.parametrize("kind", ["padded", "ragged", "sparse"])
def test_where_rows_cannot_be_permuted_batches_are(kind: str) -> None:
    lengths = [1, 2, 3, 1, 2, 3, 4, 5] * 2

    def rows() -> Iterator[Any]:
        for number, length in enumerate(lengths):
            yield np.full(length, number), number

    spec = (tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.int64))
    batches = tf.data.Dataset.from_generator(rows, output_signature=spec)
    batches = batches.padded_batch(2) if kind == "padded" else batches.ragged_batch(2)
    if kind == "sparse":
        batches = batches.map(lambda x, y: (x.to_sparse(), y))
    steps = list(sibling_orders.of_batches(batches, SEEDS, window=8))
    seen = [[tuple(step.batches[k][1].numpy()) for step in steps] for k in (0, 1)]
    told = [(k, k + 1) for k in range(0, len(lengths), 2)]
    assert sorted(seen[0]) == sorted(seen[1]) == told
    assert len({tuple(seen[0]), tuple(seen[1]), tuple(told)}) == 3


class Rows(tf.keras.utils.Sequence):
    """Batches of 16, with a weight that is None, as some sequences yield it."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = 0

    def __len__(self) -> int:
        return 4

    def __getitem__(self, k: int) -> Any:
        return X[16 * k : 16 * k + 16], Y[16 * k : 16 * k + 16], None

    def on_epoch_end(self) -> None:
        self.ended += 1


def test_sequences_and_generators_are_read_in_batches() -> None:
    sequence = Rows()
    batches = sibling_orders.batches_of_sequence(sequence)
    assert batches.cardinality() == 4
    assert batches.element_spec[0] == tf.TensorSpec([None, 1], tf.float32)
    permuted = sibling_orders.of_batches(batches, SEEDS, window=64)
    (first, sizes), (second, _) = orders(permuted), orders(permuted)
    assert sorted(sizes) == [2, 16, 16, 16]
    assert_own([first, second])
    assert sequence.ended == 2

    generator = ([X[k : k + 10], Y[k : k + 10]] for k in range(0, 50, 10))
    rows, sizes = orders(sibling_orders.of_batches(sibling_orders.batches_of_generator(generator), SEEDS, window=64))
    assert sizes == [10] * 5
    assert_own([rows])


def test_arrays_are_converted_as_keras_does() -> None:
    doubles, integers = np.ones((3, 2)), np.ones(3, np.int64)
    found = sibling_orders.as_tensors(([doubles, {"a": integers}], None, [0, 1, 1]))
    assert [leaf.dtype for leaf in tf.nest.flatten(found[0])] == [tf.float32, tf.int64]
    assert found[1] is None
    assert found[2].numpy().tolist() == [0, 1, 1]
    assert sibling_orders.packed(1, None, 3) == (1, None, 3)
    assert sibling_orders.packed(1, None, None) == (1,)


def test_the_last_rows_validate() -> None:
    (train, validation) = sibling_orders.without_validation((X, Y), 0.13)
    assert [len(part) for part in (*train, *validation)] == [43, 43, 7, 7]  # floor(50 * 0.87)
    assert validation[1][0] == 86


def test_classes_weigh_by_hand() -> None:
    weight = {0: 0.5, 1: 2.0}
    labels = [np.array([0.0, 1.0, 1.0], np.float32), np.array([[0], [1], [1]]), np.eye(2)[[0, 1, 1]]]
    for label in labels:
        *_, found = sibling_orders.weighted_by_class((X[:3], label), weight)
        assert found.numpy().tolist() == [0.5, 2.0, 2.0]
    *_, found = sibling_orders.weighted_by_class((X[:3], labels[0], np.array([1.0, 10.0, 0.0])), weight)
    assert found.numpy().tolist() == [0.5, 20.0, 0.0]
    *_, found = sibling_orders.weighted_by_class((X[:3], labels[0]), {1: 3.0})
    assert found.numpy().tolist() == [1.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: sibling_orders.of_arrays(sibling_orders.as_tensors((X, Y[:9])), SEEDS),
            r"as many rows each, at least one, got \[50, 9\]",
        ),
        (lambda: sibling_orders.of_arrays(sibling_orders.as_tensors((X[:0],)), SEEDS), r"at least one, got \[0\]"),
        (lambda: sibling_orders.without_validation((X,), 1.5), "validation_split must be above 0 and below 1, got 1.5"),
        (lambda: sibling_orders.without_validation((X,), 0.99), "must leave rows to train on, got 0.99 of 50 rows"),
        (lambda: sibling_orders.batches_of_generator(iter([])), "x must yield at least one batch, got none"),
        (lambda: sibling_orders.weighted_by_class((X,), {0: 1.0}), "class_weight needs one label a row"),
        (lambda: sibling_orders.weighted_by_class((X, (Y, Y)), {0: 1.0}), "class_weight needs one label a row"),
    ],
)
def test_wrong_inputs_are_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
