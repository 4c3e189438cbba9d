"""bin/export from real processes: a version is published, or the status says that a gate was not met."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import shared_runs
from source_imports import ROOT

COMMAND = [sys.executable, "-m", "smooth_recs.bin.export"]


def binary(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=250, cwd=ROOT)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The workdir of a finished run of two siblings on a small CSV file."""
    return str(shared_runs.of_csv(tmp_path_factory))


def sibling(run: str) -> str:
    return os.path.join(run, "export", "replica_1")


def test_help_names_every_flag_and_loads_no_tensorflow() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *COMMAND[1:], "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Exports a trained model as the next version for TensorFlow Serving")
    names = ("workdir", "output", "replica", "against", "live", "max_pd", "max_pd_live", "max_auc_loss_increase")
    for name in (*names, "max_swap_rate"):
        assert f"\n  --{name} " in done.stdout
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert not loaded & {"tensorflow", "keras", "tf_keras", "numpy"}


@pytest.mark.slow
def test_the_command_publishes_or_ends_with_status_3(run: str, tmp_path: Path) -> None:
    base, live = f"--output={tmp_path}/base", f"--live={sibling(run)}"
    refused = binary(f"--workdir={run}", base, live, "--max_pd_live=0.000001")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert re.fullmatch(
        r"error: --live \S+: gate not met: --max_pd_live=1e-06: pd is 0\.\d+, 0\.\d+ above\n", refused.stderr
    )
    assert os.listdir(tmp_path) == []
    done = binary(f"--workdir={run}", base)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"export       {tmp_path}/base/1\n")
    assert os.listdir(tmp_path / "base") == ["1"]
