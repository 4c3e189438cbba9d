"""The manifests: every pod's TF_CONFIG names the cluster that the pods form."""

from __future__ import annotations

import json

import pytest
import yaml
from source_imports import ROOT

from smooth_recs.cluster.task import Task

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
        assert list(variables) == ["INDEX", "TF_CONFIG"]  # the first is put into the second
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
