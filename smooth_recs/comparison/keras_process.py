"""The process that runs one Keras model for `keras_models`: `python -m ... PATH DESCRIPTOR`.

It first sends the model's inputs, then answers each dictionary of arrays with predictions, until the other end closes.
An answer is true with what was asked for, or false with why not (`_files.pack_arrays`: nothing is pickled).
"""

from __future__ import annotations

import importlib
import sys
from multiprocessing.connection import Connection
from typing import Any

from smooth_recs import keras_generation
from smooth_recs._files import pack_arrays, unpack_arrays


def main(path: str, descriptor: int) -> None:
    connection = Connection(descriptor)

    def answer(done: bool, about: Any, *arrays: dict[str, Any]) -> None:
        connection.send_bytes(pack_arrays([done, about], arrays))

    try:
        importlib.import_module("smooth_recs.layers")  # registers layers and constraints with Keras
        model = keras_generation.keras().models.load_model(path, compile=False, safe_mode=True)
        predict = _predictor(model)
        answer(True, _inputs(model))
    except Exception as error:  # whatever it is, the other process reports it
        answer(False, _one_line(error))
        return
    while True:
        try:
            _, (features,) = unpack_arrays(connection.recv_bytes())
        except EOFError:
            return
        try:
            answer(True, None, {"probability": predict(features)})
        except Exception as error:
            answer(False, _one_line(error))


def _inputs(model: Any) -> dict[str, tuple[str, tuple[int | None, ...]]] | None:
    """Type and shape by name; None for a model of a class of its own, which takes whatever it is called with."""
    tensors = getattr(model, "inputs", None)
    if not tensors:
        return None
    return {_name(tensor): (getattr(tensor.dtype, "name", tensor.dtype), tuple(tensor.shape)) for tensor in tensors}


def _predictor(model: Any) -> Any:
    import tensorflow as tf

    named = _inputs(model) is not None

    @tf.function(reduce_retracing=True)
    def predict(features: Any) -> Any:
        # Keras 3 takes a dictionary that is not as the model's own by the order of its keys: so give the model's own.
        inputs = tf.nest.map_structure(lambda tensor: features[_name(tensor)], model.input) if named else features
        return model(inputs, training=False)

    def probabilities(features: dict[str, Any]) -> Any:
        outputs = tf.nest.flatten(predict({name: tf.constant(values) for name, values in features.items()}))
        if len(outputs) != 1:
            raise ValueError(f"it must have one output, got {len(outputs)}")
        return outputs[0].numpy()

    return probabilities


def _name(tensor: Any) -> str:
    return str(tensor.name)


def _one_line(error: Exception) -> str:
    telling = str(error).rpartition("Exception encountered: ")[2]  # Keras 3 tells where before it tells what
    return f"{type(error).__name__}: {' '.join(telling.split())}"[:300]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
