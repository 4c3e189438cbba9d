"""TensorFlow Lite has every operation of the activations and layers, as it has those of Keras' own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import smooth_recs as sr

pytestmark = [
    pytest.mark.both_generations,
    # TensorFlow 2.21 announces another package for the interpreter, and Keras 3 how it exports.
    pytest.mark.filterwarnings("ignore"),
]

X = np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32) * 3
LAYERS: dict[str, Any] = {
    "string": lambda: tf.keras.layers.Dense(4, "smelu"),
    "layer": lambda: sr.layers.SmeLU(beta=0.5),
    "learned": lambda: sr.layers.SmeLU(learn="beta"),
    "learned by unit": lambda: sr.layers.GSmeLU(learn="all", per="unit"),
    "clip": lambda: sr.layers.Clip(2.0),
    "tower": lambda: sr.layers.Tower([4, 3], clip=6.0),
    "batch": lambda: sr.layers.Tower([4], normalization="batch", clip=6.0, dropout=0.1),
    "normalized": lambda: sr.layers.NormalizedDense(4, activation="smelu", clip=6),
    "gelu": lambda: tf.keras.layers.Activation(sr.activations.gelu),
    "wide gelu": lambda: sr.layers.GELU(beta=0.5),
    "learned gelu": lambda: sr.layers.GELU(learn="beta"),
}


def test_converted_models_compute_the_same_with_built_in_operations() -> None:
    """One model with an output for each, since a conversion takes seconds."""
    inputs = tf.keras.Input([6])
    model = tf.keras.Model(inputs, tf.keras.layers.Concatenate()([make()(inputs) for make in LAYERS.values()]))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    assert not converter.target_spec.supported_ops - {tf.lite.OpsSet.TFLITE_BUILTINS}
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], X.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], X)
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get_tensor(found["index"]), model(X), rtol=1e-4, atol=1e-5)
