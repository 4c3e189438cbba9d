"""Says which process a training run waits for, and ends a run that waits too long.

A process of the cluster that is stopped but not dead stalls TensorFlow for as long as it lasts, without a word.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from types import TracebackType
from typing import Any

from smooth_recs import keras_generation
from smooth_recs.cluster import liveness
from smooth_recs.cluster.liveness import Peers
from smooth_recs.cluster.task import Task

_PING_SECONDS = 5.0
_LOCKED_SECONDS = 60.0


class Watchdog(keras_generation.keras().callbacks.Callback):  # type: ignore[misc]
    """Watches a run from a thread, as a context manager around it and as a callback in `fit`.

    Once a process has not answered, or no training step has ended, for `warn_seconds`, a line on standard error says
    so: who does not answer, and since when. A run that stands still for `limit_seconds` within `fit` ends with status 1
    and a line that says why: the same command resumes it from its last checkpoint. So does one that stands for
    `start_seconds` before its first step while a process does not answer; opening data may take longer.

    Where native code keeps Python's lock, the thread cannot run: then `faulthandler`, which needs no lock, ends the
    process a minute after the limit, and shows where it stood.

    Args:
      task: this process.
      warn_seconds: silence before something is said.
      limit_seconds: of no step within `fit`, the time that callbacks take included.
      start_seconds: of no step before the first one ends, or between two calls of `fit`, while a process is missing.

    ```python
    from smooth_recs import distribution
    from smooth_recs.cluster import Task
    from smooth_recs.cluster.watchdog import Watchdog

    task = Task.from_environment()
    if task is not None:
        with Watchdog(task) as watchdog:
            with distribution.strategy("auto").scope():
                model = build()
            model.fit(dataset, callbacks=[watchdog])
    ```
    """

    def __init__(
        self, task: Task, warn_seconds: float = 30.0, limit_seconds: float = 600.0, start_seconds: float = 1800.0
    ) -> None:
        super().__init__()
        self._task, self._warn = task, warn_seconds
        self._limits = {True: limit_seconds, False: start_seconds}
        self._every = min(_PING_SECONDS, warn_seconds / 4)
        self._stepping, self._moved = False, time.monotonic()
        self._said: tuple[bool, tuple[Task, ...]] = (False, ())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")
        # Without these tf_keras refuses the callback under parameter servers, and Keras 3 waits for each step.
        self._supports_tf_logs = True
        self.async_safe = True

    def __enter__(self) -> Watchdog:
        liveness.start(self._task)
        self._progress()
        self._arm()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._stepping = True
        self._progress()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._progress()

    def on_train_end(self, logs: Any = None) -> None:
        self._stepping = False
        self._progress()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._progress()

    def _progress(self) -> None:
        self._moved = time.monotonic()

    def _watch(self) -> None:
        peers = Peers(self._task)
        while not self._stop.wait(self._every):
            self._arm()
            peers.ping()
            stood = time.monotonic() - self._moved
            silent = peers.silent(self._warn)
            if stood >= self._limits[self._stepping] and (self._stepping or silent):
                _end(f"{self._stands(stood)}: {_who(peers, silent)}")
            self._tell(peers, stood, silent)

    def _arm(self) -> None:
        faulthandler.dump_traceback_later(self._limits[self._stepping] + _LOCKED_SECONDS, exit=True, file=2)

    def _tell(self, peers: Peers, stood: float, silent: tuple[Task, ...]) -> None:
        """Says what has changed."""
        now = (self._stepping and stood >= self._warn, silent)
        if now == self._said:
            return
        self._said, (stalled_before, silent_before) = now, self._said
        back = [str(task) for task in silent_before if task not in silent]
        if back:
            _say(f"{', '.join(back)}: there")
        if now[0] or (silent and not self._stepping):
            _say(f"{self._stands(stood)}: {_who(peers, silent)}")
        elif silent:
            _say(f"{_who(peers, silent)}; training goes on")
        elif stalled_before:
            _say("training goes on")

    def _stands(self, seconds: float) -> str:
        return f"no training step has ended for {seconds:.0f} s"


def _who(peers: Peers, silent: tuple[Task, ...]) -> str:
    if not silent:
        return f"all {len(peers.tasks)} other processes answer"
    return ", ".join(f"{task} {peers.since(task)}" for task in silent)


def _say(line: str) -> None:
    print(f"watchdog: {line}", file=sys.stderr, flush=True)


def _end(why: str) -> None:
    """Ends the process at once: its main thread waits within native code, for something that may never come."""
    print(f"error: {why}; the same command resumes the run from its last checkpoint", file=sys.stderr, flush=True)
    os._exit(1)
