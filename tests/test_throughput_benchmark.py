"""The programs that compare the speed of training run, at a tiny size, and print and write what they are asked for."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from source_imports import ROOT

pytestmark = pytest.mark.slow

TINY = ["--rounds=2", "--steps=2", "--batch_size=8", "--rows=50"]


def run(program: str, *arguments: str) -> tuple[str, str]:
    """What the program printed, and its progress."""
    command = [sys.executable, str(ROOT / "benchmarks" / f"{program}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, done.stderr


def test_contenders_take_turns(tmp_path: Path) -> None:
    chosen = ["ours:pair", "ours:recipe", "torch_models:plain"]
    output = tmp_path / "throughput.json"
    printed, progress = run("throughput", "--works", "small", "--contenders", *chosen, *TINY, f"--output={output}")
    turns = json.loads(output.read_text())["turns"]["small"]
    if importlib.util.find_spec("torch") is None:
        assert "torch_models:plain is left out: No module named 'torch'" in progress
        assert list(turns) == chosen[:2]
    assert "round 2 of 2" in progress
    for taken in turns.values():
        assert [took["done"] for took in taken] == [16, 16]
        assert all(0 < took["memory_at_rest"] <= took["peak_memory"] for took in taken)
    pair, one = ([took["done"] / took["wall"] for took in turns[name]] for name in chosen[:2])
    rows = dict(re.findall(r"^\| (ours: .*?) \| ([\d,]+) \|", printed, re.MULTILINE))
    assert rows["ours: two siblings and their PD"] == f"{sum(pair) / 2:,.0f}"
    (found,) = re.findall(r"^small +ours:pair against ours:recipe +([\d.]+) .*; goal 0.54", printed, re.MULTILINE)
    assert float(found) == pytest.approx((pair[0] / one[0] + pair[1] / one[1]) / 2, abs=0.0051)


def test_rows_from_files_and_arithmetic(tmp_path: Path) -> None:
    chosen = ["files:from_files", "arithmetic:tower", "tfrs_ranking:as_it_comes"]
    output = tmp_path / "throughput.json"
    printed, _ = run("throughput", "--works", "criteo", "--contenders", *chosen, *TINY, f"--output={output}")
    turns = json.loads(output.read_text())["turns"]["criteo"]
    products = sum(a * b for a, b in itertools.pairwise([26 * 16 + 13, 1024, 512, 256]))
    assert [turns[name][0]["done"] for name in chosen] == [48, 2 * 6 * 8 * products, 16]
    assert re.search(r"^\| the dense tower alone \| [\d,]+ GFLOP/s", printed, re.MULTILINE)


def test_growth(tmp_path: Path) -> None:
    sizes = ["--work=small", "--curves", "devices", "--examples=512"]
    printed, _ = run("growth", *sizes, "--rounds=2", f"--output={tmp_path / 'growth'}")
    assert printed == (tmp_path / "growth.csv").read_text()
    rows = list(csv.DictReader(printed.splitlines()))
    assert [(row["varied"], row["value"]) for row in rows] == [("devices", "1"), ("devices", "2")]
    assert all(int(row["examples_per_second"]) > 0 for row in rows)
    assert all(0 < int(row["memory_at_rest_mib"]) <= int(row["peak_memory_mib"]) for row in rows)
    assert (tmp_path / "growth.png").stat().st_size > 1000
