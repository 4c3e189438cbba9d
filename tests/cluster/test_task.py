"""What TF_CONFIG says of a process, and what is wrong with it."""

from __future__ import annotations

import doctest
import json

import pytest

from smooth_recs.cluster import task as task_module
from smooth_recs.cluster.task import Task
from smooth_recs.errors import InputError

WORKERS = {"worker": ["a:2222", "b:2222"]}
SERVERS = {"chief": ["c:1000"], "worker": ["a:1000", "b:1000"], "ps": ["p:1000"]}


def task(cluster, kind, index) -> Task:
    found = Task.parse(json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}))
    assert found is not None
    return found


@pytest.mark.parametrize("text", ["", "{}", '{"cluster": {}}', '{"task": {"type": "worker", "index": 0}}'])
def test_no_cluster_is_no_task(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert Task.from_environment() is None
    monkeypatch.delenv("TF_CONFIG")
    assert Task.from_environment() is None


def test_addresses_and_ports():
    worker = task(SERVERS, "worker", 1)
    assert (worker.address, worker.host, worker.port) == ("b:1000", "b", 1000)
    assert (worker.data_port, worker.data_address, worker.heartbeat_port) == (1001, "b:1001", 1002)
    six = task({"worker": ["[::1]:2222"]}, "worker", 0)
    assert (six.host, six.port, six.data_address) == ("::1", 2222, "[::1]:2223")


def test_who_is_chief_and_who_is_a_peer():
    first, second = task(WORKERS, "worker", 0), task(WORKERS, "worker", 1)
    assert (first.is_chief, second.is_chief) == (True, False)
    assert (first.peers, second.peers, second.chief) == ((second,), (first,), first)
    chief, worker, ps = task(SERVERS, "chief", 0), task(SERVERS, "worker", 0), task(SERVERS, "ps", 0)
    assert [member.is_chief for member in (chief, worker, ps)] == [True, False, False]
    assert chief.peers == (worker, task(SERVERS, "worker", 1), ps)
    assert worker.chief == chief
    assert chief in ps.peers


@pytest.mark.parametrize("strategy", ["auto", "parameter_server"])
def test_who_only_serves(strategy):
    assert [task(SERVERS, kind, 0).serves(strategy) for kind in ("chief", "worker", "ps")] == [False, True, True]
    assert not task(WORKERS, "worker", 1).serves(strategy)
    assert not task(SERVERS, "worker", 0).serves("multi_worker_mirrored")


def test_an_index_may_be_text_as_environments_put_it():
    assert task(WORKERS, "worker", "1") == task(WORKERS, "worker", 1)


def wrong(cluster=None, kind="worker", index=0) -> str:
    return json.dumps({"cluster": cluster or WORKERS, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{worker", "TF_CONFIG must be JSON"),
        ("[1]", "TF_CONFIG must be a JSON object, got '[1]'"),
        (wrong("a:2222"), "cluster must name lists of host:port for chief, worker, ps, got 'a:2222'"),
        (wrong({"worker": "a:2222"}), "cluster must name lists of host:port"),
        (wrong({"workers": ["a:2222"]}), "processes of the kinds chief, worker, ps, got 'workers'"),
        (wrong({"worker": ["a:1"], "evaluator": ["b:1"]}), "of the kinds chief, worker, ps, got 'evaluator'"),
        (wrong({"ps": ["a:2222"]}), "cluster must have a chief or a worker"),
        (wrong({"chief": ["a:1", "b:1"]}, "chief"), "cluster must have at most one chief, got ['a:1', 'b:1']"),
        (wrong({"worker": ["a:1"], "ps": ["b:1"]}), "cluster must have a chief and workers beside its ps"),
        (wrong({"chief": ["a:1"], "ps": ["b:1"]}, "chief"), "cluster must have a chief and workers beside its ps"),
        (wrong({"worker": ["a"]}), "an address must be host:port with a port up to 65533, got 'a'"),
        (wrong({"worker": ["a:http"]}), "got 'a:http'"),
        (wrong({"worker": ["a:65534"]}), "got 'a:65534'"),
        (wrong({"worker": ["a:0"]}), "got 'a:0'"),
        (wrong({"worker": [2222]}), "got 2222"),
        (wrong({"worker": ["a:10", "a:12"]}), "ports on one host must be 3 apart"),
        (wrong({"worker": ["a:10", "a:10"]}), "got 'a:10' and 'a:10'"),
        (wrong(kind="ps"), "task.type must be a kind of the cluster, worker, got 'ps'"),
        (wrong(kind=None), "task.type must be a kind of the cluster, worker, got None"),
        (wrong(kind=["worker"]), "task.type must be a kind of the cluster"),
        (json.dumps({"cluster": WORKERS}), "task.type must be a kind of the cluster, worker, got None"),
        (wrong(index=2), "task.index must be an integer from 0 to 1 for worker, got 2"),
        (wrong(index=-1), "got -1"),
        (wrong(index="first"), "got 'first'"),
        (wrong(index=True), "got True"),
        (wrong(index=None), "got None"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(monkeypatch, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=r"^TF_CONFIG") as caught:
        Task.from_environment()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ports_three_apart_fit_on_one_host():
    assert task({"worker": ["a:10", "a:13"]}, "worker", 1).port == 13


def test_example():
    assert doctest.testmod(task_module).failed == 0
