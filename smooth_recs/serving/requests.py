"""Requests to an export: batches of raw rows, and what a client makes of them for TensorFlow Serving.

A batch holds NumPy arrays by feature: rows of a log, rows with values that break careless models, and either as
tf.Examples. A request names a signature and holds its inputs, arrays with a row each; a client sends it as a message
for gRPC or as a body for REST, where `model` is the model's name on the server.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs import extras
from smooth_recs.data.sources import Source
from smooth_recs.schema import Numeric, Schema
from smooth_recs.serving.loader_process import Request
from smooth_recs.serving.saved_signatures import RAW

Batch = dict[str, npt.NDArray[Any]]


def predict(request: Request, model: str = "") -> Any:
    """A `PredictRequest` with the request's arrays as tensors.

    Args:
      request: signature and inputs.
      model: the model's name on the server.

    ```python
    request = Request("serving_default", {"user": np.array([7, 8])})
    predict(request, "ranker").model_spec.name  # "ranker"
    ```
    """
    with extras.needed("serving"):
        from tensorflow_serving.apis import predict_pb2
    message = predict_pb2.PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = model, request.signature
    for name, values in request.inputs.items():
        dtype = tf.string if values.dtype.kind in "OS" else tf.as_dtype(values.dtype)
        message.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtype, values.shape))
    return message


def inputs_of(message: Any) -> dict[str, Any]:
    """The arrays of a `PredictRequest`, by name; texts are objects of type bytes."""
    return {name: np.asarray(tf.make_ndarray(tensor)) for name, tensor in message.inputs.items()}


def classify(request: Request, model: str = "") -> Any:
    """A `ClassificationRequest`; the only input of the signature holds serialized tf.Examples.

    Args: those of `predict`.

    ```python
    request = Request("classify", {"inputs": [tf.train.Example().SerializeToString()]})
    len(classify(request, "ranker").input.example_list.examples)  # 1
    ```
    """
    with extras.needed("serving"):
        from tensorflow_serving.apis import classification_pb2
    return _with_examples(classification_pb2.ClassificationRequest(), request, model)


def regress(request: Request, model: str = "") -> Any:
    """A `RegressionRequest`; the only input of the signature holds serialized tf.Examples.

    Args: those of `predict`.

    ```python
    request = Request("regress", {"inputs": [tf.train.Example().SerializeToString()]})
    len(regress(request, "ranker").input.example_list.examples)  # 1
    ```
    """
    with extras.needed("serving"):
        from tensorflow_serving.apis import regression_pb2
    return _with_examples(regression_pb2.RegressionRequest(), request, model)


def _with_examples(message: Any, request: Request, model: str) -> Any:
    message.model_spec.name, message.model_spec.signature_name = model, request.signature
    (examples,) = request.inputs.values()
    message.input.example_list.examples.extend(tf.train.Example.FromString(each) for each in examples)
    return message


def rest_body(request: Request) -> str:
    """The body of `POST /v1/models/NAME:predict`: one object a row; text that is no UTF-8 is in base 64.

    Integers have no decimal point and floats do, as the server's types want it. NaN and Infinity are written as such:
    that is no standard JSON, and the server reads it.

    ```python
    import numpy as np
    from smooth_recs.serving.loader_process import Request
    from smooth_recs.serving.requests import rest_body

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


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(each) for each in value]
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def held_out(source: Source, rows: int) -> Batch:
    """The first held-out rows, from the beginning again where there are fewer."""
    chunks = source.holdout(raw=True).map(lambda chunk: chunk["raw"]).rebatch(rows).take(1)
    batch: Batch = next(iter(chunks.as_numpy_iterator()))
    return take(batch, np.resize(np.arange(row_count(batch)), rows))


def row_count(batch: Mapping[str, npt.NDArray[Any]]) -> int:
    """How many rows a batch has."""
    return len(next(iter(batch.values())))


def take(batch: Batch, rows: Any) -> Batch:
    """The rows with these numbers, or of this slice."""
    return {name: values[rows] for name, values in batch.items()}


def serialized_examples(schema: Schema, batch: Batch) -> npt.NDArray[Any]:
    """The rows as serialized tf.Examples, in which a missing value is not there."""
    serialized = np.empty(row_count(batch), object)
    for number in range(row_count(batch)):
        features = {}
        for feature in schema.features:
            value = batch[feature.name][number]
            if isinstance(feature, Numeric):
                if not np.isnan(value):
                    features[feature.name] = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                continue
            values = value.tolist() if isinstance(value, np.ndarray) else [value]
            missing = b"" if feature.dtype == "string" else -1
            # Only at the end: a missing value between others keeps its place.
            while values and values[-1] == missing:
                values.pop()
            if values and feature.dtype == "string":
                features[feature.name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
            elif values:
                features[feature.name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        serialized[number] = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    return serialized


# Values that careless models treat in another way than TensorFlow does: integers beyond 32 bits and beyond what a
# double holds, denormal and huge numbers, text that is no UTF-8 or has zeros where C strings end.
_HARD_NUMBERS = (float("nan"), float("inf"), -float("inf"), 0.0, 1e-40, 3.4e38, -3.4e38)
_HARD_INTEGERS = (-1, -2, 0, 2**31, 2**31 + 5, 2**32 + 1, 2**53 + 1, 2**63 - 1, -(2**63))
_HARD_TEXTS = (
    *(b"", b" ", b"never seen before", b"\xff\xfe\x80", b"zero \x00 inside", b"ends in zero\x00"),
    *("schöne Bücher".encode(), b"-1", b"9" * 30, b"long " * 2_000),
)


class HardRows(NamedTuple):
    """A `batch`, and `words` that say for each row which feature has which value."""

    batch: Batch
    words: list[str]


def hard_rows(schema: Schema, row: Batch) -> HardRows:
    """Rows in which one feature, and then all together, have values that are missing, unseen, huge or no text.

    Args:
      schema: that of the features.
      row: one row, which gives the other features.
    """
    values: dict[str, Sequence[Any]] = {}
    for feature in schema.features:
        if isinstance(feature, Numeric):
            values[feature.name] = _HARD_NUMBERS
        elif feature.dtype == "string":
            values[feature.name] = _HARD_TEXTS
        else:
            values[feature.name] = (*_HARD_INTEGERS, feature.size, feature.size - 1)
    changes: list[dict[str, Any]] = [{name: value} for name, each in values.items() for value in each]
    most = max(map(len, values.values()))
    changes += [{name: each[number % len(each)] for name, each in values.items()} for number in range(most)]
    batch = take(row, np.zeros(len(changes), int))
    for number, change in enumerate(changes):
        for name, value in change.items():
            if batch[name].ndim > 1:  # the first of several values, the others are missing
                batch[name][number] = b"" if batch[name].dtype == object else -1
                batch[name][number, :1] = value
            else:
                batch[name][number] = value
    words = []
    for change in changes:
        shown = {name: repr(value) for name, value in itertools.islice(change.items(), 3)}
        short = {name: each if len(each) <= 40 else f"{each[:36]}...{each[-1]}" for name, each in shown.items()}
        words.append(", ".join(f"{name}={each}" for name, each in short.items()))
    return HardRows(batch, words)


def other_widths(schema: Schema, batch: Batch) -> Iterator[tuple[str, Batch]]:
    """The batch with none, one and too many values of each multi-valued feature in turn, and in words which."""
    for feature in schema.categorical:
        if feature.multi_valued:
            for width in (0, 1, feature.max_values + 2):
                columns = np.arange(width) % max(batch[feature.name].shape[1], 1)
                yield f"{width} values of {feature.name}", batch | {feature.name: batch[feature.name][:, columns]}
