"""Processes of Python that begin with TensorFlow imported: each is a fork of one that waits, and saves 5 to 8 seconds.

`subprocess.Popen` becomes `Warm` for the tests (conftest.py) and for all that a warm process starts itself, such as
the cells of a sweep. It takes over `python -m smooth_recs...`, the files of this repository, and `python -X warm -c`;
anything else, above all `python -X importtime`, `python -B FILE` and a plain `python -c`, is started as ever.

A warm process is a real one: arguments, environment, files, working directory, process group, signals and status are
its own. What differs: its modules are there already, its parent is the process that waits, and a session of its own is
a process group only.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GENERATION = "TF_USE_LEGACY_KERAS"  # counts when TensorFlow is imported; hardly a process is started under Keras 3
# What most programs import later than at their start.
LATE = ("smooth_recs.reports.run_report", "tensorboard.summary.v2", "scipy.optimize", "scipy.special")
COLD = ("smooth_recs.serving.loader_process",)  # has no Python TensorFlow, which is the point of it
_MOST_BYTES = 1 << 20
_FREE = 500  # descriptors from here on belong to nobody


class Warm(subprocess.Popen):  # type: ignore[type-arg]
    """As `subprocess.Popen`, of which it replaces how a process comes to be and how its end is heard of."""

    _end: socket.socket | None = None  # says the status; None for a process that was started as ever

    def _execute_child(self, args: Any, executable: Any, preexec: Any, close: Any, pass_fds: Any, *rest: Any) -> None:
        cwd, env, _, _, _, *pipes = rest[:11]
        new_group = rest[16]
        environment = {os.fsdecode(k): os.fsdecode(v) for k, v in (os.environ if env is None else env).items()}
        program = [] if isinstance(args, str) else [os.fspath(argument) for argument in args]
        if preexec or not _is_warm(program, environment):
            super()._execute_child(args, executable, preexec, close, pass_fds, *rest)  # type: ignore[misc]
            return
        given, _, _, output, _, error = pipes
        standard = [number if fd == -1 else fd for number, fd in enumerate((given, output, error))]
        request = {
            "program": program[1:],
            "environment": environment,
            "cwd": os.fspath(cwd or os.getcwd()),
            "group": 0 if new_group else os.getpgrp(),
            "descriptors": [0, 1, 2, *pass_fds],
        }
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._end.connect(_address())
            socket.send_fds(self._end, [json.dumps(request).encode()], [*standard, *pass_fds])
            self.pid = int(self._end.recv(64))
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
        self._child_created = True

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if self._end is None:
            return super()._try_wait(flags)  # type: ignore[misc, no-any-return]
        if flags and not select.select([self._end], [], [], 0)[0]:
            return 0, 0
        status = int(self._end.recv(64))
        self._end.close()
        return self.pid, status

    def _internal_poll(self, *args: Any, **kwargs: Any) -> int | None:
        if self._end is None:
            return super()._internal_poll(*args, **kwargs)  # type: ignore[misc, no-any-return]
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


def _is_warm(program: list[str], environment: dict[str, str]) -> bool:
    if len(program) < 2 or program[0] != sys.executable:
        return False
    if environment.get(GENERATION) != os.environ[GENERATION]:
        return False
    if f"--keras={3 if os.environ[GENERATION] == '1' else 2}" in program:
        return False
    if program[1:3] == ["-X", "warm"]:
        return True
    if program[1] == "-m":
        return program[2].startswith("smooth_recs.") and program[2] not in COLD
    return program[1].endswith(".py") and ROOT in Path(program[1]).resolve().parents


_known: list[str] = []  # the address, in the process that has asked for it and in its forks


def _address() -> str:
    """Where the process that waits can be asked; it is started by the first that needs it, and ends with that one."""
    if not _known:
        folder = tempfile.TemporaryDirectory(prefix="warm")
        address = os.path.join(folder.name, "socket")
        ours, theirs = socket.socketpair()
        found = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        waits = _POPEN(
            [sys.executable, __file__, address, str(theirs.fileno())],
            env=os.environ | {"PYTHONPATH": found, "TF_CPP_MIN_LOG_LEVEL": "3"},  # TensorFlow looks once
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
        )
        theirs.close()
        assert ours.recv(1), "it has not come to wait"

        def end() -> None:
            ours.close()
            waits.wait()
            folder.cleanup()

        atexit.register(end)
        _known.append(address)
    return _known[0]


_POPEN = subprocess.Popen


def install() -> None:
    subprocess.Popen = Warm  # type: ignore[misc]


def _wait(address: str, owner: socket.socket) -> None:
    """Answers requests until the process that `owner` leads to has ended; in a fork, becomes what was asked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    import tensorflow as tf

    assert tf.keras
    for module in ("smooth_recs.training", *LATE):
        importlib.import_module(module)
    gc.collect()
    gc.set_threshold(50_000, 10, 10)
    gc.freeze()  # what is there stays, and is not looked through again in every fork
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12, of forks where there are threads: OpenBLAS's
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen(64)
    owner.send(b"!")
    running: dict[int, tuple[int, socket.socket]] = {}  # by pidfd
    with selectors.DefaultSelector() as selector:
        for source in (owner, listener):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is owner:
                    for pid, _ in running.values():
                        os.kill(pid, signal.SIGKILL)
                    return
                if key.fileobj is not listener:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    pid, connection = running.pop(key.fd)
                    with connection, contextlib.suppress(OSError):  # whoever asked may have ended
                        connection.send(str(os.waitpid(pid, 0)[1]).encode())
                    continue
                connection, _ = listener.accept()
                message, received, _, _ = socket.recv_fds(connection, _MOST_BYTES, 64)
                request = json.loads(message)
                pid = os.fork()
                if not pid:
                    for fd in running:
                        os.close(fd)
                    for each in (owner, listener, connection, *(other for _, other in running.values())):
                        each.close()
                    selector.close()
                    _known.append(address)
                    _become(received, **request)
                for fd in received:
                    os.close(fd)
                os.setpgid(pid, request["group"])
                connection.send(str(pid).encode())
                fd = os.pidfd_open(pid)
                running[fd] = pid, connection
                selector.register(fd, selectors.EVENT_READ)


def _become(
    received: list[int], program: list[str], environment: dict[str, str], cwd: str, descriptors: list[int], group: int
) -> None:
    """Runs the program as `python` does, and ends the process; without what TensorFlow tidies up at an end."""
    import numpy as np

    free = [fcntl.fcntl(fd, fcntl.F_DUPFD, _FREE) for fd in received]
    for fd, number in zip(free, descriptors, strict=True):
        os.dup2(fd, number)
    for fd in {*free, *received} - {*descriptors}:
        os.close(fd)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    np.random.seed()
    install()
    sys.orig_argv = [sys.executable, *program]
    status = 0
    try:
        if program[:3] == ["-X", "warm", "-c"]:
            sys.path[0], sys.argv = "", ["-c", *program[4:]]
            exec(compile(program[3], "<string>", "exec"), {"__name__": "__main__"})
        elif program[0] == "-m":
            sys.path[0], sys.argv = cwd, program[1:]
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            sys.path[0], sys.argv = os.path.dirname(program[0]), program
            runpy.run_path(program[0], run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    import warm_processes  # by the name under which forks find what is installed

    warm_processes._wait(sys.argv[1], socket.socket(fileno=int(sys.argv[2])))
