"""Keras models in files (.keras), each in a process of its own whose Keras is of the model's generation.

One process has one generation of Keras that knows this package's activations and layers; and two models of the same
generation may each bring classes of the same name.

The process that runs one Keras model for `keras_models`: `python -m ... PATH DESCRIPTOR`.

It first sends the model's inputs, then answers each dictionary of arrays with predictions, until the other end closes.
An answer is true with what was asked for, or false with why not (`_files.pack_arrays`: nothing is pickled).
"""

from __future__ import annotations

import importlib
import json
import socket
import subprocess
import sys
import zipfile
from multiprocessing.connection import Connection
from typing import Any

import numpy.typing as npt

from smooth_recs import keras_generation
from smooth_recs._files import child_environment, pack_arrays, unpack_arrays
from smooth_recs.artifacts.exports import Columns, Input
from smooth_recs.errors import InputError

_PROCESS = "smooth_recs.artifacts.keras_models"


class KerasModel:
    """A `Model` from a .keras file, loaded in Keras' safe mode.

    Args:
      flag: begins error messages.
      path: the file.

    Raises:
      InputError: it is no Keras model, or cannot be loaded.
    """

    def __init__(self, flag: str, path: str) -> None:
        self._name = f"{flag}: {path}"
        self._process, self._connection = _start(path, legacy=_version(self._name, path).startswith("2."))
        inputs, _ = self._answer("cannot be loaded")
        self.inputs: dict[str, Input] | None = inputs and {
            n: Input(d, tuple(shape)) for n, (d, shape) in inputs.items()
        }

    def predict(self, features: Columns) -> npt.NDArray[Any]:
        self._connection.send_bytes(pack_arrays(None, [features]))
        _, (answer,) = self._answer("fails on the rows of --config")
        return answer["probability"]

    def close(self) -> None:
        self._connection.close()  # ends the process, which reads from it
        self._process.wait()

    def _answer(self, failing: str) -> tuple[Any, list[dict[str, npt.NDArray[Any]]]]:
        try:
            (done, about), arrays = unpack_arrays(self._connection.recv_bytes())
        except EOFError:
            self._process.wait()
            raise RuntimeError(f"{self._name}: its process ended with status {self._process.returncode}") from None
        if not done:
            self.close()
            raise InputError(f"{self._name} {failing}: {about}")
        return about, arrays


def _version(name: str, path: str) -> str:
    """The version of Keras that wrote the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name} is no Keras model: {error}") from error


def _start(path: str, *, legacy: bool) -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = socket.socketpair()
    generation = {keras_generation.LEGACY_VARIABLE: str(int(legacy)), "KERAS_BACKEND": "tensorflow"}
    process = subprocess.Popen(
        [sys.executable, "-m", _PROCESS, path, str(theirs.fileno())],
        env=child_environment(**generation),
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # what matters comes as an answer
    )
    theirs.close()
    return process, Connection(ours.detach())


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
