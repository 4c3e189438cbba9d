"""Warnings of widths that do nothing, in both generations of Keras."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import smooth_recs as sr

pytestmark = pytest.mark.both_generations

X = np.random.default_rng(1).normal(size=(256, 4)).astype(np.float32)


def warned(activation: Any, scale: float, epochs: int = 1) -> list[str]:
    """What fitting a plain model warns of; its first layer sees inputs of the given scale."""
    dense = tf.keras.layers.Dense(4, activation, kernel_initializer="identity", name="first")
    model = tf.keras.Sequential([dense, tf.keras.layers.Dense(1)])
    model.compile(tf.keras.optimizers.SGD(1e-9), "mse")
    callback = sr.callbacks.TransitionRegions(scale * X)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(scale * X, X[:, :1], epochs=epochs, verbose=0, callbacks=[callback])
    assert [layer.name for layer in callback.found] == ["first"]
    return [str(each.message) for each in caught if issubclass(each.category, UserWarning)]


@pytest.mark.parametrize(
    ("activation", "scale", "words"),
    [
        ("smelu", 0.001, "first: the activation is a straight line for nearly all inputs: one explains 100.0% of its"),
        ("smelu", 1000.0, "first: the activation is piecewise linear for 100.0% of its inputs, as ReLU is; its half-w"),
        ("gsmelu", 0.01, "first: the activation is a straight line for nearly all inputs: one explains 100.0% of its"),
    ],
)
def test_a_width_that_does_nothing_is_warned_of_once(activation: str, scale: float, words: str) -> None:
    (line,) = warned(activation, scale, epochs=2)
    assert line.startswith(words)
    assert "\n" not in line
    assert "relative_beta" in line


@pytest.mark.parametrize("scale", [0.001, 1.0, 1000.0])
def test_a_relative_width_is_never_warned_of(scale: float) -> None:
    for share in (0.1, 0.3, 1.0):
        assert not warned(sr.layers.SmeLU(relative_beta=share), scale)


@pytest.mark.parametrize("activation", ["relu", "smelu", sr.layers.SmeLU(beta=0.0), "softplus"])
def test_what_is_meant_is_not_warned_of(activation: Any) -> None:
    assert not warned(activation, 1.0)
