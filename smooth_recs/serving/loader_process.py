"""Exports asked in a process of their own, without Python TensorFlow: both ends of that process.

`ask` starts `python -m smooth_recs.serving.loader_process EXPORT REQUESTS ANSWERS`, which runs `main`. An export that
needs any Python fails there, as it would in TensorFlow Serving, and one that ends its process leaves this one alone.
The two files hold arrays (`_processes.write_arrays`). Only Python TensorFlow can read signatures: so the process that
asks reads them, and sends them along.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

from smooth_recs import _files
from smooth_recs._processes import child_environment, read_arrays, write_arrays
from smooth_recs.serving import saved_signatures
from smooth_recs.serving.loader import LoadedModel, LoaderError
from smooth_recs.serving.saved_signatures import Signature

_MODULE = "smooth_recs.serving.loader_process"
_LIMIT_SECONDS = 600  # for an export whose loading or answer never ends


class Request(NamedTuple):
    """A signature, and arrays for its `inputs` by name; texts are objects of type bytes."""

    signature: str
    inputs: Mapping[str, npt.NDArray[Any]]


class Answer(NamedTuple):
    """What a request was answered: `outputs` by name or, where it was refused, none, and the message in `error`."""

    outputs: dict[str, npt.NDArray[Any]]
    error: str | None


@dataclasses.dataclass(frozen=True)
class Answers:
    """The answers to requests, in their order, the export's signatures, and the seconds that it took to load."""

    signatures: dict[str, Signature]
    seconds: float
    answers: list[Answer]


def ask(export: str, requests: Sequence[Request]) -> Answers:
    """Loads the export in a process of its own, and runs the requests.

    Args:
      export: the folder with `saved_model.pb`.
      requests: run in this order; one that is refused does not keep the next ones from running.

    Raises:
      LoaderError: it cannot be loaded, or ends the process that tries.
    """
    try:
        signatures = saved_signatures.read(export)
    except (OSError, ValueError):
        signatures = {}  # the loader refuses such a file too, and says why in the words of TensorFlow Serving
    with _files.local_copy(export) as local, tempfile.TemporaryDirectory() as folder:
        asked, answered = (os.path.join(folder, f"{name}.npz") for name in ("requests", "answers"))
        about = {
            "signatures": saved_signatures.to_json(signatures),
            "requests": [request.signature for request in requests],
        }
        write_arrays(asked, about, [request.inputs for request in requests])
        process = subprocess.run(
            [sys.executable, "-m", _MODULE, local, asked, answered],
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
    return Answers(signatures, about["seconds"], answers)


def main(export: str, requests: str, answers: str) -> None:
    """Runs the signatures that the file `requests` names on its arrays, and writes the file `answers`.

    `requests` is about `signatures`, those of the export, and `requests`, the name of one for each group of inputs.
    `answers` is about `error` where the export cannot be loaded, else about `seconds` of loading and `errors`: why a
    request was refused, or None; its groups are the outputs of each request.
    """
    about, inputs = read_arrays(requests)
    start = time.perf_counter()
    try:
        model = LoadedModel(export, saved_signatures.from_json(about["signatures"]))
    except LoaderError as error:
        write_arrays(answers, {"error": str(error)}, [])
        return
    seconds = time.perf_counter() - start
    errors: list[str | None] = []
    outputs = []
    for signature, given in zip(about["requests"], inputs, strict=True):
        try:
            outputs.append(model.run(signature, given))
            errors.append(None)
        except LoaderError as error:
            outputs.append({})
            errors.append(str(error))
    write_arrays(answers, {"error": None, "seconds": seconds, "errors": errors}, outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
