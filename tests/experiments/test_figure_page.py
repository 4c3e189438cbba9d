"""The figures of the paper as files that can be read back, their tables, and the page that holds them."""

from __future__ import annotations

import csv
import pathlib
import re
import xml.etree.ElementTree
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import scipy.stats
from figure_cases import SMALL, scores_by_the_formulas
from report_pages import Page, assert_asks_for_nothing, assert_nothing_overflows, needs_chromium

from smooth_recs.errors import InputError
from smooth_recs.experiments.drawing_settings import NAMES
from smooth_recs.experiments.figures import (
    figure_page,
    loss_curves,
    loss_surfaces,
    panels,
    random_networks,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All figures, small, and the page."""
    folder = figure_page.opened(str(tmp_path_factory.mktemp("figures") / "new"))
    sections = figure_page.sections(NAMES, SMALL, folder)
    return pathlib.Path(folder), sections, figure_page.write_page(sections, SMALL, folder)


def columns(path):
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, zip(*rows, strict=True), strict=True))


def test_figure_1_tells_the_least_values_and_slopes(made):
    (table,) = made[1][0].tables
    assert table.columns[1:] == ("value at 0", "least value", "least slope", "largest slope")
    swish = [cell.values[0] for cell in table.rows["Swish, β = 1"]]
    assert swish == pytest.approx([0.0, -0.2785, -0.0998, 1.0998], abs=1e-3)
    assert [cell.values[0] for cell in table.rows["SmeLU, β = 2"]] == pytest.approx([0.5, 0, 0, 1])


def test_figure_2_has_fewer_minima_the_wider_the_activation(made):
    for table in made[1][1].tables:
        counts = np.array([[c.values[0] for c in cells] for name, cells in table.rows.items() if "minima" in name])
        assert counts.shape == (3, 4)
        assert (counts[:, 0] > counts[:, 1]).all()
        assert (counts[:, 1] >= counts[:, 3]).all()


def test_counts_are_those_of_the_formulas(made):
    table = columns(made[0] / "minima_networks.csv")
    rows = list(zip(*table.values(), strict=True))
    assert len(rows) == 3 * 3 * 3 * 6  # kinds, p1, widths, networks
    x = np.linspace(-3, 3, SMALL.points)[:, np.newaxis]
    for name, kind in (("weight norm, v = 2", random_networks.Kind("weight", 25.0, 0.25, 2.0)), ("layer norm", None)):
        kind = kind or random_networks.Kind("layer", 1.0, 1.0)
        score = scores_by_the_formulas(kind, 1, 3, x, 0.1)
        expected = random_networks.minima(random_networks.logistic(score, 0.9))
        assert (name, "3", "0.9", "0.1", str(expected)) in rows


def test_means_and_intervals_are_over_networks(made):
    every, means = (columns(made[0] / name) for name in ("minima_networks.csv", "minima.csv"))
    of_networks = {}
    for name, _, p1, beta, count in zip(*every.values(), strict=True):
        of_networks.setdefault((name, p1, beta), []).append(int(count))
    assert len(means["minima"]) == len(of_networks) == 27
    for name, p1, beta, mean, low, high in zip(*means.values(), strict=True):
        counts = np.array(of_networks[name, p1, beta])
        assert float(mean) == pytest.approx(counts.mean())
        reach = scipy.stats.t.ppf(0.975, 5) * counts.std(ddof=1) / 6**0.5
        assert (float(low), float(high)) == pytest.approx((counts.mean() - reach, counts.mean() + reach), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_a_png_an_svg_and_a_csv(made, name):
    folder = made[0]
    image = matplotlib.image.imread(folder / f"{name}.png")
    assert min(image.shape[:2]) > 300
    assert image[..., :3].std() > 0.03  # not blank
    root = xml.etree.ElementTree.parse(folder / f"{name}.svg").getroot()
    assert root.tag.endswith("svg")
    assert len(list(root.iter())) > 50
    table = columns(folder / f"{name}.csv")
    assert len({len(column) for column in table.values()}) == 1
    assert made[1][NAMES.index(name)].files[:3] == [f"{name}.{suffix}" for suffix in ("png", "svg", "csv")]


def test_csv_files_hold_the_curves(made):
    found = loss_curves.losses(SMALL)
    read = columns(made[0] / "curves.csv")
    assert len(read) == 1 + len(found)
    np.testing.assert_allclose(np.array(read["x"], float), np.linspace(-3, 3, 401), atol=1e-8)
    column = np.array(read["layer norm, SmeLU 0.5, p1 0.9"], float)
    np.testing.assert_allclose(column, found["layer norm", 0.5, 0.9], rtol=1e-8)
    plane = columns(made[0] / "surfaces.csv")
    assert len(plane["x1"]) == 21 * 21
    score = loss_surfaces.scores(SMALL, loss_surfaces.ROWS[1])[3]
    row = [float(column[21 * 4 + 7]) for column in plane.values()]
    assert row[:2] == pytest.approx([-1.8, -0.9])
    assert row[-1] == pytest.approx(float((score[4, 7] + 2) ** 2))


def test_pictures_are_the_same_every_time(made, tmp_path):
    for name in loss_curves.make_curves(SMALL, tmp_path).files:
        assert (tmp_path / name).read_bytes() == (made[0] / name).read_bytes()


def without_pictures(path, folder):
    """The page without its images, every one of which must stand in the page itself."""
    source = Path(path).read_text(encoding="utf-8")
    images = re.findall(r'<img src="data:image/png;base64,[\w+/=]+" alt="[^"<>]+" style="[^"<>]*">', source)
    assert len(images) == 8
    for image in images:
        source = source.replace(image, "")
    (folder / "page.html").write_text(source, encoding="utf-8")
    return Page(folder / "page.html")


def test_the_page_holds_every_figure_and_asks_for_nothing(made, tmp_path):
    page = without_pictures(made[2], tmp_path)
    assert assert_asks_for_nothing(page) >= 0
    assert sum(tag == "svg" for tag, _ in page.tags) == 10 + 12 + 4 + 3
    for each in made[1]:
        assert each.title in page.text
        assert all(" ".join(sentence.split()) in page.prose for sentence in each.sentences)
    assert page.table("surfaces_seed")
    assert "minima_networks.csv" in page.text
    (verdict,) = (each.verdict for each in made[1] if each.verdict)
    assert "How smooth is the loss?: " + verdict in page.text


def test_the_page_escapes_what_it_is_given(tmp_path):
    attack = "<script>alert(1)</script>"
    odd = panels.Section(attack, [attack], [panels.Panel(attack, png="AAAA")], [], [(attack, 1)], files=[attack])
    page = Page(tmp_path / figure_page.write_page([odd], SMALL, tmp_path).rsplit("/", 1)[1])
    assert "<script" not in page.markup
    assert page.text.count(attack) == 5


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_overflows(made, tmp_path, width):
    page = without_pictures(made[2], tmp_path)
    charts = 29 if width < 800 else 13  # four beside each other are below the 200 pixels that count
    assert_nothing_overflows(page, tmp_path, width, charts)


@pytest.mark.parametrize(("names", "got"), [(["curve"], "'curve'"), ([], "nothing")])
def test_an_unknown_figure_and_none(names, got):
    with pytest.raises(InputError, match=f"--only must be of activations, curves, surfaces, minima, got {got}"):
        figure_page.checked(names)
