"""Keras models in files (.keras), each in a process of its own: both ends of that process.

A process has one generation of Keras that knows this package's activations and layers, and two models of the same
generation may each bring classes of the same name. So `KerasModel` starts `python -m smooth_recs.artifacts.keras_models
FILE DESCRIPTOR` in the generation that the file was written with, and `main` answers there: first with the model's
inputs, then each dictionary of arrays with predictions, until the other end closes. An answer is [true, what was asked
for] or [false, why not], as the bytes of `_processes.pack_arrays`: nothing is pickled.
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
import tensorflow as tf

from smooth_recs import _files, keras_generation
from smooth_recs._processes import child_environment, pack_arrays, unpack_arrays
from smooth_recs.artifacts.exports import Columns, Input
from smooth_recs.errors import InputError

_MODULE = "smooth_recs.artifacts.keras_models"


class KerasModel:
    """A `Model` from a .keras file, loaded in Keras' safe mode.

    Args:
      flag: begins error messages.
      path: the file.

    Attributes:
      inputs: by name; None where the model is of a class of its own, which takes the dictionary of all features.

    Raises:
      InputError: it is no Keras model, or cannot be loaded.
    """

    def __init__(self, flag: str, path: str) -> None:
        self._name = f"{flag}: {path}"
        try:
            with _files.reading(path) as file, zipfile.ZipFile(file) as archive:
                version = str(json.loads(archive.read("metadata.json"))["keras_version"])
        except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self._name} is no Keras model: {error}") from error
        with _files.local_copy(path) as local:
            self._start(local, version)
            inputs, _ = self._answer("cannot be loaded")
        self.inputs: dict[str, Input] | None = inputs and {
            name: Input(dtype, tuple(shape)) for name, (dtype, shape) in inputs.items()
        }

    def _start(self, path: str, version: str) -> None:
        ours, theirs = socket.socketpair()
        generation = {
            keras_generation.LEGACY_VARIABLE: str(int(version.startswith("2."))),
            "KERAS_BACKEND": "tensorflow",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, path, str(theirs.fileno())],
            env=child_environment(**generation),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # TensorFlow writes there whatever happens; what matters comes as an answer
        )
        theirs.close()  # the child has it: with this copy open, the end of the child would never be seen
        self._connection = Connection(ours.detach())

    def predict(self, features: Columns) -> npt.NDArray[Any]:
        """Probabilities [n] or [n, 1] of n rows, whose arrays have the inputs' own types and shapes."""
        self._connection.send_bytes(pack_arrays(None, [features]))
        _, (answer,) = self._answer("fails on the rows of --config")
        return answer["probability"]

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()  # the process reads from it, and ends where there is nothing more to read
        self._process.wait()

    def _answer(self, failing: str) -> tuple[Any, list[Columns]]:
        try:
            (done, about), arrays = unpack_arrays(self._connection.recv_bytes())
        except EOFError:
            self._process.wait()
            raise RuntimeError(f"{self._name}: its process ended with status {self._process.returncode}") from None
        if not done:
            self.close()
            raise InputError(f"{self._name} {failing}: {about}")
        return about, arrays


def main(path: str, descriptor: int) -> None:
    """Answers, at the socket `descriptor`, with the inputs and predictions of the model in `path`."""
    connection = Connection(descriptor)

    def answer(done: bool, about: Any, *arrays: dict[str, Any]) -> None:
        connection.send_bytes(pack_arrays([done, about], arrays))

    def refuse(error: Exception) -> None:
        # Keras 3 (3.15) says where, over many lines, before it says what.
        what = str(error).rpartition("Exception encountered: ")[2]
        answer(False, f"{type(error).__name__}: {' '.join(what.split())}"[:300])

    try:
        importlib.import_module("smooth_recs.layers")  # registers layers and constraints with Keras
        # Not compiled: an optimizer or a loss of the user's own would have to be importable here. In safe mode a
        # Lambda layer, which is code of whoever made the file, is refused.
        model = keras_generation.keras().models.load_model(path, compile=False, safe_mode=True)
        tensors = getattr(model, "inputs", None)  # none of a model of a class of its own
        # The dtype is text in Keras 3, and a tf.DType with a name in tf_keras.
        answer(
            True,
            {str(t.name): (getattr(t.dtype, "name", t.dtype), tuple(t.shape)) for t in tensors} if tensors else None,
        )
    except Exception as error:  # whatever it is, the other process reports it
        refuse(error)
        return

    @tf.function(reduce_retracing=True)
    def predict(features: Any) -> Any:
        # Keras 3 (3.15) takes a dictionary that is not as the model's own by the order of its keys, not by its names:
        # so the model gets its own structure of inputs.
        own = tf.nest.map_structure(lambda tensor: features[str(tensor.name)], model.input) if tensors else features
        return model(own, training=False)

    while True:
        try:
            _, (features,) = unpack_arrays(connection.recv_bytes())
        except EOFError:
            return
        try:
            outputs = tf.nest.flatten(predict({name: tf.constant(values) for name, values in features.items()}))
            if len(outputs) != 1:
                raise ValueError(f"it must have one output, got {len(outputs)}")
            answer(True, None, {"probability": outputs[0].numpy()})
        except Exception as error:
            refuse(error)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
