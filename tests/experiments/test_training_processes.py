"""Trainings that are forks: processes like any, with a log, a status, signals and locks of their own."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# `train` stands for the train binary: what it does is in the configuration. TensorFlow need only seem to be imported.
COMMAND = """
import json, os, random, sys, time, types
sys.modules.setdefault("tensorflow", types.ModuleType("tensorflow"))
from smooth_recs.experiments import training_processes
from smooth_recs.workdir.manifest import command

training_processes._PRELOADED = ()
training_processes.PROGRAM = ("-m", "smooth_recs.bin.train")

def train(config, workdir):
    asked = json.load(open(config))
    said = {"pid": os.getpid(), "argv": sys.argv, "command": command(), "random": random.random()}
    print(json.dumps(said), flush=True)
    print("to standard error", file=sys.stderr)
    time.sleep(asked.get("seconds", 0))
    return asked["status"]

def started(name, **asked):
    with open(name, "w") as file:
        json.dump(asked, file)
    log = open(f"{name}.log", "ab")
    lock = os.open(f"{name}.lock", os.O_RDWR | os.O_CREAT)
    import fcntl
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = training_processes.start(name, "runs/x", log, (lock,))
    os.close(lock)
    return process

with training_processes.forked(train):
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks are made on Linux alone")


def started(folder: Path, body: str) -> subprocess.Popen[str]:
    (folder / "program.py").write_text(COMMAND + "".join(f"    {line}\n" for line in body.splitlines()))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "program.py"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def done(folder: Path, body: str) -> str:
    process = started(folder, body)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    return said


def is_locked(path: Path) -> bool:
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def wait_for(path: Path) -> list[str]:
    end = time.monotonic() + 60
    while not (path.exists() and path.read_text().count("\n") >= 1):
        assert time.monotonic() < end
        time.sleep(0.02)
    return path.read_text().splitlines()


def test_statuses_logs_and_command_lines_are_their_own(tmp_path: Path) -> None:
    body = """
two = [started("a", status=0, seconds=0.3), started("b", status=4)]
print([process.wait() for process in two], [process.poll() for process in two])
"""
    assert done(tmp_path, body) == "[0, 4] [0, 4]\n"
    first, second = (json.loads(wait_for(tmp_path / f"{name}.log")[0]) for name in "ab")
    assert first["pid"] != second["pid"]
    assert first["random"] != second["random"]
    assert first["command"] == "python -m smooth_recs.bin.train --config=a --workdir=runs/x"
    assert "to standard error" in (tmp_path / "b.log").read_text()


def test_a_signal_that_ends_one_is_its_status(tmp_path: Path) -> None:
    body = """
one, other = started("a", status=0, seconds=60), started("b", status=0, seconds=60)
assert one.poll() is None
one.terminate()
os.kill(other.pid, 9)
print(one.wait(), other.wait())
"""
    assert done(tmp_path, body).split() == ["-15", "-9"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_outlives_its_command_with_its_lock(tmp_path: Path, number: signal.Signals) -> None:
    process = started(tmp_path, 'started("a", status=0, seconds=60).wait()')
    training = json.loads(wait_for(tmp_path / "a.log")[0])["pid"]
    assert is_locked(tmp_path / "a.lock")
    process.send_signal(number)
    process.communicate(timeout=60)
    time.sleep(0.3)
    assert is_locked(tmp_path / "a.lock")
    os.kill(training, signal.SIGKILL)
    end = time.monotonic() + 60
    while is_locked(tmp_path / "a.lock"):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_where_whoever_waits_is_killed_trainings_are_fresh_processes(tmp_path: Path) -> None:
    body = """
import subprocess
one = started("a", status=0, seconds=60)
parent = int(open(f"/proc/{one.pid}/stat").read().rpartition(")")[2].split()[1])
assert parent != os.getpid()
os.kill(parent, 9)
print(one.wait())
os.kill(one.pid, 9)
training_processes.PROGRAM = ("-c", "import sys; print(sys.argv[1]); sys.exit(3)")
print(started("b", status=0).wait())
"""
    assert done(tmp_path, body).split() == ["-9", "3"]
    assert wait_for(tmp_path / "b.log") == ["--config=b"]


def test_beside_other_threads_they_are_fresh_processes(tmp_path: Path) -> None:
    thread = "import threading\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nwith "
    body = """
    training_processes.PROGRAM = ("-c", "import sys; print(sys.argv[1]); sys.exit(3)")
    print(started("b", status=0).wait())
    sys.stdout.flush()
    os._exit(0)
"""
    (tmp_path / "program.py").write_text(COMMAND.replace("\nwith ", f"\n{thread}") + body)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (said.returncode, said.stdout) == (0, "3\n"), said.stderr
