"""The `tf.distribute` strategies in one table, and the one that a configuration and the cluster choose."""

from __future__ import annotations

import dataclasses
import enum
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from smooth_recs import keras_generation
from smooth_recs.cluster import liveness
from smooth_recs.cluster.task import Task
from smooth_recs.errors import InputError

MIN_SHARD_BYTES = 256 << 10  # a table is split over parameter servers into parts of at least this size


class Processes(enum.Enum):
    """Who takes part in a training."""

    ONE = "one process with its devices"
    IN_STEP = "several processes, which make every step together"
    SERVED = "a chief that gives steps to workers, each on its own, and parameter servers, which keep the weights"


@dataclasses.dataclass(frozen=True)
class Row:
    """What there is to know about one strategy.

    Attributes:
      name: its name in `distribution.strategy`.
      make: the strategy of the process `task`, once the processes that it needs are there.
      processes: who takes part. A strategy for one refuses a cluster of several, one for several needs a cluster.
      tf_config: an example of TF_CONFIG, where several processes take part.
      of_tf_keras: whether Keras 3 (3.15) cannot train with it.
    """

    name: str
    make: Callable[[Any], tf.distribute.Strategy]
    processes: Processes = Processes.ONE
    tf_config: str = ""
    of_tf_keras: bool = False

    @property
    def several(self) -> bool:
        """Whether several processes take part."""
        return self.processes is not Processes.ONE

    @property
    def in_step(self) -> bool:
        """Whether other processes make every step together with this one."""
        return self.processes is Processes.IN_STEP

    @property
    def sharded(self) -> bool:
        """Whether tables are split over parameter servers, and workers train on their own."""
        return self.processes is Processes.SERVED


def resolve(name: str, task: Task | None) -> str:
    """The strategy that `name` stands for in the process `task`; `auto` is chosen by the cluster, then by the devices.

    Raises:
      InputError: an unknown name, or one that does not fit TF_CONFIG.

    >>> resolve("auto", None)
    'one_device'
    """
    if name not in STRATEGIES:
        raise InputError(f"distribution.strategy must be one of {', '.join(STRATEGIES)}, got {name!r}")
    asked = name
    if asked == "auto":
        name = "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one_device"
        if task is not None and task.peers:
            name = "parameter_server" if "ps" in task.cluster else "multi_worker_mirrored"
    row = TABLE[name]
    if row.of_tf_keras and not keras_generation.is_legacy():
        raise InputError(f"distribution.strategy {name} cannot train in Keras 3: give --keras=2")
    if asked == "auto":
        return name
    if row.several and task is None:
        raise InputError(
            f"distribution.strategy {name} needs TF_CONFIG in the environment of each process, e.g. {row.tf_config}"
        )
    if not row.several and task is not None and task.peers:
        raise InputError(
            f"distribution.strategy {name} is for one process, but TF_CONFIG names {len(task.members)}: "
            "take auto, or unset TF_CONFIG"
        )
    if task is not None and row.sharded != ("ps" in task.cluster):
        words = "needs parameter servers (ps)" if row.sharded else "has no parameter servers (ps)"
        raise InputError(f"distribution.strategy {name} {words}, TF_CONFIG names {dict(task.cluster)}")
    return name


def strategy(name: str) -> tf.distribute.Strategy:
    """The strategy by name; with several processes, once all of them answer.

    It must come before anything is computed: TensorFlow does not connect processes later.

    Args:
      name: `one_device`: the default device. `mirrored`: all GPUs, or all logical CPU devices where there is no GPU.
        `multi_worker_mirrored`: several processes that train in step. `parameter_server`: a chief that gives steps to
        workers, tables split over parameter servers (see `servers.serve`). `tpu`: the TPU that the environment variable
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
    return TABLE[resolve(name, task)].make(task)


def _mirrored(_: Task | None) -> tf.distribute.Strategy:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker_mirrored(task: Task) -> tf.distribute.Strategy:
    liveness.meet(task)
    return tf.distribute.MultiWorkerMirroredStrategy()


def _parameter_server(task: Task) -> tf.distribute.Strategy:
    if not task.is_chief:
        raise InputError(
            f"distribution.strategy parameter_server: {task} only serves, see smooth_recs.distribution.serve"
        )
    liveness.wait_until_served(task)
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


TABLE: dict[str, Row] = {
    row.name: row
    for row in (
        Row("one_device", lambda _: tf.distribute.get_strategy()),
        Row("mirrored", _mirrored),
        Row(
            "multi_worker_mirrored",
            _multi_worker_mirrored,
            Processes.IN_STEP,
            '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}',
        ),
        Row(
            "parameter_server",
            _parameter_server,
            Processes.SERVED,
            '{"cluster": {"chief": ["a:2222"], "worker": ["b:2222", "c:2222"], "ps": ["d:2222"]}, '
            '"task": {"type": "worker", "index": 0}}',
            of_tf_keras=True,
        ),
        Row("tpu", _tpu, of_tf_keras=True),
    )
}
STRATEGIES = ("auto", *TABLE)  # the choices of `distribution.strategy`
