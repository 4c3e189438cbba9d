"""Warm-up and sample requests: real messages that the C++ loader answers as the trained model does."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import request_bodies
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from smooth_recs.errors import InputError
from smooth_recs.serving import assets, loader_process, requests
from smooth_recs.serving.loader import LoadedModel
from smooth_recs.serving.loader_process import Request
from smooth_recs.serving.saved_signatures import CheckFailed


@pytest.fixture(scope="module")
def warmed(exported: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("warmed") / "1"
    shutil.copytree(exported.path, path)
    assets.write_warm_up(str(path), exported.encoder.schema, exported.rows)
    assets.write_samples(str(path), exported.rows)
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


def test_without_the_messages_of_the_server_there_is_the_sample_for_rest(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    monkeypatch.setattr(requests, "held_out", lambda source, rows: exported.rows)
    shutil.copytree(exported.path, tmp_path / "1", ignore=shutil.ignore_patterns("assets.extra"))
    assets.request_writer(exported)(str(tmp_path / "1"))
    assert [path.name for path in (tmp_path / "1" / "assets.extra").iterdir()] == ["request.json"]
    with pytest.raises(InputError, match=r"not installed: pip install smooth-recs\[serving\]"):
        requests.predict(Request("serving_default", {}))


def test_the_loader_answers_all_as_the_model_does(exported: Any, warmed: str) -> None:
    warm_up = assets.read_warm_up(warmed)
    assert assets.check_warm_up(warmed) == len(warm_up) == 7
    asked = loader_process.ask(warmed, warm_up).answers
    answers = {r.signature: a.outputs for r, a in zip(warm_up, asked, strict=True)}
    largest = next(r for r in reversed(warm_up) if r.signature == "serving_default")
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
    log.predict_log.request.CopyFrom(requests.predict(Request("serving_default", {"user": np.array([1])})))
    with tf.io.TFRecordWriter(str(path / assets.WARM_UP)) as writer:
        writer.write(log.SerializeToString())
    with pytest.raises(CheckFailed, match=r"^check failed: a warm-up request of serving_default: refused: .*inputs"):
        assets.check_warm_up(str(path))


def test_an_export_without_the_file_has_no_requests(exported: Any) -> None:
    assert assets.read_warm_up(exported.path) == []


def test_the_samples_are_answered_alike(exported: Any, warmed: str) -> None:
    with LoadedModel(warmed) as model:
        signature = model.signatures["serving_default"]["inputs"]
        rest = request_bodies.from_json((Path(warmed) / "assets.extra/request.json").read_text("utf-8"), signature)
        message = predict_pb2.PredictRequest.FromString((Path(warmed) / "assets.extra/request.pb").read_bytes())
        inputs = requests.inputs_of(message)
        answers = [model.run("serving_default", each)["probability"] for each in (rest, inputs)]
    assert message.model_spec.signature_name == "serving_default"
    assert answers[0].shape == (3,)
    np.testing.assert_array_equal(*answers)
    np.testing.assert_allclose(answers[0], expected(exported, inputs), atol=1e-6)
