"""The program that times exports through the C++ loader runs, and says what it is asked for."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys

import numpy as np
import pytest
from source_imports import ROOT

from smooth_recs._files import child_environment

PROGRAM = str(ROOT / "benchmarks" / "serving_cost.py")


@pytest.mark.slow
def test_every_network_is_timed_and_every_ratio_told() -> None:
    sizes = ["--sessions=2", "--rounds=2", "--hidden_units", "8", "4", "--embedding_dim=2"]
    done = subprocess.run(
        [sys.executable, PROGRAM, *sizes], env=child_environment(), capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    exports, ratios = (
        [line.strip("| ").split(" | ") for line in table.splitlines()[2:] if line.startswith("|")]
        for table in done.stdout.split("\n\n")
    )
    names = [f"{f}, {norm}" for f in ("ReLU", "SmeLU") for norm in ("row norm", "no norm", "layer norm")]
    assert [row[0] for row in exports] == names
    size = {row[0]: float(row[1].removesuffix(" MB")) for row in exports}
    assert size["ReLU, no norm"] == pytest.approx(size["ReLU, row norm"], abs=0.01)  # norms are within the kernels
    assert size["ReLU, layer norm"] > size["ReLU, no norm"]
    for row in exports:
        assert len(row) == 7
        for times in row[2:]:
            median, least, greatest = (float(number) for number in re.findall(r"[\d.]+(?:e\+\d+)?", times))
            assert 0 < least <= median <= greatest
    assert [row[0].split(" / ")[0] for row in ratios[:4]] == [names[0], names[3], names[0], names[3]]
    goals = [row[1] for row in ratios]
    assert goals == ["at most 1.03"] * 2 + ["at most 1"] * 2 + [""] * 3
    assert all(cell.endswith((" met", " missed")) for row in ratios[:4] for cell in row[2:])


def test_goals_are_judged_by_the_median() -> None:
    judged = runpy.run_path(PROGRAM)["judged"]
    assert judged(np.array([1.5, 1.0, 1.02]), 1.03) == "1.020 (1.000 to 1.500) met"
    assert judged(np.array([1.5, 1.0, 1.04]), 1.03) == "1.040 (1.000 to 1.500) missed"
    assert judged(np.array([1.5, 1.0, 1.04]), None) == "1.040 (1.000 to 1.500)"


def test_the_fastest_call_of_a_round_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = runpy.run_path(PROGRAM)["measured"]
    wall = iter([9, 0, 9, 9, *[5, 2, 7, 5], *[5, 5, 5, 3]])  # four calls a round; the first round warms up
    monkeypatch.setitem(measured.__globals__, "seconds", lambda call: (call(), 1.0))
    key = (measured.__globals__["NETWORKS"][0], 1000)
    assert measured({key: lambda: next(wall)}, 2)[key].tolist() == [[2, 1], [3, 1]]
