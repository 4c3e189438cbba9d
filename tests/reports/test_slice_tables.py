"""Slices in a report: which come first, and how long their bars are."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
from report_pages import METRICS, page_of, relu, slice_of, workdir


def test_where_the_difference_is(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    assert (
        "The PD is highest where user is 17: 12.3% (95% interval 11.3% to 13.3%). "
        "These are 25.0% of the examples and 36.0% of the whole difference."
    ) in page.prose
    highest = page.table("user: 17")
    assert list(highest) == [
        "user: 17",
        "score: decile 10 (0.31 to 0.7)",
        "user: other",
        "score: decile 9 (0.2 to 0.31)",
    ], "by PD, without the slice of ten rows"
    assert highest["user: 17"] == [[0.123], [0.25], [0.36]]
    users = page.table("tiny")
    assert users["tiny"] == [[0.6], [0.0001], [0.0007], [0.59, 0.61], [10], [0.21], [0.33], [0.14]]
    assert list(page.table("decile 9 (0.2 to 0.31)")) == ["decile 9 (0.2 to 0.31)", "decile 10 (0.31 to 0.7)"]


def test_slices_of_several_runs_stand_side_by_side(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["slices"]["score"][0].update({"slice": "decile 10 (0.3 to 0.72)", "pd": 0.08})
    metrics["slices"]["campaign"] = [slice_of("4", 0.2, 1.0, 1.0)]
    page = page_of(tmp_path, relu(tmp_path), workdir(tmp_path / "smelu", metrics=metrics))
    assert page.table("decile 10") == {"decile 9": [[0.06], [0.06]], "decile 10": [[0.11], [0.08]]}
    assert page.table("4") == {"4": [[], [0.2]]}
    assert "For ReLU, the PD is highest where user is 17" in page.prose
    assert "For SmeLU 0.1, the PD is highest where campaign is 4" in page.prose


def test_bars_of_slices_are_as_long_as_their_shares(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    chart = next(chart for chart in re.findall(r"<svg.*?</svg>", page.source, re.DOTALL) if "tiny" in chart)
    lengths = {}
    for series in (0, 1):
        shapes = re.findall(rf'<path d="([^"]*)"[^>]*style="fill: var\(--series-{series}\)', chart)
        corners = [[float(x) for x in re.findall(r"[ML] ([-\d.]+) ", shape)] for shape in shapes]
        lengths[series] = [max(each) - min(each) for each in corners]
    assert lengths[0][1] / lengths[0][2] == pytest.approx(0.25 / 0.7499, rel=1e-3)
    assert lengths[1][1] / lengths[0][1] == pytest.approx(0.36 / 0.25, rel=1e-3)
