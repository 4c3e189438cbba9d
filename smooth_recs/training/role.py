"""What one process does for a run: it trains alone, in step with others, or coordinates workers and servers."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from types import TracebackType
from typing import Any

import tensorflow as tf

from smooth_recs import config
from smooth_recs.cluster import liveness, servers, strategies
from smooth_recs.cluster.task import Task
from smooth_recs.cluster.watchdog import Watchdog

_POLL_SECONDS = 0.5


class Role:
    """The role of this process, and, as a context manager, its part in the cluster while the run trains.

    On entry the other processes are waited for, and from then on watched. When the block ends without an error, those
    that serve this process are told that the run has trained.

    Args:
      settings: which strategy, and how long others are waited for.
      task: the place of this process in a cluster; None: it is alone.

    Attributes:
      callbacks: for `fit`; none before entry.

    ```python
    role = Role.of_this_process(config.distribution)
    with role:
        with role.strategy.scope():
            model = build()
        model.fit(dataset, callbacks=role.callbacks)
    ```
    """

    def __init__(self, settings: config.Distribution | None = None, task: Task | None = None) -> None:
        self.settings = settings or config.Distribution()
        self.task = task
        self.callbacks: list[Any] = []
        self._strategy: tf.distribute.Strategy | None = None
        self._watching = contextlib.ExitStack()
        self._data_service: Any = None

    @classmethod
    def of_this_process(cls, settings: config.Distribution) -> Role:
        """The role that the environment variable TF_CONFIG and `settings` give this process.

        Raises:
          InputError: TF_CONFIG does not describe a cluster.
        """
        return cls(settings, Task.from_environment())

    @property
    def strategy(self) -> tf.distribute.Strategy:
        """What the model is built under; TensorFlow's default before entry."""
        return self._strategy or tf.distribute.get_strategy()

    @functools.cached_property
    def strategy_name(self) -> str:
        """One of `config.Strategy` but `auto`.

        Raises:
          InputError: `settings.strategy` is unknown, or does not fit TF_CONFIG. Only who trains asks: a finished run is
            read back without its cluster.
        """
        return strategies.resolve(self.settings.strategy, self.task)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what a run leaves."""
        return self.task is None or self.task.is_chief

    @property
    def serves(self) -> bool:
        """Whether this process only computes and keeps what a chief says: it is a worker or a parameter server."""
        return self.task is not None and self.task.serves(self.settings.strategy)

    @property
    def in_step(self) -> bool:
        """Whether other processes make every step together with this one."""
        return strategies.TABLE[self.strategy_name].in_step

    @property
    def coordinates(self) -> bool:
        """Whether this process gives steps to workers, which train on their own, with tables on parameter servers."""
        return strategies.TABLE[self.strategy_name].sharded

    @property
    def most_steps_per_execution(self) -> int | None:
        """How many steps may be executed at a time; None: any number.

        In step it is one: TensorFlow mixes up what processes exchange in a loop of steps. A worker that gets many at a
        time leaves nothing for the others.
        """
        return 1 if self.in_step else 10 if self.coordinates else None

    @property
    def servers(self) -> int:
        """How many parameter servers hold the tables."""
        return len(self.task.cluster.get("ps", ())) if self.task is not None and self.coordinates else 0

    @property
    def devices(self) -> int:
        """How many devices share a batch, said without waiting for other processes: one each where there are several.

        (`strategy` would know better, but makes TensorFlow connect to all of them.)
        """
        if self.task is None or not (self.in_step or self.coordinates):
            return strategies.strategy(self.settings.strategy).num_replicas_in_sync
        without_batches = self.servers + 1 if self.coordinates else 0  # the parameter servers, and this process
        return len(self.task.members) - without_batches

    def folder(self, workdir: str) -> str:
        """Where this process may write while it trains; the others' are of no use afterwards."""
        return workdir if self.task is None or self.is_chief else os.path.join(workdir, "workers", str(self.task.index))

    def __enter__(self) -> Role:
        coordinates = self.coordinates  # asked first: nothing is to start where the strategy does not fit TF_CONFIG
        with contextlib.ExitStack() as stack:
            if self.task is not None and self.task.peers:
                limits = self.settings.warn_seconds, self.settings.limit_seconds, self.settings.start_seconds
                self.callbacks = [stack.enter_context(Watchdog(self.task, *limits))]
            if self.task is not None and coordinates:
                self._data_service = servers.data_service(self.task)
            self._strategy = strategies.strategy(self.settings.strategy)  # waits for the others, under the watchdog
            self._watching = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watching.close()
        if self.task is not None and self.coordinates and error is None:
            liveness.dismiss(self.task)
        self._data_service = None  # it stops where it is forgotten

    def serve(self) -> None:
        """Computes and keeps what the chief says until it is done; see `servers.serve`."""
        assert self.task is not None
        servers.serve(self.task, self.settings.chief_seconds)

    def stay_with_chief(self) -> None:
        """Returns once the chief has ended: it still measures, and would take the end of this process for a failure."""
        while self.task is not None and liveness.ping(self.task.chief):
            time.sleep(_POLL_SECONDS)

    def dismiss_servers(self) -> None:
        """Lets processes go that came to serve a run which is finished; those that do not answer have gone already."""
        if self.task is None or not self.coordinates:
            return
        liveness.start(self.task)
        asking, deadline = liveness.Peers(self.task), time.monotonic() + self.settings.warn_seconds
        while time.monotonic() < deadline:
            pongs = asking.ping().values()
            if len(pongs) == len(self.task.peers) and all(pong.state == liveness.IDENTITY for pong in pongs):
                break
            time.sleep(_POLL_SECONDS)
        liveness.dismiss(self.task)
