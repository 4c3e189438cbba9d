"""What a client sends to TensorFlow Serving: messages for gRPC, bodies for REST.

`request` names a signature and holds its inputs, arrays with a row each; `model` is the model's name on the server.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, predict_pb2, regression_pb2

from smooth_recs.serving.asking import Request
from smooth_recs.serving.declared import RAW


def predict(request: Request, model: str = "") -> Any:
    """A `PredictRequest`.

    ```python
    request = Request("serving_default", {"user": np.array([7, 8])})
    predict(request, "ranker").model_spec.name  # "ranker"
    ```
    """
    message = predict_pb2.PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = model, request.signature
    for name, values in request.inputs.items():
        dtype = tf.string if values.dtype.kind in "OS" else tf.as_dtype(values.dtype)
        message.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtype, values.shape))
    return message


def classify(request: Request, model: str = "") -> Any:
    """A `ClassificationRequest`; the only input of the signature holds serialized tf.Examples.

    ```python
    request = Request("classify", {"inputs": [tf.train.Example().SerializeToString()]})
    len(classify(request, "ranker").input.example_list.examples)  # 1
    ```
    """
    return _of_examples(classification_pb2.ClassificationRequest(), request, model)


def regress(request: Request, model: str = "") -> Any:
    """A `RegressionRequest`; the only input of the signature holds serialized tf.Examples.

    ```python
    request = Request("regress", {"inputs": [tf.train.Example().SerializeToString()]})
    len(regress(request, "ranker").input.example_list.examples)  # 1
    ```
    """
    return _of_examples(regression_pb2.RegressionRequest(), request, model)


def rest_body(request: Request) -> str:
    """The body of `POST /v1/models/NAME:predict`: one object a row; text that is no UTF-8 is in base 64.

    Integers have no decimal point and floats do, as the server's types want it. NaN and Infinity are written as such:
    that is no standard JSON, and the server reads it.

    ```python
    import numpy as np
    from smooth_recs.serving.asking import Request
    from smooth_recs.serving.client_requests import rest_body

    body = rest_body(Request("serving_default", {"user": np.array([7]), "price": np.array([1.5], np.float32)}))
    assert '{"user": 7, "price": 1.5}' in body
    ```
    """
    columns = {name: values.tolist() for name, values in request.inputs.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    named = {} if request.signature == RAW else {"signature_name": request.signature}
    head = "".join(f"{json.dumps(key)}: {json.dumps(value)}, " for key, value in named.items())
    lines = ",\n".join(json.dumps({name: _json(value) for name, value in row.items()}) for row in rows)
    return f'{{{head}"instances": [\n{lines}\n]}}\n'


def _of_examples(message: Any, request: Request, model: str) -> Any:
    message.model_spec.name, message.model_spec.signature_name = model, request.signature
    (examples,) = request.inputs.values()
    message.input.example_list.examples.extend(tf.train.Example.FromString(each) for each in examples)
    return message


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(each) for each in value]
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def inputs_of(message: Any) -> dict[str, Any]:
    """The arrays of a `PredictRequest`, by name; texts are objects of type bytes."""
    return {name: np.asarray(tf.make_ndarray(tensor)) for name, tensor in message.inputs.items()}
