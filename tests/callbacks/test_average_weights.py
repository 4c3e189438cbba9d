"""The average of a user's own Keras model: that of its steps, resumed to the bit, in a copy that is measured."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import smooth_recs as sr
from smooth_recs.errors import InputError

pytestmark = pytest.mark.both_generations

X = np.random.default_rng(1).normal(size=(320, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("float32")


def model() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(7)
    made = tf.keras.Sequential(
        [tf.keras.layers.Dense(3, activation="smelu"), tf.keras.layers.Dense(1, activation="sigmoid")]
    )
    made.build((None, 4))
    made.compile("adagrad", "binary_crossentropy")
    return made


def rows(first: int = 0) -> tf.data.Dataset:
    """40 batches of 8 an epoch."""
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8).skip(first)


class WeightsAfter(tf.keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.steps: list[list[np.ndarray]] = []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(self.model.get_weights())


def equal(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_the_average_of_every_step():
    trained, seen, average = model(), WeightsAfter(), sr.callbacks.AverageWeights(half_life=5)  # a pass every step
    trained.fit(rows(), epochs=2, verbose=0, callbacks=[seen, average])
    shares = 2.0 ** (-np.arange(79, -1, -1) / 5)
    for k, found in enumerate(average.averaged.get_weights()):
        steps = np.array([weights[k] for weights in seen.steps], np.float64)
        np.testing.assert_allclose(found, np.tensordot(shares, steps, 1) / shares.sum(), atol=2e-6)
    assert not equal(average.averaged, trained)


def test_what_trains_is_not_touched_and_passes_are_rare():
    plain, trained = model(), model()
    average = sr.callbacks.AverageWeights(half_life=100)
    plain.fit(rows(), verbose=0)
    trained.fit(rows(), verbose=0, callbacks=[average])
    assert equal(plain, trained)
    assert int(average.weight_average.steps) == 40  # after 10, 20, 30 and 40


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path):
    """Stopped between two passes, and restored into new models."""

    def made():
        trained, averaged = model(), model()
        average = sr.callbacks.AverageWeights(half_life=60, averaged=averaged)
        average.build(trained)
        kept = average.weight_average.checkpoint
        return trained, average, tf.train.Checkpoint(model=trained, optimizer=trained.optimizer, average=kept)

    whole, uninterrupted, _ = made()
    whole.fit(rows(), verbose=0, callbacks=[uninterrupted])
    first, average, state = made()
    first.fit(rows(), steps_per_epoch=20, verbose=0, callbacks=[average])
    assert int(average.weight_average.steps) == 18
    path = state.save(str(tmp_path / "state"))
    resumed, average, state = made()
    state.restore(path)
    resumed.fit(rows(20), verbose=0, callbacks=[average])
    assert equal(resumed, whole)
    assert equal(average.averaged, uninterrupted.averaged)
    assert int(average.weight_average.steps) == 36


def test_siblings_are_measured_by_their_averages():
    measured, average = sr.callbacks.PredictionDifference((X, Y)), sr.callbacks.AverageWeights(half_life=10)

    def build():
        made = tf.keras.Sequential([tf.keras.layers.Dense(1, activation="sigmoid")])
        made.compile("adagrad", "binary_crossentropy")
        return made

    siblings = sr.models.SiblingModel(build, differ="init")
    siblings.compile()
    siblings.fit(rows(), verbose=0, callbacks=[average, measured])
    a, b = (replica.predict(X, verbose=0) for replica in siblings.deployed_model().replicas)
    assert measured.history[-1]["pd"] == pytest.approx(sr.prediction_difference.relative(a, b))
    assert siblings.deployed_model() is average.averaged is not siblings
    assert not equal(siblings.deployed_model().replicas[0], siblings.replicas[0])


@pytest.mark.parametrize("half_life", [0, -1, float("nan"), "auto"])
def test_a_half_life_that_is_none(half_life):
    with pytest.raises(InputError, match="half_life must be a number of steps above 0, got"):
        sr.callbacks.AverageWeights(half_life)


def test_a_copy_of_another_model_is_refused():
    other = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    other.build((None, 4))
    with pytest.raises(ValueError, match="averaged must have the variables of the model"):
        sr.callbacks.AverageWeights(10, averaged=other).build(model())


class Unregistered(tf.keras.Model):
    """A model of a user's own that Keras cannot make again from a configuration."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.dense = tf.keras.layers.Dense(units)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.dense(inputs)


def test_a_model_that_keras_cannot_copy_is_told_of_in_a_line() -> None:
    made = Unregistered(1)
    made.compile("sgd", "mse")
    made(X[:2])
    with pytest.raises(
        InputError, match="averaged must be given, another model of the same variables, where"
    ) as raised:
        made.fit(X, Y, verbose=0, callbacks=[sr.callbacks.AverageWeights(half_life=5)])
    assert "\n" not in str(raised.value)
