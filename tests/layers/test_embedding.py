"""The stacked embedding against brute force, and its sparse gradients and updates."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.errors import InputError
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding

pytestmark = pytest.mark.both_generations

FEATURES = [
    EmbeddedFeature("user", 7),
    EmbeddedFeature("tags", 5, max_values=3, combiner="mean"),
    EmbeddedFeature("item", 4),
    EmbeddedFeature("words", 6, max_values=2, combiner="sum"),
    EmbeddedFeature("likes", 3, max_values=4, combiner="sqrtn"),
]
STARTS = {"user": 0, "tags": 7, "item": 12, "words": 16, "likes": 22}
DIM = 2


def looked_up(table: np.ndarray, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Row by row and value by value: single-valued features first, then the multi-valued ones."""
    order = [f for f in FEATURES if f.max_values == 1] + [f for f in FEATURES if f.max_values > 1]
    rows = []
    for row in range(len(inputs["user"])):
        vectors = []
        for feature in order:
            values = [int(v) for v in np.atleast_1d(inputs[feature.name][row]) if v >= 0]
            total = np.zeros(DIM)
            for value in values:
                total += table[STARTS[feature.name] + value]
            if feature.max_values > 1 and values:
                total /= {"mean": len(values), "sum": 1.0, "sqrtn": np.sqrt(len(values))}[feature.combiner]
            vectors.append(total)
        rows.append(vectors)
    return np.array(rows).reshape(len(rows), len(FEATURES), DIM)


def random_inputs(rows: int, seed: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    inputs = {}
    for feature in FEATURES:
        shape = (rows,) if feature.max_values == 1 else (rows, feature.max_values)
        inputs[feature.name] = random.integers(0 if feature.max_values == 1 else -1, feature.rows, shape)
    return inputs


def built() -> tuple[StackedEmbedding, np.ndarray]:
    layer = StackedEmbedding(FEATURES, DIM)
    layer(random_inputs(1))
    table = np.random.default_rng(2).normal(size=(25, DIM)).astype(np.float32)
    layer.set_weights([table])
    return layer, table


def test_one_table_holds_all_features() -> None:
    layer, _ = built()
    assert [tuple(weight.shape) for weight in layer.weights] == [(25, DIM)]


@pytest.mark.parametrize("rows", [0, 1, 50])
def test_agrees_with_brute_force(rows: int) -> None:
    layer, table = built()
    inputs = random_inputs(rows)
    np.testing.assert_allclose(layer(inputs), looked_up(table, inputs), rtol=1e-5, atol=1e-6)


def test_by_hand() -> None:
    """Tags 1 and 3 average, words 0 and 0 add up, likes 0, 1, 2, 2 are divided by the root of four."""
    layer, table = built()
    inputs = {
        "user": [6], "item": [0], "tags": [[1, -1, 3]], "words": [[0, 0]], "likes": [[0, 1, 2, 2]]
    }  # fmt: skip
    vectors = layer({name: tf.constant(ids, tf.int64) for name, ids in inputs.items()})[0]
    expected = [
        table[6], table[12], (table[8] + table[10]) / 2, 2 * table[16], (table[22] + table[23] + 2 * table[24]) / 2
    ]  # fmt: skip
    np.testing.assert_allclose(vectors, expected, rtol=1e-5)


def test_rows_without_any_value_are_zero_vectors() -> None:
    layer, _ = built()
    inputs = random_inputs(3)
    inputs |= {f.name: np.full((3, f.max_values), -1) for f in FEATURES if f.max_values > 1}
    vectors = layer(inputs).numpy()
    np.testing.assert_array_equal(vectors[:, 2:], 0.0)
    assert (vectors[:, :2] != 0).all()


@pytest.mark.parametrize("width", [1, 2, 5])
def test_takes_fewer_or_more_columns_of_values(width: int) -> None:
    """An export gets as many columns as the client sends."""
    layer, table = built()
    inputs = random_inputs(4) | {"tags": np.random.default_rng(3).integers(-1, 5, (4, width))}
    np.testing.assert_allclose(layer(inputs), looked_up(table, inputs), rtol=1e-5, atol=1e-6)


def test_int32_ids() -> None:
    layer, table = built()
    inputs = {name: ids.astype(np.int32) for name, ids in random_inputs(8).items()}
    np.testing.assert_allclose(layer(inputs), looked_up(table, inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chosen", [("user",), ("user", "item"), ("tags",), ("words", "likes"), ("likes", "user")])
def test_any_subset_of_kinds(chosen: tuple[str, ...]) -> None:
    features = [feature for feature in FEATURES if feature.name in chosen]
    layer = StackedEmbedding(features, DIM)
    y = layer({name: ids for name, ids in random_inputs(6).items() if name in chosen})
    assert y.shape == (6, len(chosen), DIM)
    assert layer.weights[0].shape[0] == sum(feature.rows for feature in features)


def gradient(layer: StackedEmbedding, inputs: dict[str, np.ndarray], upstream: np.ndarray) -> Any:
    with tf.GradientTape() as tape:
        y = layer(inputs)
    return tape.gradient(y, layer.embeddings, output_gradients=tf.constant(upstream, tf.float32))


def test_gradient_is_sparse_and_exact() -> None:
    """The output is linear in the table: the gradient at a row is the sum of upstream times its share in the output."""
    layer, table = built()
    inputs = random_inputs(5)
    upstream = np.random.default_rng(4).normal(size=(5, 5, DIM))
    sparse = gradient(layer, inputs, upstream)
    assert isinstance(sparse, tf.IndexedSlices)
    expected = np.zeros_like(table, dtype=np.float64)
    for row in range(25):
        for column in range(DIM):
            one = np.zeros_like(table)
            one[row, column] = 1.0
            expected[row, column] = (looked_up(one, inputs) * upstream).sum()
    np.testing.assert_allclose(tf.convert_to_tensor(sparse), expected, rtol=1e-4, atol=1e-5)


def test_gradient_touches_only_the_rows_of_the_batch() -> None:
    layer, _ = built()
    inputs = {
        "user": [3], "item": [2], "tags": [[1, -1, -1]], "words": [[4, -1]], "likes": [[-1, -1, -1, -1]]
    }  # fmt: skip
    inputs = {name: np.array(ids) for name, ids in inputs.items()}
    dense = tf.convert_to_tensor(gradient(layer, inputs, np.ones((1, 5, DIM)))).numpy()
    assert set(np.flatnonzero(dense.any(axis=1))) == {3, 12 + 2, 7 + 1, 16 + 4}


@pytest.mark.parametrize("accumulator", [0.0, 0.1])
def test_an_update_leaves_all_other_rows_as_they_are(accumulator: float) -> None:
    """Padding has no row of its own: whatever stands in for it must not move."""
    layer, table = built()
    inputs = {name: tf.constant(ids[:2]) for name, ids in random_inputs(2, seed=8).items()}
    inputs["user"] = tf.constant([5, 5])
    optimizer = tf.keras.optimizers.Adagrad(0.1, initial_accumulator_value=accumulator)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs) ** 2)
    weights = layer.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
    touched = {STARTS[name] + int(v) for name, ids in inputs.items() for v in np.ravel(ids) if v >= 0}
    moved = set(np.flatnonzero((layer.get_weights()[0] != table).any(axis=1)))
    assert moved == touched
    assert np.isfinite(layer.get_weights()[0]).all()


@pytest.mark.skipif(not keras_generation.is_legacy(), reason="Keras 3 has no legacy optimizers")
def test_a_step_of_legacy_adagrad_leaves_all_other_accumulators_as_they_are() -> None:
    layer, table = built()
    optimizer = tf.keras.optimizers.legacy.Adagrad(0.1, initial_accumulator_value=0.1)

    @tf.function
    def step(inputs: dict[str, tf.Tensor]) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(inputs) ** 2)
        optimizer.apply_gradients([(tape.gradient(loss, layer.embeddings), layer.embeddings)])

    inputs = {name: tf.constant(ids) for name, ids in random_inputs(2, seed=8).items()}
    step(inputs)
    touched = {STARTS[name] + int(v) for name, ids in inputs.items() for v in np.ravel(ids) if v >= 0}
    assert 0 < len(touched) < 20
    slot = optimizer.get_slot(layer.embeddings, "accumulator").numpy()
    for before, after in ((table, layer.get_weights()[0]), (np.full_like(table, 0.1), slot)):
        assert set(np.flatnonzero((before != after).any(axis=1))) == touched


def test_a_batch_costs_one_gather() -> None:
    layer, _ = built()
    signature = {
        f.name: tf.TensorSpec([None] if f.max_values == 1 else [None, f.max_values], tf.int64) for f in FEATURES
    }
    graph = tf.function(lambda inputs: layer(inputs)).get_concrete_function(signature).graph
    gathers = [op.name for op in graph.get_operations() if op.type in ("ResourceGather", "GatherV2")]
    assert len(gathers) == 1


def test_shapes_are_known_while_tracing() -> None:
    """Interactions need the number of features and the width, whatever the number of values."""
    layer, _ = built()
    for width in (None, 3):
        signature = {
            f.name: tf.TensorSpec([None] if f.max_values == 1 else [None, width and f.max_values], tf.int64)
            for f in FEATURES
        }
        traced = tf.function(lambda inputs: layer(inputs)).get_concrete_function(signature)
        assert traced.structured_outputs.shape.as_list() == [None, 5, DIM]


def test_mixed_precision_looks_up_in_half_and_trains_in_single(mixed_precision: Any) -> None:
    mixed_precision("mixed_bfloat16")
    layer, table = built()
    inputs = random_inputs(9)
    y = layer(inputs)
    assert y.dtype == tf.bfloat16
    assert layer.embeddings.dtype == "float32"
    np.testing.assert_allclose(tf.cast(y, tf.float32), looked_up(table, inputs), rtol=0.02, atol=0.02)
    assert isinstance(gradient_in_half(layer, inputs), tf.IndexedSlices)


def gradient_in_half(layer: StackedEmbedding, inputs: dict[str, np.ndarray]) -> Any:
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(inputs), tf.float32))
    return tape.gradient(loss, layer.embeddings)


def test_configuration_is_plain_and_complete() -> None:
    layer = StackedEmbedding(FEATURES, DIM, embeddings_initializer="zeros", name="table")
    again = StackedEmbedding.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()
    assert again.features == FEATURES
    np.testing.assert_array_equal(again(random_inputs(2)), np.zeros((2, 5, DIM)))


def test_round_trips(reload_every_way: Any) -> None:
    shapes = {f.name: () if f.max_values == 1 else (f.max_values,) for f in FEATURES}
    symbolic = {name: tf.keras.Input(shape, dtype="int64", name=name) for name, shape in shapes.items()}
    model = tf.keras.Model(symbolic, StackedEmbedding(FEATURES, DIM)(symbolic))
    inputs = {name: tf.constant(ids) for name, ids in random_inputs(4).items()}
    expected = model(inputs).numpy()
    for way, outputs in reload_every_way(model, inputs).items():
        np.testing.assert_allclose(outputs, expected, rtol=1e-6, err_msg=way)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match="dim must be at least 1, got 0"):
        StackedEmbedding(FEATURES, 0)
    with pytest.raises(ValueError, match="combiner of 'tags' must be mean, sum or sqrtn, got 'max'"):
        StackedEmbedding([EmbeddedFeature("tags", 5, 3, "max")], DIM)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"users": [1, 2], "item": [0, 1]}, "inputs must have all features, got none for 'user'"),
        ({"user": [[1], [2]], "item": [0, 1]}, r"user must be \[batch\], an id a row, got the shape \(2, 1\)"),
    ],
)
def test_inputs_of_another_kind_are_named(inputs: dict[str, Any], said: str) -> None:
    layer = StackedEmbedding([EmbeddedFeature("user", 7), EmbeddedFeature("item", 4)], dim=2)
    with pytest.raises(InputError, match=said):
        layer({name: tf.constant(ids, tf.int64) for name, ids in inputs.items()})
