"""The benchmark programs run, and tell a wrong SmeLU from ours."""

from __future__ import annotations

import pytest
from benchmark_programs import program


def test_only_ours_has_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    program("activation_conformance").main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert {name for name, *errors in rows if errors == ["none", "none"]} == {"ours", "ours of a tensor"}
    assert len(rows) == 5
