"""Charts inside a page, and as a picture: colours, letters and lengths."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import matplotlib.image
import pytest
from report_pages import METRICS, page_of, relu, slice_of, workdir

from smooth_recs.reports import run_report


def test_charts_follow_the_colours_of_the_page_and_share_no_id(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path), workdir(tmp_path / "smelu"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    charts = re.findall(r"<svg.*?</svg>", page.source, flags=re.DOTALL)
    for chart in charts:
        assert not re.search(r"(fill|stroke): (#|black|white)", chart)
        assert "currentColor" in chart or "var(--muted)" in chart
    assert all("var(--series-0)" in chart and "var(--series-1)" in chart for chart in charts)
    assert page.source.count("--series-0:") == 2, "one for light, one for dark"


def test_letters_that_no_chart_font_has(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["slices"] = {"Земля": [slice_of(name, 0.1, 0.5, 0.5) for name in ("日本", "a\nb\x07", "$x^2$ & <b>")]}
    page = page_of(tmp_path, workdir(tmp_path / "smelu", metrics=metrics))
    assert "日本" in page.text
    assert "$x^2$ & <b>" in page.text


def test_picture_shows_both_runs_on_white(tmp_path: Path) -> None:
    output = tmp_path / "docs" / "picture.png"
    run_report.picture([relu(tmp_path), workdir(tmp_path / "smelu")], str(output))
    pixels = matplotlib.image.imread(output)[..., :3]
    height, width, _ = pixels.shape
    assert 1200 < width < 2000
    assert 200 < height < 600
    assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1]] == 1).all()
    grey, blue = ([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in ("#868c96", "#2566ae"))
    areas = [(abs(pixels - colour).max(axis=-1) < 0.01)[:, : width // 2].sum() for colour in (grey, blue)]
    assert areas[1] / areas[0] == pytest.approx(0.0853 / 0.144, rel=0.06), "the bars are as long as the PDs"
