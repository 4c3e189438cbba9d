"""The programs that time the alternatives run, and print what they are asked for."""

from __future__ import annotations

import re
import sys

import pytest
from benchmark_programs import program

pytestmark = pytest.mark.slow


def test_one_lookup_against_separate_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = "--features=3 --rows=50 --components=2 --batch_sizes 8 4 --steps=2 --turns=3"
    monkeypatch.setattr(sys, "argv", ["ensemble_lookups", *sizes.split()])
    program("ensemble_lookups").main()
    shared, separate, *measured = capsys.readouterr().out.splitlines()
    assert (shared, separate) == ("shared    3 lookups an example", "separate  6 lookups an example")
    found = [re.match(r"batch +(\d) (wall-clock|processor) .*: ([\d.]+) times as fast", line) for line in measured]
    assert [match.group(1, 2) for match in found if match] == [
        (batch, clock) for batch in "84" for clock in ("wall-clock", "processor")
    ]


def test_the_speed_of_the_alternatives(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["alternatives_speed", "--batch_size=8", "--steps=3", "--turns=2"])
    speeds = program("alternatives_speed")
    chosen = {name: speeds.MODELS[name] for name in ("one SmeLU network", speeds.BASE)}
    monkeypatch.setattr(speeds, "MODELS", chosen)
    speeds.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines[2:4]]
    assert [row[0] for row in rows] == list(chosen)
    assert [row[-1] for row in rows] == ["8", "24"]  # lookups
    assert int(rows[1][3].replace(",", "")) == 3 * int(rows[0][3].replace(",", ""))  # parameters
    wall, processor = (float(rows[0][k].replace(",", "")) / float(rows[1][k].replace(",", "")) for k in (1, 2))
    found = re.search(r"trains ([\d.]+) times as fast .*\(([\d.]+) by processor time", lines[-1])
    assert found is not None
    assert [float(ratio) for ratio in found.groups()] == pytest.approx([wall, processor], abs=0.02)
