"""Siblings: what is equal and what is different between replicas that are trained side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.shuffling import SiblingBatches, shuffled
from smooth_recs.models import SiblingModel, from_config
from smooth_recs.schema import Categorical, Numeric, Schema

pytestmark = [
    pytest.mark.both_generations,
    pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning"),  # of Keras 3
]

ROWS, WINDOW, BATCH = 200, 80, 16
SCHEMA = Schema((Categorical("user", "identity", 30, "int64"), Numeric("price", "identity", "zero")))
MODEL = config.Model(hidden_units=(8, 4), embedding_dim=4)
TRAIN = config.Train(dense_learning_rate=0.1, embedding_learning_rate=0.3, initial_accumulator=0.1)


def table(rows: int = ROWS) -> Any:
    random = np.random.default_rng(1)
    features = {"user": random.integers(0, 30, rows), "price": random.normal(size=(rows, 1)).astype(np.float32)}
    return features, (features["user"] % 3 == 0).astype(np.float32)


def open_rows(start: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(table()).skip(start).batch(50)


def stream(seeds: Sequence[int], rows: int | None = None) -> tf.data.Dataset:
    batches = shuffled(open_rows, window=WINDOW, batch_size=BATCH, seeds=seeds)
    return batches if rows is None else batches.take(rows // BATCH)


def build_ranking() -> Any:
    model = from_config.ranking_model(MODEL, Encoder(SCHEMA))
    model.compile(optimizer=from_config.optimizer(model, TRAIN, total_steps=100))
    return model


def build_plain() -> Any:
    """A compiled Keras model of the user's own: inputs by name, one metric, no smooth_recs model in it."""
    inputs = {"user": tf.keras.Input((), dtype="int64", name="user"), "price": tf.keras.Input((1,), name="price")}
    user = tf.keras.layers.Embedding(30, 4)(inputs["user"])
    hidden = tf.keras.layers.Dense(8, activation="smelu")(tf.keras.layers.Concatenate()([user, inputs["price"]]))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(optimizer=tf.keras.optimizers.Adam(0.05), loss="binary_crossentropy", metrics=["mae"])
    return model


def weights(model: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.trainable_variables]


def equal(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def trained(
    build: Callable[[], Any], seeds: Sequence[int], differ: str = "order", seed: int = 7, **fit: Any
) -> SiblingModel:
    tf.keras.utils.set_random_seed(seed)
    siblings = SiblingModel(build, replicas=len(seeds), differ=differ)
    siblings.compile(steps_per_execution=fit.pop("steps_per_execution", 1))
    siblings.fit(stream(seeds), verbose=0, **fit)
    return siblings


BUILDERS = pytest.mark.parametrize("build", [build_ranking, build_plain])


@BUILDERS
def test_order_starts_from_equal_weights_and_ends_different(build: Callable[[], Any]) -> None:
    tf.keras.utils.set_random_seed(1)
    siblings = SiblingModel(build, replicas=3, differ="order")
    siblings.compile()
    dataset = stream([1, 2, 3])
    siblings.build_replicas(dataset.element_spec)
    start = [weights(replica) for replica in siblings.replicas]
    assert equal(start[0], start[1])
    assert equal(start[0], start[2])
    siblings.fit(dataset, verbose=0)
    end = [weights(replica) for replica in siblings.replicas]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not any(np.array_equal(a, b) for a, b in zip(end[one], end[other], strict=True) if a.dtype == np.float32)
    assert not equal(start[0], end[0])


@pytest.mark.parametrize("differ", ["init", "both"])
@BUILDERS
def test_init_differs_at_once(build: Callable[[], Any], differ: str) -> None:
    siblings = SiblingModel(build, differ=differ)
    siblings.build_replicas(stream([1, 2]).element_spec)
    one, other = (siblings.replicas[k].trainable_variables for k in (0, 1))
    kernels = [(a, b) for a, b in zip(one, other, strict=True) if len(a.shape) == 2]
    assert len(kernels) >= 2
    assert not any(np.array_equal(a, b) for a, b in kernels)


def test_init_trains_on_the_same_batches() -> None:
    """Linear models without bias on the same batches: what differs is the start, and plain SGD is linear in it."""

    def build() -> Any:
        model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False)])
        model.compile(optimizer=tf.keras.optimizers.SGD(0.01), loss="mse")
        return model

    siblings = SiblingModel(build, differ="init")
    siblings.compile()
    x = np.random.default_rng(1).normal(size=(64, 3)).astype(np.float32)
    y = x.sum(axis=1, keepdims=True)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    siblings.build_replicas(dataset.element_spec)
    difference = np.subtract(*(replica.get_weights()[0] for replica in siblings.replicas)).astype(np.float64)
    siblings.fit(dataset, verbose=0)
    for start in range(0, 64, 16):
        batch = x[start : start + 16].astype(np.float64)
        difference -= 0.01 * 2 / 16 * batch.T @ (batch @ difference)
    actual = np.subtract(*(replica.get_weights()[0] for replica in siblings.replicas))
    np.testing.assert_allclose(actual, difference, rtol=1e-4, atol=1e-6)


def test_replicas_share_no_variables() -> None:
    siblings = SiblingModel(build_ranking)
    siblings.build_replicas(stream([1, 2]).element_spec)
    one, other = ({id(v) for v in replica.trainable_variables} for replica in siblings.replicas)
    assert not one & other
    assert len(siblings.trainable_variables) == len(one) + len(other)


@BUILDERS
def test_a_pair_trained_together_equals_two_trainings_apart(build: Callable[[], Any]) -> None:
    """Each on the order of its own seed, from the same initialisation."""
    together = trained(build, [11, 12])
    for replica, seed in zip(together.replicas, (11, 12), strict=True):
        tf.keras.utils.set_random_seed(7)
        alone = build()
        alone(tf.nest.map_structure(lambda column: column[:1], table())[0])
        alone.fit(stream([seed]), verbose=0)
        for a, b in zip(weights(replica), weights(alone), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("build", "differ"), [(build_ranking, "order"), (build_plain, "init")])
def test_steps_per_execution_change_nothing(build: Callable[[], Any], differ: str) -> None:
    """13 steps: with 10 an execution the last one is cut short."""
    seeds = [11, 12] if differ == "order" else [11, 11]
    runs = [trained(build, seeds, differ, steps_per_execution=steps, steps_per_epoch=13) for steps in (1, 10)]
    for one, ten in zip(*(weights(run) for run in runs), strict=True):
        np.testing.assert_allclose(one, ten, rtol=1e-6, atol=1e-7)


def test_nothing_and_equal_seeds_train_on_equal_batches() -> None:
    """No op here adds duplicates in an order of chance but the embedding's; 1e-5 leaves room for that."""
    siblings = trained(build_plain, [11, 11], differ="nothing")
    one, other = (weights(replica) for replica in siblings.replicas)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


NOTHING = """
import json, os
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(2)
tf.config.threading.set_inter_op_parallelism_threads(2)
tf.config.experimental.enable_op_determinism()
tf.keras.utils.set_random_seed(3)

import numpy as np
from smooth_recs import config, prediction_difference
from smooth_recs.data.synthetic import SyntheticSource
from smooth_recs.data.shuffling import shuffled
from smooth_recs.models import SiblingModel, from_config

log = config.SyntheticLog(users=300, items=100, publishers=20, campaigns=10, contexts=5)
source = SyntheticSource(config.Data(examples=20_000, eval_examples=2_000, synthetic=log))
settings = config.Model(hidden_units=(32, 16), embedding_dim=8, dropout=0.2, linear=True)


def build():
    model = from_config.ranking_model(settings, source.encoder)
    model.compile(optimizer=from_config.optimizer(model, config.Train(), 100))
    return model


def open_rows(start):
    return source.train(start).map(lambda rows: (rows["features"], rows["label"], rows["weight"]))


siblings = SiblingModel(build, differ="nothing")
siblings.compile(steps_per_execution=8)
siblings.fit(shuffled(open_rows, window=8192, batch_size=256, seeds=[5, 5]), steps_per_epoch=78, verbose=0)
rows = next(iter(source.holdout()))
predictions = siblings(rows["features"]).numpy()
one, other = (replica.get_weights() for replica in siblings.replicas)
print(json.dumps({
    "equal": all(np.array_equal(a, b) for a, b in zip(one, other, strict=True)),
    "pd": prediction_difference.relative(predictions[:, 0], predictions[:, 1]),
    "spread": float(np.ptp(predictions[:, 0])),
}))
"""


@pytest.mark.slow
def test_nothing_ends_equal_to_the_bit_under_op_determinism(in_fresh_process: Callable[[str], Any]) -> None:
    """Dropout included: all siblings drop the same units."""
    found = in_fresh_process(NOTHING)
    assert found["spread"] > 0.05
    assert (found["equal"], found["pd"]) == (True, 0.0)


MIRRORED = """
import json
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from smooth_recs import config, distribution
from smooth_recs.data.encoding import Encoder
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.data.shuffling import shuffled
from smooth_recs.models import SiblingModel, from_config

random = np.random.default_rng(1)
features = {
    "user": random.integers(0, 30, 55),
    "tags": random.integers(-1, 10, (55, 3)),
    "price": random.normal(size=(55, 1)).astype(np.float32),
}
table = (features, (features["user"] % 3 == 0).astype(np.float32), random.uniform(0.5, 2, 55).astype(np.float32))
schema = Schema((
    Categorical("user", "identity", 30, "int64"),
    Categorical("tags", "identity", 10, "int64", max_values=3),
    Numeric("price", "identity", "zero"),
))
model = config.Model(hidden_units=(8, 4), embedding_dim=4, l2=0.01, linear=True)
train = config.Train(dense_learning_rate=0.1, embedding_learning_rate=0.3, initial_accumulator=0.1, clip_norm=0.05)


def build():
    ranking = from_config.ranking_model(model, Encoder(schema))
    ranking.compile(optimizer=from_config.optimizer(ranking, train, 100))
    return ranking


def batches(rows):
    first = tf.data.Dataset.from_tensor_slices(table).take(rows)
    return shuffled(lambda start: first.skip(start).batch(50), window=40, batch_size=16, seeds=[11, 12])


def run(strategy):
    tf.keras.utils.set_random_seed(7)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    with strategy.scope():
        siblings = SiblingModel(build)
        siblings.compile(steps_per_execution=4)
        uneven = batches(55).concatenate(batches(49)).with_options(options)
        losses = siblings.fit(uneven, steps_per_epoch=8, verbose=0).history["loss"]
        losses.append(siblings.evaluate(tf.data.Dataset.from_tensors(table).with_options(options), verbose=0))
    return np.concatenate([v.numpy().ravel() for v in siblings.trainable_variables]), losses


mirrored = distribution.strategy("mirrored")
assert mirrored.num_replicas_in_sync == 2
(one, losses), (two, mirrored_losses) = run(distribution.strategy("one_device")), run(mirrored)
print(json.dumps([float(np.abs(one - two).max()), losses, mirrored_losses]))
"""


@pytest.mark.slow
def test_two_devices_train_as_one_does(in_fresh_process: Callable[[str], Any]) -> None:
    """Batches of 7 rows, of which one device gets 4 and the other 3, and of 1 row, of which one gets nothing."""
    difference, losses, mirrored_losses = in_fresh_process(MIRRORED)
    assert difference < 1e-5
    np.testing.assert_allclose(mirrored_losses, losses, rtol=1e-5)


@BUILDERS
def test_predictions_are_one_column_a_replica(build: Callable[[], Any]) -> None:
    siblings = trained(build, [1, 2, 3])
    features, _ = table()
    columns = siblings(features).numpy()
    assert columns.shape == (ROWS, 3)
    assert columns.dtype == np.float32
    for k, replica in enumerate(siblings.replicas):
        np.testing.assert_array_equal(columns[:, k], np.reshape(replica(features), -1))
    np.testing.assert_allclose(siblings.predict(features, batch_size=64, verbose=0), columns, rtol=1e-5)
    assert siblings({name: column[:1] for name, column in features.items()}).shape == (1, 3)


def test_reported_numbers_are_means_over_the_replicas() -> None:
    siblings = trained(build_plain, [1, 2])
    dataset = tf.data.Dataset.from_tensor_slices(table()).batch(64)
    together = siblings.evaluate(dataset, verbose=0, return_dict=True)
    apart = [replica.evaluate(dataset, verbose=0, return_dict=True) for replica in siblings.replicas]
    assert together.keys() == {"loss", "mae"}
    assert siblings.evaluate(dataset, verbose=0) == [together["loss"], together["mae"]]
    for name, value in together.items():
        assert value == pytest.approx(np.mean([logs[name] for logs in apart]), rel=1e-5)


def test_metrics_start_anew_in_every_epoch() -> None:
    """Learning rate 0: every epoch reports the same loss."""

    def build() -> Any:
        model = build_plain()
        model.optimizer.learning_rate.assign(0.0)
        return model

    siblings = SiblingModel(build)
    siblings.compile()
    history = siblings.fit(stream([1, 2]), epochs=3, verbose=0).history
    np.testing.assert_allclose(history["loss"], history["loss"][0], rtol=1e-5)


@pytest.mark.parametrize("differ", ["order", "init", "both", "nothing"])
def test_one_replica_is_a_model_like_any_other(differ: str) -> None:
    siblings = trained(build_ranking, [4], differ=differ)
    assert siblings(table()[0]).shape == (ROWS, 1)


def test_sample_weights_reach_the_replicas() -> None:
    """Weight 0 stops learning."""
    siblings = SiblingModel(build_ranking)
    siblings.compile()
    features, label = table()
    dataset = tf.data.Dataset.from_tensor_slices((features, label, np.zeros(ROWS, np.float32))).batch(50)
    siblings.build_replicas(dataset.element_spec)
    before = weights(siblings)
    assert siblings.fit(dataset, verbose=0).history["loss"] == [0.0]
    assert equal(weights(siblings), before)


def test_training_goes_on_where_it_was() -> None:
    """A second fit does not start the replicas anew."""
    siblings = trained(build_plain, [1, 2])
    before = weights(siblings)
    siblings.build_replicas(stream([1, 2]).element_spec)
    assert equal(weights(siblings), before)
    siblings.fit(stream([1, 2]), verbose=0)
    assert not equal(weights(siblings), before)


def test_string_features() -> None:
    def build() -> Any:
        inputs = tf.keras.Input((), dtype="string", name="word")
        ids = tf.keras.layers.Hashing(8)(inputs)
        model = tf.keras.Model(
            {"word": inputs}, tf.keras.layers.Dense(1, activation="sigmoid")(tf.keras.layers.Embedding(8, 2)(ids))
        )
        model.compile(optimizer="adam", loss="binary_crossentropy")
        return model

    siblings = SiblingModel(build)
    siblings.compile()
    rows = ({"word": np.array(["a", "b", "c", "d"] * 4)}, np.array([0.0, 1.0] * 8, np.float32))
    siblings.fit(tf.data.Dataset.from_tensor_slices(rows).batch(4), verbose=0)
    assert siblings({"word": tf.constant(["a"])}).shape == (1, 2)


def test_moving_statistics_start_equal_too() -> None:
    def build() -> Any:
        model = tf.keras.Sequential(
            [
                tf.keras.layers.BatchNormalization(moving_mean_initializer="random_normal"),
                tf.keras.layers.Dense(1, activation="sigmoid"),
            ]
        )
        model.compile(optimizer="sgd", loss="mse")
        return model

    siblings = SiblingModel(build)
    siblings.build_replicas(tf.data.Dataset.from_tensors((np.ones((4, 3), np.float32), np.ones(4))).element_spec)
    assert np.abs(siblings.replicas[0].layers[0].moving_mean.numpy()).min() > 0
    assert equal(*(weights(replica) for replica in siblings.replicas))


@pytest.mark.parametrize(
    ("build_fn", "replicas", "message"),
    [
        (tf.keras.Sequential(), 2, "build_fn must be a function that returns a new model each time, got a Sequential"),
        ("model", 2, "build_fn must be a function that returns a new model each time, got a str"),
        (lambda: None, 2, "build_fn must return a Keras model, got NoneType"),
        (tf.keras.Sequential, 2.0, "replicas must be a whole number, got 2.0"),
        (tf.keras.Sequential, "2", "replicas must be a whole number, got '2'"),
    ],
)
def test_what_makes_no_siblings_is_refused_in_a_line(build_fn: Any, replicas: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        SiblingModel(build_fn, replicas)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match="replicas must be at least 1, got 0"):
        SiblingModel(build_plain, replicas=0)
    with pytest.raises(ValueError, match="differ must be one of order, init, both, nothing, got 'seed'"):
        SiblingModel(build_plain, differ="seed")


def test_a_build_function_that_returns_different_models_is_refused() -> None:
    widths = iter([3, 4])

    def build() -> Any:
        return tf.keras.Sequential([tf.keras.layers.Dense(next(widths)), tf.keras.layers.Dense(1)])

    siblings = SiblingModel(build)
    with pytest.raises(ValueError, match="build_fn must return the same model each time"):
        siblings.build_replicas(tf.data.Dataset.from_tensors((np.ones((4, 3), np.float32), np.ones(4))).element_spec)


def test_a_batch_too_few_is_refused() -> None:
    siblings = SiblingModel(build_plain, replicas=3)
    siblings.compile()
    with pytest.raises(ValueError, match="there must be one batch a replica, got 2 for 3 replicas"):
        siblings.fit(stream([1, 2]), verbose=0)


def test_one_step_trains_every_replica_on_its_own_batch() -> None:
    """One SGD step of w x against y by hand, with other batches for the two."""

    def build() -> Any:
        model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
        model.compile(optimizer=tf.keras.optimizers.SGD(0.1), loss="mse")
        return model

    siblings = SiblingModel(build)
    siblings.compile()
    batches = [
        (np.array([[2.0]], np.float32), np.array([[0.0]], np.float32)),
        (np.array([[1.0]], np.float32), np.array([[3.0]], np.float32)),
    ]
    dataset = tf.data.Dataset.from_tensors(SiblingBatches(tuple(batches)))
    siblings.fit(dataset, verbose=0)
    found = [replica.get_weights()[0].item() for replica in siblings.replicas]
    np.testing.assert_allclose(found, [1 - 0.1 * 2 * 2 * 2, 1 - 0.1 * 2 * (1 - 3)], rtol=1e-6)
