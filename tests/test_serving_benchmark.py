"""What the program that times exports through the C++ loader makes of its times."""

from __future__ import annotations

import runpy

import numpy as np
import pytest
from source_imports import ROOT

PROGRAM = str(ROOT / "benchmarks" / "serving_cost.py")


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
