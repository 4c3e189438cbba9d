"""Statistics over pairs of equal seeds: estimates by hand, and the Pareto front of a sweep."""

from __future__ import annotations

import doctest
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_cases import results

from smooth_recs.experiments.sweeps import paired as paired_lib
from smooth_recs.experiments.sweeps.paired import Paired

AXES = ("pd", "auc_loss")


def paired(points):
    """From {variant: [(PD, AUC loss) a seed]}."""
    return Paired(
        results(
            {
                name: {"pd": [pd for pd, _ in values], "auc_loss": [loss for _, loss in values]}
                for name, values in points.items()
            }
        )
    )


def test_a_front_by_hand():
    found = paired_lib.front(
        paired(
            {
                "base": [(0.12, 0.25)],
                "both": [(0.08, 0.24)],
                "beaten": [(0.09, 0.245)],
                "lowest": [(0.06, 0.26)],
                "as low but worse": [(0.06, 0.27)],
            }
        ),
        AXES,
    )
    assert found.names == ["lowest", "both"]
    assert found.near == {}  # one pair tells nothing


def test_what_the_pairs_do_not_tell_from_the_front():
    front = [(0.080, 0.240), (0.082, 0.241), (0.078, 0.239)]
    noisy = [(0.095, 0.238), (0.070, 0.245), (0.085, 0.240)]  # differences of both signs
    beaten = [(0.100, 0.242), (0.102, 0.243), (0.098, 0.241)]
    found = paired_lib.front(
        paired({"base": [(0.12, 0.25)] * 3, "front": front, "noisy": noisy, "beaten": beaten}), AXES
    )
    assert found.names == ["front"]
    assert found.near == {"noisy": "front"}


points = st.dictionaries(
    st.sampled_from([f"v{k}" for k in range(8)]),
    st.tuples(st.integers(0, 6), st.integers(0, 6)),
    min_size=2,
)


@settings(max_examples=60, deadline=None)
@given(points)
def test_the_front_is_what_brute_force_finds(of_variant):
    table = paired({"base": [(1.0, 1.0)]} | {name: [(1 + x, 1 + y)] for name, (x, y) in of_variant.items()})
    every = {"base": (0, 0), **of_variant}
    expected = {
        name
        for name, (x, y) in every.items()
        if not any(a <= x and b <= y and (a < x or b < y) for a, b in every.values())
    }
    assert set(paired_lib.front(table, AXES).names) == expected


@settings(max_examples=60, deadline=None)
@given(points)
def test_who_is_beaten_comes_after_the_front(of_variant):
    ranked = paired_lib.nearest_first(of_variant)
    assert sorted(ranked) == sorted(of_variant)
    for a, b in itertools.combinations(ranked, 2):
        strictly = all(y < x for x, y in zip(of_variant[a], of_variant[b], strict=True))
        assert not strictly  # nobody stands before one that beats it in both


def test_distance_is_in_units_of_each_measure():
    """A PD that is lower by much counts no less than a loss that is lower by as many of its own quartiles."""
    of_variant = {"base": (0.0, 0.0), "a": (-0.04, 0.001), "b": (-0.02, -0.001), "c": (-0.01, 0.004)}
    assert paired_lib.nearest_first(of_variant)[-1] == "c"
    scaled = {name: (1000 * x, y) for name, (x, y) in of_variant.items()}
    assert paired_lib.nearest_first(scaled) == paired_lib.nearest_first(of_variant)


def test_estimate_by_hand():
    found = paired_lib.estimate([-2.0, -4.0, -6.0])
    half = 4.302653 * 2 / 3**0.5  # Student's t at 97.5% with two degrees of freedom
    assert found.value == -4.0
    assert found.interval == pytest.approx((-4 - half, -4 + half), abs=1e-5)
    t = 4 / (2 / 3**0.5)
    assert found.below_zero == pytest.approx(0.5 + t / (2 * (2 + t * t) ** 0.5))  # in closed form
    assert paired_lib.estimate([1.0]) is None
    assert paired_lib.estimate([-1.0, -1.0]) == paired_lib.estimate([-1.0, -1.0, -1.0])
    assert (paired_lib.estimate([0.0, 0.0]).below_zero, paired_lib.estimate([0.0, 0.0]).above_zero) == (0.0, 0.0)
    assert (paired_lib.estimate([-1.0, -1.0]).below_zero, paired_lib.estimate([-1.0, -1.0]).above_zero) == (1.0, 0.0)
    wider = paired_lib.estimate([-2.0, -4.0, -6.0], variance_factor=4 / 3)
    assert wider.interval == pytest.approx((-4 - 2 * half, -4 + 2 * half), abs=1e-5)


def test_examples_in_docstrings():
    assert doctest.testmod(paired_lib, optionflags=doctest.ELLIPSIS).failed == 0
