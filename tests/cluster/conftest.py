"""Real clusters on loopback, started and broken by tests."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from source_imports import ROOT

LAUNCHER = [sys.executable, "-m", "smooth_recs.bin.local_cluster"]
TRAINING = [sys.executable, str(Path(__file__).with_name("small_training.py"))]
COLD = [TRAINING[0], "-B", *TRAINING[1:]]  # takes as long to start as it does for users (warm_processes.py)
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "TF_CONFIG"},
    "PYTHONPATH": str(ROOT),
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
PATIENCE = 240  # seconds, of a machine with much else to do


class Output:
    """A process, and what it has written so far to a file of its own."""

    def __init__(self, command, path, **environment):
        self.path = path
        with open(path, "wb") as written:
            self.process = subprocess.Popen(
                command, stdout=written, stderr=subprocess.STDOUT, env=ENVIRONMENT | environment, cwd=path.parent
            )

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8", "replace")

    def wait_for(self, pattern: str, after: int = 0) -> re.Match[str]:
        """The first match in what was written after so many characters."""
        found = []

        def seen() -> bool:
            found.extend(re.finditer(pattern, self.text[after:], re.MULTILINE))
            return bool(found)

        self.wait_until(seen)
        return found[0]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            ended = self.process.poll() is not None  # what it wrote last is still looked at
            assert condition() or not ended, f"status {self.process.returncode}: {self.text[-2000:]}"
            assert time.monotonic() < deadline, self.text[-2000:]
            time.sleep(0.1)

    def status(self) -> int:
        return self.process.wait(PATIENCE)


class Cluster(Output):
    """A launcher and its cluster."""

    def pid(self, task: str) -> int:
        """Of the process that was last started for `task`, such as "worker 1"."""
        self.wait_for(rf"^local cluster: {task} .*: process \d+")
        return int(re.findall(rf"^local cluster: {task} .*: process (\d+)", self.text, re.MULTILINE)[-1])

    @property
    def pids(self) -> list[int]:
        return [int(pid) for pid in re.findall(r": process (\d+)", self.text)]


def alive(pid: int) -> bool:
    """False for one that has ended, or waits only for its parent to hear of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def end_of():
    """Waits for processes to end; returns those still alive after a while."""

    def wait(pids: list[int]) -> list[int]:
        deadline = time.monotonic() + 30
        while any(map(alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [pid for pid in pids if alive(pid)]

    return wait


@pytest.fixture
def launch(tmp_path):
    """Starts a command as a local cluster; whatever happens, nothing of it is left after the test."""
    clusters = []

    def start(*flags, command=None, training=(), cold=False):
        run = command or [*(COLD if cold else TRAINING), *map(str, training)]
        arguments = [*LAUNCHER, *flags, f"--logs={tmp_path / 'logs'}", "--", *run]
        clusters.append(Cluster(arguments, tmp_path / f"launcher-{len(clusters)}.txt"))
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.process.kill()
        cluster.process.wait()
        for pid in cluster.pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


@pytest.fixture
def start_task(tmp_path):
    """Starts the small training as one process of a cluster; none is left after the test."""
    started = []

    def start(cluster, kind, training=(1, 1, 1), chief_seconds=100, cold=False):
        config = {"cluster": cluster, "task": {"type": kind, "index": 0}}
        environment = {"TF_CONFIG": json.dumps(config), "CHIEF_SECONDS": str(chief_seconds)}
        command = [*(COLD if cold else TRAINING), *map(str, training)]
        started.append(Output(command, tmp_path / f"{kind}-{len(started)}.txt", **environment))
        return started[-1]

    yield start
    for task in started:
        task.process.kill()
        task.process.wait()
