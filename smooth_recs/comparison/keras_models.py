"""Keras models in files (.keras), each in a process of its own whose Keras is of the model's generation.

One process has one generation of Keras that knows this package's activations and layers; and two models of the same
generation may each bring classes of the same name.
"""

from __future__ import annotations

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
from smooth_recs.comparison.inputs import Columns, Input
from smooth_recs.errors import InputError

_PROCESS = "smooth_recs.comparison.keras_process"


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
