"""The Pareto front of a sweep, and the search that spends its pairs near it."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_cases import results

from smooth_recs.errors import InputError
from smooth_recs.experiments.sweeps import paired as paired_lib
from smooth_recs.experiments.sweeps import workflow
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


def test_survivors_are_the_nearest_half_and_the_baseline():
    table = paired(
        {
            "base": [(0.12, 0.250)],
            "low": [(0.06, 0.251)],
            "far": [(0.11, 0.270)],
            "middle": [(0.08, 0.249)],
            "beaten": [(0.10, 0.256)],
        }
    )
    assert workflow.survivors(table, ["base", "low", "far", "middle", "beaten"]) == ["base", "low", "middle"]
    assert workflow.survivors(table, ["base", "far", "beaten"]) == ["base", "beaten"]
    assert workflow.survivors(table, ["base"]) == ["base"]


def test_survivors_serve_the_goal_too():
    """Five on the front: the goal's best is kept though it stands least alone there."""
    on_front = [(0.10, 0.240), (0.08, 0.246), (0.079, 0.2461), (0.07, 0.250), (0.05, 0.262)]
    table = paired({"base": [(0.12, 0.25)]} | {f"v{k}": [point] for k, point in enumerate(on_front)})
    names = ["base", *(f"v{k}" for k in range(5))]
    assert "v2" not in workflow.survivors(table, names)
    kept = workflow.survivors(table, names, ["v2", "v1", "base"])
    assert "v2" in kept
    assert len(kept) == 4


def test_a_variant_without_measures_goes_first():
    table = paired({"base": [(0.12, 0.25)], "diverged": [(None, None)], "bad": [(0.3, 0.3)]})
    assert workflow.survivors(table, ["base", "diverged", "bad"]) == ["base", "bad"]


def test_a_baseline_without_measures_is_told():
    table = paired({"base": [(None, 0.25)], "bad": [(0.3, 0.3)]})
    with pytest.raises(InputError, match=r"measure pd must be one that was measured \(auc_loss\), got none of base"):
        workflow.survivors(table, ["base", "bad"])


def test_a_search_finds_the_front_with_less_than_half_the_pairs():
    """Sixteen variants, four of them on the true front; each pair's noise is a fifth of the distance to the next."""
    truth = {"base": (0.12, 0.25)}
    truth |= {f"front {k}": (0.06 + 0.015 * k, 0.25 - 0.002 * k) for k in range(4)}
    truth |= {f"off {k}": (0.09 + 0.004 * k, 0.252 + 0.001 * k) for k in range(12)}
    trained = []

    def train(names, seeds):
        trained.extend((name, seeds[-1]) for name in names)
        noise = {(name, seed): 0.003 * math.sin(len(name) + ord(name[-1]) * seed) for name in truth for seed in seeds}
        return results(
            {
                name: {
                    "pd": [pd + noise[name, seed] if (name, seed) in trained else None for seed in seeds],
                    "auc_loss": [loss if (name, seed) in trained else None for seed in seeds],
                }
                for name, (pd, loss) in truth.items()
            },
            seeds=seeds,
        )

    workflow.search(train, list(truth), [1, 2, 3])
    assert [sum(seed == each for _, seed in trained) for each in (1, 2, 3)] == workflow.sizes(17, 3) == [17, 9, 5]
    assert {name for name, seed in trained if seed == 3} == {"base", *(f"front {k}" for k in range(4))}


@pytest.mark.parametrize(("variants", "rounds", "expected"), [(1, 3, [1, 1, 1]), (2, 3, [2, 2, 2]), (6, 2, [6, 4])])
def test_sizes_of_rounds(variants, rounds, expected):
    assert workflow.sizes(variants, rounds) == expected
