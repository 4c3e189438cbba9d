"""What the other processes of a cluster do: workers and parameter servers that serve a chief, and its data service."""

from __future__ import annotations

import enum
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from smooth_recs.cluster import liveness
from smooth_recs.cluster.liveness import Heartbeat, ping
from smooth_recs.cluster.task import Task

_POLL_SECONDS = 0.5


def serve(task: Task, chief_seconds: float = 600.0) -> None:
    """What a worker and a parameter server run under `parameter_server`: they compute and keep what the chief says.

    Workers serve input data besides (see `data_service`). Returns once the chief has said that it is done, by
    `liveness.dismiss`. On SIGTERM the process ends with status 143: its work was not done. Where another chief has
    taken the place of the one that was served, the process starts anew, with empty memory. To be called in the main
    thread.

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
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    beat = liveness.start(task)  # whoever is answered may send the signal
    running: list[Any] = []  # stops where it is forgotten

    def start() -> None:
        cluster = tf.train.ClusterSpec({kind: list(addresses) for kind, addresses in task.cluster.items()})
        running.append(tf.distribute.Server(cluster, job_name=task.kind, task_index=task.index, protocol="grpc"))
        if task.kind == "worker":
            threading.Thread(target=_start_data_server, args=(task, running), daemon=True).start()

    if follow(task, beat, start, limit_seconds=chief_seconds) is Outcome.REPLACED:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _start_data_server(task: Task, running: list[Any]) -> None:
    """Starts a worker's server of input data once the chief has a dispatcher."""
    while True:  # the data server would wait too, but with Python's lock held (TensorFlow 2.21)
        try:
            socket.create_connection((task.chief.host, task.chief.data_port), liveness.ANSWER_SECONDS).close()
            break
        except OSError:
            time.sleep(_POLL_SECONDS)
    config = tf.data.experimental.service.WorkerConfig(
        dispatcher_address=task.chief.data_address, worker_address=task.data_address, port=task.data_port
    )
    running.append(tf.data.experimental.service.WorkerServer(config))


class Outcome(enum.Enum):
    """Why a process no longer serves its chief."""

    DISMISSED = "the chief is done"
    REPLACED = "another chief has taken the place of the one that was served"


def follow(
    task: Task,
    heartbeat: Heartbeat,
    serve: Callable[[], None],
    *,
    limit_seconds: float,
    ping_seconds: float = 1.0,
) -> Outcome:
    """Waits for a chief, calls `serve` for it and returns once it needs this process no more.

    Args:
      task: this process.
      heartbeat: of this process; it tells the chief that it is served.
      serve: starts what the chief needs, and returns.
      limit_seconds: how long the chief may be silent, before it came or after.
      ping_seconds: time between two questions whether it is there.

    Raises:
      TimeoutError: the chief has been silent for `limit_seconds`.
    """
    answered = time.monotonic()
    while not heartbeat.dismissed.wait(ping_seconds):
        chief = ping(task.chief)
        if chief is None:
            if time.monotonic() - answered >= limit_seconds:
                raise TimeoutError(f"{task.chief} has not answered for {limit_seconds:g} s, and is served no longer")
            continue
        answered = time.monotonic()
        if not heartbeat.state:
            serve()
            heartbeat.state = chief.identity
        elif heartbeat.state != chief.identity:
            return Outcome.REPLACED
    return Outcome.DISMISSED


def data_service(task: Task) -> Any:
    """The dispatcher of tf.data service, which the chief runs as long as it trains; the workers' data servers find it.

    A dataset to which `tf.data.experimental.service.distribute(..., service=f"grpc://{task.chief.data_address}")` is
    applied is then read through all workers, so that each row is read once, whichever worker trains on it.
    """
    config = tf.data.experimental.service.DispatcherConfig(port=task.data_port)
    return tf.data.experimental.service.DispatchServer(config)
