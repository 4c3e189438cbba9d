"""The programs in benchmarks/ can be started, and say which arguments they take."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from source_imports import ROOT

PROGRAMS = sorted((ROOT / "benchmarks").glob("*.py"))
WITH_ARGUMENTS = [path for path in PROGRAMS if "parse_args" in path.read_text("utf-8")]


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, path, *arguments], env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_ARGUMENTS, ids=lambda path: path.stem)
def test_a_program_says_what_it_takes(path: Path) -> None:
    done = run(path, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {path.name}")


def test_most_programs_take_arguments() -> None:
    assert {path.stem for path in PROGRAMS} - {path.stem for path in WITH_ARGUMENTS} <= {
        "activation_conformance",
        "averages",
        "daily_chain",
        "over_seeds",
    }


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the folder by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


@pytest.mark.slow
def test_the_gpu_program_measures_the_cpu_where_there_is_no_gpu() -> None:
    small = ["--repetitions=1", "--steps=2", "--batch_size=32", "--units", "8", "4", "--features=2", "--rows=50"]
    done = run(ROOT / "benchmarks" / "gpu.py", "--device=gpu", *small)
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first.startswith("No GPU was found: measured on the CPU")
    rows = {line.split(" | ")[0].strip("| "): line for line in lines if line.startswith("| ") and "---" not in line}
    assert {"ReLU", "SmeLU", "gSmeLU", "SiLU", "GELU", "SmeLU, row norm, clip"} <= set(rows)
    tables = [line.count(" | ") for line in lines if "---" not in line and line]
    assert sorted(set(tables)) == [2, 3, 7]


@pytest.mark.slow
def test_the_throughput_program_leaves_out_by_name_who_cannot_take_part(tmp_path: Path) -> None:
    written = tmp_path / "measured.json"
    small = ["--works=small", "--rounds=1", "--steps=2", "--batch_size=32", "--rows=50", f"--output={written}"]
    contenders = ["--contenders", "torchrec_models:fused", "ours:relu"]
    done = run(ROOT / "benchmarks" / "throughput.py", *small, *contenders, "--torch_python=no-such-python")
    assert done.returncode == 0, done.stderr
    assert "torchrec_models:fused is left out" in done.stderr
    assert "TorchRec" not in done.stdout
    (ours,) = json.loads(written.read_text("utf-8"))["measured"]["small"].values()
    assert [turn["done"] for turn in ours["turns"]] == [64]
    assert 0 < ours["turns"][0]["processor"] < ours["start"][1] < ours["turns"][0]["processor_so_far"]


def test_contenders_read_the_same_batches_from_one_file(benchmarks: Any, tmp_path: Path) -> None:
    work = benchmarks("throughput_contenders.work")
    alone = dataclasses.replace(work.WORKS["criteo"], rows=(50, 7), batch_size=8, batches=3)
    together = dataclasses.replace(alone, folder=str(tmp_path))
    for _ in range(2):
        for one, other in zip(vars(work.rows(alone)).values(), vars(work.rows(together)).values(), strict=True):
            np.testing.assert_array_equal(one, other)
    (file,) = tmp_path.iterdir()
    work.rows(dataclasses.replace(together, units=(3,), steps=1))  # another model, the same rows
    assert list(tmp_path.iterdir()) == [file]
    work.rows(together, seed=2)
    assert len(list(tmp_path.iterdir())) == 2
    assert work.Work.from_json(together.to_json()) == together


def test_the_exponents_of_growth_are_those_of_the_curve(benchmarks: Any) -> None:
    growth = benchmarks("growth")
    values = [1, 4, 16, 64]
    straight = np.array([[c * value**0.5 for c in (1.0, 3.0, 2.0)] for value in values])
    assert growth.exponent(values, straight) == "0.50 (0.50 to 0.50)"
    assert growth.bend(values, straight) == "nowhere"
    bent = np.array([[c * max(1.0, value / 16) for c in (1.0, 3.0, 2.0)] for value in values])
    assert growth.bend(values, bent) == "at 16: 0.00 to 1.00"
    noise = np.exp(np.random.default_rng(1).normal(size=(4, 3)))
    assert growth.bend(values, straight * noise) == "nowhere"
    slopes = [0.4, 0.5, 0.6]  # mean .5, standard error .1 / sqrt(3), t of two degrees of freedom 4.303
    np.testing.assert_allclose(growth.interval(np.array(slopes)), [0.5 - 0.2484, 0.5 + 0.2484], atol=1e-4)
