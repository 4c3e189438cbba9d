"""The program that times the ends of epochs runs, and the data set that is not tuned does not wait."""

from __future__ import annotations

import sys

import pytest
from benchmark_programs import program


def test_both_data_sets_are_timed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["end_of_epoch", "--epochs=3", "--longest=0.05"])
    program("end_of_epoch").main()
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0].strip() for row in rows] == ["tuned", "untuned"]
    for _, epochs, seconds, waited, longest, _ in rows:
        assert int(epochs) == 3
        assert 0 <= float(longest) <= float(waited) <= float(seconds)
