"""bin/churn from real processes: one command ends with an export within the budget, or in a line before it trains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import shared_runs
from source_imports import ROOT

from smooth_recs.artifacts.exports import is_export

COMMAND = [sys.executable, "-m", "smooth_recs.bin.churn"]


def churn(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.slow
def test_the_command(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    live = shared_runs.of_csv(tmp_path_factory)
    config = [f"--config={live}/config.json", "--config.seed=5"]
    done = churn(*config, f"--workdir={tmp_path}/next")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --max_pd_live must be given: it is the budget\n"
    done = churn(*config, f"--workdir={tmp_path}/next", "--max_pd_live=0.1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: evaluation.live must name the live model, from which runs learn, got ''\n"

    whole = [*config, f"--config.evaluation.live={live}", f"--workdir={tmp_path}/next", "--runs=3"]
    # On a log of so few rows nothing is far from anything.
    done = churn(*whole, "--max_pd_live=1.9")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "next" / "churn.json").read_text())
    assert [point["weight"] for point in found["points"]] == [0, 1]
    assert is_export(found["export"])
    assert done.stdout.splitlines()[-1] == f"export   {found['export']}"
