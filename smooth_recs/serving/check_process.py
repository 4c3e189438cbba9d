"""The process that runs an export for `checks`: `python -m ... EXPORT REQUESTS ANSWERS`.

It has no Python TensorFlow: an export that needs any fails here, as it would in TensorFlow Serving.
"""

from __future__ import annotations

import sys
import time

from smooth_recs._files import read_arrays, write_arrays
from smooth_recs.serving.loader import LoadedModel, LoaderError


def main(export: str, requests: str, answers: str) -> None:
    """Runs the signatures that `requests` names on its arrays.

    `answers` is about `error` where the export cannot be loaded, else about `signatures`, `seconds` of loading and
    `errors`: why a request was refused, or None; its groups are the outputs of each request.
    """
    signatures, inputs = read_arrays(requests)
    start = time.perf_counter()
    try:
        model = LoadedModel(export)
    except LoaderError as error:
        write_arrays(answers, {"error": str(error)}, [])
        return
    seconds = time.perf_counter() - start
    errors: list[str | None] = []
    outputs = []
    for signature, given in zip(signatures, inputs, strict=True):
        try:
            outputs.append(model.run(signature, given))
            errors.append(None)
        except LoaderError as error:
            outputs.append({})
            errors.append(str(error))
    about = {"error": None, "signatures": model.signatures, "seconds": seconds, "errors": errors}
    write_arrays(answers, about, outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
