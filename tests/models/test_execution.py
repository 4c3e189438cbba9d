"""How many steps an execution of several makes, in both generations of Keras."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.models.siblings import SiblingModel

pytestmark = pytest.mark.both_generations
X = np.arange(24, dtype=np.float32).reshape(12, 2) / 24
Y = (X[:, 0] > 0.5).astype(np.float32)


def siblings(steps_per_execution: int) -> SiblingModel:
    def build() -> tf.keras.Model:
        model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1, activation="sigmoid")])
        model.compile(optimizer=tf.keras.optimizers.SGD(0.5), loss="binary_crossentropy")
        return model

    tf.keras.utils.set_random_seed(1)
    made = SiblingModel(build, differ="nothing")
    made.compile(steps_per_execution=steps_per_execution)
    return made


class Ends(tf.keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.count += 1


@pytest.mark.parametrize(("steps_per_execution", "executions"), [(1, 5), (2, 3), (5, 1)])
def test_an_epoch_has_the_steps_that_were_asked_for_though_the_data_go_on(
    steps_per_execution: int, executions: int
) -> None:
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).repeat()
    model, ends = siblings(steps_per_execution), Ends()
    model.fit(data, steps_per_epoch=5, callbacks=[ends], verbose=0)
    assert (int(model.optimizer.iterations.numpy()), ends.count) == (5, executions)
    model.fit(data, steps_per_epoch=5, epochs=2, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 15
    if steps_per_execution == 1:
        model.train_on_batch(X, Y)  # which Keras 3 makes with the same function
        assert int(model.optimizer.iterations.numpy()) == 16


def test_steps_of_an_execution_are_those_of_single_ones() -> None:
    weights = []
    for steps_per_execution in (1, 3):
        model = siblings(steps_per_execution)
        model.fit(tf.data.Dataset.from_tensor_slices((X, Y)).batch(2), steps_per_epoch=6, verbose=0)
        assert int(model.optimizer.iterations.numpy()) == 6
        weights.append(model.get_weights())
    np.testing.assert_array_equal(weights[0][0], weights[1][0])
