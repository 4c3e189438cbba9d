"""The choice of a variant, what is said of it, and successive halving, against sweeps whose truth is known."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from sweep_cases import results

from smooth_recs.errors import InputError
from smooth_recs.experiments.sweeps import choice, paired
from smooth_recs.experiments.sweeps.paired import Paired, estimate
from smooth_recs.experiments.sweeps.sweep_plan import parse_goal

MEASURES = ("pd", "auc_loss", "examples_per_second")
NAMES = ("relu", "smelu:0.1", "swish")


def goal(text, variants=NAMES):
    return parse_goal(text, MEASURES, variants)


def pair_of(relu, smelu, swish=None):
    """PD and AUC loss of three variants, a list of (PD, AUC loss) each."""
    table = {"relu": relu, "smelu:0.1": smelu, "swish": swish or relu}
    return results(
        {
            name: {"pd": [pd for pd, _ in values], "auc_loss": [loss for _, loss in values]}
            for name, values in table.items()
        }
    )


def test_the_best_within_the_bounds():
    relu, smelu, swish = [(0.12, 0.250)] * 3, [(0.08, 0.249)] * 3, [(0.06, 0.251)] * 3
    found = pair_of(relu, smelu, swish)
    assert choice.choose(found, goal("min pd"))["chosen"] == "swish"
    assert choice.choose(found, goal("min pd subject to auc_loss <= relu"))["chosen"] == "smelu:0.1"
    assert choice.choose(found, goal("min pd subject to auc_loss <= relu + 1%"))["chosen"] == "swish"
    assert choice.choose(found, goal("min auc_loss subject to pd <= 0.08"))["chosen"] == "smelu:0.1"
    assert choice.choose(found, goal("min auc_loss subject to pd <= 7%"))["chosen"] == "swish"
    assert choice.choose(found, goal("max pd"))["chosen"] == "relu"


def test_nothing_beats_the_baseline():
    worse = choice.choose(pair_of([(0.1, 0.25)] * 3, [(0.2, 0.24)] * 3), goal("min pd"))
    assert (worse["chosen"], worse["verdict"], worse["claims"]) == ("relu", "nothing", [])
    same = choice.choose(pair_of([(0.1, 0.25)] * 3, [(0.1, 0.25)] * 3), goal("min pd subject to auc_loss <= relu"))
    assert (same["chosen"], same["verdict"]) == ("relu", "nothing")
    none = choice.choose(pair_of([(0.1, 0.25)] * 3, [(0.09, 0.25)] * 3), goal("min auc_loss subject to pd <= 0.05"))
    assert (none["chosen"], none["verdict"], none["probability"]) == (None, "nothing", None)
    assert [fold["chosen"] for fold in none["folds"]] == [None] * 3


def test_every_pair_is_measured_by_what_the_others_chose():
    """smelu is best without pair 3, swish with it: what the folds chose is measured, not what all pairs chose."""
    relu = [(0.10, 0.25)] * 3
    smelu = [(0.08, 0.25), (0.08, 0.25), (0.20, 0.25)]
    swish = [(0.09, 0.25), (0.09, 0.25), (0.09, 0.25)]
    found = choice.choose(pair_of(relu, smelu, swish), goal("min pd"))
    assert found["chosen"] == "swish"
    assert [fold["chosen"] for fold in found["folds"]] == ["swish", "swish", "smelu:0.1"]
    (claim,) = found["claims"]
    assert claim["value"] == pytest.approx((0.09 + 0.09 + 0.20) / 3)
    assert claim["percent"] == pytest.approx((-0.1 - 0.1 + 1.0) / 3)
    # 1/3 + 1/2 times the variance of one pair, Student's t with two degrees of freedom
    half = 4.302653 * np.std([-0.1, -0.1, 1.0], ddof=1) * (1 / 3 + 1 / 2) ** 0.5
    assert 0.8 / 3 - half < -1  # but PD cannot fall by more than all of it
    assert claim["percent_interval"] == pytest.approx([-1, 0.8 / 3 + half], abs=1e-6)
    assert found["verdict"] == "not shown"


def test_a_clear_winner_is_shown_and_its_bounds_too():
    relu = [(0.120, 0.2500), (0.125, 0.2504), (0.115, 0.2496), (0.121, 0.2501)]
    smelu = [(0.080, 0.2480), (0.086, 0.2485), (0.074, 0.2477), (0.080, 0.2480)]
    found = choice.choose(pair_of(relu, smelu), goal("min pd subject to auc_loss <= relu and pd <= 10%"))
    assert (found["chosen"], found["verdict"], found["method"]) == ("smelu:0.1", "better", "pairs left out")
    pd, loss, limit = found["claims"]
    assert pd["percent_interval"][1] < -0.25
    assert loss["than"] == "relu"
    assert (limit["than"], limit["percent"], limit["limit"]) == (None, None, pytest.approx(0.1))
    assert limit["interval"] == pd["interval"]
    assert found["baseline_meets"] is False  # its PD is above 10%: what counts is that the bounds are kept
    assert found["probability"] == pytest.approx(loss["probability"] + limit["probability"] - 1)


def test_one_pair_and_halved_sweeps_measure_nothing():
    one = choice.choose(pair_of([(0.1, 0.25)], [(0.08, 0.25)]), goal("min pd"))
    assert (one["chosen"], one["verdict"], one["method"], one["claims"]) == ("smelu:0.1", "not measured", "none", [])
    missing = (None, None)
    halved = pair_of([(0.1, 0.25)] * 3, [(0.08, 0.25)] * 3, [(0.05, 0.25), missing, missing])
    found = choice.choose(halved, goal("min pd"))
    assert (found["chosen"], found["verdict"]) == ("smelu:0.1", "not measured")  # swish did not come so far


def test_fresh_seeds_measure_the_chosen_variant():
    chosen = choice.choose(pair_of([(0.1, 0.25)] * 3, [(0.05, 0.25)] * 3), goal("min pd"))
    fresh = results(
        {
            "relu": {"pd": [0.10, 0.12], "auc_loss": [0.25, 0.25]},
            "smelu:0.1": {"pd": [0.08, 0.11], "auc_loss": [0.25, 0.25]},
        },
        seeds=[4, 5],
    )
    assert choice.to_confirm(chosen, goal("min pd"), "relu") == ["relu", "smelu:0.1"]
    found = choice.confirmed(chosen, goal("min pd"), fresh)
    assert (found["method"], found["seeds"], found["chose"], found["folds"]) == ("fresh seeds", [4, 5], [1, 2, 3], [])
    shares = [-0.02 / 0.10, -0.01 / 0.12]
    half = 12.7062 * np.std(shares, ddof=1) / 2**0.5
    assert found["claims"][0]["percent"] == pytest.approx(np.mean(shares))
    assert found["claims"][0]["percent_interval"] == pytest.approx(np.mean(shares) + np.array([-half, half]), abs=1e-5)
    assert found["verdict"] == "not shown"


def test_what_bounds_name_is_confirmed_too():
    text = "min pd subject to auc_loss <= swish and pd <= relu"
    chosen = choice.choose(pair_of([(0.1, 0.25)] * 2, [(0.05, 0.25)] * 2), goal(text))
    assert choice.to_confirm(chosen, goal(text), "relu") == ["relu", "smelu:0.1", "swish"]


def test_where_the_baseline_has_none_of_a_measure_differences_decide():
    """No part of nothing: a swap rate of 0, say."""
    found = choice.choose(
        pair_of([(0.1, 0.0)] * 3, [(0.08, 0.0)] * 3, [(0.07, 0.1)] * 3), goal("min pd subject to auc_loss <= relu")
    )
    assert (found["chosen"], found["verdict"]) == ("smelu:0.1", "better")
    assert [claim["percent"] for claim in found["claims"]] == [pytest.approx(-0.2), None]
    assert [claim["probability"] for claim in found["claims"]] == [1.0, 1.0]  # equal is at most as much


def test_a_measure_that_was_not_measured():
    found = pair_of([(0.1, None)] * 2, [(0.05, None)] * 2)
    with pytest.raises(InputError, match=r"measure auc_loss must be one that was measured \(pd\), got none of relu"):
        choice.choose(found, goal("min auc_loss"))


def test_a_variant_that_lacks_a_measure_is_never_chosen():
    found = pair_of([(0.1, 0.25)] * 2, [(0.01, None)] * 2, [(0.09, 0.2)] * 2)
    assert choice.choose(found, goal("min pd subject to auc_loss <= relu"))["chosen"] == "swish"


def test_a_variant_that_diverged_once_is_never_chosen():
    """With seed 2 its predictions were no numbers; the two good pairs would make it the best by far."""
    lucky = [(0.01, 0.2), (None, None), (0.01, 0.2)]
    found = pair_of([(0.1, 0.25)] * 3, [(0.08, 0.25), (0.07, 0.25), (0.08, 0.25)], lucky)
    swish = next(variant for variant in found["variants"] if variant["name"] == "swish")
    swish["measures"]["parameters"] = {"of_seeds": [1, 1, 1]}
    chosen = choice.choose(found, goal("min pd subject to auc_loss <= relu"))
    assert (chosen["chosen"], [fold["chosen"] for fold in chosen["folds"]]) == ("smelu:0.1", ["smelu:0.1"] * 3)
    assert Paired(found).change("swish", "pd") is None
    assert paired.front(Paired(found), ("pd", "auc_loss")).names == ["smelu:0.1"]


def test_pairs_whose_baseline_diverged_choose_and_measure_nothing():
    smelu, swish = [(0.08, 0.25), (0.01, 0.25), (0.09, 0.25)], [(0.2, 0.25)] * 3
    found = pair_of([(0.1, 0.25), (None, None), (0.12, 0.25)], smelu, swish)
    found["variants"][0]["measures"]["parameters"] = {"of_seeds": [1, 1, 1]}
    chosen = choice.choose(found, goal("min pd"))
    assert (chosen["chose"], chosen["seeds"]) == ([1, 3], [1, 3])
    half = 12.7062 * np.std([-0.02 / 0.1, -0.03 / 0.12], ddof=1) * (1 / 2 + 1) ** 0.5
    low, high = chosen["claims"][0]["percent_interval"]
    assert (low, high) == (pytest.approx(-0.225 - half, abs=1e-5), pytest.approx(-0.225 + half, abs=1e-5))


def simulated(rng, pairs, variants, spread):
    """A sweep of variants whose true PDs are drawn around the baseline's; returns it and these truths."""
    truth = {"relu": 0.0} | {f"v{k}": 0.01 * spread * rng.normal() for k in range(variants)}
    common = 0.1 * np.exp(0.1 * rng.normal(size=pairs))  # what the log of a seed does to all
    values = {name: common * (1 + mean + 0.01 * rng.normal(size=pairs)) for name, mean in truth.items()}
    return results({name: {"pd": list(map(float, each))} for name, each in values.items()}), truth


@pytest.mark.parametrize(("pairs", "variants"), [(3, 12), (6, 12), (4, 2)])
def test_equal_variants_are_rarely_called_better(pairs, variants):
    """Of sweeps in which nothing is better, fewer than 5% may say at 95% that something is."""
    rng = np.random.default_rng(pairs)
    found = [choice.choose(simulated(rng, pairs, variants, 0.0)[0], goal("min pd", ("relu",))) for _ in range(400)]
    called = np.mean([each["verdict"] == "better" for each in found])
    assert called < 0.05 + 2 * (0.05 * 0.95 / 400) ** 0.5


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_intervals_cover_the_truth_of_what_was_chosen_and_are_not_biased(spread):
    rng = np.random.default_rng(1)
    covered, errors, called, right = [], [], [], []
    for _ in range(300):
        sweep, truth = simulated(rng, 5, 10, spread)
        found = choice.choose(sweep, goal("min pd", ("relu",)))
        if not found["claims"]:
            continue
        of_folds = np.mean([truth[fold["chosen"]] for fold in found["folds"]])
        low, high = found["claims"][0]["percent_interval"]
        covered.append(low <= of_folds <= high)
        errors.append(found["claims"][0]["percent"] - of_folds)
        called.append(found["verdict"] == "better")
        right.append(truth[found["chosen"]] < 0)
    assert np.mean(covered) >= 0.95
    assert abs(np.mean(errors)) < 3 * np.std(errors) / len(errors) ** 0.5
    assert np.mean(np.array(right)[called]) >= 0.95
    assert sum(called) > (10 if spread < 1 else 200)


def test_the_best_of_many_looks_better_than_it_is_on_the_pairs_that_chose_it():
    """What the unused pairs are for: the chosen one's mean over all pairs is biased by its luck."""
    rng = np.random.default_rng(2)
    naive = []
    for _ in range(200):
        sweep, _ = simulated(rng, 3, 12, 0.0)
        chosen = choice.choose(sweep, goal("min pd", ("relu",)))["chosen"]
        naive.append(estimate(Paired(sweep).changes(chosen, "relu", "pd")))
    assert np.mean([each.value for each in naive]) < -0.005  # nothing is better
    assert np.mean([each.below_zero >= 0.95 for each in naive]) > 0.1


def paired_of(points):
    """From {variant: [(PD, AUC loss) a seed]}."""
    return Paired(
        results(
            {
                name: {"pd": [pd for pd, _ in values], "auc_loss": [loss for _, loss in values]}
                for name, values in points.items()
            }
        )
    )


def test_survivors_are_the_nearest_half_and_the_baseline():
    table = paired_of(
        {
            "base": [(0.12, 0.250)],
            "low": [(0.06, 0.251)],
            "far": [(0.11, 0.270)],
            "middle": [(0.08, 0.249)],
            "beaten": [(0.10, 0.256)],
        }
    )
    assert choice.survivors(table, ["base", "low", "far", "middle", "beaten"]) == ["base", "low", "middle"]
    assert choice.survivors(table, ["base", "far", "beaten"]) == ["base", "beaten"]
    assert choice.survivors(table, ["base"]) == ["base"]


def test_survivors_serve_the_goal_too():
    """Five on the front: the goal's best is kept though it stands least alone there."""
    on_front = [(0.10, 0.240), (0.08, 0.246), (0.079, 0.2461), (0.07, 0.250), (0.05, 0.262)]
    table = paired_of({"base": [(0.12, 0.25)]} | {f"v{k}": [point] for k, point in enumerate(on_front)})
    names = ["base", *(f"v{k}" for k in range(5))]
    assert "v2" not in choice.survivors(table, names)
    kept = choice.survivors(table, names, ["v2", "v1", "base"])
    assert "v2" in kept
    assert len(kept) == 4


def test_a_variant_without_measures_goes_first():
    table = paired_of({"base": [(0.12, 0.25)], "diverged": [(None, None)], "bad": [(0.3, 0.3)]})
    assert choice.survivors(table, ["base", "diverged", "bad"]) == ["base", "bad"]


def test_a_baseline_without_measures_is_told():
    table = paired_of({"base": [(None, 0.25)], "bad": [(0.3, 0.3)]})
    with pytest.raises(InputError, match=r"measure pd must be one that was measured \(auc_loss\), got none of base"):
        choice.survivors(table, ["base", "bad"])


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

    choice.halving_search(train, list(truth), [1, 2, 3])
    assert [sum(seed == each for _, seed in trained) for each in (1, 2, 3)] == choice.round_sizes(17, 3) == [17, 9, 5]
    assert {name for name, seed in trained if seed == 3} == {"base", *(f"front {k}" for k in range(4))}


@pytest.mark.parametrize(("variants", "rounds", "expected"), [(1, 3, [1, 1, 1]), (2, 3, [2, 2, 2]), (6, 2, [6, 4])])
def test_sizes_of_rounds(variants, rounds, expected):
    assert choice.round_sizes(variants, rounds) == expected


def test_examples_in_docstrings():
    assert doctest.testmod(choice).failed == 0
