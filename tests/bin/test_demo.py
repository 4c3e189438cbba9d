"""bin/demo, from real processes in an empty folder, with a small log."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import binaries_in_process
import pytest
from source_imports import ROOT

from smooth_recs.errors import InputError

PERCENT = r"(\d+\.\d+)%"


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds, of a machine with much else to do
def test_the_demo_leaves_two_runs_and_a_page_over_both(tmp_path: Path) -> None:
    small = (
        *("--config.data.examples=3000", "--config.data.eval_examples=2000"),
        *("--config.evaluation.estimate=false", "--config.evaluation.slices=label"),
    )
    command = [sys.executable, "-m", "smooth_recs", "demo", *small]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, runs = done.stdout, tmp_path / "runs" / "demo"
    assert "\n$ smooth-recs train --config=runs/demo/config.json --workdir=runs/demo/relu" in said
    found = {name: json.loads((runs / name / "metrics.json").read_text()) for name in ("relu", "smelu")}
    (row,) = re.findall(rf"^relative PD +{PERCENT} +{PERCENT}$", said, re.MULTILINE)
    assert row == tuple(f"{run['pd']['relative']:.2%}".rstrip("%") for run in found.values())
    assert (runs / "report.html").is_file()
    exports = re.findall(r"^export +(runs/demo/\S+/1)$", said, re.MULTILINE)
    assert len(set(exports)) == 4
    assert all((tmp_path / export / "saved_model.pb").is_file() for export in exports)


def test_the_activations_of_the_demo_are_its_own(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        binaries_in_process.main("demo", "--config.model.activation=swish", f"--workdir={tmp_path}/d")
    assert str(raised.value) == "--config.model.activation must not be given: the demo trains relu and smelu"
    assert not (tmp_path / "d").exists()
