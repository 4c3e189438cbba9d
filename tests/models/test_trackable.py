"""What checkpoints and exports see of a model, in both generations of Keras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.models.trackable import predicting_variables, trackable

pytestmark = pytest.mark.both_generations
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


class Network(tf.keras.Model):
    """Layers in an attribute, in a list and in a module, one of them twice, and a metric."""

    def __init__(self) -> None:
        super().__init__()
        self.first = tf.keras.layers.Dense(3)
        self.hidden = [tf.keras.layers.Dense(2), self.first, tf.keras.layers.Activation("relu")]
        self.module = tf.Module()
        self.module.scale = tf.Variable(2.0)
        self.seen = tf.keras.metrics.Mean()

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.hidden[0](self.first(inputs)) * self.module.scale


def network() -> Network:
    model = Network()
    model.compile(optimizer=tf.keras.optimizers.SGD(0.1))
    model(tf.ones([1, 4]))
    model.seen.update_state(7.0)
    return model


def test_variables_have_the_names_of_the_attributes_that_lead_to_them(tmp_path: Path) -> None:
    model = network()
    path = tf.train.Checkpoint(model=trackable(model)).write(str(tmp_path / "all"))
    names = set(tf.train.load_checkpoint(path).get_variable_to_shape_map())
    for name in ("first/kernel", "first/bias", "hidden/0/kernel", "hidden/0/bias", "module/scale", "seen/total"):
        assert f"model/{name}{VALUE}" in names
    assert not [name for name in names if name.startswith("model/hidden/1")]  # the same layer again
    again = network()
    tf.train.Checkpoint(model=trackable(again)).read(path).assert_existing_objects_matched()
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert float(again.seen.result()) == 7


def test_what_predicts_are_neither_metrics_nor_optimizers() -> None:
    model = network()
    shapes = sorted(tuple(variable.shape) for variable in predicting_variables(model))
    assert shapes == [(), (2,), (3,), (3, 2), (4, 3)]


def test_parts_are_left_out_in_keras_3() -> None:
    model = network()
    seen = tf.train.TrackableView.children(trackable(model, without=[model.seen, model.optimizer]))
    assert ("seen" in seen) == keras_generation.is_legacy()
    assert {"first", "hidden", "module"} <= set(seen)


class Unassigned(tf.keras.Model):
    """Weights that no attribute holds, and one in a list."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("first", "second"):
            self.add_weight(name=name, shape=(2,), initializer="zeros")
        self.listed = [self.add_weight(name="third", shape=(2,), initializer="zeros")]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs


def test_weights_that_no_attribute_holds_are_saved_too(tmp_path: Path) -> None:
    model, again = Unassigned(), Unassigned()
    model.set_weights([np.full(2, value) for value in (1.0, 2.0, 3.0)])
    path = tf.train.Checkpoint(model=trackable(model)).write(str(tmp_path / "all"))
    assert {f"model/{name}{VALUE}" for name in ("first", "second")} <= set(
        tf.train.load_checkpoint(path).get_variable_to_shape_map()
    )
    tf.train.Checkpoint(model=trackable(again)).read(path).assert_existing_objects_matched()
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
