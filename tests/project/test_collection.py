"""Which tests run under which generation of Keras."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from source_imports import ROOT

MARKED = """
import os
import pytest

@pytest.mark.both_generations
def test_marked():
    assert os.environ["TF_USE_LEGACY_KERAS"] == "{choice}"

@pytest.mark.both_generations
@pytest.mark.one_generation
def test_exception():
    pass

def test_unmarked():
    pass
"""
UNMARKED = """
import os

if os.environ["TF_USE_LEGACY_KERAS"] == "0":
    raise ImportError("no TensorFlow Recommenders under Keras 3")

def test_other():
    pass
"""


@pytest.mark.parametrize(
    ("variable", "choice", "passed"),
    [
        ({}, "1", "4 passed"),
        ({"TF_USE_LEGACY_KERAS": "1"}, "1", "4 passed"),
        ({"TF_USE_LEGACY_KERAS": "0"}, "0", "1 passed, 2 deselected"),
    ],
)
def test_keras_3_runs_what_is_marked_and_imports_nothing_else(tmp_path, variable, choice, passed):
    (tmp_path / "test_marked.py").write_text(MARKED.format(choice=choice))
    (tmp_path / "test_unmarked.py").write_text(UNMARKED)
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "tests").mkdir()  # where pyproject.toml has modules looked for
    shutil.copy(ROOT / "tests" / "warm_processes.py", tmp_path / "tests")
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"} | variable
    command = [sys.executable, "-m", "pytest", "-q", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout.splitlines()[-1].startswith(passed), done.stdout
    assert done.returncode == 0
