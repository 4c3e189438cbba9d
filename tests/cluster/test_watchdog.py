"""What the watchdog says and when it ends a run; the other processes are heartbeats in threads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from source_imports import ROOT

from smooth_recs.cluster import watchdog
from smooth_recs.cluster.liveness import Heartbeat
from smooth_recs.cluster.local import free_ports
from smooth_recs.cluster.task import Task
from smooth_recs.cluster.watchdog import Watchdog

WARN = 1.0
LONG = 1000.0
SINCE = r"has not answered since \d\d:\d\d:\d\d"


class Training(threading.Thread):
    """Steps that end, one after the other, until training is over."""

    def __init__(self, dog):
        super().__init__(daemon=True)
        self._dog, self._over = dog, threading.Event()

    def run(self):
        while not self._over.wait(0.02):
            self._dog.on_train_batch_end(1)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()


class Room:
    """A chief's cluster, its watchdog's lines and how it ended."""

    def __init__(self, monkeypatch, capsys) -> None:
        addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
        cluster = {"chief": addresses[:1], "worker": addresses[1:2], "ps": addresses[2:]}
        self.task = Task.parse(json.dumps({"cluster": cluster, "task": {"type": "chief", "index": 0}}))
        self.worker, self.ps = (Heartbeat(peer.heartbeat_port) for peer in self.task.peers)
        self.ended = []
        self.said = ""
        self._capsys = capsys
        monkeypatch.setattr(watchdog.os, "_exit", self.ended.append)

    def wait_for(self, pattern: str) -> None:
        """Until the lines from here on have the pattern; they are used up."""
        deadline = time.monotonic() + 60
        while not (found := re.search(pattern, self.said, re.MULTILINE)):
            assert time.monotonic() < deadline, f"{pattern!r} not in {self.said!r}"
            time.sleep(0.02)
            self.said += self._capsys.readouterr().err
        self.said = self.said[found.end() :]

    def close(self) -> None:
        for beat in (self.worker, self.ps):
            beat.close()


@pytest.fixture
def room(monkeypatch, capsys):
    made = Room(monkeypatch, capsys)
    yield made
    made.close()


def test_a_silent_process_is_named_once_while_training_goes_on(room):
    with Watchdog(room.task, WARN, LONG, LONG) as dog, Training(dog):
        room.worker.close()
        room.wait_for(r"^watchdog: worker 0 \(127\.0\.0\.1:\d+\) has not answered.*; training goes on$")
        room.ps.close()
        room.wait_for(r"^watchdog: worker 0 .* has not answered.*, ps 0 .* has not answered.*; training goes on$")
        room.ps = Heartbeat(room.task.peers[1].heartbeat_port)
        room.wait_for(r"^watchdog: ps 0 \(127\.0\.0\.1:\d+\): there$")
    assert room.ended == []


def test_a_stall_is_told_with_who_is_silent_since_when(room):
    with Watchdog(room.task, WARN, LONG, LONG) as dog:
        with Training(dog):
            time.sleep(WARN)
        room.ps.close()
        room.wait_for(rf"^watchdog: no training step has ended for \d+ s: ps 0 \(127\.0\.0\.1:\d+\) {SINCE}$")
        dog.on_train_batch_end(2)
        room.wait_for(rf"^watchdog: ps 0 .* {SINCE}; training goes on$")
    assert room.ended == []


def test_a_stall_without_a_silent_process_is_told_and_its_end_too(room):
    with Watchdog(room.task, WARN, LONG, LONG) as dog:
        dog.on_train_batch_end(1)
        room.wait_for(r"^watchdog: no training step has ended for \d+ s: all 2 other processes answer$")
        dog.on_epoch_end(0)
        room.wait_for(r"^watchdog: training goes on$")


def test_a_run_that_stands_still_ends(room):
    room.worker.close()
    with Watchdog(room.task, WARN, 2 * WARN, LONG) as dog:
        time.sleep(2.5 * WARN)
        assert room.ended == []  # no step has ended yet: the other limit holds
        dog.on_train_batch_end(1)
        room.wait_for(
            r"^error: no training step has ended for \d+ s: worker 0 \(127\.0\.0\.1:\d+\) has not answered yet; "
            r"the same command resumes the run from its last checkpoint$"
        )
        assert set(room.ended) == {1}


def test_a_run_that_does_not_begin_ends(room):
    room.ps.close()
    with Watchdog(room.task, WARN, LONG, 2 * WARN):
        room.wait_for(r"^watchdog: no training step has ended for \d+ s: ps 0 .* has not answered yet$")
        room.wait_for(r"^error: no training step has ended for \d+ s: ps 0 .* has not answered yet; the same command")
        assert set(room.ended) == {1}


def test_after_fit_the_longer_limit_holds_again(room):
    with Watchdog(room.task, WARN, 2 * WARN, LONG) as dog:
        dog.on_train_batch_end(1)
        dog.on_train_end()
        time.sleep(3 * WARN)
    assert room.ended == []


def test_a_start_that_is_slow_is_no_matter_while_all_answer(room):
    with Watchdog(room.task, WARN, LONG, WARN):
        time.sleep(2.5 * WARN)
        assert room.ended == []
        room.worker.close()
        room.wait_for(r"^watchdog: no training step has ended for \d+ s: worker 0 ")
        room.wait_for("^error: ")


LOCKED = """
import ctypes, json
from smooth_recs.cluster import watchdog
from smooth_recs.cluster.local import free_ports
from smooth_recs.cluster.task import Task

watchdog._LOCKED_SECONDS = 1
config = {"cluster": {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}, "task": {"type": "worker"}}
with watchdog.Watchdog(Task.parse(json.dumps(config)), 100, 100, 1):
    ctypes.PyDLL(None).sleep(100)  # as TensorFlow does: it waits with Python's lock held
"""


@pytest.mark.slow
def test_a_process_whose_threads_cannot_run_ends_too():
    done = subprocess.run([sys.executable, "-c", LOCKED], capture_output=True, text=True, timeout=90, cwd=ROOT)
    assert done.returncode == 1
    assert "Timeout (0:00:02)!" in done.stderr


@pytest.mark.both_generations
@pytest.mark.slow
def test_in_fit_it_is_a_callback_like_any_other(room):
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    with Watchdog(room.task, WARN, LONG, LONG) as dog:
        model.fit(np.ones((32, 1)), np.ones(32), batch_size=8, callbacks=[dog], verbose=0)
    assert room.ended == []
