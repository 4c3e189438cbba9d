"""Clusters that train: real processes, and what happens when one is killed or stopped."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from smooth_recs.cluster import liveness
from smooth_recs.cluster.local import cluster as addresses
from smooth_recs.cluster.task import Task

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FOREVER = 10**9
ROWS = 100_000
LONG = 1000


def test_two_workers_train_in_step(launch, tmp_path):
    both = launch("--workers=2", training=(20, 2, ROWS))
    assert both.status() == 0, both.text
    said = r"^epoch \d loss .*$|^trained .*$"
    chief = re.findall(said, both.text, re.MULTILINE)
    assert chief[-1] == "trained 40 steps with CollectiveAllReduceStrategy"
    assert len(chief) == 3
    assert re.findall(said, (tmp_path / "logs" / "worker-1.log").read_text(), re.MULTILINE) == chief


def test_parameter_servers_go_on_while_workers_die_return_and_stop(launch, end_of):
    settings = (FOREVER, 1, ROWS, 3, LONG, LONG)
    # Cold: a worker that comes back within the 3 seconds has not been missed.
    cluster = launch("--workers=2", "--servers=2", "--restart", training=settings, cold=True)
    cluster.wait_for(r"^step 100$")
    killed, stopped = cluster.pid("worker 0"), cluster.pid("worker 1")

    before = len(cluster.text)
    os.kill(killed, signal.SIGKILL)
    cluster.wait_for(r"^local cluster: worker 0 .* ended with status 137$", before)
    cluster.wait_for(r"^watchdog: .*worker 0 .* has not answered since .*; training goes on$", before)
    cluster.wait_for(r"^watchdog: .*worker 0 .*: there$", before)
    assert cluster.pid("worker 0") != killed

    before = len(cluster.text)
    os.kill(stopped, signal.SIGSTOP)
    cluster.wait_for(r"^watchdog: .*worker 1 \(127\.0\.0\.1:\d+\) has not answered since \d\d:\d\d:\d\d", before)
    # More steps than can wait for a worker: the one that returned makes them.
    step = max(map(int, re.findall(r"^step (\d+)$", cluster.text, re.MULTILINE)))
    cluster.wait_for(rf"^step {(step // 100 + 20) * 100}$")

    cluster.process.kill()
    assert end_of(cluster.pids) == []


def test_a_stopped_parameter_server_ends_the_run_in_a_line(launch, end_of):
    cluster = launch("--workers=1", "--servers=1", training=(FOREVER, 1, ROWS, 3, 20, LONG))
    cluster.wait_for(r"^step 100$")
    os.kill(cluster.pid("ps 0"), signal.SIGSTOP)
    assert cluster.status() == 1
    silent = r"no training step has ended for \d+ s: ps 0 \(127\.0\.0\.1:\d+\) has not answered since \d\d:\d\d:\d\d"
    assert re.search(rf"^watchdog: {silent}$", cluster.text, re.MULTILINE)
    assert re.search(rf"^error: {silent}; the same command resumes the run", cluster.text, re.MULTILINE)
    assert end_of(cluster.pids) == []


def test_servers_outlive_their_chief_and_serve_the_next(start_task):
    cluster = addresses(1, 1)
    servers = [start_task(cluster, kind) for kind in ("worker", "ps")]
    first = start_task(cluster, "chief", training=(FOREVER, 1, ROWS, 5, LONG, LONG))
    first.wait_for(r"^step 100$")
    first.process.kill()
    first.process.wait()
    # Cold: the servers have the time to see that the first is gone.
    second = start_task(cluster, "chief", training=(50, 2, ROWS, 5, LONG, LONG), cold=True)
    assert second.status() == 0, second.text
    assert "trained 100 steps with ParameterServerStrategy" in second.text
    assert "table parts 1" in second.text
    assert [server.status() for server in servers] == [0, 0]  # the chief has said that it is done


def test_a_worker_that_never_starts_ends_the_run_in_a_line(start_task):
    first = start_task(addresses(2, 0), "worker", training=(10, 1, ROWS, 1, LONG, 4))
    assert first.status() == 1
    missing = r"no training step has ended for \d+ s: worker 1 \(127\.0\.0\.1:\d+\) has not answered yet"
    assert re.search(rf"^watchdog: {missing}$", first.text, re.MULTILINE)
    assert re.search(rf"^error: {missing}; the same command", first.text, re.MULTILINE)


def test_a_server_ends_when_told_or_when_no_chief_comes(start_task):
    cluster = addresses(1, 1)
    told, alone = start_task(cluster, "ps", chief_seconds=LONG), start_task(cluster, "worker", chief_seconds=1)
    while liveness.ping(Task("ps", 0, cluster)) is None:
        assert told.process.poll() is None, told.text
        time.sleep(0.05)
    told.process.send_signal(signal.SIGTERM)
    assert told.status() == 128 + signal.SIGTERM
    assert alone.status() == 1
    assert f"TimeoutError: chief 0 ({cluster['chief'][0]}) has not answered for 1 s" in alone.text
