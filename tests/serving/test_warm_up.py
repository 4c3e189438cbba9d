"""Warm-up and sample requests: real messages that the C++ loader answers as the trained model does."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from smooth_recs.serving import asking, client_requests, sample_requests, warm_up
from smooth_recs.serving.asking import Request
from smooth_recs.serving.declared import CheckFailed
from smooth_recs.serving.loader import LoadedModel

DTYPES = {"int64": np.int64, "float32": np.float32, "string": object}


def from_json(body: str, signature: dict[str, Any]) -> dict[str, Any]:
    """The inputs that TensorFlow Serving makes of a REST body: types by the signature, strict about JSON."""

    def value(given: Any, dtype: str) -> Any:
        if isinstance(given, list):
            return [value(each, dtype) for each in given]
        if dtype == "string":
            return base64.b64decode(given["b64"], validate=True) if isinstance(given, dict) else given.encode()
        assert isinstance(given, int if dtype == "int64" else float)
        if dtype == "float32" and np.isfinite(given):
            assert abs(given) <= np.finfo(np.float32).max
        return given

    rows = json.loads(body)["instances"]
    assert all(row.keys() == signature.keys() for row in rows)
    return {
        name: np.array([value(row[name], dtype) for row in rows], DTYPES[dtype])
        for name, (dtype, _) in signature.items()
    }


@pytest.fixture(scope="module")
def warmed(exported: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("warmed") / "1"
    shutil.copytree(exported.path, path)
    warm_up.write(str(path), exported.encoder.schema, exported.rows)
    sample_requests.write(str(path), exported.rows)
    return str(path)


def expected(exported: Any, inputs: dict[str, Any]) -> Any:
    return exported.model(exported.encoder(inputs), training=False).numpy().reshape(-1)


def test_the_file_holds_messages_for_every_signature(exported: Any, warmed: str) -> None:
    records = tf.data.TFRecordDataset(f"{warmed}/assets.extra/tf_serving_warmup_requests").as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    kinds = [log.WhichOneof("log_type") for log in logs]
    messages = [getattr(log, kind).request for log, kind in zip(logs, kinds, strict=True)]
    assert [(kind, message.model_spec.signature_name) for kind, message in zip(kinds, messages, strict=True)] == [
        ("classify_log", "classify"),
        ("predict_log", "logits"),
        ("regress_log", "regress"),
        *[("predict_log", "serving_default")] * 3,
        ("predict_log", "serving_examples"),
    ]
    prices = [tf.make_ndarray(message.inputs["price"]) for message in messages[3:6]]
    for count, price in zip((1, 32, 256), prices, strict=True):
        np.testing.assert_array_equal(price, np.resize(exported.rows["price"], count))
    (example,) = messages[0].input.example_list.examples
    assert example.features.feature["user"].int64_list.value == exported.rows["user"][:1].tolist()


def test_the_loader_answers_all_as_the_model_does(exported: Any, warmed: str) -> None:
    requests = warm_up.read(warmed)
    assert warm_up.check(warmed) == len(requests) == 7
    answers = {r.signature: a.outputs for r, a in zip(requests, asking.ask(warmed, requests).answers, strict=True)}
    largest = next(r for r in reversed(requests) if r.signature == "serving_default")
    probability = answers["serving_default"]["probability"]
    np.testing.assert_allclose(probability, expected(exported, dict(largest.inputs)), atol=1e-6)
    first = probability[:1]
    np.testing.assert_allclose(answers["serving_examples"]["probability"], first, atol=1e-6)
    np.testing.assert_allclose(answers["regress"]["outputs"].reshape(-1), first, atol=1e-6)
    np.testing.assert_allclose(answers["classify"]["scores"][:, 1], first, atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-answers["logits"]["logit"])), first, atol=1e-6)


def test_a_request_that_would_keep_the_server_from_serving_is_found(warmed: str, tmp_path: Path) -> None:
    path = tmp_path / "1"
    shutil.copytree(warmed, path)
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(client_requests.predict(Request("serving_default", {"user": np.array([1])})))
    with tf.io.TFRecordWriter(str(path / warm_up.FILE)) as writer:
        writer.write(log.SerializeToString())
    with pytest.raises(CheckFailed, match=r"^check failed: a warm-up request of serving_default: refused: .*inputs"):
        warm_up.check(str(path))


def test_an_export_without_the_file_has_no_requests(exported: Any) -> None:
    assert warm_up.read(exported.path) == []


def test_the_samples_are_answered_alike(exported: Any, warmed: str) -> None:
    with LoadedModel(warmed) as model:
        signature = model.signatures["serving_default"]["inputs"]
        rest = from_json((Path(warmed) / "assets.extra/request.json").read_text("utf-8"), signature)
        message = predict_pb2.PredictRequest.FromString((Path(warmed) / "assets.extra/request.pb").read_bytes())
        inputs = client_requests.inputs_of(message)
        answers = [model.run("serving_default", each)["probability"] for each in (rest, inputs)]
    assert message.model_spec.signature_name == "serving_default"
    assert answers[0].shape == (3,)
    np.testing.assert_array_equal(*answers)
    np.testing.assert_allclose(answers[0], expected(exported, inputs), atol=1e-6)


ROWS = st.lists(
    st.tuples(
        st.integers(-(2**63), 2**63 - 1),
        st.floats(width=32),
        st.binary(max_size=6),
        st.tuples(st.binary(max_size=3), st.text(max_size=2)),
    ),
    min_size=1,
    max_size=4,
)
SIGNATURE = {"id": ("int64", ()), "x": ("float32", ()), "text": ("string", ()), "texts": ("string", ())}


@given(ROWS)
@settings(max_examples=80, deadline=None)
def test_both_kinds_of_requests_keep_every_value(rows: list[Any]) -> None:
    ids, numbers, texts, several = zip(*rows, strict=True)
    batch = {
        "id": np.array(ids, np.int64),
        "x": np.array(numbers, np.float32),
        "text": np.array(texts, object),
        "texts": np.array([(first, second.encode()) for first, second in several], object),
    }
    request = Request("serving_default", batch)
    message = predict_pb2.PredictRequest.FromString(client_requests.predict(request, "ranker").SerializeToString())
    assert message.model_spec.name == "ranker"
    for same in (client_requests.inputs_of(message), from_json(client_requests.rest_body(request), SIGNATURE)):
        assert same.keys() == batch.keys()
        for name, values in batch.items():
            assert (same[name].dtype, same[name].shape) == (values.dtype, values.shape)
            np.testing.assert_array_equal(same[name], values)


def test_another_signature_is_named_in_the_body() -> None:
    body = client_requests.rest_body(Request("logits", {"x": np.array([0.5], np.float32)}))
    assert json.loads(body) == {"signature_name": "logits", "instances": [{"x": 0.5}]}
