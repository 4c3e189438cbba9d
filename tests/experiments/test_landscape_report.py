"""The report of a landscape: its page, its files, and what a reader is told."""

from __future__ import annotations

import csv
import json
from html import escape

import matplotlib.image
import numpy as np
import pytest
from landscape_cases import network_of
from report_pages import ATTACK, Page, assert_asks_for_nothing, assert_nothing_overflows, needs_chromium

from smooth_recs.experiments.drawing_settings import Plan
from smooth_recs.experiments.landscape import landscape_report, weight_losses


@pytest.fixture(scope="module")
def content():
    """Of a bumpy and of a convex network."""
    plan = Plan(line_steps=4, directions=2, direction_steps=2, surface_steps=2)
    kernel = np.array([[1.0], [0.5]])
    bumpy = network_of(lambda k: k.sum() ** 2, [-kernel], [kernel], name=ATTACK)
    convex = network_of(lambda k: k.sum(), [-kernel], [kernel], [2 * kernel], name="convex")
    return {
        "networks": [weight_losses.measure(network, plan) for network in (bumpy, convex)],
        "settings": {"runs": ["one", ATTACK], "dense_only": False},
        "versions": {"smooth_recs": "1"},
        "command": f"python {ATTACK}",
    }


@pytest.fixture(scope="module")
def written(content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("landscape")
    return folder, landscape_report.write(content, folder)


def test_the_page_tells_the_numbers_and_asks_for_nothing(written, content):
    folder, said = written
    page = Page(folder / "landscape.html")
    assert_asks_for_nothing(page)
    assert page.source.count(escape(ATTACK)) >= 4
    assert ATTACK not in page.source
    rows = page.table(f"{ATTACK}, replica 0 to replica 1")
    barrier = content["networks"][0]["lines"][0]["barrier"]
    assert rows[f"{ATTACK}, replica 0 to replica 1"][0] == [barrier["height"]]
    assert rows["convex, replica 1 to replica 2"][0] == [0.0]
    assert page.table("convex, direction 2")["convex, direction 2"][2] == [content["networks"][1]["loss"][0]]
    assert f"the barrier between two siblings is {barrier['height']:.6f}. Halfway" in page.prose
    assert "convex: the barrier between two siblings is 0 (mean of 3 pairs; 95% over siblings 0 to 0)." in said
    assert "The embeddings move on the line together with the dense layers." in said
    found = f"Barrier between siblings: {escape(ATTACK)} {barrier['height']:.6f}, convex 0"
    assert f"<h1>{found}; one pair each, which shows little</h1>" in page.source


def test_the_files_hold_every_number(written, content):
    folder, said = written
    assert json.loads((folder / "landscape.json").read_text())["networks"][1]["loss"] == content["networks"][1]["loss"]
    with open(folder / "landscape_lines.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 4 * 9
    last = content["networks"][1]["lines"][2]
    assert (lines[-1]["network"], lines[-1]["a"], lines[-1]["b"]) == ("convex", "replica 1", "replica 2")
    assert float(lines[-1]["at"]) == 1.5
    assert float(lines[-1]["loss"]) == pytest.approx(last["loss"][-1])
    assert float(lines[-1]["pd_to_a"]) == pytest.approx(last["pd_to_a"][-1])
    with open(folder / "landscape_surfaces.csv", encoding="utf-8", newline="") as file:
        surfaces = list(csv.DictReader(file))
    assert len(surfaces) == 2 * 25
    assert (float(surfaces[1]["x"]), float(surfaces[1]["y"])) == (-0.5, -1.0)
    assert float(surfaces[1]["loss"]) == pytest.approx(content["networks"][0]["surface"]["loss"][0][1])
    for kind in ("lines", "directions", "surfaces"):
        assert f"landscape_{kind}.png" in said
        assert matplotlib.image.imread(folder / f"landscape_{kind}.png").std() > 0.01
        assert (folder / f"landscape_{kind}.svg").read_text().count("<path") > 8


def test_what_was_not_measured_is_not_shown(tmp_path):
    network = network_of(lambda k: k.sum(), [[[1.0]]])
    found = weight_losses.measure(network, Plan(directions=1, direction_steps=2, surface_steps=0))
    settings = {"dense_only": False}
    said = landscape_report.write({"networks": [found], "settings": settings, "versions": {}, "command": ""}, tmp_path)
    assert said.startswith("With one sibling there is no line between siblings.")
    page = Page(tmp_path / "landscape.html")
    assert "<h1>One sibling of each: there is no line between siblings</h1>" in page.source
    assert "Over a plane" not in page.text
    assert "network, direction 1" in page.text
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["landscape_directions.csv"]
    assert landscape_report.sentences([found], dense_only=True) == [
        "With one sibling there is no line between siblings."
    ]


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_overflows(written, width, tmp_path):
    assert_nothing_overflows(Page(written[0] / "landscape.html"), tmp_path, width, charts=5)
