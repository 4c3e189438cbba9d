"""What one process does for a run: alone, in step with others, or as the chief of workers and parameter servers."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from smooth_recs import cluster as distribution
from smooth_recs import config
from smooth_recs.cluster import liveness as heartbeat
from smooth_recs.cluster.liveness import Peers
from smooth_recs.cluster.task import Task
from smooth_recs.cluster.watchdog import Watchdog
from smooth_recs.data.source import Source

_POLL_SECONDS = 0.5


@dataclasses.dataclass
class Part:
    """The part of this process.

    Attributes:
      strategy_name: one of `distribution.STRATEGIES` but `auto`.
      task: its place in the cluster, or None.
      callbacks: for `fit`.
    """

    strategy_name: str
    task: Task | None
    callbacks: list[Any] = dataclasses.field(default_factory=list)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what a run leaves."""
        return self.task is None or self.task.is_chief

    @property
    def in_step(self) -> bool:
        """Whether other processes make every step together with this one."""
        return self.strategy_name == "multi_worker_mirrored"

    @property
    def commands(self) -> bool:
        """Whether this process gives steps to workers, which train on their own."""
        return self.strategy_name == "parameter_server"

    @property
    def most_steps(self) -> int | None:
        """How many steps may be executed at a time.

        In step it is one: TensorFlow mixes up what processes exchange in a loop of steps. A worker that gets many at a
        time leaves nothing for the others.
        """
        return 1 if self.in_step else 10 if self.commands else None

    def folder(self, workdir: str) -> str:
        """Where this process may write while it trains; the others' are of no use afterwards."""
        return workdir if self.task is None or self.is_chief else os.path.join(workdir, "workers", str(self.task.index))

    def batches(self, open_batches: Callable[[Source], tf.data.Dataset], reopen: Callable[[], Source]) -> Any:
        """What `fit` takes.

        Args:
          open_batches: from a source to its batches.
          reopen: opens the source anew: a worker cannot read the tables of this process.
        """
        if self.commands:
            return tf.keras.utils.experimental.DatasetCreator(self._each_row_once(open_batches, reopen))
        batches = open_batches(reopen())
        if self.in_step:
            options = tf.data.Options()  # all read everything and take their part of each batch, as one process would
            options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
            batches = batches.with_options(options)
        return batches

    def _each_row_once(
        self, open_batches: Callable[[Source], Any], reopen: Callable[[], Source]
    ) -> Callable[[Any], Any]:
        """A dataset that all workers share, so that each row is trained on by one of them.

        It repeats itself, because each worker prefetches some batches that it does not come to train on.
        """
        assert self.task is not None
        service, job = f"grpc://{self.task.chief.data_address}", uuid.uuid4().hex
        sharing = tf.data.experimental.service.distribute(
            tf.data.experimental.service.ShardingPolicy.DYNAMIC, service, job_name=job
        )

        def batches(context: Any) -> Any:
            with tf.init_scope():  # files are looked into; only the reading of rows goes to the workers
                source = reopen()
            return open_batches(source).apply(sharing).repeat()

        return batches


@contextlib.contextmanager
def taking_part(settings: config.Distribution, task: Task | None) -> Iterator[tuple[Part, tf.distribute.Strategy]]:
    """The part of this process in training, and the strategy to build the model under.

    Other processes are waited for and watched; those that serve this one are told when it has trained.

    Args:
      settings: which strategy, and how long others are waited for.
      task: this process' place in a cluster, or None.
    """
    part = Part(distribution.resolve(settings.strategy, task), task)
    with contextlib.ExitStack() as stack:
        if task is not None and task.peers:
            watchdog = Watchdog(task, settings.warn_seconds, settings.limit_seconds, settings.start_seconds)
            part.callbacks.append(stack.enter_context(watchdog))
        if task is not None and part.commands:
            service = distribution.data_service(task)
        yield part, distribution.strategy(settings.strategy)
    if task is not None and part.commands:
        distribution.dismiss(task)
        del service


def stay(task: Task) -> None:
    """Returns once the chief has ended: it still measures, and would take the end of this process for a failure."""
    while heartbeat.ping(task.chief):
        time.sleep(_POLL_SECONDS)


def release(settings: config.Distribution, task: Task | None) -> None:
    """Lets processes go that came to serve a run which is finished; those that do not answer have gone already."""
    if task is None or distribution.resolve(settings.strategy, task) != "parameter_server":
        return
    heartbeat.start(task)
    asking, deadline = Peers(task), time.monotonic() + settings.warn_seconds
    while time.monotonic() < deadline:
        pongs = asking.ping().values()
        if len(pongs) == len(task.peers) and all(pong.state == heartbeat.IDENTITY for pong in pongs):
            break
        time.sleep(_POLL_SECONDS)
    distribution.dismiss(task)
