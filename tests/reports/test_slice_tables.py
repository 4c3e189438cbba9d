"""Slices in a report: which come first, and how long their bars are."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
from report_pages import METRICS, Page, page_of, relu, slice_of, workdir


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
    assert highest["user: 17"] == [[0.123], [pytest.approx(0.123 / 0.085312345)], [0.25], [0.36]]
    users = page.table("tiny")
    assert users["tiny"].pop(1) == [pytest.approx(0.6 / 0.085312345)]
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


def charts(page: Page) -> list[str]:
    return [each for each in re.findall(r"<svg.*?</svg>", page.source, re.DOTALL) if "as a multiple of" in each]


def bars(chart: str) -> dict[str, tuple[float, float]]:
    """The ends of each bar by what it says."""
    found = re.findall(r'<g class="value"><title>([^<]*)</title>\s*<path d="([^"]*)"', chart)
    corners = {said: [float(x) for x in re.findall(r"[ML] ([-\d.]+) ", path)] for said, path in found}
    return {said: (min(each), max(each)) for said, each in corners.items()}


def test_bars_begin_at_the_mean_and_all_charts_have_one_scale(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["pd"]["relative"] = 0.1
    page = page_of(tmp_path, workdir(tmp_path / "smelu", metrics=metrics))
    users, scores = map(bars, charts(page))
    assert list(users) == ["17: PD 12.3%, 1.23× of the mean", "other: PD 7.30%, 0.730× of the mean"], (
        "tiny is too small"
    )
    above, below = users.values()
    assert above[0] == pytest.approx(below[1]), "1, where both begin"
    assert (below[1] - below[0]) / (above[1] - above[0]) == pytest.approx(0.27 / 0.23, rel=1e-3)
    below, above = scores.values()
    # The same width of a chart stands for the same range, so bars of two charts compare, apart from their margins.
    assert (below[1] - below[0]) / (above[1] - above[0]) == pytest.approx(0.4 / 0.1, rel=1e-3)
    ticks = [re.findall(r">([\d.]+×)<", chart) for chart in charts(page)]
    assert ticks[0] == ticks[1]
    assert "1×" in ticks[0]


def test_slices_of_several_runs_are_multiples_of_the_mean_of_the_first(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path), workdir(tmp_path / "smelu"))
    assert "SmeLU 0.1, 17: PD 12.3%, 0.854× of the mean" in bars(charts(page)[0])


def test_without_a_mean_there_is_no_chart_of_slices(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["pd"]["relative"] = 0.0
    page = page_of(tmp_path, workdir(tmp_path / "smelu", metrics=metrics))
    assert charts(page) == []
    assert "The bars show" not in page.prose
    assert page.table("user: 17")["user: 17"] == [[0.123], [], [0.25], [0.36]]
