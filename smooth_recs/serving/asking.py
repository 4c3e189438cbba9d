"""What an export answers in a process of its own, which has no Python TensorFlow."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

from smooth_recs._files import child_environment, read_arrays, write_arrays
from smooth_recs.serving.c_api import LoaderError

_PROCESS = "smooth_recs.serving.check_process"
_LIMIT_SECONDS = 600


class Request(NamedTuple):
    """Arrays for the inputs of a signature, by name; texts are objects of type bytes."""

    signature: str
    inputs: Mapping[str, npt.NDArray[Any]]


class Answer(NamedTuple):
    """`outputs` by name; or, where the request was refused, none, and the message in `error`."""

    outputs: dict[str, npt.NDArray[Any]]
    error: str | None


@dataclasses.dataclass(frozen=True)
class Answers:
    """`signatures`: those of the export, as `LoadedModel` tells them, shapes as lists; `seconds`: to load it."""

    signatures: dict[str, dict[str, Any]]
    seconds: float
    answers: list[Answer]


def ask(export: str, requests: Sequence[Request]) -> Answers:
    """Loads the export in a process of its own, and runs the requests.

    Raises:
      LoaderError: it cannot be loaded, or ends the process that tries.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = (os.path.join(folder, f"{name}.npz") for name in ("requests", "answers"))
        write_arrays(asked, [request.signature for request in requests], [request.inputs for request in requests])
        process = subprocess.run(
            [sys.executable, "-m", _PROCESS, export, asked, answered],
            env=child_environment(TF_CPP_MIN_LOG_LEVEL="3"),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_LIMIT_SECONDS,
        )
        if process.returncode:
            last = process.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise LoaderError(f"the process that loads it ended with status {process.returncode}: {last}")
        about, outputs = read_arrays(answered)
    if about["error"] is not None:
        raise LoaderError(about["error"])
    answers = [Answer(*each) for each in zip(outputs, about["errors"], strict=True)]
    return Answers(about["signatures"], about["seconds"], answers)
