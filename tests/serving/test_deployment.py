"""The deployment files fit each other, the program's own exports, and what TensorFlow Serving's interfaces parse."""

from __future__ import annotations

import json
import runpy
import shlex
import subprocess
import sys
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
import yaml
from google.protobuf import text_format
from source_imports import ROOT
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from smooth_recs.data.presets import open_source
from smooth_recs.serving import assets, requests
from smooth_recs.serving.loader import LoadedModel, LoaderError
from smooth_recs.serving.loader_process import Request

FOLDER = ROOT / "examples" / "serving"
GRPC, REST = 8500, 8501


def flags(arguments: list[str]) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def said(path: Path, start: str) -> list[str]:
    """The words of the command in a file's comment that starts so."""
    (line,) = [line for line in path.read_text("utf-8").splitlines() if line.startswith(f"#   {start}")]
    return shlex.split(line.removeprefix("#"))


@pytest.fixture(scope="module")
def model() -> Any:
    """The only model of models.config."""
    text = (FOLDER / "models.config").read_text("utf-8")
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (found,) = config.model_config_list.config
    return found


def test_the_server_keeps_two_versions(model: Any) -> None:
    assert model.model_platform == "tensorflow"
    assert model.model_version_policy.latest.num_versions == 2


def test_compose_mounts_what_the_configuration_names(model: Any) -> None:
    path = FOLDER / "docker-compose.yml"
    (service,) = yaml.safe_load(path.read_text("utf-8"))["services"].values()
    assert service["image"].startswith("tensorflow/serving:")
    assert service["ports"] == [f"{GRPC}:{GRPC}", f"{REST}:{REST}"]
    mounted = {
        inside: (FOLDER / outside).resolve() for outside, inside, _ in (v.split(":") for v in service["volumes"])
    }
    assert {volume.rpartition(":")[2] for volume in service["volumes"]} == {"ro"}
    assert mounted[flags(service["command"])["model_config_file"]] == FOLDER / "models.config"
    base = Path(model.base_path)
    output = flags([word for word in said(path, "python -m") if word.startswith("--")])["output"]
    assert mounted[str(base.parent)] / base.name == ROOT / output
    request, url = said(path, "curl")[-2:]
    assert request == f"@{output}/1/{assets.SAMPLE_REST}"
    assert url == f"http://localhost:{REST}/v1/models/{model.name}:predict"


def test_kubernetes_runs_the_same_configuration(model: Any) -> None:
    path = FOLDER / "kubernetes.yaml"
    service, deployment = yaml.safe_load_all(path.read_text("utf-8"))
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == labels
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {port["name"]: port["port"] for port in service["spec"]["ports"]} == {"grpc": GRPC, "rest": REST}
    assert container["readinessProbe"]["httpGet"] == {"path": f"/v1/models/{model.name}", "port": "rest"}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert "persistentVolumeClaim" in volumes[mounts[str(Path(model.base_path).parent)]]
    config = Path(flags(container["args"])["model_config_file"])
    *_, name, source = said(path, "kubectl create configmap")
    assert volumes[mounts[str(config.parent)]]["configMap"]["name"] == name
    assert source == f"--from-file=examples/serving/{config.name}"


def test_the_sample_body_is_of_the_demo(tmp_path: Path) -> None:
    """Numbers may differ in their last digits from machine to machine."""
    demo = runpy.run_path(str(ROOT / "configs" / "demo_falling.py"))["get_config"]()
    rows = requests.held_out(open_source(demo.data, str(tmp_path)), assets.SAMPLE_ROWS)
    made = json.loads(requests.rest_body(Request("serving_default", rows)))["instances"]
    kept = json.loads((FOLDER / "request.json").read_text("utf-8"))["instances"]
    assert [list(row) for row in kept] == [list(row) for row in made]
    for one, other in zip(kept, made, strict=True):
        for name, value in one.items():
            assert type(value) is type(other[name])
            assert value == pytest.approx(other[name], rel=1e-4, abs=1e-8)


class Server(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers as TensorFlow Serving does, with the loader that it is built on."""

    def __init__(self, path: str) -> None:
        self.model = LoadedModel(path)
        self.models: list[str] = []

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.models.append(request.model_spec.name)
        try:
            outputs = self.model.run(request.model_spec.signature_name, requests.inputs_of(request))
        except LoaderError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = predict_pb2.PredictResponse()
        for name, values in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(values))
        return response


@pytest.mark.slow
def test_the_client_gets_the_models_probabilities(exported: Any, tmp_path: Path) -> None:
    rows = requests.take(exported.rows, np.arange(40))
    (tmp_path / "request.json").write_text(requests.rest_body(Request("serving_default", rows)), "utf-8")
    answering, server = Server(exported.path), grpc.server(futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(answering, server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        command = [
            sys.executable,
            str(FOLDER / "ask.py"),
            f"localhost:{port}",
            "ranker",
            str(tmp_path / "request.json"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    finally:
        server.stop(None).wait()
        answering.model.close()
    assert done.returncode == 0, done.stderr[-2000:]
    assert answering.models == ["ranker"]
    expected = exported.model(exported.encoder(rows), training=False).numpy().reshape(-1)
    np.testing.assert_allclose([float(line) for line in done.stdout.split()], expected, atol=1.5e-6)
