"""The other processes of the cluster, as this one sees them."""

from __future__ import annotations

import concurrent.futures
import time

from smooth_recs.cluster import heartbeat
from smooth_recs.cluster.heartbeat import IDENTITY, MEETING, Pong
from smooth_recs.cluster.task import Task

_AT_ONCE = 32


class Peers:
    """Pings every other process of the cluster and remembers when each answered last.

    Args:
      task: this process.
    """

    def __init__(self, task: Task) -> None:
        self.tasks = task.peers
        self._began = time.monotonic()
        self._answered: dict[Task, float] = {}

    def ping(self, request: str = "ping") -> dict[Task, Pong]:
        """Asks all at once; the answers of those that answer."""
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            pongs = pool.map(lambda task: heartbeat.ping(task, request), self.tasks)
            answers = {task: pong for task, pong in zip(self.tasks, pongs, strict=True) if pong is not None}
        self._answered |= dict.fromkeys(answers, time.monotonic())
        return answers

    def silent(self, seconds: float) -> tuple[Task, ...]:
        """Those that have not answered for `seconds`, or not at all since this began that long ago."""
        now = time.monotonic()
        return tuple(task for task in self.tasks if now - self._answered.get(task, self._began) >= seconds)

    def since(self, task: Task) -> str:
        """Since when a silent one is silent, in words."""
        if task not in self._answered:
            return "has not answered yet"
        ago = time.monotonic() - self._answered[task]
        return f"has not answered since {time.strftime('%H:%M:%S', time.localtime(time.time() - ago))}"


# TensorFlow waits for the other processes too, but holds Python's lock meanwhile: no thread of this process could say
# who is missing, nor answer the others. Hence the two functions below. A running `Watchdog` limits the time they take.


def meet(task: Task, seconds: float = 0.5) -> None:
    """Returns once this process and every other one, all of which call `meet`, know of each other.

    Of each two that know of each other, one has asked and the other has answered. A process that does not meet (any
    more), such as one that is about to end, does not count.

    Args:
      task: this process.
      seconds: between two rounds of questions.
    """
    beat = heartbeat.start(task)
    beat.met.clear()
    beat.state = MEETING
    missing = {str(peer) for peer in task.peers}
    asking = Peers(task)
    while missing := missing - beat.met:
        missing -= {str(peer) for peer, pong in asking.ping(f"meet {task}").items() if pong.state == MEETING}
        if missing:
            time.sleep(seconds)
    beat.state = ""


def wait_until_served(task: Task, seconds: float = 0.5) -> None:
    """Returns once every other process says that it serves this one, the chief."""
    heartbeat.start(task)
    asking = Peers(task)
    while [pong.state for pong in asking.ping().values()] != [IDENTITY] * len(task.peers):
        time.sleep(seconds)
