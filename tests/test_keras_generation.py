"""What differs between the generations of Keras is the same through `keras_generation`."""

from __future__ import annotations

import pytest
import tensorflow as tf

from smooth_recs import keras_generation

pytestmark = pytest.mark.both_generations


class Block(tf.keras.layers.Layer):
    """Two layers in a list, and one that a model may share."""

    def __init__(self, name: str, shared: tf.keras.layers.Layer) -> None:
        super().__init__(name=name)
        self.hidden = [tf.keras.layers.Dense(1, name=f"{name}_{k}") for k in range(2)]
        self.shared = shared

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.shared(self.hidden[1](self.hidden[0](inputs)))


def test_layers_come_in_the_order_in_which_they_were_attached_each_once() -> None:
    shared = tf.keras.layers.Dense(1, name="shared")
    model = tf.keras.Sequential([Block("first", shared), Block("second", shared), tf.keras.layers.Dense(1, name="out")])
    model.build((None, 1))
    names = [layer.name for layer in keras_generation.all_layers(model) if layer is not model]
    blocks = ["first", "first_0", "first_1", "shared", "second", "second_0", "second_1", "out"]
    assert [name for name in names if name in blocks] == blocks


def test_layers_of_other_kinds_and_models_in_models_are_found() -> None:
    inner = tf.keras.Sequential([tf.keras.layers.Dense(2, name="a"), tf.keras.layers.Dense(2, name="b")], name="inner")
    entry = tf.keras.Input((3,))
    model = tf.keras.Model(entry, tf.keras.layers.Dense(1, name="c")(inner(entry)))
    found = [layer.name for layer in keras_generation.all_layers(model)]
    assert [name for name in found if name in "abc"] == ["a", "b", "c"]
    assert found[0] == model.name
