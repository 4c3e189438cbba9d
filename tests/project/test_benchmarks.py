"""The programs in benchmarks/ can be started, and say which arguments they take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from source_imports import ROOT

PROGRAMS = sorted((ROOT / "benchmarks").glob("*.py"))
WITH_ARGUMENTS = [path for path in PROGRAMS if "parse_args" in path.read_text("utf-8")]


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_ARGUMENTS, ids=lambda path: path.stem)
def test_a_program_says_what_it_takes(path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, path, "--help"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {path.name}")


def test_most_programs_take_arguments() -> None:
    assert {path.stem for path in PROGRAMS} - {path.stem for path in WITH_ARGUMENTS} <= {
        "activation_conformance",
        "averages",
        "daily_chain",
        "over_seeds",
    }
