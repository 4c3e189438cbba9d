"""Tables in float16: what optimizers make of their rows, on one device and two, and what is built and counted."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding
from smooth_recs.models import from_config, generation
from smooth_recs.models.averaging import WeightAverage
from smooth_recs.models.cost import cost
from smooth_recs.models.siblings import SiblingModel
from smooth_recs.schema import Categorical, Schema
from smooth_recs.training import capacity

pytestmark = pytest.mark.both_generations
ENCODER = Encoder(Schema((Categorical("user", "identity", 18, "int64"),)))
RATE, B1, B2, EPSILON = 0.1, 0.9, 0.999, 1e-7
WIDTH = 4_000


def stepped(name: str, w: float, slots: list[float], t: int, g: float) -> tuple[float, list[float]]:
    """A weight and what is kept of it after step t, in double precision."""
    if name == "sgd":
        return w - RATE * g, []
    if name == "adagrad":
        total = slots[0] + g**2
        return w - RATE * g / (math.sqrt(total) + EPSILON), [total]
    m, v = B1 * slots[0] + (1 - B1) * g, B2 * slots[1] + (1 - B2) * g**2
    return w - RATE * math.sqrt(1 - B2**t) / (1 - B1**t) * m / (math.sqrt(v) + EPSILON), [m, v]


OPTIMIZERS: dict[str, tuple[Any, list[float], list[str]]] = {
    "adagrad": (lambda: generation.Adagrad(RATE, initial_accumulator_value=0.5), [0.5], ["accumulator"]),
    "adam": (lambda: generation.RowAdam(RATE), [0.0, 0.0], ["m", "v"]),
    "sgd": (lambda: generation.SGD(RATE), [], []),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_is_that_of_float32_rounded_to_a_neighbour(name: str) -> None:
    """Row 1 is twice in the batch, with one gradient in all columns, of which the mean has to be exact."""
    make, slots, names = OPTIMIZERS[name]
    optimizer, table = make(), tf.Variable(tf.fill([3, WIDTH], tf.constant(1.5, tf.float16)))
    gradient = tf.IndexedSlices(tf.stack([tf.fill([WIDTH], 0.25), tf.fill([WIDTH], 0.4375)]), [1, 1], [3, WIDTH])
    optimizer.apply_gradients([(gradient, table)])
    exact, kept = stepped(name, 1.5, slots, 1, 0.6875)
    assert table.dtype == tf.float16
    found = table.numpy().astype(np.float64)
    assert (found[[0, 2]] == 1.5).all()
    below = math.floor(exact * 1024) / 1024  # between 1 and 2
    assert set(found[1].tolist()) == {below, below + 2**-10}
    # Hoeffding, as in tests/layers/test_stochastic_rounding.py
    assert abs(found[1].mean() - exact) < 2**-10 * math.sqrt(math.log(2e9) / (2 * WIDTH))
    for slot, value in zip(names, kept, strict=True):
        assert optimizer.get_slot(table, slot).dtype == tf.float32
        np.testing.assert_allclose(optimizer.get_slot(table, slot).numpy()[1], value, rtol=2e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_and_tables_round_differently_and_repeat_to_the_bit(name: str) -> None:
    def trained() -> list[np.ndarray]:
        optimizer = OPTIMIZERS[name][0]()
        tables = [tf.Variable(tf.fill([2, WIDTH], tf.constant(1.5, tf.float16))) for _ in range(2)]
        found = []
        for _ in range(2):
            slices = [tf.IndexedSlices(tf.fill([1, WIDTH], 0.3), [0], [2, WIDTH]) for _ in tables]
            optimizer.apply_gradients(zip(slices, tables, strict=True))
            for table in tables:
                found.append(table.numpy()[0].astype(np.float64))
                table.assign(tf.fill([2, WIDTH], tf.constant(1.5, tf.float16)))
        return found

    first, again = trained(), trained()
    np.testing.assert_array_equal(first, again)
    up = [row > row.mean() for row in first]
    for one, other in ((0, 1), (0, 2), (1, 3)):  # two tables in a step, a table in two steps
        # Independent: both up as often as the product of their shares says, but for six deviations.
        both = (up[one] & up[other]).mean()
        assert abs(both - up[one].mean() * up[other].mean()) < 6 * 0.25 / math.sqrt(WIDTH)


def built(precision: Any = "float16", train: config.Train | None = None, **settings: Any) -> Any:
    tf.keras.utils.set_random_seed(1)
    network = config.Model(hidden_units=(8,), embedding_dim=4, embedding_precision=precision, **settings)
    model = from_config.ranking_model(network, ENCODER)
    model.compile(optimizer=from_config.optimizer(model, train or config.Train(), total_steps=10))
    model({"user": tf.constant([1], tf.int64)})
    return model


def batches(count: int, seed: int = 1) -> list[Any]:
    chance = np.random.default_rng(seed)
    users = chance.integers(0, 12, [count, 16])
    labels = (chance.random([count, 16]) < 0.4).astype(np.float32)
    return [({"user": tf.constant(u)}, tf.constant(y), tf.ones(16)) for u, y in zip(users, labels, strict=True)]


@pytest.mark.parametrize("name", from_config.SPARSE_OPTIMIZERS)
def test_a_model_trains_as_in_float32_but_for_the_rounding(name: str) -> None:
    train = config.Train(embedding_optimizer=name, embedding_learning_rate=0.1)  # type: ignore[arg-type]
    models = [built(precision, train, linear=True) for precision in ("float32", "float16")]
    for batch in batches(30):
        for model in models:
            model.train_step(batch)
    for whole, half in (model_tables(*models)[k] for k in (0, 1)):
        assert half.dtype == np.float16
        assert np.abs(whole).max() > 0.03  # it has moved
        np.testing.assert_allclose(half, whole, atol=0.02)
        assert (half != whole.astype(np.float16)).any()


def model_tables(*models: Any) -> list[list[np.ndarray]]:
    """The embeddings, and the linear part's weights, of each model."""
    tables = [[m.embeddings.embeddings for m in models], [m.linear.table.embeddings for m in models]]
    return [[np.array(tf.convert_to_tensor(table)) for table in each] for each in tables]


def test_admission_keeps_rows_of_their_own_until_they_are_seen() -> None:
    model = built(admission=2)
    before = np.array(tf.convert_to_tensor(model.embeddings.embeddings))
    batch = ({"user": tf.constant([5, 6], tf.int64)}, tf.constant([1.0, 0.0]), tf.ones(2))
    model.train_step(batch)
    after = np.array(tf.convert_to_tensor(model.embeddings.embeddings))
    assert (before != after).any(axis=1).nonzero()[0].tolist() == [18]  # the out-of-vocabulary row


def test_an_optimizer_that_does_not_round_is_refused() -> None:
    model = from_config.ranking_model(config.Model(embedding_precision="float16"), ENCODER)
    with pytest.raises(InputError, match=r"^optimizer must be one of Adagrad, RowAdam, SGD .* is float16, got a Adam"):
        model.compile(optimizer="adam")
    model.compile(optimizer=generation.SGD(0.1))


def test_components_with_tables_of_their_own_and_shared_ones_are_stored_alike() -> None:
    for tables, count in (("separate", 2), ("shared", 1)):
        settings = config.Config(
            model=config.Model(hidden_units=(4,), embedding_dim=2, embedding_precision="float16", linear=True),
            ensemble=config.Ensemble(components=2, tables=tables, codistillation=1.0, stale_steps=2),  # type: ignore[arg-type]
        )
        model = from_config.model(settings, ENCODER)
        model.compile(optimizer=from_config.optimizer(model, settings.train, 10))
        for batch in batches(3):
            model.train_step(batch)
        types = [tf.as_dtype(variable.dtype) for variable in model.embedding_variables]
        assert types == [tf.float16] * (count + 1)
        assert {tf.as_dtype(v.dtype) for v in model.dense_variables} == {tf.float32}
        alone = model.component_model(1)
        features = batches(1)[0][0]
        np.testing.assert_array_equal(
            alone.logits(features), model.component_logits(features)[0][:, 1:] + model.components[0].linear(features)
        )


def siblings(half_life: float, by_row: bool) -> SiblingModel:
    """One sibling with its average in float32."""

    def build_fn(precision: str = "float16") -> Any:
        return built(precision, config.Train(embedding_learning_rate=0.5))

    made = SiblingModel(build_fn, replicas=1)
    made.compile()
    made.build_replicas(tf.data.Dataset.from_tensors(batches(1)[0]).element_spec)
    made.keep_average(half_life, lambda: build_fn("float32"), by_row=by_row)
    return made


@pytest.mark.parametrize("by_row", [False, True])
def test_averages_are_in_float32(by_row: bool) -> None:
    made = siblings(3.0, by_row)
    assert made.weight_average is not None
    table = made.replicas[0].embeddings.embeddings
    assert tf.as_dtype(table.dtype) == tf.float16
    total, weight = np.zeros(table.shape), 0.0
    for step, batch in enumerate(batches(20), start=1):
        made.replicas[0].train_step(batch)
        made.weight_average.update(step)
        total = total * 0.5 ** (1 / 3) + np.array(tf.convert_to_tensor(table)).astype(np.float64)
        weight = weight * 0.5 ** (1 / 3) + 1
    made.weight_average.finish()
    averaged = np.array(tf.convert_to_tensor(made.deployed_model().replicas[0].embeddings.embeddings))
    assert averaged.dtype == np.float32
    np.testing.assert_allclose(averaged, total / weight, rtol=2e-5, atol=1e-6)


def test_an_average_in_float16_is_refused() -> None:
    layers = [StackedEmbedding([EmbeddedFeature("user", 5)], 2, embeddings_dtype="float16") for _ in range(2)]
    trained, averaged = (tf.keras.Sequential([layer]) for layer in layers)
    for model in (trained, averaged):
        model({"user": tf.constant([0])})
    with pytest.raises(InputError, match=r"^averaged must have tables in float32"):
        WeightAverage(trained, averaged, 3.0)


def test_the_model_of_averages_has_tables_in_float32() -> None:
    settings = config.Config(model=config.Model(hidden_units=(4,), embedding_precision="float16", linear=True))
    model = from_config.averaged(settings, ENCODER)
    model({"user": tf.constant([1], tf.int64)})
    assert {tf.as_dtype(variable.dtype) for variable in model.embedding_variables} == {tf.float32}


def test_memory_by_hand() -> None:
    """Two siblings, 20 rows of 4 numbers and a linear one."""
    network = config.Model(hidden_units=(4,), embedding_dim=4, linear=True, embedding_precision="float16")
    run = config.Config(model=network)
    counted = capacity.capacity(run, ENCODER, devices=2)
    assert cost(run, ENCODER).lookup_bytes == 5 * 2
    assert counted.table_bytes == 2 * 20 * 5 * (2 + 4)  # weights and Adagrad's sums
    assert counted.touched_bytes == 2 * 256 * 5 * (2 + 4) * 2
    whole = dataclasses.replace(run, model=dataclasses.replace(network, embedding_precision="float32"))
    assert counted.network_bytes == capacity.capacity(whole, ENCODER, devices=2).network_bytes  # gradients in float32
    assert "20 rows x 5 = 100 parameters of 2 bytes" in "\n".join(capacity.lines(counted))
    kept = dataclasses.replace(run, train=config.Train(average=10, patience=2))
    # The best weights once more as they are; averages, and the best of these, in float32.
    assert capacity.capacity(kept, ENCODER).table_bytes == 2 * 20 * 5 * (2 + 4 + 2 + 4 + 4)


MIRRORED = """
import json
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from smooth_recs import config, keras_generation
from smooth_recs.data.encoding import Encoder
from smooth_recs.models import from_config
from smooth_recs.schema import Categorical, Schema

ENCODER = Encoder(Schema((Categorical("user", "identity", 18, "int64"),)))

def trained(strategy, name):
    with strategy.scope():
        tf.keras.utils.set_random_seed(1)
        network = config.Model(hidden_units=(8,), embedding_dim=4, embedding_precision="float16")
        train = config.Train(embedding_optimizer=name, embedding_learning_rate=0.1)
        model = from_config.ranking_model(network, ENCODER)
        model.compile(optimizer=from_config.optimizer(model, train, total_steps=10))
        model({"user": tf.constant([1], tf.int64)})
        model.make_slots()
    devices = strategy.num_replicas_in_sync

    @tf.function
    def step(users, labels):
        strategy.run(lambda u, y: model.train_step(({"user": u}, y, tf.ones_like(y))), (users, labels))

    chance = np.random.default_rng(1)
    for _ in range(20):
        users, labels = chance.integers(0, 12, 16), (chance.random(16) < 0.4).astype(np.float32)
        parts = [tf.constant(each.reshape(devices, -1)) for each in (users, labels)]
        of_device = strategy.experimental_distribute_values_from_function if devices > 1 else lambda f: f(None)
        at = lambda context: 0 if context is None else context.replica_id_in_sync_group
        step(*(of_device(lambda context, part=part: part[at(context)]) for part in parts))
    copies = strategy.experimental_local_results(keras_generation.stored(model.embeddings.embeddings))
    return [np.asarray(copy).astype(float).tolist() for copy in copies] + [str(copies[0].dtype.name)]

found = {}
for name in ("adagrad", "adam", "sgd"):
    found[name] = [trained(tf.distribute.get_strategy(), name)]
    found[name].append(trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), name))
print(json.dumps(found))
"""


@pytest.mark.slow
def test_the_copies_of_two_devices_stay_equal(in_fresh_process: Any) -> None:
    for name, ((one, dtype), (first, second, _)) in in_fresh_process(MIRRORED).items():
        assert dtype == "float16"
        np.testing.assert_array_equal(first, second, err_msg=name)
        np.testing.assert_allclose(first, one, atol=0.02, err_msg=name)  # their rows come in another order
        assert (np.array(one)[12:] == np.array(first)[12:]).all()  # never seen
