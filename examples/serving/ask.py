"""Asks TensorFlow Serving over gRPC for the rows of a REST body; needs tensorflow-serving-api, but not smooth_recs.

python examples/serving/ask.py localhost:8500 ranker examples/serving/request.json
"""

import base64
import json
import pathlib
import sys

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

TYPES = {int: tf.int64, float: tf.float32, bytes: tf.string}  # of an export's inputs


def text(value):
    """Bytes of a JSON text, or of the base 64 that stands for what is no UTF-8."""
    if isinstance(value, list):
        return [text(each) for each in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else value


def request(model: str, rows: list[dict]) -> predict_pb2.PredictRequest:
    """One tensor a feature: [rows], or [rows, values] for a feature of several values, padded with "" or -1."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.model_spec.signature_name = "serving_default"
    for name in rows[0]:
        values = [text(row[name]) for row in rows]
        first = next(iter(np.array(values, object).flat))
        message.inputs[name].CopyFrom(tf.make_tensor_proto(values, TYPES[type(first)]))
    return message


def main(server: str, model: str, path: str) -> None:
    rows = json.loads(pathlib.Path(path).read_text("utf-8"))["instances"]
    with grpc.insecure_channel(server) as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request(model, rows), timeout=5)
    for probability in tf.make_ndarray(answer.outputs["probability"]):
        print(f"{probability:.6f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
