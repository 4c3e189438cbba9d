"""Clusters of small programs on this machine: what each is told, what becomes of each."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time

import pytest
from source_imports import ROOT

from smooth_recs.cluster.local import LocalCluster
from smooth_recs.cluster.task import Task

PRELUDE = """
import json, os, pathlib, signal, subprocess, sys, time
task = json.loads(os.environ["TF_CONFIG"])["task"]
kind, index = task["type"], task["index"]
folder = pathlib.Path(sys.argv[1])

def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.02)

def leave(name, text=""):
    (folder / f"{name}.part").write_text(text)
    (folder / f"{name}.part").rename(folder / name)  # there, or not
"""


def command(folder, body):
    return [sys.executable, "-I", "-S", "-c", PRELUDE + body, str(folder)]


def run(folder, body, **options) -> int:
    return LocalCluster(command(folder, body), logs=str(folder / "logs"), **options).run()


def ended(pid: int) -> bool:
    """True soon after it was killed."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("workers", "servers", "chief", "others"),
    [(3, 0, "worker 0", ["worker-1", "worker-2"]), (2, 2, "chief 0", ["ps-0", "ps-1", "worker-0", "worker-1"])],
)
def test_each_process_is_told_who_it_is(tmp_path, capfd, workers, servers, chief, others):
    body = "print(os.environ['TF_CONFIG'], flush=True)\nprint('noise', file=sys.stderr)"
    body += "\nleave(f'{kind}-{index}-said')\n[wait_for(name) for name in sys.argv[2:]]"
    said = [f"{name}-said" for name in others]
    whole = [*command(tmp_path, body), *said]
    assert LocalCluster(whole, workers=workers, servers=servers, logs=str(tmp_path / "logs")).run() == 0
    shown, told = capfd.readouterr()
    assert "noise" in told
    texts = {chief: shown.strip()}
    for name in others:
        config, noise = (tmp_path / "logs" / f"{name}.log").read_text().splitlines()
        assert noise == "noise"
        texts[name.replace("-", " ")] = config
    tasks = [Task.parse(text) for text in texts.values()]
    assert [f"{task.kind} {task.index}" for task in tasks] == list(texts)
    assert len({json.dumps(task.cluster) for task in tasks}) == 1
    assert set(tasks) == set(tasks[0].members)
    assert tasks[0].is_chief
    assert len(re.findall(r"^local cluster: .*: process \d+", told, re.MULTILINE)) == workers + servers + (servers > 0)


@pytest.mark.parametrize(("end", "status"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", 137), ("pass", 0)])
def test_the_status_is_the_chiefs(tmp_path, end, status):
    body = f"if index == 0:\n    {end}\nelse:\n    sys.exit(3)"
    assert run(tmp_path, body, workers=2) == status


def test_others_may_finish_after_the_chief(tmp_path):
    body = "if index == 1:\n    wait_for('chief')\n    time.sleep(0.5)\nleave(['chief', 'worker'][index])"
    assert run(tmp_path, body, workers=2, grace_seconds=30) == 0
    assert (tmp_path / "worker").exists()


def test_servers_are_told_to_end_once_the_chief_has(tmp_path):
    body = """
if kind == "chief":
    [wait_for(name) for name in ("worker", "ps")]
else:
    signal.signal(signal.SIGTERM, lambda *_: (leave(kind + "-told"), sys.exit()))
    leave(kind)
    time.sleep(1000)
"""
    assert run(tmp_path, body, workers=1, servers=1, grace_seconds=60) == 0
    assert (tmp_path / "worker-told").exists()
    assert (tmp_path / "ps-told").exists()


def test_who_does_not_end_is_killed(tmp_path):
    body = """
if index == 1:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "1000"])
    leave("pids", json.dumps([os.getpid(), child.pid]))
    time.sleep(1000)
wait_for("pids")
sys.exit(1)
"""
    assert run(tmp_path, body, workers=2, grace_seconds=0.3) == 1
    assert all(ended(pid) for pid in json.loads((tmp_path / "pids").read_text()))


FAILS_ONCE = """
if kind == "chief":
    wait_for("second")
elif kind == "worker" and not (folder / "first").exists():
    child = subprocess.Popen(["sleep", "1000"])
    print("first", flush=True)
    leave("first", str(child.pid))
    sys.exit(3)
elif kind == "worker":
    print("second", flush=True)
    leave("second")
    time.sleep(1000)
else:
    wait_for("second")
"""


def test_who_fails_is_started_again(tmp_path, capfd):
    assert run(tmp_path, FAILS_ONCE, workers=1, servers=1, restart=True, grace_seconds=0.3) == 0
    told = capfd.readouterr().err
    assert re.search(r"^local cluster: worker 0 \(127\.0\.0\.1:\d+\) ended with status 3$", told, re.MULTILINE)
    assert len(re.findall(r"^local cluster: worker 0 .*: process \d+", told, re.MULTILINE)) == 2
    assert len(re.findall(r"^local cluster: ps 0 .*: process \d+", told, re.MULTILINE)) == 1
    assert (tmp_path / "logs" / "worker-0.log").read_text() == "first\nsecond\n"
    assert ended(int((tmp_path / "first").read_text()))  # what it had started went with it


def test_who_fails_stays_away_unless_asked_for(tmp_path, capfd):
    body = FAILS_ONCE.replace('wait_for("second")', 'wait_for("first")\n    time.sleep(3)', 1)
    assert run(tmp_path, body, workers=1, servers=1, grace_seconds=0.3) == 0
    assert "ended with status 3" in capfd.readouterr().err
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(("workers", "servers", "lost"), [(2, 0, "worker 1"), (1, 1, "ps 0")])
def test_a_run_ends_that_cannot_go_on_without_one_that_nobody_starts_again(tmp_path, capfd, workers, servers, lost):
    """As TensorFlow waits for a process that died before the others met it; the chief may save first."""
    body = f"""
if f"{{kind}} {{index}}" == "{lost}":
    sys.exit(3)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(leave(f"{{kind}}-{{index}}-ended") or 143))
time.sleep(600)
"""
    assert run(tmp_path, body, workers=workers, servers=servers, lost_seconds=0.5) == 143
    ended = rf"^local cluster: the run cannot go on without {lost} \(.+\), which nobody starts again: it is ended$"
    assert re.search(ended, capfd.readouterr().err, re.MULTILINE)
    assert (tmp_path / f"{'chief' if servers else 'worker'}-0-ended").exists()


def test_a_chief_that_does_not_end_without_the_others_is_killed(tmp_path):
    body = """
if index == 1:
    sys.exit(3)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""
    assert run(tmp_path, body, workers=2, lost_seconds=0.5, grace_seconds=0.5) == 137


def test_a_run_goes_on_without_a_worker_beside_servers(tmp_path):
    body = """
if kind == "worker":
    sys.exit(3)
time.sleep(2 if kind == "chief" else 600)
"""
    assert run(tmp_path, body, workers=1, servers=1, lost_seconds=0.5) == 0


def test_who_is_done_is_not_started_again(tmp_path):
    body = "if index == 1:\n    leave(f'{os.getpid()}-ran')\n    leave('ran')\n"
    body += "else:\n    wait_for('ran')\n    time.sleep(3)"
    assert run(tmp_path, body, workers=2, restart=True) == 0
    assert len(list(tmp_path.glob("*-ran"))) == 1


LASTING = """
child = subprocess.Popen(["sleep", "1000"])
leave(f"{kind}-{index}", str(child.pid))
if kind != "chief":  # which gets ten seconds
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(1000)
"""


@pytest.mark.slow
def test_nothing_is_left_however_the_launcher_ends(tmp_path, launch, end_of):
    ways = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 143}
    clusters = {}
    for way in ways:
        folder = tmp_path / way.name
        folder.mkdir()
        clusters[way] = folder, launch("--workers=1", "--servers=1", command=command(folder, LASTING))
    for way, (folder, cluster) in clusters.items():
        names = ("chief-0", "worker-0", "ps-0")
        cluster.wait_until(lambda folder=folder, names=names: all((folder / name).exists() for name in names))
        pids = [*cluster.pids, *(int((folder / name).read_text()) for name in names)]
        assert len(pids) == 6
        cluster.process.send_signal(way)
        assert cluster.status() == ways[way]
        assert end_of(pids) == []


@pytest.mark.slow
def test_wrong_use_is_said_in_one_line(launch):
    missing = launch("--workers=2", command=["no-such-program-here"])
    none = launch("--workers=0", command=["true"])
    assert (missing.status(), none.status()) == (2, 2)
    assert missing.text.startswith("error: the command cannot be started: ")
    assert "no-such-program-here" in missing.text
    assert none.text == "error: flag --workers=0: 0 is not a positive integer\n"


def test_no_command_is_said(monkeypatch):
    from smooth_recs.bin import local_cluster

    assert local_cluster._split(["local_cluster.py", "--workers=3"]) == (["local_cluster.py", "--workers=3"], [])
    assert local_cluster._split(["x", "--restart", "--", "a", "--", "--b"]) == (["x", "--restart"], ["a", "--", "--b"])
    with pytest.raises(local_cluster.InputError, match="a command must follow --"):
        local_cluster.main()


def test_the_guard_needs_no_package():
    """It is started by its file, without the packages of the interpreter: within milliseconds."""
    source = (ROOT / "smooth_recs" / "cluster" / "_guard.py").read_text("utf-8")
    imported = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    assert imported <= sys.stdlib_module_names
