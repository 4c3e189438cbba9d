"""What lies beside the graph of an export: warm-up requests, sample requests, the model card.

The first request of a signature is slow, because the session then prepares that part of the graph. So TensorFlow
Serving first runs what is in `assets.extra/tf_serving_warmup_requests`, a TFRecord file of `PredictionLog` messages.
Where one of them is refused, the server does not serve the version at all: `check_warm_up` runs them before it comes to
that. The sample requests are for whoever wants to ask a server for the first time.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import _files, _paths, extras
from smooth_recs.data.sources import Source
from smooth_recs.schema import Schema
from smooth_recs.serving import loader_process, model_card, requests, saved_signatures
from smooth_recs.serving.loader_process import Request
from smooth_recs.serving.requests import Batch
from smooth_recs.serving.saved_signatures import CLASSIFY, OF_EXAMPLES, RAW, REGRESS, CheckFailed
from smooth_recs.workdir.manifest import Finished

FOLDER = "assets.extra"  # which the server looks for by this name, as it does for the file of warm-up requests
WARM_UP = f"{FOLDER}/tf_serving_warmup_requests"
BATCH_SIZES = (1, 32, 256)  # of `serving_default`; each other signature is warmed up by one row
SAMPLE_REST, SAMPLE_GRPC = f"{FOLDER}/request.json", f"{FOLDER}/request.pb"
SAMPLE_ROWS = 3


def request_writer(source: Source) -> Callable[[str], None]:
    """A function that writes warm-up and sample requests into an export; it reads the held-out rows only once.

    Without the extra [serving] it writes the sample for REST alone.
    """

    @functools.cache
    def rows() -> Batch:
        return requests.held_out(source, max(BATCH_SIZES))

    def write(export: str) -> None:
        if extras.installed("serving"):
            write_warm_up(export, source.encoder.schema, rows())
        write_samples(export, rows())

    return write


def asset_writer(source: Source, run: Finished) -> Callable[[Any, int, str], None]:
    """A function that writes those requests and a model card into an export of a run.

    Args:
      source: the run's data, whose held-out rows make the requests.
      run: what the files of its workdir hold.

    Returns:
      A function of the trained model, the number of the replica, and the folder of the export.
    """
    write_requests = request_writer(source)

    def write(model: Any, replica: int, export: str) -> None:
        write_requests(export)
        model_card.write(export, model_card.build(run, model, replica))

    return write


def write_warm_up(export: str, schema: Schema, rows: Batch) -> None:
    """Writes the warm-up: `serving_default` in three batch sizes, one row for every other signature.

    Args:
      export: the folder with `saved_model.pb`.
      schema: that of its features.
      rows: raw rows of the log, by feature; used from the beginning again where they are fewer than 256.
    """
    with extras.needed("serving"):
        from tensorflow_serving.apis import prediction_log_pb2
    path = os.path.join(export, WARM_UP)
    _files.makedirs(_paths.parent(path))
    with tf.io.TFRecordWriter(path) as writer:
        for signature in saved_signatures.read(export):
            for size in BATCH_SIZES if signature == RAW else (1,):
                batch = requests.take(rows, np.arange(size) % requests.row_count(rows))
                if signature in OF_EXAMPLES:
                    batch = {OF_EXAMPLES[signature]: requests.serialized_examples(schema, batch)}
                request, log = Request(signature, batch), prediction_log_pb2.PredictionLog()
                # The server replays each record as one of its calls, and each of those has a kind of its own.
                if signature == CLASSIFY:
                    log.classify_log.request.CopyFrom(requests.classify(request))
                elif signature == REGRESS:
                    log.regress_log.request.CopyFrom(requests.regress(request))
                else:
                    log.predict_log.request.CopyFrom(requests.predict(request))
                writer.write(log.SerializeToString())


def read_warm_up(export: str) -> list[Request]:
    """The requests as the server runs them; none where the export has no such file."""
    path = os.path.join(export, WARM_UP)
    if not _files.exists(path):
        return []
    with extras.needed("serving"):
        from tensorflow_serving.apis import prediction_log_pb2
    found = []
    for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        message = getattr(log, log.WhichOneof("log_type")).request
        signature = message.model_spec.signature_name
        if log.HasField("predict_log"):
            found.append(Request(signature, requests.inputs_of(message)))
        else:
            examples = [each.SerializeToString() for each in message.input.example_list.examples]
            found.append(Request(signature, {OF_EXAMPLES[signature]: np.array(examples, object)}))
    return found


def check_warm_up(export: str) -> int:
    """Runs all requests in a process without Python TensorFlow; returns how many.

    Raises:
      CheckFailed: one is refused: the server would not serve the export.
      LoaderError: the export cannot be loaded.
    """
    warm_up = read_warm_up(export)
    for request, answer in zip(warm_up, loader_process.ask(export, warm_up).answers, strict=True):
        if answer.error is not None:
            raise CheckFailed(f"check failed: a warm-up request of {request.signature}: refused: {answer.error[:300]}")
    return len(warm_up)


def write_samples(export: str, rows: Batch) -> None:
    """Writes `assets.extra/request.json`, a REST body, and `request.pb`, a `PredictRequest`: three raw rows each.

    Without the extra [serving] there is no `request.pb`.
    """
    request = Request(RAW, requests.take(rows, np.arange(SAMPLE_ROWS) % requests.row_count(rows)))
    _files.write_text(os.path.join(export, SAMPLE_REST), requests.rest_body(request))
    if extras.installed("serving"):
        message = requests.predict(request).SerializeToString(deterministic=True)
        _files.write_bytes(os.path.join(export, SAMPLE_GRPC), message)
