"""The paper's figures: networks against the formulas, counts against a slow count, files that can be read back."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import re
import xml.etree.ElementTree
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from report_pages import Page, assert_asks_for_nothing, assert_nothing_overflows, needs_chromium

from smooth_recs.errors import InputError
from smooth_recs.experiments.figures import (
    activation_curves,
    figure_page,
    local_minima,
    loss_curves,
    loss_surfaces,
    panels,
    random_networks,
)
from smooth_recs.experiments.figures.panels import NAMES, Settings

SMALL = Settings(points=401, surface_points=21, networks=6, norm_values=(1.0, 2.0), betas=(1.0, 0.1))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All figures, small, and the page."""
    folder = figure_page.opened(str(tmp_path_factory.mktemp("figures") / "new"))
    sections = figure_page.sections(NAMES, SMALL, folder)
    return folder, sections, figure_page.write_page(sections, SMALL, folder)


def columns(path):
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, zip(*rows, strict=True), strict=True))


def scores_by_the_formulas(kind, inputs, seed, x, beta):
    """Section 2's network, unit by unit of the paper's rows, in NumPy."""
    rng = np.random.default_rng(seed)
    outputs, size = x, inputs
    for units in (256, 128, 64, 32, 16, 1):
        weights = rng.normal(0, np.sqrt(kind.weight_variance), (size, units)).T
        biases = rng.normal(0, np.sqrt(kind.bias_variance), units)
        if kind.normalization == "weight" and (units > 1 or kind.normalize_output):
            weights = np.stack([kind.norm_value * row / np.sqrt(np.sum(row**2)) for row in weights])
        outputs, size = outputs @ weights.T + biases, units
        if units == 1:
            return outputs[:, 0]
        if kind.normalization == "layer":
            outputs = (outputs - outputs.mean(axis=1, keepdims=True)) / outputs.std(axis=1, keepdims=True)
        middle = (outputs + beta) ** 2 / (4 * beta) if beta else outputs
        activated = np.where(outputs >= beta, outputs, np.where(outputs <= -beta, 0.0, middle))
        outputs = np.clip(activated, -kind.clip, kind.clip)


@pytest.mark.parametrize("beta", [0.0, 0.5])
@pytest.mark.parametrize("inputs", [1, 2])
@pytest.mark.parametrize(
    "kind",
    [
        random_networks.Kind("weight", 25.0, 0.25),
        random_networks.Kind("weight", 1.0, 1.0, norm_value=2.0, clip=4.0, normalize_output=True),
        random_networks.Kind("layer", 1.0, 1.0),
    ],
)
def test_scores_follow_the_formulas(kind, inputs, beta):
    x = np.random.default_rng(0).uniform(-3, 3, (7, inputs))
    scores = random_networks.RandomNetwork(kind, inputs, seed=3).scores(x, random_networks.activation(beta))
    np.testing.assert_allclose(scores, scores_by_the_formulas(kind, inputs, 3, x, beta), rtol=1e-10, atol=1e-10)


def test_networks_of_one_seed_differ_in_nothing_but_the_norm():
    one, two = (
        random_networks.RandomNetwork(random_networks.Kind("weight", 25.0, 0.25, v), 1, seed=4).layers
        for v in (1.0, 2.0)
    )
    *hidden, output = zip(one, two, strict=True)
    for (kernel, bias), (doubled, same) in hidden:
        np.testing.assert_allclose(2 * kernel, doubled)
        np.testing.assert_array_equal(bias, same)
    np.testing.assert_array_equal(output[0][0], output[1][0])


def test_the_losses_by_hand():
    assert random_networks.logistic(np.array([0.0]), 0.3) == pytest.approx(np.log(2))
    assert random_networks.logistic(np.array([np.log(3)]), 0.25) == pytest.approx(
        0.25 * np.log(4 / 3) + 0.75 * np.log(4)
    )
    at = random_networks.logit(0.1)
    assert at == pytest.approx(-np.log(9))
    near = random_networks.logistic(np.array([at - 1e-3, at, at + 1e-3]), 0.1)
    assert near.argmin() == 1
    assert random_networks.squared(np.array([1.0, -2.0]), -2.0).tolist() == [9.0, 0.0]
    assert np.isfinite(random_networks.logistic(np.array([-1e4, 1e4]), 0.1)).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 0, 1], 1),
        ([0, 1, 0], 0),  # the ends do not count
        ([2, 1, 1, 1, 2], 1),
        ([2, 1, 1, 0], 0),  # a step is no valley
        ([3, 1, 2, 0, 3, -1, 4], 3),
        ([5, 5, 5], 0),
        ([1, 1e-14, 2e-14, 1e-14, 1], 1),  # a bump of rounding
    ],
)
def test_minima_by_hand(values, expected):
    assert random_networks.minima(np.array(values, float)) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=3, max_size=30))
def test_minima_are_the_valleys_of_a_walk(values):
    heights = [height for height, _ in itertools.groupby(values)]
    valleys = sum(left > middle < right for left, middle, right in zip(heights, heights[1:], heights[2:], strict=False))
    assert random_networks.minima(np.array(values, float)) == valleys
    assert random_networks.minima(7.5 - 3 * np.array(values, float)) == sum(
        left < middle > right for left, middle, right in zip(heights, heights[1:], heights[2:], strict=False)
    )


def test_minima_off_target_leave_out_the_curve_where_the_score_is_the_best_one():
    x, y = np.meshgrid(*[np.linspace(-1, 1, 41)] * 2, indexing="ij")
    bowl, two = x**2 + y**2, (x**2 - 0.25) ** 2 + y**2
    assert random_networks.minima_off_target(bowl, -1.0) == 1
    assert random_networks.minima_off_target(-bowl, 1.0) == 1  # the score is highest where the loss is lowest
    assert random_networks.minima_off_target(bowl, 0.3) == 0  # a circle of global minima around a maximum
    assert random_networks.minima_off_target(-bowl, -3.0) == 0
    assert random_networks.minima_off_target(two, -0.1) == 2
    assert random_networks.minima_off_target(x + y, -3.0) == 0


def test_gradients_of_figure_1_are_the_slopes_of_its_values():
    x = np.linspace(-3, 3, 2001)
    family = activation_curves.family()
    assert list(family) == ["SoftPlus", "Swish", "GELU", "SmeLU", "gSmeLU"]
    for functions in family.values():
        assert len(functions) == 4
        for function in functions.values():
            values, slopes = activation_curves.value_and_slope(function, x)
            assert values.dtype == slopes.dtype == np.float64
            np.testing.assert_allclose(np.gradient(values, x)[1:-1], slopes[1:-1], atol=0.02)
    smelu, slope = activation_curves.value_and_slope(family["SmeLU"]["β = 0.5"], np.array([-0.5, 0.0, 0.5]))
    assert smelu.tolist() == [0.0, 0.125, 0.5]
    assert slope.tolist() == [0.0, 0.5, 1.0]


def test_figure_1_tells_the_least_values_and_slopes(made):
    (table,) = made[1][0].tables
    assert table.columns[1:] == ("value at 0", "least value", "least slope", "largest slope")
    swish = [cell.values[0] for cell in table.rows["Swish, β = 1"]]
    assert swish == pytest.approx([0.0, -0.2785, -0.0998, 1.0998], abs=1e-3)
    assert [cell.values[0] for cell in table.rows["SmeLU, β = 2"]] == pytest.approx([0.5, 0, 0, 1])


def test_figure_2_shares_one_scale_a_row_and_p1():
    found = loss_curves.losses(SMALL)
    shown = loss_curves.scaled(found)
    assert set(found) == set(itertools.product(("weight norm", "layer norm"), loss_curves.BETAS, SMALL.p1))
    for row, p1 in itertools.product(loss_curves.kinds(SMALL), SMALL.p1):
        together = np.stack([shown[row, beta, p1] for beta in loss_curves.BETAS])
        assert (together.min(), together.max()) == (0.0, 1.0)
        original = np.stack([found[row, beta, p1] for beta in loss_curves.BETAS])
        ratio = np.ptp(together, axis=1) / np.ptp(original, axis=1)
        np.testing.assert_allclose(ratio, ratio[0])


def test_figure_2_has_the_networks_of_its_caption():
    kinds = loss_curves.kinds(Settings(norm_value=1.4))
    assert kinds["weight norm"] == random_networks.Kind("weight", 25.0, 0.25, norm_value=1.4, clip=6.0)
    assert dataclasses.astuple(kinds["layer norm"])[:3] == ("layer", 1.0, 1.0)
    assert loss_curves.BETAS == (0.0, 0.1, 0.5, 1.0)


def test_figure_2_has_fewer_minima_the_wider_the_activation(made):
    for table in made[1][1].tables:
        counts = np.array([[c.values[0] for c in cells] for name, cells in table.rows.items() if "minima" in name])
        assert counts.shape == (3, 4)
        assert (counts[:, 0] > counts[:, 1]).all()
        assert (counts[:, 1] >= counts[:, 3]).all()


@pytest.mark.parametrize(("row", "clip"), [(loss_surfaces.ROWS[0], 6.0), (loss_surfaces.ROWS[1], 4.0)])
def test_figure_3_at_its_default_seed_is_what_the_paper_describes(row, clip):
    """A hill inside a closed curve of global minima gets lower with beta, and leaves a single minimum."""
    found = loss_surfaces.scores(dataclasses.replace(SMALL, surface_points=41), row)
    assert row.clip == clip
    hills = []
    for score in found[:3]:
        inside = score < row.target
        edge = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
        assert not edge.any()  # the curve is closed
        hills.append(row.loss(score)[inside].max() - row.loss(row.target))
    assert hills[0] > hills[1] > hills[2] > 0
    assert found[3].min() > row.target
    assert random_networks.minima_off_target(found[3], row.target) == 1


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


def test_smelu_has_fewer_minima_than_relu_in_the_same_networks():
    found = local_minima.counted(dataclasses.replace(SMALL, norm_values=(1.0,), p1=(0.1,), networks=12, points=2001))
    for counts in found.values():
        relu, narrow, wide = counts[0]
        assert (scipy.stats.ttest_rel(relu, narrow).pvalue, relu.mean() > narrow.mean()) < (0.01, True)
        assert relu.mean() > narrow.mean() > wide.mean()


def test_sentences_say_what_was_counted():
    settings = Settings(networks=4, norm_values=(1.0,), betas=(0.1, 1.0), p1=(0.5,))
    falling = {"layer norm": np.array([[[8, 9, 7, 8], [3, 4, 2, 3], [1, 0, 1, 0]]])}
    (said,) = local_minima.sentences(settings, falling)
    assert said.startswith("layer norm: 8.00 (6.70 to 9.30) minima with ReLU, 0.500 (")
    assert said.endswith("beyond chance at every width; the mean falls, or stays, with every step of β.")
    mixed = {"layer norm": np.array([[[8, 9, 7, 8], [3, 4, 2, 3], [4, 5, 3, 4]]])}
    assert local_minima.sentences(settings, mixed)[0].endswith("the mean does not fall with every step of β.")
    rising = {"layer norm": np.array([[[3, 4, 2, 3], [8, 9, 7, 8], [3, 5, 2, 3]]])}
    assert local_minima.sentences(settings, rising)[0].endswith("No width has fewer minima than ReLU beyond chance.")
    partly = {"layer norm": np.array([[[8, 9, 7, 8], [8, 9, 8, 7], [1, 0, 1, 0]]])}
    assert "beyond chance at β = 1; " in local_minima.sentences(settings, partly)[0]


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
    for name in loss_curves.make(SMALL, tmp_path).files:
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


def test_the_page_escapes_what_it_is_given(tmp_path):
    attack = "<script>alert(1)</script>"
    odd = panels.Section(attack, [attack], [panels.Panel(attack, png="AAAA")], [], [(attack, 1)], files=[attack])
    page = Page(tmp_path / figure_page.write_page([odd], SMALL, tmp_path).rsplit("/", 1)[1])
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(attack) == 5


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_overflows(made, tmp_path, width):
    page = without_pictures(made[2], tmp_path)
    charts = 29 if width < 800 else 13  # four beside each other are below the 200 pixels that count
    assert_nothing_overflows(page, tmp_path, width, charts)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"norm_value": 0.0}, "--norm_value must be finite and above 0, got 0.0"),
        ({"input_range": float("inf")}, "--input_range must be finite and above 0, got inf"),
        ({"points": 2}, "--points must be at least 3, got 2"),
        ({"p1": (0.1, 1.0)}, "--p1 must be one or more that differ, between 0 and 1, got 0.1,1.0"),
        ({"betas": ()}, "--betas must be one or more that differ, finite and above 0, got "),
        ({"betas": (0.1, 0.1)}, "--betas must be one or more that differ, finite and above 0, got 0.1,0.1"),
        ({"networks": 1}, "--networks must be at least 2, for intervals over them, got 1"),
        ({"curves_seed": -1}, "--curves_seed must be at least 0, got -1"),
    ],
)
def test_settings_that_break_a_rule(changes, words):
    with pytest.raises(InputError) as error:
        Settings(**changes)
    assert str(error.value) == words


@pytest.mark.parametrize(("names", "got"), [(["curve"], "'curve'"), ([], "nothing")])
def test_an_unknown_figure_and_none(names, got):
    with pytest.raises(InputError, match=f"--only must be of activations, curves, surfaces, minima, got {got}"):
        figure_page.checked(names)
