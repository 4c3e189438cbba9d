"""Runs of the train binary on a cluster whose processes are killed: the same command goes on, to the last row."""

from __future__ import annotations

import json
import os
import re
import signal
import sys

import pytest
from source_imports import ROOT

SETTINGS = (
    *("data.eval_examples=1000", "data.shuffle_window=4000", "train.batch_size=32"),
    *("train.evaluations=1", "train.evaluation_examples=1000", "train.checkpoint_seconds=0.5"),
    *("data.synthetic.users=500", "data.synthetic.items=200", "model.hidden_units=16,8", "evaluation.estimate=false"),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Run:
    """The same command each time it is started, on a cluster."""

    def __init__(self, launch, workdir, steps: int) -> None:
        self._launch, self._workdir, self._steps = launch, workdir, steps
        program = [sys.executable, "-m", "smooth_recs.bin.train", f"--config={ROOT}/configs/demo.py"]
        settings = [f"--config.{setting}" for setting in (*SETTINGS, f"data.examples={steps * 32}")]
        self._command = [*program, f"--workdir={workdir}", *settings]

    def start(self, *flags):
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

    def check_finished(self, cluster) -> None:
        assert cluster.status() == 0, cluster.text[-3000:]
        metrics = json.loads((self._workdir / "metrics.json").read_text())
        assert metrics["examples"] == self._steps * 32
        assert self.reached == self._steps
        assert metrics["pd"]["relative"] > 0


def errors(cluster) -> list[str]:
    return re.findall(r"^error: (\w+)", cluster.text, re.MULTILINE)


@pytest.fixture
def with_servers(launch, tmp_path):
    """Long enough not to end between a look at its checkpoints and the kill that follows."""
    return Run(launch, tmp_path / "run", 4000), ("--workers=2", "--servers=2", "--restart")


def test_parameter_servers_go_on_without_a_worker(with_servers):
    run, flags = with_servers
    cluster = run.start(*flags)
    run.goes_on(cluster)
    os.kill(cluster.pid("worker 0"), signal.SIGKILL)
    run.check_finished(cluster)


def test_parameter_servers_resume_after_the_death_of_a_server_and_of_the_chief(with_servers):
    run, flags = with_servers
    cluster = run.start(*flags)
    run.goes_on(cluster)
    os.kill(cluster.pid("ps 0"), signal.SIGKILL)
    assert cluster.status() == 1
    assert errors(cluster) == ["UnavailableError"]

    cluster = run.start(*flags)
    run.goes_on(cluster)
    os.kill(cluster.pid("chief 0"), signal.SIGKILL)
    assert cluster.status() == 128 + signal.SIGKILL

    run.check_finished(run.start(*flags))


def test_in_step_a_worker_is_killed_and_all_start_again(launch, tmp_path):
    run = Run(launch, tmp_path / "run", 300)
    cluster = run.start("--workers=2")
    run.goes_on(cluster)
    os.kill(cluster.pid("worker 1"), signal.SIGKILL)
    assert cluster.status() == 1
    assert len(errors(cluster)) == 1

    run.check_finished(run.start("--workers=2"))
