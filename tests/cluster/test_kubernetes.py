"""The manifests: every pod's TF_CONFIG names the cluster that the pods form."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml
from source_imports import ROOT

from smooth_recs.cluster.local import free_ports
from smooth_recs.cluster.task import SECRET, Task

FOLDER = ROOT / "examples" / "kubernetes"


def tasks(name: str) -> dict[str, Task]:
    """What each pod takes itself for, by its host name, and that it is where the service points."""
    documents = list(yaml.safe_load_all((FOLDER / name).read_text("utf-8")))
    (service,) = [document for document in documents if document["kind"] == "Service"]
    found = {}
    for job in (document for document in documents if document["kind"] == "Job"):
        name, spec = job["metadata"]["name"], job["spec"]
        pod = spec["template"]["spec"]
        labels = spec["template"].get("metadata", {}).get("labels", {}) | {"job-name": name}  # the latter: Kubernetes'
        assert spec["completionMode"] == "Indexed"
        assert spec["parallelism"] == spec["completions"]
        assert pod["subdomain"] == service["metadata"]["name"]
        assert service["spec"]["selector"].items() <= labels.items()
        (container,) = pod["containers"]
        assert container["command"] == ["python", "-m", "smooth_recs.bin.train"]
        variables = {entry["name"]: entry for entry in container["env"]}
        assert list(variables) == ["INDEX", SECRET, "TF_CONFIG"]  # the first is put into the last
        assert variables[SECRET]["valueFrom"]["secretKeyRef"] == {"name": "train", "key": "secret"}
        assert "job-completion-index" in variables["INDEX"]["valueFrom"]["fieldRef"]["fieldPath"]
        for index in range(spec["completions"]):
            task = Task.parse(variables["TF_CONFIG"]["value"].replace("$(INDEX)", str(index)))
            assert task is not None
            assert {task.port, task.heartbeat_port} <= {port["containerPort"] for port in container["ports"]}
            found[f"{name}-{index}.{pod['subdomain']}"] = task
    return found


@pytest.mark.parametrize(
    ("name", "pods"),
    [
        ("multi_worker.yaml", ["train-0.train", "train-1.train"]),
        (
            "parameter_server.yaml",
            ["chief-0.train", "worker-0.train", "worker-1.train", "ps-0.train", "ps-1.train"],
        ),
    ],
)
def test_every_pod_knows_who_and_where_it_is(name, pods):
    found = tasks(name)
    assert list(found) == pods
    assert all(task.host == pod for pod, task in found.items())
    first = next(iter(found.values()))
    assert set(found.values()) == set(first.members)
    assert len({json.dumps(task.cluster) for task in found.values()}) == 1
    assert [pod for pod, task in found.items() if task.is_chief] == pods[:1]


def test_workers_and_chief_open_the_port_of_the_data_service():
    documents = yaml.safe_load_all((FOLDER / "parameter_server.yaml").read_text("utf-8"))
    opened = {
        document["metadata"]["name"]: [port["containerPort"] for port in container["ports"]]
        for document in documents
        if document["kind"] == "Job"
        for container in document["spec"]["template"]["spec"]["containers"]
    }
    assert {name for name, numbers in opened.items() if 2223 in numbers} == {"chief", "worker"}


def test_every_manifest_is_what_the_api_takes():
    """By the models that are generated from the API's description: unknown fields and missing ones are errors."""
    models = pytest.importorskip("kubernetes.client.models", reason="the package kubernetes is not installed")
    for path in sorted((ROOT / "examples").rglob("*.yaml")):
        documents = [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]
        if all("apiVersion" in document for document in documents):
            for document in documents:
                kind = getattr(models, f"V1{document['kind']}")
                kind.model_validate(document)
                with pytest.raises(ValueError, match="Extra inputs are not permitted"):
                    kind.model_validate({**document, "sepc": {}})


@pytest.mark.slow
def test_the_commands_of_a_manifest_train_on_loopback(tmp_path):
    """The same program, arguments and environment as in the pods, but for where they are and how much they train."""
    (job,) = [
        document
        for document in yaml.safe_load_all((FOLDER / "multi_worker.yaml").read_text("utf-8"))
        if document["kind"] == "Job"
    ]
    pods = list(tasks("multi_worker.yaml"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    given = {entry["name"]: entry.get("value") for entry in container["env"]}
    config = given["TF_CONFIG"]
    for pod, port in zip(pods, free_ports(len(pods)), strict=True):
        config = config.replace(f"{pod}:2222", f"127.0.0.1:{port}")
    small = ("data.examples=2000", "data.eval_examples=500", "data.shuffle_window=1000", "model.hidden_units=8")
    arguments = [
        *(argument.replace("/runs/demo", str(tmp_path / "run")) for argument in container["args"]),
        *(f"--config.{setting}" for setting in (*small, "evaluation.estimate=false", "train.evaluations=1")),
    ]
    processes = []
    for index in range(len(pods)):
        environment = {**os.environ, SECRET: "of-the-test", "TF_CONFIG": config.replace("$(INDEX)", str(index))}
        with open(tmp_path / f"{index}.log", "wb") as log:
            command = [sys.executable, *container["command"][1:], *arguments]
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
    try:
        for index, process in enumerate(processes):
            assert process.wait(500) == 0, (tmp_path / f"{index}.log").read_text()[-2000:]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["examples"] == 2000
