"""Ports of loopback for a cluster on one machine."""

from __future__ import annotations

import contextlib
import random
import socket

from smooth_recs.cluster.task import PORTS

# Below those that the system gives to outgoing connections: one of these is not taken between here and its use.
_FIRST, _LAST = 10_000, 32_000


def free(count: int) -> list[int]:
    """`count` ports, each free together with those above it that a process of a cluster uses besides.

    Raises:
      OSError: too few are free.
    """
    found: list[int] = []
    for first in random.SystemRandom().sample(range(_FIRST, _LAST, PORTS), 20 * count):
        if len(found) < count and _are_free(range(first, first + PORTS)):
            found.append(first)
    if len(found) < count:
        raise OSError(f"no {count} times {PORTS} free ports from {_FIRST} to {_LAST}")
    return found


def _are_free(ports: range) -> bool:
    try:
        with contextlib.ExitStack() as opened:
            for port in ports:
                opened.enter_context(socket.create_server(("", port)))
    except OSError:
        return False
    return True
