"""Which strategy a name stands for, and what does not fit a cluster."""

from __future__ import annotations

import doctest
import json

import pytest
import tensorflow as tf

from smooth_recs import distribution, keras_generation
from smooth_recs.cluster import strategies
from smooth_recs.cluster.task import Task
from smooth_recs.errors import InputError

WORKERS = {"worker": ["a:2222", "b:2222"]}
SERVERS = {"chief": ["c:2222"], "worker": ["a:2222"], "ps": ["p:2222"]}
ALONE = {"chief": ["c:2222"]}


def task(cluster) -> Task | None:
    return Task.parse(json.dumps({"cluster": cluster, "task": {"type": next(iter(cluster)), "index": 0}}))


@pytest.mark.parametrize(
    ("name", "cluster", "resolved"),
    [
        ("auto", None, "one_device"),
        ("auto", ALONE, "one_device"),
        ("auto", WORKERS, "multi_worker_mirrored"),
        ("auto", SERVERS, "parameter_server"),
        ("one_device", None, "one_device"),
        ("mirrored", ALONE, "mirrored"),
        ("multi_worker_mirrored", WORKERS, "multi_worker_mirrored"),
        ("multi_worker_mirrored", ALONE, "multi_worker_mirrored"),
        ("parameter_server", SERVERS, "parameter_server"),
        ("tpu", None, "tpu"),
    ],
)
def test_what_a_name_stands_for(name, cluster, resolved):
    assert distribution.resolve(name, cluster and task(cluster)) == resolved


def test_parameter_servers_and_tpus_have_no_keras_3(monkeypatch):
    monkeypatch.setattr(keras_generation, "is_legacy", lambda: False)
    for name, cluster in (("parameter_server", SERVERS), ("auto", SERVERS), ("tpu", None)):
        with pytest.raises(InputError, match=r"^distribution.strategy \w+ cannot train in Keras 3: give --keras=2$"):
            distribution.resolve(name, cluster and task(cluster))
    assert distribution.resolve("auto", task(WORKERS)) == "multi_worker_mirrored"


@pytest.mark.parametrize(("gpus", "resolved"), [(0, "one_device"), (1, "one_device"), (2, "mirrored")])
def test_auto_mirrors_over_several_gpus(monkeypatch, gpus, resolved):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * gpus)
    assert distribution.resolve("auto", None) == resolved
    assert distribution.resolve("auto", task(WORKERS)) == "multi_worker_mirrored"


@pytest.mark.parametrize(
    ("name", "cluster", "words"),
    [
        (
            "horovod",
            None,
            "must be one of auto, one_device, mirrored, multi_worker_mirrored, parameter_server, tpu, got",
        ),
        ("multi_worker_mirrored", None, 'needs TF_CONFIG in the environment of each process, e.g. {"cluster":'),
        ("parameter_server", None, '"ps": ["d:2222"]}, "task": {"type": "worker", "index": 0}}'),
        ("one_device", WORKERS, "one_device is for one process, but TF_CONFIG names 2"),
        ("mirrored", SERVERS, "mirrored is for one process, but TF_CONFIG names 3"),
        ("multi_worker_mirrored", SERVERS, "multi_worker_mirrored has no parameter servers (ps)"),
        ("parameter_server", WORKERS, "parameter_server needs parameter servers (ps)"),
    ],
)
def test_what_does_not_fit_is_said(name, cluster, words):
    with pytest.raises(InputError, match=r"^distribution\.strategy") as caught:
        distribution.resolve(name, cluster and task(cluster))
    assert words in str(caught.value)


def test_the_clusters_in_the_messages_are_right():
    several = {name: row for name, row in strategies.TABLE.items() if row.several}
    assert several
    for name, row in several.items():
        shown = Task.parse(row.tf_config)
        assert shown is not None
        assert distribution.resolve("auto", shown) == distribution.resolve(name, shown) == name


def test_strategies_of_one_process(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert distribution.strategy("one_device") is distribution.strategy("auto") is tf.distribute.get_strategy()
    mirrored = distribution.strategy("mirrored")
    assert isinstance(mirrored, tf.distribute.MirroredStrategy)
    assert mirrored.num_replicas_in_sync == len(tf.config.list_logical_devices("CPU"))


@pytest.mark.parametrize("name", [None, "nowhere"])
def test_without_a_tpu_one_line_says_so(monkeypatch, name):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("TPU_NAME", raising=False)
    if name:
        monkeypatch.setenv("TPU_NAME", name)
        # A machine outside of Google's cloud has no such host.
        monkeypatch.setattr("urllib.request.urlopen", _no_such_host)
    with pytest.raises(InputError, match=r"^distribution\.strategy tpu needs a TPU, TPU_NAME='") as caught:
        distribution.strategy("tpu")
    assert repr(name or "local") in str(caught.value)
    assert "\n" not in str(caught.value)


def _no_such_host(*_, **__):
    raise OSError("no such host")


def test_only_the_chief_coordinates(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": SERVERS, "task": {"type": "worker", "index": 0}}))
    with pytest.raises(InputError, match=r"worker 0 \(a:2222\) only serves, see smooth_recs\.distribution\.serve"):
        distribution.strategy("parameter_server")


def test_example():
    assert doctest.testmod(strategies).failed == 0
