"""Losses between and around networks: barriers, minima, lines, random directions, planes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from landscape_cases import network_of

from smooth_recs.errors import InputError
from smooth_recs.experiments.drawing_settings import Plan
from smooth_recs.experiments.landscape import movable_network, weight_losses

FLAT = Plan(line_steps=20, directions=0, surface_steps=0)


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


def test_a_hill_between_two_siblings():
    network = network_of(lambda w: w**2, [-1.0], [1.0])
    found = weight_losses.measure(network, FLAT)
    line = found["lines"][0]
    height = math.log(2) - math.log1p(math.exp(-1))
    assert line["barrier"]["height"] == pytest.approx(height)
    assert line["barrier"]["middle"] == pytest.approx(height)
    assert line["barrier"]["at"] == 0.5
    assert line["barrier"]["interval"] is None  # one row, one request
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
