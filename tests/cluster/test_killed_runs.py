"""Runs of the train binary on a cluster whose processes are killed: the same command goes on, to the last row."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time

import kills
import pytest
from source_imports import ROOT

KILLS = kills.count(0)  # at random moments, of each kind of cluster half

SETTINGS = (
    *("data.eval_examples=1000", "data.shuffle_window=4000", "train.batch_size=32"),
    *("train.evaluations=1", "train.evaluation_examples=1000", "train.checkpoint_seconds=0.5"),
    *("data.synthetic.users=500", "data.synthetic.items=200", "model.hidden_units=16,8", "evaluation.estimate=false"),
    *("evaluation.slices=label", "train.average=200"),
)
# The demo, in a process that saves and waits after so many steps, until it may end: no run ends before it is killed.
CONFIG = """
import time
from pathlib import Path

from smooth_recs.callbacks.checkpoints import Checkpoints
from smooth_recs.experiments import sweeps

may_end = Path({may_end!r})
on_train_batch_end = Checkpoints.on_train_batch_end

def wait(checkpoints, batch, logs=None):
    on_train_batch_end(checkpoints, batch, logs)
    if checkpoints.steps_done >= {steps} and not may_end.exists():
        checkpoints.save_new()
        while not may_end.exists():
            time.sleep(0.05)

Checkpoints.on_train_batch_end = wait

def get_config():
    return sweeps.config_of(Path({demo!r}))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Run:
    """The same command each time it is started, on a cluster."""

    def __init__(self, launch, folder, steps: int) -> None:
        self._launch, self._workdir, self._steps = launch, folder / "run", steps
        self._may_end, config = folder / "may_end", folder / "waiting.py"
        demo = str(ROOT / "configs" / "demo_falling.py")
        config.write_text(CONFIG.format(may_end=str(self._may_end), steps=steps * 2 // 3, demo=demo))
        program = [sys.executable, "-m", "smooth_recs.bin.train", f"--config={config}"]
        settings = [f"--config.{setting}" for setting in (*SETTINGS, f"data.examples={steps * 32}")]
        self._command = [*program, f"--workdir={self._workdir}", *settings]

    def start(self, *flags):
        self._may_end.unlink(missing_ok=True)
        return self._launch(*flags, command=self._command)

    @property
    def reached(self) -> int:
        """Steps of the newest checkpoint."""
        names = self._workdir.glob("checkpoints/ckpt-*.index")
        return max((int(path.stem.removeprefix("ckpt-")) for path in names), default=0)

    def goes_on(self, cluster) -> None:
        """Waits for a checkpoint of more steps."""
        before = self.reached
        cluster.wait_until(lambda: self.reached > before)
        assert self.reached < self._steps

    def kill(self, cluster, task: str) -> None:
        """At any time in training; what waits for the end goes on, and finds out."""
        os.kill(cluster.pid(task), signal.SIGKILL)
        self.may_end()

    def may_end(self) -> None:
        self._may_end.touch()

    def check_finished(self, cluster) -> None:
        assert cluster.status() == 0, cluster.text[-3000:]
        metrics = json.loads((self._workdir / "metrics.json").read_text())
        assert metrics["examples"] == self._steps * 32
        assert self.reached == self._steps
        assert 0 < metrics["pd"]["relative"] != metrics["raw"]["pd"]["relative"]


def errors(cluster) -> list[str]:
    return re.findall(r"^error: (\w+)", cluster.text, re.MULTILINE)


def test_parameter_servers_go_on_without_a_worker_and_resume_after_the_death_of_a_server_and_of_the_chief(
    launch, tmp_path
):
    run, flags = Run(launch, tmp_path, 1500), ("--workers=2", "--servers=2", "--restart")
    cluster = run.start(*flags)
    run.goes_on(cluster)
    os.kill(cluster.pid("worker 0"), signal.SIGKILL)
    run.goes_on(cluster)
    run.kill(cluster, "ps 0")
    assert cluster.status() == 1
    assert errors(cluster) == ["UnavailableError"]

    cluster = run.start(*flags)
    run.goes_on(cluster)
    run.kill(cluster, "chief 0")
    assert cluster.status() == 128 + signal.SIGKILL

    cluster = run.start(*flags)
    run.may_end()
    run.check_finished(cluster)


def test_in_step_a_worker_is_killed_or_preempted_and_all_start_again(launch, tmp_path):
    run = Run(launch, tmp_path, 300)
    cluster = run.start("--workers=2")
    run.goes_on(cluster)
    run.kill(cluster, "worker 1")
    assert cluster.status() == 1
    assert len(errors(cluster)) == 1

    cluster = run.start("--workers=2")
    run.goes_on(cluster)
    before = run.reached
    os.kill(cluster.pid("worker 1"), signal.SIGTERM)  # as Kubernetes preempts a pod: the chief hears of it
    run.may_end()
    assert cluster.status() == 128 + signal.SIGTERM, cluster.text[-3000:]
    assert errors(cluster) == []
    assert run.reached > before

    cluster = run.start("--workers=2")
    run.may_end()
    run.check_finished(cluster)


@pytest.mark.skipif(not kills.IS_SOAK, reason="make soak: the tests above kill each kind of process once")
@pytest.mark.timeout(600 + 120 * KILLS)
@pytest.mark.parametrize(("servers", "steps"), [(0, 600), (1, 1500)], ids=["in step", "parameter servers"])
def test_at_random_moments_any_process_is_killed(launch, tmp_path, servers, steps):
    made = kills.Kills("workers in step" if not servers else "parameter servers")
    run, flags = (
        Run(launch, tmp_path, steps),
        ("--workers=2", f"--servers={servers}", "--restart")[: 3 if servers else 1],
    )
    names = ["chief 0", "worker 0", "worker 1", "ps 0"] if servers else ["worker 0", "worker 1"]
    for _ in range(KILLS // 2):
        cluster = run.start(*flags)
        starts = made.chance.random() < 0.3 or run.reached >= steps // 2
        task, number = made.chance.choice(names), made.signal()
        if not starts:
            run.goes_on(cluster)
        time.sleep(made.chance.uniform(0, 6 if starts else 1))
        with contextlib.suppress(ProcessLookupError):  # it may have ended before
            os.kill(cluster.pid(task), number)
        run.may_end()
        if servers and task.startswith("worker"):  # the others train on, and it comes back
            time.sleep(made.chance.uniform(0, 2))
            cluster.process.send_signal(signal.SIGTERM)
        status = cluster.status()
        made.note(
            "starting" if starts else "training", number, f"{task}, {run.reached} steps are safe, status {status}"
        )
        assert status != 0 or run.reached == steps
        assert "Traceback" not in cluster.text, cluster.text[-3000:]
    cluster = run.start(*flags)
    run.may_end()
    run.check_finished(cluster)
    made.summary(0, [])
