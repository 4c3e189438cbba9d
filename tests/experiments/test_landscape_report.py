"""The loss around networks whose landscape is known by hand: barriers, minima, directions, and what a reader sees."""

from __future__ import annotations

import csv
import json
import math
from html import escape

import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from report_pages import ATTACK, Page, assert_asks_for_nothing, assert_nothing_overflows, needs_chromium

from smooth_recs.errors import InputError
from smooth_recs.experiments.landscape import landscape_report, movable_network, weight_losses
from smooth_recs.experiments.landscape.movable_network import Network, Rows, Sibling
from smooth_recs.experiments.landscape.weight_losses import Plan

FLAT = Plan(line_steps=20, directions=0, surface_steps=0)


def network_of(logit, *siblings, label=(1.0,), weight=None, is_table=None, name="network"):
    """Siblings with the given lists of weights; `logit` maps variables to the log-odds of every row."""
    label = np.array(label)
    rows = Rows(
        label, np.ones(label.size) if weight is None else np.array(weight), np.arange(label.size, dtype=np.uint64)
    )

    def sibling(number, values):
        variables = [tf.Variable(np.array(value, np.float32)) for value in values]
        tables_ = is_table or [False] * len(values)
        return Sibling(f"replica {number}", None, variables, tables_, lambda: predict(variables))

    def predict(variables):
        logits = np.broadcast_to(np.asarray(logit(*(v.numpy() for v in variables)), np.float64), label.shape)
        return 1 / (1 + np.exp(-logits))

    return Network(name, [sibling(k, values) for k, values in enumerate(siblings)], rows)


def test_barrier_by_hand():
    at = np.array([-0.5, 0.0, 0.25, 0.5, 1.0, 1.5])
    loss = np.array([9.0, 0.25, 0.75, 0.25, 0.5, 9.0])
    assert weight_losses.find_barrier(at, loss) == (0.75 - (0.75 * 0.25 + 0.25 * 0.5), 0.25, 0.25 - 0.375)


@given(st.lists(st.floats(0, 10), min_size=5, max_size=5), st.floats(-3, 3), st.floats(-3, 3))
def test_a_barrier_is_never_negative_and_a_tilt_is_no_barrier(loss, level, slope):
    at = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    plain = weight_losses.find_barrier(at, np.array(loss))
    tilted = weight_losses.find_barrier(at, np.array(loss) + level + slope * at)
    assert plain.height >= 0
    assert tilted.height == pytest.approx(plain.height, abs=1e-12)
    assert weight_losses.find_barrier(at, (at - 0.4) ** 2).height == 0  # convex


@pytest.mark.parametrize(
    ("curve", "count"),
    [
        ([2, 1, 3, 2.5, 4], 1),
        ([2, 1, 3, 2, 4], 2),
        ([0, 1, 2], 0),
        ([2, 1, 0], 0),
        ([2, 1, 1, 1.5, 1.2, 1.8, 2], 1),  # the steps back are too small to turn
        ([5, 4.5, 4, 3.5, 3, 3.4, 3.8], 1),
        ([1, 1, 1], 0),
    ],
)
def test_minima_by_hand(curve, count):
    assert weight_losses.minima(np.array(curve, float), least=0.75) == count


def deep_minima(curve, least):
    """By definition: the runs of lowest points between two points that are at least `least` higher, greedily."""
    count, position = 0, 0
    while True:
        fall = next((j for j in range(position, len(curve)) if max(curve[position : j + 1]) - curve[j] >= least), None)
        if fall is None:
            return count
        rise = next((j for j in range(fall, len(curve)) if curve[j] - min(curve[fall : j + 1]) >= least), None)
        if rise is None:
            return count
        count, position = count + 1, rise


@given(st.lists(st.lists(st.integers(0, 6), min_size=9, max_size=9), min_size=1, max_size=4), st.integers(1, 4))
def test_minima_are_those_of_the_definition_curve_by_curve(found, least):
    values = np.array(found, float).T
    assert weight_losses.minima(values, least).tolist() == [deep_minima(curve, least) for curve in found]
    assert weight_losses.minima(values[::-1], least).tolist() == weight_losses.minima(values, least).tolist()


def test_random_directions_are_as_long_as_the_weights_unit_by_unit():
    rng = np.random.default_rng(3)
    kernel, bias, table = rng.normal(size=(5, 4)), rng.normal(size=4), rng.normal(size=(9, 3))
    stacked = rng.normal(size=(2, 5, 4))
    found = movable_network.filter_normalised([kernel, bias, table, stacked], [False, False, True, False], seed=1)
    assert np.linalg.norm(found[0], axis=0) == pytest.approx(np.linalg.norm(kernel, axis=0))
    assert np.linalg.norm(found[3], axis=1) == pytest.approx(np.linalg.norm(stacked, axis=1))
    assert not found[1].any()
    assert not found[2].any()
    assert [each.shape for each in found] == [(5, 4), (4,), (9, 3), (2, 5, 4)]
    longer = movable_network.filter_normalised([kernel * [1, 2, 3, 4]], [False], seed=1)
    assert longer[0] == pytest.approx(found[0] * [1, 2, 3, 4])  # the same draw
    other = movable_network.filter_normalised([kernel], [False], seed=2)
    assert np.abs(other[0] - found[0]).max() > 0.1


def test_lines_between_weights_end_at_them_exactly():
    rng = np.random.default_rng(1)
    a, b = ([rng.normal(size=(3, 2)).astype(np.float32), np.float32([k])] for k in (1, 5))
    for t, end in ((0.0, a), (1.0, b)):
        assert all(map(np.array_equal, movable_network.between(a, b, t, [True, True]), end))
    halfway = movable_network.between(a, b, 0.5, [False, True])
    assert np.array_equal(halfway[0], a[0])
    assert halfway[1] == 3
    assert movable_network.moved(a, (2.0, b), (-1.0, a))[1] == 1 + 10 - 1


def test_a_hill_between_two_siblings():
    network = network_of(lambda w: w**2, [-1.0], [1.0])
    found = weight_losses.measure(network, FLAT)
    line = found["lines"][0]
    height = math.log(2) - math.log1p(math.exp(-1))
    assert line["barrier"]["height"] == pytest.approx(height)
    assert line["barrier"]["middle"] == pytest.approx(height)
    assert line["barrier"]["at"] == 0.5
    assert line["barrier"]["interval"] == pytest.approx((height, height))  # one row, one request
    assert found["loss"] == pytest.approx([math.log1p(math.exp(-1))] * 2)
    assert (line["at"][0], line["at"][-1], len(line["at"])) == (-0.5, 1.5, 41)
    assert line["minima"] == line["minima_of_a_row"] == 0
    probability = [1 / (1 + math.exp(-((2 * t - 1) ** 2))) for t in line["at"]]
    ends = [probability[line["at"].index(end)] for end in (0.0, 1.0)]
    for key, end in zip(("pd_to_a", "pd_to_b"), ends, strict=True):
        assert line[key] == pytest.approx([2 * abs(p - end) / (p + end) for p in probability], abs=1e-6)
    assert found["barrier"] == {"value": line["barrier"]["height"], "interval": None}


def test_minima_of_the_mean_and_of_the_rows():
    # Log-odds -(w^2 - 1)^2: for a click the loss has its minima at the siblings, otherwise one halfway.
    def line(**rows):
        return weight_losses.measure(network_of(lambda w: -((w**2 - 1) ** 2), [-1.0], [1.0], **rows), FLAT)["lines"][0]

    clicks = line(label=(1, 1, 1, 0))
    assert clicks["minima"] == 2
    assert clicks["minima_of_a_row"] == 0.25  # strictly between the siblings
    others = line(label=(1, 0), weight=(1, 4))
    assert others["minima"] == 3  # halfway, and beyond each sibling where the prediction is 0.2
    assert others["minima_of_a_row"] == 0.8


def test_dense_only_leaves_the_embeddings():
    def found(dense_only):
        network = network_of(lambda table, w: table + w, [0.0, 0.0], [2.0, 1.0], is_table=[True, False])
        plan = Plan(line_steps=2, directions=0, surface_steps=0, dense_only=dense_only)
        return weight_losses.measure(network, plan)["lines"][0]["loss"]

    at = np.array([-0.5, 0, 0.5, 1, 1.5])
    assert found(False) == pytest.approx(np.log1p(np.exp(-3 * at)), rel=1e-6)
    assert found(True) == pytest.approx(np.log1p(np.exp(-at)), rel=1e-6)


def test_random_directions_and_the_plane_of_the_first_two():
    kernel, bias = np.array([[3.0], [4.0]]), np.array([0.5])
    network = network_of(lambda k, b: k.sum() + b, [kernel, bias])
    found = weight_losses.measure(network, Plan(directions=3, direction_steps=2, surface_steps=2))
    assert found["lines"] == []
    assert found["barrier"] is None
    steps = [movable_network.filter_normalised([kernel, bias], [False, False], 1000 + k)[0].sum() for k in range(3)]
    at = [-1.0, -0.5, 0.0, 0.5, 1.0]
    for step, direction in zip(steps, found["directions"], strict=True):
        assert direction["at"] == at
        assert direction["loss"] == pytest.approx([math.log1p(math.exp(-(7.5 + t * step))) for t in at], rel=1e-4)
    loss = [[math.log1p(math.exp(-(7.5 + x * steps[0] + y * steps[1]))) for x in at] for y in at]
    assert np.array(found["surface"]["loss"]) == pytest.approx(np.array(loss), rel=1e-4)


def test_several_siblings_have_an_interval_of_the_mean_barrier():
    network = network_of(lambda w: w**2, [-1.0], [1.0], [3.0])
    found = weight_losses.measure(network, FLAT)
    assert [line["siblings"] for line in found["lines"]] == [[0, 1], [0, 2], [1, 2]]
    heights = [line["barrier"]["height"] for line in found["lines"]]
    assert found["barrier"]["value"] == pytest.approx(np.mean(heights))
    low, high = found["barrier"]["interval"]
    assert low == 0
    assert high > max(heights)


def test_siblings_of_other_shapes_are_refused():
    with pytest.raises(
        InputError, match=r"^network: siblings must have equal variables, got shapes \[2\] in replica 0 "
    ):
        network_of(lambda w: w.sum(), [[1.0, 2.0]], [[1.0, 2.0, 3.0]])
    with pytest.raises(InputError, match=r"equal variables, got 1 in replica 0 and 2 in replica 1$"):
        network_of(lambda *w: w[0], [1.0], [1.0, 2.0])


def test_siblings_that_differ_in_more_than_their_weights_are_refused():
    rows = Rows(np.ones(3), np.ones(3), np.arange(3, dtype=np.uint64))
    a, b = (
        Sibling(name, None, [tf.Variable(0.5)], [False], lambda p=p: np.array([0.25, p, 0.75]))
        for name, p in (("a", 0.5), ("b", 0.125))
    )
    with pytest.raises(InputError) as error:
        Network("exports", [a, b], rows)
    assert str(error.value) == (
        "exports: siblings must differ in their weights only, "
        "but with those of b a predicts 0.5 for row 1, b itself 0.125"
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rows": 0}, "--rows must be at least 1, got 0"),
        ({"line_steps": 3}, "--line_steps must be even, got 3"),
        ({"directions": -1}, "--directions must be at least 0, got -1"),
        ({"direction_steps": 0}, "--direction_steps must be at least 1, got 0"),
    ],
)
def test_plans_that_cannot_be(fields, words):
    with pytest.raises(InputError) as error:
        Plan(**fields)
    assert str(error.value) == words


def test_a_plan_tells_its_cost():
    assert Plan(line_steps=10, directions=2, direction_steps=5, surface_steps=3).evaluations(3) == 3 * 21 + 2 * 11 + 49
    assert Plan(line_steps=10, directions=0, surface_steps=0).evaluations(0) == 0


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
