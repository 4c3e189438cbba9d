"""The benchmark programs run, and tell a wrong SmeLU from ours."""

from __future__ import annotations

import sys

import pytest
from benchmark_programs import program

pytestmark = pytest.mark.both_generations


def test_only_ours_has_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    program("activation_conformance").main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert {name for name, *errors in rows if errors == ["none", "none"]} == {"ours", "ours of a tensor"}
    assert len(rows) == 5


@pytest.mark.slow
def test_every_activation_has_a_cost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["activation_cost", "--repetitions=1", "--rows=8", "--units=4"])
    cost = program("activation_cost")
    cost.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [name for name, *_ in rows] == [*cost.FIXED, *cost.LEARNED]
    assert rows[0][1:] == ["1.00 (1.00)"] * 4
    assert all(float(ratio.split(" ")[0]) > 0 for _, *ratios in rows for ratio in ratios)
