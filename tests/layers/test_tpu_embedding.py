"""Both implementations of the embeddings are one model, as far as a machine without a TPU can tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, Tower, TPUStackedEmbedding
from smooth_recs.models import RankingModel, interactions

FEATURES = [
    EmbeddedFeature("user", 7),
    EmbeddedFeature("tags", 5, max_values=3, combiner="mean"),
    EmbeddedFeature("item", 4),
    EmbeddedFeature("words", 6, max_values=2, combiner="sum"),
    EmbeddedFeature("likes", 3, max_values=4, combiner="sqrtn"),
]
DIM = 3
Inputs = dict[str, tf.Tensor]


def random_inputs(rows: int, seed: int = 1) -> Inputs:
    random = np.random.default_rng(seed)
    inputs = {}
    for feature in FEATURES:
        shape = (rows,) if feature.max_values == 1 else (rows, feature.max_values)
        inputs[feature.name] = tf.constant(random.integers(-(feature.max_values > 1), feature.rows, shape))
    return inputs


def pair(optimizer: Any = None) -> tuple[StackedEmbedding, TPUStackedEmbedding]:
    """Built, with equal tables."""
    stacked, tpu = StackedEmbedding(FEATURES, DIM), TPUStackedEmbedding(FEATURES, DIM, optimizer=optimizer)
    for layer in (stacked, tpu):
        layer(random_inputs(1))
    table = np.random.default_rng(2).normal(size=(25, DIM)).astype(np.float32)
    stacked.embeddings.assign(table)
    for name, part in parts(table).items():
        tpu.tables[name].assign(part)
    return stacked, tpu


def parts(table: Any) -> dict[str, Any]:
    return dict(zip([f.name for f in FEATURES], np.split(table, np.cumsum([7, 5, 4, 6])), strict=True))


def trained(layer: Any, optimizer: Any, steps: int) -> None:
    @tf.function
    def step(inputs: Inputs) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(inputs, training=True) - 0.5) ** 3)
        variables = layer.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    for k in range(steps):
        step(random_inputs(16, seed=k))


def adagrad() -> Any:
    return tf.keras.optimizers.legacy.Adagrad(0.1, initial_accumulator_value=0.1)


@pytest.mark.parametrize("rows", [0, 1, 40])
def test_equal_outputs(rows: int) -> None:
    stacked, tpu = pair()
    inputs = random_inputs(rows)
    assert tpu(inputs).shape == (rows, 5, DIM)
    np.testing.assert_allclose(tpu(inputs), stacked(inputs), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("given", [False, True], ids=["optimizer outside", "optimizer given"])
def test_equal_tables_and_accumulators_after_ten_adagrad_steps(given: bool) -> None:
    first, second = adagrad(), adagrad()
    stacked, tpu = pair(second if given else None)
    before = stacked.embeddings.numpy()
    trained(stacked, first, 10)
    trained(tpu, second, 10)
    assert (np.abs(stacked.embeddings.numpy() - before).max(axis=1) > 1e-2).all(), "all rows have moved"
    accumulators = parts(first.get_slot(stacked.embeddings, "accumulator").numpy())
    for name, part in parts(stacked.embeddings.numpy()).items():
        np.testing.assert_allclose(tpu.tables[name], part, rtol=2e-6, atol=1e-6, err_msg=name)
        slot = second.get_slot(tpu.tables[name], "accumulator")
        np.testing.assert_allclose(slot, accumulators[name], rtol=1e-5, err_msg=name)
    inputs = random_inputs(9, seed=99)
    np.testing.assert_allclose(tpu(inputs), stacked(inputs), rtol=1e-5, atol=1e-6)


def test_a_ranking_model_trains_the_same_with_either() -> None:
    models = []
    for layer in pair():
        model = RankingModel(
            embeddings=layer, interaction=interactions.Concatenation(), top_stack=Tower([4], activation="smelu")
        )
        model(random_inputs(1))
        for variable, first in zip(model.dense_variables, (models or [model])[0].dense_variables, strict=True):
            variable.assign(first)
        model.compile(optimizer=adagrad())
        models.append(model)
    data = tf.data.Dataset.from_tensor_slices((random_inputs(64), np.arange(64) % 3 == 0)).batch(16)
    losses = [model.fit(data, epochs=2, verbose=0).history["loss"] for model in models]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert losses[0][1] < losses[0][0]
    np.testing.assert_allclose(*(model(random_inputs(9)) for model in models), rtol=1e-5)


def test_rows_without_any_value_are_zero_vectors() -> None:
    _, tpu = pair()
    inputs = random_inputs(3) | {f.name: tf.fill([3, f.max_values], -1) for f in FEATURES if f.max_values > 1}
    np.testing.assert_array_equal(tpu(inputs)[:, 2:], 0.0)


def test_gradients_are_sparse_and_reach_only_the_rows_of_the_batch() -> None:
    _, tpu = pair()
    inputs = random_inputs(2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tpu(inputs) ** 2)
    variables = list(tpu.tables.values())
    for feature, gradient in zip(tpu.tables, tape.gradient(loss, variables), strict=True):
        assert isinstance(gradient, tf.IndexedSlices)
        touched = np.flatnonzero(np.any(tf.convert_to_tensor(gradient), axis=1))
        assert set(touched) == {int(v) for v in np.ravel(inputs[feature]) if v >= 0}, feature


def test_takes_what_it_prepares_in_the_input_pipeline() -> None:
    stacked, tpu = pair()
    inputs = random_inputs(6)
    dataset = tf.data.Dataset.from_tensor_slices(inputs).batch(6).map(tpu.prepare)
    prepared = next(iter(dataset))
    assert isinstance(prepared["tags"], tf.SparseTensor)
    assert isinstance(prepared["user"], tf.Tensor)
    np.testing.assert_allclose(tpu(prepared), stacked(inputs), rtol=1e-6, atol=1e-7)


def test_tables_of_equal_shape_start_differently() -> None:
    layer = TPUStackedEmbedding([EmbeddedFeature("a", 50), EmbeddedFeature("b", 50)], DIM)
    layer({"a": tf.constant([0]), "b": tf.constant([0])})
    a, b = (layer.tables[name].numpy() for name in "ab")
    assert not np.isclose(a, b, atol=1e-4).all(axis=1).any()
    assert 0.04 < np.abs(a).max() <= 0.05


def test_checkpoint_and_export(tmp_path: Path) -> None:
    _, tpu = pair()
    inputs = random_inputs(5)
    expected = tpu(inputs).numpy()
    path = tf.train.Checkpoint(layer=tpu).write(str(tmp_path / "checkpoint"))
    again = TPUStackedEmbedding(FEATURES, DIM)
    again(random_inputs(1))
    tf.train.Checkpoint(layer=again).read(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(again(inputs), expected)
    specs = {name: tf.TensorSpec([None, *x.shape[1:]], x.dtype, name=name) for name, x in inputs.items()}
    serve = tf.function(lambda **x: {"vectors": tpu(x)}).get_concrete_function(**specs)
    module = tf.Module()
    module.layer = tpu
    tf.saved_model.save(module, str(tmp_path / "export"), signatures=serve)
    served = tf.saved_model.load(str(tmp_path / "export")).signatures["serving_default"](**inputs)
    np.testing.assert_allclose(served["vectors"], expected, rtol=1e-6)


def test_configuration_is_plain_and_complete() -> None:
    layer = TPUStackedEmbedding(FEATURES, DIM, embeddings_initializer="ones", name="table")
    again = TPUStackedEmbedding.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config()
    assert again.features == FEATURES
    np.testing.assert_array_equal(again(random_inputs(2))[:, 0], np.ones((2, DIM)))


def test_bad_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="dim must be at least 1, got 0"):
        TPUStackedEmbedding(FEATURES, 0)
    with pytest.raises(ValueError, match="combiner of 'tags' must be mean, sum or sqrtn, got 'max'"):
        TPUStackedEmbedding([EmbeddedFeature("tags", 5, 3, "max")], DIM)
    on_tpu = object.__new__(tf.distribute.TPUStrategy)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: on_tpu)
    with pytest.raises(ValueError, match="optimizer must be given under a TPUStrategy, got None"):
        TPUStackedEmbedding(FEATURES, DIM)
