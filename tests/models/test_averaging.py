"""Averaged weights: numbers by hand, a dense reference in float64, every kind of variable."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.errors import InputError
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding
from smooth_recs.models import averaging
from smooth_recs.models.averaging import WeightAverage

pytestmark = pytest.mark.both_generations


class Weights(tf.keras.Model):
    """A model is averaged by its weights alone."""

    def __init__(self, *values: np.ndarray) -> None:
        super().__init__()
        for k, value in enumerate(values):
            self.add_weight(name=f"part_{k}", shape=value.shape, dtype=value.dtype.name, initializer="zeros")
        assign(self, *values)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs


def assign(made: tf.keras.Model, *values: np.ndarray) -> None:
    for weight, value in zip(made.weights, values, strict=True):
        weight.assign(value)


def test_examples():
    assert doctest.testmod(averaging).attempted


def test_numbers_by_hand():
    """H = 1: steps weigh 1, 1/2, 1/4 backwards. After two steps (2 w_2 + w_1) / 3, after three (4 w_3 + 3 a_2) / 7."""
    trained, averaged = Weights(np.array([7.0], np.float32)), Weights(np.array([0.0], np.float32))
    average = WeightAverage(trained, averaged, half_life=1)
    (value,) = averaged.weights
    np.testing.assert_array_equal(value, [7.0])  # before the first pass it is the weights
    found = []
    for step, weight in enumerate([3.0, 6.0, 1.0], start=1):
        assign(trained, np.array([weight]))
        average.update(step)
        found.append(float(tf.convert_to_tensor(value)[0]))
    np.testing.assert_allclose(found, [3.0, (2 * 6 + 3) / 3, (4 * 1 + 2 * 6 + 3) / 7], rtol=1e-6)
    average.update(3)  # a second time at the same step
    np.testing.assert_allclose(value, [(4 + 12 + 3) / 7], rtol=1e-6)


def test_shares_by_hand():
    """H = 2, of six steps: the first three weigh 1/8 of the last three, which have 8/9."""
    assert float(averaging.share(3, 6, 2.0)) == pytest.approx((1 - 2**-1.5) / (1 - 2**-3))
    assert float(averaging.share(0, 6, 2.0)) == 1
    assert float(averaging.share(6, 6, 2.0)) == 0
    late = tf.constant([2**24 + 1, 2**24 + 3], tf.int64)  # steps that float32 cannot tell apart
    np.testing.assert_allclose(averaging.share(late - 1, late, 1.0), [0.5, 0.5], rtol=1e-6)


def reference(weights: list[np.ndarray], steps: list[int], half_life: float) -> np.ndarray:
    """The average that passes at `steps`, which found `weights`, stand for: each for all steps since the one before."""
    weighed = np.zeros(max(steps) + 1)
    total = np.zeros_like(weights[0], np.float64)
    for weight, begin, end in zip(weights, [0, *steps], steps, strict=False):
        of_steps = [2.0 ** (-(steps[-1] - step) / half_life) for step in range(begin + 1, end + 1)]
        weighed[begin + 1 : end + 1] = of_steps
        total += sum(of_steps) * weight
    return total / weighed.sum()


@pytest.mark.parametrize("seed", range(4))
def test_passes_against_a_dense_reference(monkeypatch, seed):
    """Passes at any steps, tables of more rows than one chunk, rows that nothing touches, a checkpoint in between."""
    monkeypatch.setattr(averaging, "CHUNK", 7)
    random = np.random.default_rng(seed)
    half_life = float(random.choice([0.5, 3, 40, 1000]))
    table, dense = random.normal(size=(30, 3)).astype(np.float32), random.normal(size=(4,)).astype(np.float32)
    trained, averaged = Weights(table, dense), Weights(table * 0, dense * 0)
    average = WeightAverage(trained, averaged, half_life)
    steps, tables, denses = [], [], []
    for step in range(1, 120):
        touched = random.integers(0, 20, size=8)  # with duplicates; never the last ten rows
        np.add.at(table, touched, random.normal(size=(8, 3)).astype(np.float32))
        dense += random.normal(size=4).astype(np.float32)
        if random.random() < 0.4 or step == 119:
            assign(trained, table, dense)
            average.update(step)
            steps, tables, denses = [*steps, step], [*tables, table.copy()], [*denses, dense.copy()]
    found_table, found_dense = (weight.numpy() for weight in averaged.weights)
    np.testing.assert_allclose(found_table, reference(tables, steps, half_life), rtol=0, atol=5e-6)
    np.testing.assert_allclose(found_dense, reference(denses, steps, half_life), rtol=0, atol=5e-6)
    np.testing.assert_array_equal(found_table[20:], table[20:])


def test_a_restored_average_goes_on_to_the_bit(tmp_path):
    random = np.random.default_rng(5)
    values = random.normal(size=(10, 4, 3)).astype(np.float32)

    def averaged_from(average, trained, first):
        for step in range(first, 10):
            assign(trained, values[step])
            average.update(3 * step)

    trained = Weights(values[0])
    whole = WeightAverage(trained, Weights(values[0]), 5)
    averaged_from(whole, trained, 1)

    trained = Weights(values[0])
    first = WeightAverage(trained, Weights(values[0]), 5)
    for step in range(1, 6):
        assign(trained, values[step])
        first.update(3 * step)
    path = first.checkpoint.save(str(tmp_path / "average"))
    trained = Weights(values[5])
    resumed = WeightAverage(trained, Weights(values[5]), 5)
    resumed.checkpoint.restore(path).assert_consumed()
    averaged_from(resumed, trained, 6)
    np.testing.assert_array_equal(resumed.averaged.weights[0], whole.averaged.weights[0])
    assert int(resumed.steps) == int(whole.steps) == 27


def test_counts_are_copied_and_half_precision_stays():
    trained = Weights(np.array([5], np.int32), np.array([1.0], np.float16))
    averaged = Weights(np.array([0], np.int32), np.array([0.0], np.float16))
    average = WeightAverage(trained, averaged, half_life=1)
    average.update(1)
    assign(trained, np.array([9]), np.array([4.0]))
    average.update(2)
    count, half = averaged.weights
    assert int(count[0]) == 9
    assert half.dtype == tf.float16
    assert float(half[0]) == pytest.approx((2 * 4 + 1) / 3, abs=2e-3)


def test_metrics_are_no_weights():
    made = tf.keras.Sequential([tf.keras.layers.Dense(2)])
    made.compile("sgd", "mse", metrics=["mae"])
    made.fit(np.ones([4, 3]), np.ones([4, 2]), verbose=0)
    assert [tuple(weight.shape) for weight in averaging.weights_of(made)] == [(3, 2), (2,)]


def test_tables_share_the_counts_of_admission():
    features = [EmbeddedFeature("user", 5)]
    trained, averaged = (
        tf.keras.Sequential([StackedEmbedding(features, dim=2, admission=2, name="table")]) for _ in range(2)
    )
    inputs = {"user": tf.constant([0, 0, 1])}
    trained(inputs, training=True)
    averaging.share_admission(averaged, trained)
    averaged(inputs)
    average = WeightAverage(trained, averaged, half_life=10)
    assert averaged.layers[0].admitted.counts is trained.layers[0].admitted.counts
    assert [tuple(variable.shape) for variable in average.variables] == [(5, 2), ()]
    trained(inputs, training=True)  # counted once a step, whatever is averaged
    np.testing.assert_array_equal(trained.layers[0].admitted.counts[:2], [4, 2])


@pytest.mark.parametrize("half_life", [0, -3, float("nan"), float("inf"), True, "auto"])
def test_a_half_life_that_is_none(half_life):
    with pytest.raises(InputError, match="half_life must be a number of steps above 0, got"):
        WeightAverage(Weights(np.ones(1)), Weights(np.ones(1)), half_life)


def test_another_model_is_refused():
    with pytest.raises(ValueError, match=r"averaged must have the variables of the model, got \[\[2\]\] for \[\[1\]\]"):
        WeightAverage(Weights(np.ones(1)), Weights(np.ones(2)), 10)


@pytest.mark.parametrize(("half_life", "executed", "steps"), [(1000, 1, 100), (1000, 30, 90), (50, 30, 30), (5, 1, 1)])
def test_a_pass_comes_after_whole_executions(half_life, executed, steps):
    assert averaging.steps_between_passes(half_life, executed) == steps


def table(rows: int, dim: int, name: str = "table") -> StackedEmbedding:
    layer = StackedEmbedding([EmbeddedFeature("user", rows)], dim=dim, name=name)
    layer.build(None)
    return layer


def by_row(trained: StackedEmbedding, half_life: float) -> tuple[tf.keras.Model, tf.keras.Model, WeightAverage]:
    models = [tf.keras.Sequential([layer]) for layer in (trained, table(*trained.embeddings.shape))]
    for each in models:
        each({"user": tf.constant([0])})
    return *models, WeightAverage(*models, half_life, by_row=True)


@pytest.mark.parametrize("half_life", [1.5, 20, 500])
def test_rows_against_a_dense_reference(tmp_path, half_life):
    """Every row's average over every step, with a checkpoint in between: what passes approach, this is exactly."""
    random = np.random.default_rng(int(half_life))
    trained, averaged, average = by_row(table(30, 3), half_life)
    (weights,) = trained.weights
    dense, total = np.zeros([30, 3]), 0.0
    begun = weights.numpy()
    for step in range(1, 201):
        ids = random.integers(0, 20, size=12)  # with duplicates; never the last ten rows
        found = trained({"user": tf.constant(ids)}, training=True)
        np.testing.assert_array_equal(found[:, 0], weights.numpy()[ids])  # what trains is not touched
        keras_generation.stored(weights).scatter_add(
            tf.IndexedSlices(random.normal(size=(12, 3)).astype(np.float32), ids)
        )
        decay = 0.5 ** (1 / half_life)
        dense, total = decay * dense + weights.numpy().astype(np.float64), decay * total + 1
        if step % 40 == 0:
            read = averaged({"user": tf.range(30)})[:, 0]
            np.testing.assert_allclose(read, dense / total, rtol=0, atol=4e-6)
            np.testing.assert_array_equal(read[20:], begun[20:])
        if step == 100:
            path = average.checkpoint.save(str(tmp_path / "average"))
            before = weights
            trained, averaged, average = by_row(table(30, 3), half_life)
            (weights,) = trained.weights
            weights.assign(before)
            average.checkpoint.restore(path).assert_existing_objects_matched()
    read = averaged({"user": tf.range(30)}).numpy()
    average.finish()
    np.testing.assert_array_equal(averaged({"user": tf.range(30)}), read)
    np.testing.assert_array_equal(averaged.weights[0], read[:, 0])
    assert averaged.layers[0].read_rows is None


def test_rows_that_are_settled_go_on_as_if_they_were_not(monkeypatch):
    """Which an export in the middle of training does, in chunks of rows."""
    monkeypatch.setattr(averaging, "CHUNK", 7)
    results = []
    for settles in (False, True):
        layer = table(30, 2)
        layer.embeddings.assign(np.arange(60, dtype=np.float32).reshape(30, 2))
        trained, averaged, average = by_row(layer, 10)
        for step in range(30):
            trained({"user": tf.constant([step % 5, 7])}, training=True)
            keras_generation.stored(layer.embeddings).scatter_add(tf.IndexedSlices(tf.ones([2, 2]), [step % 5, 7]))
            if settles and step == 12:
                expected = averaged({"user": tf.range(30)}).numpy()
                with average.settled():
                    np.testing.assert_array_equal(averaged.layers[0].embeddings, expected[:, 0])
        results.append(averaged({"user": tf.range(30)}).numpy())
    np.testing.assert_allclose(*results, rtol=1e-6)
    assert averaged.layers[0].read_rows is not None


def test_which_form_is_cheaper():
    assert not averaging.by_row_is_cheaper(26_362, 8 * 256, 11)  # the demo
    assert averaging.by_row_is_cheaper(50_000_000, 26 * 1024, 10)


MIRRORED = """
import json
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from smooth_recs import keras_generation
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, embedding_tables
from smooth_recs.models.averaging import WeightAverage

def averages(strategy):
    with strategy.scope():
        users = [EmbeddedFeature("user", 20)]
        layers = [StackedEmbedding(users, dim=2, embeddings_initializer="ones") for _ in range(2)]
        trained, averaged = (tf.keras.Sequential([layer]) for layer in layers)
        for each in (trained, averaged):
            each({"user": tf.constant([0])})
        average = WeightAverage(trained, averaged, 4, by_row=True)
    devices = strategy.num_replicas_in_sync

    @tf.function
    def step(ids):
        def on_device(ids):
            trained({"user": ids}, training=True)
            if devices > 1:
                ids = tf.distribute.get_replica_context().all_gather(ids, axis=0)
            table = embedding_tables.local(layers[0].embeddings)
            table.scatter_add(tf.IndexedSlices(tf.ones([8, 2]), tf.sort(ids)))
        strategy.run(on_device, (ids,))

    random = np.random.default_rng(1)
    for _ in range(30):
        ids = tf.constant(random.integers(0, 15, 8).reshape(devices, 8 // devices))
        of_device = strategy.experimental_distribute_values_from_function if devices > 1 else lambda f: ids[0]
        step(of_device(lambda at: ids[at.replica_id_in_sync_group]))
    average.finish()
    table = layers[1].embeddings
    copies = strategy.experimental_local_results(table if keras_generation.is_legacy() else table.value)
    return [np.asarray(copy).tolist() for copy in copies]

(one,) = averages(tf.distribute.get_strategy())
print(json.dumps([one, *averages(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))]))
"""


@pytest.mark.slow
def test_two_devices_keep_the_rows_of_one(in_fresh_process):
    one, first, second = (np.array(each) for each in in_fresh_process(MIRRORED))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, one, rtol=1e-6)
    assert (one[15:] == 1).all()
    assert (one[:15] > 2).all()
