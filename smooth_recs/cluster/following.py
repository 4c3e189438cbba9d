"""How long a process that only serves goes on: as long as the chief that it serves."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable

from smooth_recs.cluster.heartbeat import Heartbeat, ping
from smooth_recs.cluster.task import Task


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
