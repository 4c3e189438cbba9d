"""The manifests: every pod's TF_CONFIG names the cluster that the pods form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from source_imports import ROOT

from smooth_recs.cluster.local import free_ports
from smooth_recs.cluster.task import SECRET, Task

FOLDER = ROOT / "examples" / "kubernetes"
KINDS_OF_SERVERS = {"chief", "worker", "ps"}


def containers(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The jobs of a manifest, each with the one container of its pods."""
    documents = yaml.safe_load_all((FOLDER / name).read_text("utf-8"))
    jobs = [document for document in documents if document["kind"] == "Job"]
    return [(job, container) for job in jobs for container in job["spec"]["template"]["spec"]["containers"]]


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


def manifests() -> list[dict[str, Any]]:
    """Every document of the examples that the API is given."""
    paths = sorted((ROOT / "examples").rglob("*.yaml"))
    documents = [document for path in paths for document in yaml.safe_load_all(path.read_text("utf-8"))]
    return [document for document in documents if document and "apiVersion" in document]


def wrong(value: Any, form: str, where: str) -> list[str]:
    """What the API would refuse, by the fields of each kind in kubernetes_schema.json."""
    if form.startswith("["):
        if not isinstance(value, list):
            return [f"{where} must be a list"]
        return [found for n, each in enumerate(value) for found in wrong(each, form[1:-1], f"{where}[{n}]")]
    if form.startswith("{"):
        if not isinstance(value, dict):
            return [f"{where} must be a map"]
        return [found for name, each in value.items() for found in wrong(each, form[1:-1], f"{where}.{name}")]
    if form in SCALARS:
        right = isinstance(value, SCALARS[form]) and (form == "boolean" or not isinstance(value, bool))
        return [] if right else [f"{where} must be of the type {form}"]
    if form not in KINDS or not isinstance(value, dict):
        return [] if form == "any" else [f"{where} must be a {form}"]
    fields, required = KINDS[form]["fields"], KINDS[form]["required"]
    found = [f"{where} must have {name}" for name in required if name not in value]
    found += [f"{where} has no {name}" for name in value if name not in fields]
    known = ((name, each) for name, each in value.items() if name in fields)
    return found + [each for name, content in known for each in wrong(content, fields[name], f"{where}.{name}")]


KINDS = json.loads(Path(__file__).with_name("kubernetes_schema.json").read_text("utf-8"))["kinds"]
SCALARS = {"string": str, "integer": int, "boolean": bool}


def test_every_manifest_has_the_fields_of_the_api():
    found = manifests()
    assert {document["kind"] for document in found} == {"Deployment", "Job", "Service"}
    for document in found:
        assert wrong(document, f"V1{document['kind']}", document["kind"]) == []


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        (["sepc"], {}, "Job has no sepc"),
        (["spec", "completions"], "2", "Job.spec.completions must be of the type integer"),
        (["spec", "template"], [], "Job.spec.template must be a V1PodTemplateSpec"),
        (["spec", "template", "spec", "containers"], {}, "Job.spec.template.spec.containers must be a list"),
        (["spec", "template", "spec", "containers"], [{}], "Job.spec.template.spec.containers[0] must have name"),
        (["metadata", "labels"], {"a": 1}, "Job.metadata.labels.a must be of the type string"),
    ],
)
def test_what_the_api_would_refuse_is_found(path, value, error):
    (job, *_) = [document for document in manifests() if document["kind"] == "Job"]
    assert wrong(job, "V1Job", "Job") == []
    part = job
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    assert wrong(job, "V1Job", "Job") == [error]


def test_every_manifest_is_what_the_api_takes():
    """By the models that are generated from the API's description. The package takes 126 MB: nothing installs it."""
    models = pytest.importorskip("kubernetes.client.models", reason="the package kubernetes is not installed")
    for document in manifests():
        kind = getattr(models, f"V1{document['kind']}")
        kind.model_validate(document)
        with pytest.raises(ValueError, match="Extra inputs are not permitted"):
            kind.model_validate({**document, "sepc": {}})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kinds"), [("multi_worker.yaml", {"worker"}), ("parameter_server.yaml", KINDS_OF_SERVERS)]
)
def test_the_commands_of_a_manifest_train_on_loopback(tmp_path, name, kinds):
    """The same program, arguments and environment as in the pods, but for where they are and how much they train."""
    found = tasks(name)
    assert {task.kind for task in found.values()} == kinds
    ports = dict(zip(found, free_ports(len(found)), strict=True))
    small = ("data.examples=2000", "data.eval_examples=500", "data.shuffle_window=1000", "model.hidden_units=8")
    measured = ("evaluation.estimate=false", "evaluation.slices=label", "train.evaluations=1")
    settings = [f"--config.{setting}" for setting in (*small, *measured)]
    processes = {}
    for job, container in containers(name):
        given = {entry["name"]: entry.get("value") for entry in container["env"]}
        config = given["TF_CONFIG"]
        for pod, port in ports.items():
            config = config.replace(f"{pod}:2222", f"127.0.0.1:{port}")
        arguments = [argument.replace("/runs/demo", str(tmp_path / "run")) for argument in container["args"]]
        for index in range(job["spec"]["completions"]):
            environment = {**os.environ, SECRET: "of-the-test", "TF_CONFIG": config.replace("$(INDEX)", str(index))}
            path = tmp_path / f"{job['metadata']['name']}-{index}.log"
            with open(path, "wb") as log:
                command = [sys.executable, *container["command"][1:], *arguments, *settings]
                processes[path] = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        for path, process in processes.items():
            assert process.wait(500) == 0, path.read_text()[-2000:]
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["examples"] == 2000
