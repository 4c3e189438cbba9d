"""Processes of Python that begin with TensorFlow imported: each is a fork of one that waits, and saves 5 to 8 seconds.

One waits for each generation of Keras that is asked for, on behalf of all workers of a test run.

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
GENERATION = "TF_USE_LEGACY_KERAS"  # counts when TensorFlow is imported
BACKEND = "KERAS_BACKEND"
LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # TensorFlow looks once
FOLDER = "SMOOTH_RECS_WARM_PROCESSES"  # where those that wait are asked, of this test run
# What most programs import later than at their start.
LATE = (
    *("smooth_recs.reports.run_report", "smooth_recs.data.synthetic", "tensorboard.summary.v2", "scipy.optimize"),
    *("scipy.special", "ml_collections.config_flags", "tensorflow_serving.apis.prediction_log_pb2", "yaml"),
)
COLD = ("smooth_recs.serving.loader_process",)  # has no Python TensorFlow, which is the point of it
_MOST_BYTES = 1 << 20
_FREE = 500  # descriptors from here on belong to nobody
_ENOUGH = b"enough"


class Warm(subprocess.Popen):  # type: ignore[type-arg]
    """As `subprocess.Popen`, of which it replaces how a process comes to be and how its end is heard of."""

    _end: socket.socket | None = None  # says the status; None for a process that was started as ever

    def _execute_child(self, args: Any, executable: Any, preexec: Any, close: Any, pass_fds: Any, *rest: Any) -> None:
        cwd, env, _, _, _, *pipes = rest[:11]
        new_group = rest[16]
        environment = {os.fsdecode(k): os.fsdecode(v) for k, v in (os.environ if env is None else env).items()}
        program = [] if isinstance(args, str) else [os.fspath(argument) for argument in args]
        generation = "" if preexec else _generation(program, environment)
        if not generation:
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
            self._end.connect(_address(generation))
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


def _generation(program: list[str], environment: dict[str, str]) -> str:
    """The value of `GENERATION` with which TensorFlow is to be there already; empty where the process imports it."""
    if len(program) < 2 or program[0] != sys.executable:
        return ""
    if environment.get(BACKEND, "tensorflow") != "tensorflow":
        return ""
    if program[1] == "-m":
        warm = program[2].partition(".")[0] == "smooth_recs" and program[2] not in COLD
    else:
        warm = program[1:3] == ["-X", "warm"] or (
            program[1].endswith(".py") and ROOT in Path(program[1]).resolve().parents
        )
    asked = {"--keras=2": "1", "--keras=3": "0"}
    chosen = [asked[argument] for argument in program if argument in asked]
    generation = chosen[-1] if chosen else environment.get(GENERATION, "")
    return generation if warm and generation in asked.values() else ""


def _address(generation: str) -> str:
    """Where the process that waits can be asked; it is started by the first that needs it."""
    address = os.path.join(_home["folder"], generation)
    if not os.path.exists(address):
        with open(f"{address}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(address):
                _start(address, generation)
    return address


def _start(address: str, generation: str) -> None:
    ours, theirs = socket.socketpair()
    environment = _home["environment"]
    found = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    with ours, theirs:
        waits = _POPEN(
            [sys.executable, __file__, address, _home["owner"], str(theirs.fileno())],
            env=environment | {"PYTHONPATH": found, GENERATION: generation, LOG_LEVEL: "3"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
        )
        waits.returncode = 0  # nobody waits for it: it ends with the test run
        theirs.close()
        assert ours.recv(1), "it has not come to wait"


_home: dict[str, Any] = {}  # of the test run, in its processes and in forks of those that wait
_POPEN = subprocess.Popen


def install() -> None:
    """In the first process of a test run makes its folder, which the workers find in their environment."""
    subprocess.Popen = Warm  # type: ignore[misc]
    if _home:
        return
    if FOLDER not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="warm")
        os.environ[FOLDER] = f"{os.getpid()}:{folder.name}"
        atexit.register(_end, folder, os.getpid())
    owner, _, name = os.environ[FOLDER].partition(":")
    _home.update(owner=owner, folder=name, environment=dict(os.environ))


def _end(folder: tempfile.TemporaryDirectory[str], owner: int) -> None:
    """Ends those that wait, and all that they have started."""
    if os.getpid() != owner:  # a fork of it
        return
    for address in Path(folder.name).glob("[01]"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection, contextlib.suppress(OSError):
            connection.connect(str(address))
            connection.send(_ENOUGH)
            connection.recv(1)  # nothing, once it has ended
    folder.cleanup()


def _wait(address: str, owner: int, starter: socket.socket) -> None:
    """Answers requests until the process `owner` says or ends; in a fork, becomes what was asked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    import tensorflow as tf

    assert tf.keras
    for module in ("smooth_recs.training", *LATE):
        importlib.import_module(module)
    from smooth_recs.reports import page
    from smooth_recs.serving import model_card

    for environment in (page._environment(), model_card._environment()):
        for template in environment.list_templates(["j2"]):
            environment.get_template(template)
    gc.collect()
    gc.set_threshold(50_000, 10, 10)
    gc.freeze()  # what is there stays, and is not looked through again in every fork
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12, of forks where there are threads: OpenBLAS's
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{address}.new")
    listener.listen(64)
    os.rename(f"{address}.new", address)
    starter.send(b"!")
    starter.close()
    test_run = os.pidfd_open(owner)
    running: dict[int, tuple[int, socket.socket]] = {}  # by pidfd
    with selectors.DefaultSelector() as selector:
        for source in (test_run, listener):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj == test_run:
                    _kill(running)
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
                if message == _ENOUGH:
                    _kill(running)
                    return
                if not message:  # whoever connected has ended
                    connection.close()
                    continue
                request = json.loads(message)
                pid = os.fork()
                if not pid:
                    for fd in (test_run, *running):
                        os.close(fd)
                    for each in (listener, connection, *(other for _, other in running.values())):
                        each.close()
                    selector.close()
                    _become(received, **request)
                for fd in received:
                    os.close(fd)
                os.setpgid(pid, request["group"])
                connection.send(str(pid).encode())
                fd = os.pidfd_open(pid)
                running[fd] = pid, connection
                selector.register(fd, selectors.EVENT_READ)


def _kill(running: dict[int, tuple[int, socket.socket]]) -> None:
    for pid, _ in running.values():
        os.kill(pid, signal.SIGKILL)


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

    warm_processes.install()
    warm_processes._wait(sys.argv[1], int(sys.argv[2]), socket.socket(fileno=int(sys.argv[3])))
