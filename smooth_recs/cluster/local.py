"""A cluster on this machine: the same command as several processes, each with its TF_CONFIG."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from smooth_recs.cluster import _guard
from smooth_recs.cluster.task import PORTS, SECRET, Task

_POLL_SECONDS = 0.1
_RESTART_SECONDS = 2.0  # between two starts of one process, which may end as soon as it begins
# Ports below those that the system gives to outgoing connections: one of these is not taken between here and its use.
_FIRST_PORT, _LAST_PORT = 10_000, 32_000


def cluster(workers: int, servers: int) -> dict[str, tuple[str, ...]]:
    """Addresses on loopback: workers alone, or a chief, workers and parameter servers."""
    kinds = ["chief"] * (servers > 0) + ["worker"] * workers + ["ps"] * servers
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(kinds))]
    return {kind: tuple(a for k, a in zip(kinds, addresses, strict=True) if k == kind) for kind in dict.fromkeys(kinds)}


def free_ports(count: int) -> list[int]:
    """`count` ports, each free together with those above it that a process of a cluster uses besides.

    Raises:
      OSError: too few are free.
    """
    found: list[int] = []
    for first in random.SystemRandom().sample(range(_FIRST_PORT, _LAST_PORT, PORTS), 20 * count):
        if len(found) < count and _are_free(range(first, first + PORTS)):
            found.append(first)
    if len(found) < count:
        raise OSError(f"no {count} times {PORTS} free ports from {_FIRST_PORT} to {_LAST_PORT}")
    return found


def _are_free(ports: range) -> bool:
    try:
        with contextlib.ExitStack() as opened:
            for port in ports:
                opened.enter_context(socket.create_server(("", port)))
    except OSError:
        return False
    return True


class LocalCluster:
    """Runs `command` once for each process of a cluster on loopback.

    What the chief (worker 0 where there are no parameter servers) writes goes to this process' own output, what the
    others write to `logs/KIND-INDEX.log`. None outlives this process, however that ends, nor do processes that they
    started in turn, unless those began a session of their own.

    Args:
      command: the program and its arguments.
      workers: number of worker processes.
      servers: number of parameter servers; with any there is a chief besides.
      logs: folder.
      restart: starts a process other than the chief again when it fails.
      grace_seconds: what the others get to end by themselves after the chief has, before they are killed.
      lost_seconds: what the chief gets to end by itself once a process has failed without which it cannot go on, and
        which nobody starts again: one of several in step, or a parameter server.

    ```python
    import sys

    from smooth_recs.cluster.local import LocalCluster

    LocalCluster([sys.executable, "-c", "import os; print(os.environ['TF_CONFIG'])"], workers=2, logs="logs").run()
    ```
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        workers: int,
        servers: int = 0,
        logs: str = "logs",
        restart: bool = False,
        grace_seconds: float = 10.0,
        lost_seconds: float = 60.0,
    ) -> None:
        self._command, self._logs, self._restart = list(command), Path(logs), restart
        self._grace, self._lost = grace_seconds, lost_seconds
        addresses = cluster(workers, servers)
        self._chief, *self._others = Task(next(iter(addresses)), 0, addresses).members
        self._secret = os.environ.get(SECRET) or secrets.token_hex(16)
        self._running: dict[Task, subprocess.Popen[bytes]] = {}
        self._started: dict[Task, float] = {}

    def run(self) -> int:
        """Starts all, waits for the chief and ends the others; the chief's status (128 + signal, where one killed it).

        Raises:
          OSError: the command cannot be started.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        with _started_guard() as watched:
            self._guard = watched
            try:
                for task in (*self._others, self._chief):
                    self._start(task, "wb")
                status = self._wait()
                self._end(gently=status == 0)
            except BaseException:
                self._end_chief()
                raise
            finally:
                self._kill()
        return status

    def _start(self, task: Task, mode: str) -> None:
        setting = {"cluster": task.cluster, "task": {"type": task.kind, "index": task.index}}
        with self._output(task, mode) as output:
            process = subprocess.Popen(
                self._command,
                env=os.environ | {"TF_CONFIG": json.dumps(setting), SECRET: self._secret},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output and subprocess.STDOUT,
                start_new_session=True,  # a group of its own, which Ctrl-C does not reach: this process ends it
            )
        self._tell_guard("+", process)
        self._running[task], self._started[task] = process, time.monotonic()
        _say(f"{task}: process {process.pid}" + (f", {output.name}" if output else ""))

    def _output(self, task: Task, mode: str) -> contextlib.AbstractContextManager[IO[bytes] | None]:
        if task == self._chief:
            return contextlib.nullcontext()
        return open(self._logs / f"{task.kind}-{task.index}.log", mode)

    def _wait(self) -> int:
        """Until the chief ends; says which others have ended, and starts them again where that was asked for.

        TensorFlow tells the chief of most deaths. Of a process that died before they met it hears nothing, and would
        wait for another one in its place.
        """
        failed: set[Task] = set()
        lost: tuple[float, Task] | None = None
        while (status := self._running[self._chief].poll()) is None:
            for task in self._others:
                process = self._running.get(task)
                if process is not None and process.poll() is not None:
                    self._forget(task)
                    if process.returncode:
                        _say(f"{task} ended with status {_status(process.returncode)}")
                        failed.add(task)
                        if lost is None and not self._restart and (task.kind == "ps" or self._chief.kind == "worker"):
                            lost = time.monotonic(), task
            if lost is not None and time.monotonic() - lost[0] >= self._lost:
                _say(f"the run cannot go on without {lost[1]}, which nobody starts again: it is ended")
                self._end_chief()
                lost = None
            for task in failed if self._restart else ():
                if time.monotonic() - self._started[task] >= _RESTART_SECONDS:
                    self._start(task, "ab")
            failed -= set(self._running)
            time.sleep(_POLL_SECONDS)
        self._forget(self._chief)
        return _status(status)

    def _end(self, gently: bool) -> None:
        """Workers that train finish what they do; parameter servers, and the workers beside them, are told to end."""
        deadline = time.monotonic() + self._grace
        if not gently or self._chief.kind == "chief":
            self._signal(signal.SIGTERM)
        while self._running and time.monotonic() < deadline:
            for task in [task for task, process in self._running.items() if process.poll() is not None]:
                self._forget(task)
            time.sleep(_POLL_SECONDS)

    def _end_chief(self) -> None:
        """Gives the chief time to save a checkpoint, for which it may need the others, before all are killed."""
        chief = self._running.get(self._chief)
        if chief is not None:
            os.killpg(chief.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                chief.wait(self._grace)
                return
            os.killpg(chief.pid, signal.SIGKILL)

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        for task in list(self._running):
            self._running[task].wait()
            self._forget(task)

    def _signal(self, number: int) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def _forget(self, task: Task) -> None:
        """A process has ended: what it started goes with it."""
        process = self._running.pop(task)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self._tell_guard("-", process)

    def _tell_guard(self, sign: str, process: subprocess.Popen[bytes]) -> None:
        self._guard.write(f"{sign}{process.pid}\n".encode())
        self._guard.flush()


@contextlib.contextmanager
def _started_guard() -> Iterator[IO[bytes]]:
    """The input of a process that kills what this one leaves behind."""
    command = [sys.executable, "-I", "-S", str(_guard.__file__)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin is not None
        yield process.stdin


def _status(returncode: int) -> int:
    return returncode if returncode >= 0 else 128 - returncode


def _say(line: str) -> None:
    print(f"local cluster: {line}", file=sys.stderr, flush=True)
