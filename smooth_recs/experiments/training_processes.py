"""Processes of trainings: fresh ones, or forks of one that has imported TensorFlow already.

To import TensorFlow and this package takes some seconds of processor time, for every training of a sweep again. A
command that trains many runs can fork once, before it uses TensorFlow, a process that waits; every training is then a
fork of that one and begins with everything imported. Only Linux has forks that are safe with TensorFlow, and a program
of one's own that calls `Folder.run` has none: there every training is a fresh process.

A fork is a process like any: it has a log, a status, signals and locks of its own, and outlives a command that is
killed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, Protocol

import numpy as np

from smooth_recs._processes import child_environment

PROGRAM = ("-m", "smooth_recs.bin.train")
# What every training imports sooner or later; the last three for measuring, for its curves and for requests to exports.
_PRELOADED = (
    "smooth_recs.training",
    "smooth_recs.reports.run_report",
    "scipy.optimize",
    "tensorboard.summary.v2",
    "tensorflow_serving.apis.prediction_log_pb2",
)
_MOST_BYTES, _MOST_DESCRIPTORS = 1 << 16, 16

Train = Callable[[str, str], int]
"""Trains the configuration of a file in a workdir, as the train binary does, and returns its exit status."""


class Process(Protocol):
    """What `subprocess.Popen` and a fork have in common."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """The status, or None while it runs; a signal that ended it as a negative number."""

    def wait(self) -> int:
        """Waits for its end, and returns the status."""

    def terminate(self) -> None:
        """Sends SIGTERM, upon which a training saves and ends."""


def start(config: str, workdir: str, log: IO[Any], kept: Sequence[int]) -> Process:
    """Starts the training of a configuration.

    Args:
      config: path of the file.
      workdir: folder of the run.
      log: receives what the process says.
      kept: descriptors that it inherits, such as a lock's.
    """
    if _waiting:
        with contextlib.suppress(OSError):  # whoever waited was killed: trainings are fresh processes from now on
            return _Fork(_waiting[0], config, workdir, [log.fileno(), *kept])
        _waiting.clear()
    return subprocess.Popen(
        [sys.executable, *PROGRAM, f"--config={config}", f"--workdir={workdir}"],
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=kept,
    )


@contextlib.contextmanager
def forked(train: Train) -> Iterator[None]:
    """Within the block every training is a fork of this process, as it is now, that calls `train`.

    TensorFlow is imported and has not been used yet; where it is not, or other threads run, trainings are fresh
    processes as ever.
    """
    if not sys.platform.startswith("linux") or "tensorflow" not in sys.modules or threading.active_count() > 1:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = _fork()
    if not pid:
        ours.close()
        try:
            _wait(theirs, train)
        finally:
            os._exit(1)
    theirs.close()
    _waiting.append(ours)
    try:
        yield
    finally:
        _waiting.clear()
        ours.close()
        os.waitpid(pid, 0)


_waiting: list[socket.socket] = []  # leads to the process that waits, where there is one


class _Fork:
    """A training that was forked; the process that waits says through a socket how it ended."""

    def __init__(self, waiting: socket.socket, config: str, workdir: str, descriptors: Sequence[int]) -> None:
        self.returncode: int | None = None
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(waiting, [json.dumps([config, workdir]).encode()], [theirs.fileno(), *descriptors])
        answer = waiting.recv(64)
        if not answer:
            raise ConnectionError("the process that waits has ended")
        self.pid = int(answer)

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._end], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            said = self._end.recv(64)
            # Without a word the process that waits was killed, and the training may go on: whoever runs the command
            # again waits for it by its lock.
            self.returncode = int(said) if said else -signal.SIGKILL
            self._end.close()
        return self.returncode

    def terminate(self) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12, of forks beside threads: OpenBLAS has some
        return os.fork()


def _wait(command: socket.socket, train: Train) -> None:
    """Forks a training for each request, and says how each ended, until the command has ended."""
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the command, which decides what becomes of trainings
        signal.signal(number, signal.SIG_IGN)
    for module in _PRELOADED:
        with contextlib.suppress(ImportError):  # an extra that is not installed
            importlib.import_module(module)
    gc.freeze()  # no training looks for cycles in what all of them share
    running: dict[int, tuple[int, socket.socket]] = {}  # by pidfd
    while True:
        ready: list[int] = select.select([command.fileno(), *running], [], [])[0]
        for fd in ready:
            if fd in running:
                pid, end = running.pop(fd)
                os.close(fd)
                with end, contextlib.suppress(OSError):  # the command may have ended
                    end.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
                continue
            request, descriptors, _, _ = socket.recv_fds(command, _MOST_BYTES, _MOST_DESCRIPTORS)
            if not request:
                os._exit(0)
            pid = _fork()
            if not pid:
                command.close()
                for other, (_, end) in running.items():
                    os.close(other)
                    end.close()
                os.close(descriptors[0])
                config, workdir = json.loads(request)
                _become(train, config, workdir, descriptors[1])
            command.send(str(pid).encode())
            running[os.pidfd_open(pid)] = pid, socket.socket(fileno=descriptors[0])
            for inherited in descriptors[1:]:
                os.close(inherited)


def _become(train: Train, config: str, workdir: str, log: int) -> None:
    """Is the training from here on, and ends with its status; TensorFlow has nothing to tidy up."""
    status = 1
    try:
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        for number in (1, 2):
            os.dup2(log, number)
        os.close(log)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        random.seed()  # no two forks draw the same numbers, but where a configuration says so
        np.random.seed()
        # The command line that the manifest of a run records starts the training again.
        sys.argv = ["train", f"--config={config}", f"--workdir={workdir}"]
        sys.modules["__main__"].__spec__ = importlib.util.find_spec(PROGRAM[1])
        status = train(config, workdir)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)
