"""Requests that TensorFlow Serving runs through an export before it serves it.

The first request of a signature is slow, because the session then prepares that part of the graph. So the server first
runs what is in `assets.extra/tf_serving_warmup_requests`: a TFRecord file of `PredictionLog` messages. Where one of
them is refused, the server does not serve the version at all: `check` runs them before it comes to that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from smooth_recs.data.schema import Schema
from smooth_recs.serving import asking, client_requests, raw_batches, saved_signatures
from smooth_recs.serving.asking import Request
from smooth_recs.serving.declared import CLASSIFY, OF_EXAMPLES, RAW, REGRESS, CheckFailed
from smooth_recs.serving.raw_batches import Batch

FOLDER = "assets.extra"
FILE = f"{FOLDER}/tf_serving_warmup_requests"
BATCH_SIZES = (1, 32, 256)  # of `serving_default`; each other signature is warmed up by one row


def write(export: str, schema: Schema, rows: Batch) -> None:
    """Writes the requests of an export: of `serving_default` in three batch sizes, of every other signature one row.

    Args:
      export: the folder with `saved_model.pb`.
      schema: of its features.
      rows: raw rows of the log, by feature; used from the beginning again where they are fewer than 256.
    """
    path = os.path.join(export, FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(path) as writer:
        for request in _requests(schema, list(saved_signatures.read(export)), rows):
            writer.write(_log(request).SerializeToString())


def read(export: str) -> list[Request]:
    """The requests as the server runs them; none where the export has no such file."""
    path = os.path.join(export, FILE)
    if not os.path.exists(path):
        return []
    records = tf.data.TFRecordDataset(path).as_numpy_iterator()
    return [_request(prediction_log_pb2.PredictionLog.FromString(record)) for record in records]


def check(export: str) -> int:
    """Runs all requests in a process without Python TensorFlow; returns how many.

    Raises:
      CheckFailed: one is refused: the server would not serve the export.
      LoaderError: the export cannot be loaded.
    """
    requests = read(export)
    for request, answer in zip(requests, asking.ask(export, requests).answers, strict=True):
        if answer.error is not None:
            raise CheckFailed(f"check failed: a warm-up request of {request.signature}: refused: {answer.error[:300]}")
    return len(requests)


def _requests(schema: Schema, signatures: list[str], rows: Batch) -> Iterator[Request]:
    for signature in signatures:
        for size in BATCH_SIZES if signature == RAW else (1,):
            batch = raw_batches.take(rows, np.arange(size) % raw_batches.size(rows))
            if signature in OF_EXAMPLES:
                batch = {OF_EXAMPLES[signature]: raw_batches.examples(schema, batch)}
            yield Request(signature, batch)


def _log(request: Request) -> Any:
    log = prediction_log_pb2.PredictionLog()
    if request.signature == CLASSIFY:
        log.classify_log.request.CopyFrom(client_requests.classify(request))
    elif request.signature == REGRESS:
        log.regress_log.request.CopyFrom(client_requests.regress(request))
    else:
        log.predict_log.request.CopyFrom(client_requests.predict(request))
    return log


def _request(log: Any) -> Request:
    message = getattr(log, log.WhichOneof("log_type")).request
    signature = message.model_spec.signature_name
    if log.HasField("predict_log"):
        return Request(signature, client_requests.inputs_of(message))
    examples = [each.SerializeToString() for each in message.input.example_list.examples]
    return Request(signature, {OF_EXAMPLES[signature]: np.array(examples, object)})
