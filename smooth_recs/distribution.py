"""The `tf.distribute` strategy that a configuration names, and what the other processes of its cluster do."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from typing import Any

import tensorflow as tf

from smooth_recs import fields, keras_generation
from smooth_recs.cluster import following, heartbeat, peers
from smooth_recs.cluster.task import Task
from smooth_recs.config import Strategy
from smooth_recs.errors import InputError

MIN_SHARD_BYTES = 256 << 10  # a table is split over parameter servers into parts of at least this size
_POLL_SECONDS = 0.5

_TF_CONFIG = {
    "multi_worker_mirrored": '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}',
    "parameter_server": (
        '{"cluster": {"chief": ["a:2222"], "worker": ["b:2222", "c:2222"], "ps": ["d:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    ),
}


def resolve(name: str, task: Task | None) -> str:
    """The strategy that `name` stands for in the process `task`; `auto` is chosen by the cluster, then by the devices.

    Raises:
      InputError: an unknown name, or one that does not fit TF_CONFIG.

    >>> resolve("auto", None)
    'one_device'
    """
    fields.check("distribution.strategy", name, Strategy)
    if name == "auto":
        return _chosen(task)
    if name in _TF_CONFIG and task is None:
        raise InputError(
            f"distribution.strategy {name} needs TF_CONFIG in the environment of each process, e.g. {_TF_CONFIG[name]}"
        )
    if name not in _TF_CONFIG and task is not None and task.peers:
        raise InputError(
            f"distribution.strategy {name} is for one process, but TF_CONFIG names {len(task.members)}: "
            "take auto, or unset TF_CONFIG"
        )
    if task is not None and (name == "parameter_server") != ("ps" in task.cluster):
        words = "needs parameter servers (ps)" if name == "parameter_server" else "has no parameter servers (ps)"
        raise InputError(f"distribution.strategy {name} {words}, TF_CONFIG names {dict(task.cluster)}")
    return name


def strategy(name: str) -> tf.distribute.Strategy:
    """The strategy by name; with several processes, once all of them answer.

    It must come before anything is computed: TensorFlow does not connect processes later.

    Args:
      name: `one_device`: the default device. `mirrored`: all GPUs, or all logical CPU devices where there is no GPU.
        `multi_worker_mirrored`: several processes that train in step. `parameter_server`: a chief that gives steps to
        workers, tables split over parameter servers (see `serve`). `tpu`: the TPU that the environment variable
        TPU_NAME names, or that of this machine. `auto`: by TF_CONFIG `parameter_server` where there are ps and
        `multi_worker_mirrored` where there are several processes; else `mirrored` where there are several GPUs, and
        `one_device` where there are not.

    Raises:
      InputError: an unknown name, one that does not fit TF_CONFIG, or no TPU.

    ```python
    with sr.distribution.strategy("auto").scope():
        model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    ```
    """
    task = Task.from_environment()
    return MAKERS[resolve(name, task)](task)


def serve(task: Task, chief_seconds: float = 600.0) -> None:
    """What a worker and a parameter server run under `parameter_server`: they compute and keep what the chief says.

    Workers serve input data besides (see `data_service`). Returns once the chief has said that it is done (see
    `dismiss`). On SIGTERM the process ends with status 143: its work was not done. Where another chief has taken the
    place of the one that was served, the process starts anew, with empty memory. To be called in the main thread.

    Args:
      task: this process.
      chief_seconds: how long the chief may be silent, so that no process is left behind.

    Raises:
      TimeoutError: the chief has been silent for so long.

    ```python
    task = Task.from_environment()
    if task is not None and task.serves("auto"):
        sr.distribution.serve(task)
    ```
    """
    beat = heartbeat.start(task)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    running: list[Any] = []  # stops where it is forgotten
    outcome = following.follow(task, beat, lambda: _start_servers(task, running), limit_seconds=chief_seconds)
    if outcome is following.Outcome.REPLACED:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def data_service(task: Task) -> Any:
    """The dispatcher of tf.data service, which the chief runs as long as it trains; the workers' data servers find it.

    A dataset to which `tf.data.experimental.service.distribute(..., service=f"grpc://{task.chief.data_address}")` is
    applied is then read through all workers, so that each row is read once, whichever worker trains on it.
    """
    config = tf.data.experimental.service.DispatcherConfig(port=task.data_port)
    return tf.data.experimental.service.DispatchServer(config)


def dismiss(task: Task) -> None:
    """Tells the processes that `serve` this chief that the run is done."""
    heartbeat.dismiss(task)


def _chosen(task: Task | None) -> str:
    if task is not None and task.peers:
        return "parameter_server" if "ps" in task.cluster else "multi_worker_mirrored"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one_device"


def _start_servers(task: Task, running: list[Any]) -> None:
    """Starts TensorFlow's server of this process; in a worker a data server too, once the chief has a dispatcher."""
    cluster = tf.train.ClusterSpec({kind: list(addresses) for kind, addresses in task.cluster.items()})
    running.append(tf.distribute.Server(cluster, job_name=task.kind, task_index=task.index, protocol="grpc"))
    if task.kind == "worker":
        threading.Thread(target=_start_data_server, args=(task, running), daemon=True).start()


def _start_data_server(task: Task, running: list[Any]) -> None:
    while not _listens(
        task.chief.host, task.chief.data_port
    ):  # the data server would wait too, with Python's lock held
        time.sleep(_POLL_SECONDS)
    config = tf.data.experimental.service.WorkerConfig(
        dispatcher_address=task.chief.data_address, worker_address=task.data_address, port=task.data_port
    )
    running.append(tf.data.experimental.service.WorkerServer(config))


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), heartbeat.ANSWER_SECONDS).close()
    except OSError:
        return False
    return True


def _one_device(_: Task | None) -> tf.distribute.Strategy:
    return tf.distribute.get_strategy()


def _mirrored(_: Task | None) -> tf.distribute.Strategy:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker_mirrored(task: Task) -> tf.distribute.Strategy:
    peers.meet(task)
    return tf.distribute.MultiWorkerMirroredStrategy()


def _parameter_server(task: Task) -> tf.distribute.Strategy:
    keras_generation.require_legacy("distribution.strategy parameter_server")
    if not task.is_chief:
        raise InputError(
            f"distribution.strategy parameter_server: {task} only serves, see smooth_recs.distribution.serve"
        )
    peers.wait_until_served(task)
    partitioner = tf.distribute.experimental.partitioners.MinSizePartitioner(
        min_shard_bytes=MIN_SHARD_BYTES, max_shards=len(task.cluster["ps"])
    )
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    return tf.distribute.ParameterServerStrategy(resolver, variable_partitioner=partitioner)


def _tpu(_: Task | None) -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"distribution.strategy tpu needs a TPU, TPU_NAME={name!r} leads to none: {reason}") from error
    return tf.distribute.TPUStrategy(resolver)


MAKERS: dict[str, Any] = {
    "one_device": _one_device,
    "mirrored": _mirrored,
    "multi_worker_mirrored": _multi_worker_mirrored,
    "parameter_server": _parameter_server,
    "tpu": _tpu,
}
