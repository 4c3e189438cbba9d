"""What differs between the generations of Keras is the same through `keras_generation`; what is said of a backend."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import tensorflow as tf

import smooth_recs as sr
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


@pytest.fixture
def on_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_generation, "backend", lambda: "jax")


@pytest.mark.parametrize("name", ["models", "metrics", "training", "data"])
def test_what_needs_tensorflow_says_so(name: str, on_jax: None) -> None:
    with pytest.raises(ImportError) as raised:
        sr.__getattr__(name)  # the attribute itself is there once another test has loaded it
    assert str(raised.value) == (
        f"smooth_recs.{name} needs Keras' backend TensorFlow, got jax: set the environment variable "
        "KERAS_BACKEND=tensorflow before Keras is imported"
    )


def test_where_it_is_not_installed_the_remedy_begins_with_that(on_jax: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"got jax: pip install smooth-recs\[tensorflow\], and set the environment"):
        keras_generation.require_tensorflow("sr.models")


def test_layers_are_there_but_for_those_that_need_tensorflow(on_jax: None) -> None:
    assert sr.layers.SmeLU().beta == 0.1
    with pytest.raises(ImportError, match=r"^sr\.layers\.StackedEmbedding needs Keras' backend TensorFlow, got jax: "):
        _ = sr.layers.StackedEmbedding


@pytest.mark.parametrize("use", [lambda: sr.activations.smelu([1.0]), lambda: sr.__getattr__("layers")])
def test_a_backend_that_is_chosen_after_the_import(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(ImportError) as raised:
        use()
    assert str(raised.value) == (
        "Keras' backend must be chosen before smooth_recs is imported: KERAS_BACKEND became torch when the backend was "
        "tensorflow"
    )
