"""Sweeps and exports that are killed again and again: what is there is whole, and the same command ends the work."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kills
import numpy as np
import pytest
import shared_runs
from train_runs import PATIENCE, ROOT

from smooth_recs import prediction_difference
from smooth_recs.serving.loader import LoadedModel

KILLS = kills.count(1)
SWEEP = f"""
from pathlib import Path
from smooth_recs.experiments import sweeps
from smooth_recs.experiments.sweeps import sweep_runs

sweep_runs._ROUNDS = 1  # exports are timed in seconds

def get_sweep():
    config = sweeps.config_of(Path({str(ROOT)!r}, "configs", "demo_falling.py"))
    return sweeps.Sweep(config, sweeps.activation("relu") + sweeps.activation("smelu", 0.1), "relu", pairs=1)
"""
ROWS = 1_600 + 1_600 * KILLS
SETTINGS = (
    *("train.deterministic", "train.batch_size=16", "train.checkpoint_seconds=0.2", "train.steps_per_execution=7"),
    *("train.evaluations=1", "train.evaluation_examples=500", "train.average=70", "model.dropout=0.1"),
    *(f"data.examples={ROWS}", "data.eval_examples=800", "data.shuffle_window=800", "data.synthetic.users=300"),
    *("data.synthetic.items=100", "model.hidden_units=8", "evaluation.estimate=false"),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * PATIENCE + 60 * KILLS)]


def start(binary: str, *flags: str) -> subprocess.Popen[bytes]:
    """A command in a process group of its own, together with what it starts."""
    command = [sys.executable, "-m", f"smooth_recs.bin.{binary}", *flags]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def end(process: subprocess.Popen[bytes]) -> None:
    try:
        said = process.communicate(timeout=PATIENCE)[1].decode()
        assert process.returncode == 0, said[-3000:]
    finally:
        process.kill()


class Sweep:
    """A folder of a sweep, and what tells where its command is."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.folder = folder
        self._flags = [f"--config={config}", f"--workdir={folder}", "--allow_collapsed"]
        self._flags += [f"--config.{setting}" for setting in SETTINGS]

    def start(self) -> subprocess.Popen[bytes]:
        return start("sweep", *self._flags)

    def state(self, pattern: str) -> set[str]:
        return {str(path) for path in self.folder.glob(pattern)}

    def waits(self, process: subprocess.Popen[bytes], pattern: str) -> None:
        """Until something new matches, or the command has ended."""
        before, deadline = self.state(pattern), time.monotonic() + PATIENCE
        while process.poll() is None and self.state(pattern) <= before and time.monotonic() < deadline:
            time.sleep(0.02)

    def metrics(self) -> list[dict[str, object]]:
        """Of every cell; how fast it was is no part of what is compared."""
        found = [json.loads(path.read_text()) for path in sorted(self.folder.glob("cells/*/metrics.json"))]
        return [{name: value for name, value in each.items() if name != "examples_per_second"} for each in found]


@pytest.mark.skipif(not kills.IS_SOAK, reason="make soak: tests/bin/test_sweep.py kills a sweep twice")
def test_a_killed_sweep_ends_as_one_that_was_left_alone(tmp_path: Path) -> None:
    made, config = kills.Kills("a sweep"), tmp_path / "mine.py"
    config.write_text(SWEEP)
    alone, killed = Sweep(tmp_path / "alone", config), Sweep(tmp_path / "killed", config)
    end(alone.start())
    patterns = {"training": "cells/*/checkpoints/ckpt-*.index", "between cells": "cells/*/metrics.json"}
    for _ in range(KILLS):
        process = killed.start()
        finished = len(killed.state("cells/*/metrics.json")) == 2
        moment = made.chance.choice(["starting", "training", "training", "between cells"])
        moment = "writing results" if finished else moment
        try:
            if moment in patterns:
                killed.waits(process, patterns[moment])
            time.sleep(made.chance.uniform(0, 1 if moment in patterns else 4))
            # All at once, as a machine that goes down; or the command alone, whose training goes on, or is told.
            together = made.chance.random() < 0.6
            number = made.signal() if together else made.signal(signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
            with contextlib.suppress(ProcessLookupError):  # it may have ended before
                (os.killpg if together else os.kill)(process.pid, number)
        finally:
            process.communicate()
        left = f"{len(killed.state('cells/*/metrics.json'))} of 2 cells, status {process.returncode}"
        made.note(moment, number, f"{'with its training' if together else 'the command alone'}, {left}")
    end(killed.start())
    one, other = alone.metrics(), killed.metrics()
    assert len(one) == 2
    assert all(each["pd"]["relative"] > 0 for each in one)
    assert one == other
    assert [each["examples"] for each in other] == [ROWS, ROWS]
    results = [json.loads((each.folder / "results.json").read_text())["variants"] for each in (alone, killed)]
    for first, second in zip(*results, strict=True):
        assert first["measures"]["pd"] == second["measures"]["pd"]
    left = [path.name for path in killed.folder.rglob("*") if path.name.startswith(".writing-")]
    assert left == []
    made.summary(sum(a["examples"] - b["examples"] for a, b in zip(one, other, strict=True)), [])


def test_a_killed_export_leaves_whole_versions_alone(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    made, run, output = kills.Kills("an export"), shared_runs.of_csv(tmp_path_factory), tmp_path / "models"
    flags = (f"--workdir={run}", f"--output={output}")

    def predictions(export: Path) -> object:
        inputs = {
            "user": np.array([b"ann", b"nobody"], object),
            "words": np.array([[b"one", b"two"], [b"", b""]], object),
            "item": np.array([3, -1]),
            "price": np.array([0.5, np.nan], np.float32),
        }
        with LoadedModel(str(export)) as model:
            return model.run("serving_default", inputs)["probability"]

    expected = predictions(run / "export" / "replica_0" / "1")
    differences: list[float] = []

    def check() -> int:
        """Every version is whole and predicts as the run's own export; how many there are."""
        versions = sorted(int(path.name) for path in output.glob("[0-9]*"))
        assert versions == list(range(1, len(versions) + 1))
        for version in versions:
            found = predictions(output / str(version))
            np.testing.assert_array_equal(found, expected)
            differences.append(prediction_difference.relative(expected, found))
        return len(versions)

    for _ in range(KILLS):
        process, number = start("export", *flags), made.signal()
        moment = made.chance.choice(["anywhere", "checking it"])
        try:
            deadline = time.monotonic() + PATIENCE
            while moment == "checking it" and not list(output.glob(".writing-*")) and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(made.chance.uniform(0, 4))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        finally:
            process.communicate()
        made.note(moment, number, f"{check()} versions, status {process.returncode}")
    before = check()
    end(start("export", *flags))
    assert check() == before + 1
    assert sorted(path.name for path in output.iterdir()) == [str(n + 1) for n in range(before + 1)]
    made.summary(0, differences)
