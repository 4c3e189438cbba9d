"""The choice of a variant, and what is said of it, against sweeps whose truth is known."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from sweep_cases import results

from smooth_recs.errors import InputError
from smooth_recs.experiments.sweeps import choice, goals, paired, sweep_tables, workflow
from smooth_recs.experiments.sweeps.paired import Paired, estimate

MEASURES = ("pd", "auc_loss", "examples_per_second")
NAMES = ("relu", "smelu:0.1", "swish")


def goal(text, variants=NAMES):
    return goals.parse(text, MEASURES, variants)


def pair_of(relu, smelu, swish=None):
    """PD and AUC loss of three variants, a list of (PD, AUC loss) each."""
    table = {"relu": relu, "smelu:0.1": smelu, "swish": swish or relu}
    return results(
        {
            name: {"pd": [pd for pd, _ in values], "auc_loss": [loss for _, loss in values]}
            for name, values in table.items()
        }
    )


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("min pd", []),
        ("max examples_per_second", []),
        ("min pd subject to auc_loss <= relu", [("auc_loss", 1, 1.0, "relu")]),
        ("min auc_loss subject to pd <= 0.08", [("pd", 1, 0.08, "")]),
        ("min auc_loss  subject  to pd<=8%", [("pd", 1, 0.08, "")]),
        ("min pd subject to auc_loss <= relu + 0.5%", [("auc_loss", 1, 1.005, "relu")]),
        ("min pd subject to auc_loss <= smelu:0.1 -2 %", [("auc_loss", 1, 0.98, "smelu:0.1")]),
        (
            "min pd subject to auc_loss <= relu and examples_per_second >= relu - 10%",
            [("auc_loss", 1, 1.0, "relu"), ("examples_per_second", -1, 0.9, "relu")],
        ),
    ],
)
def test_goals(text, bounds):
    found = goal(text)
    assert (found.sign, found.measure) == (1 if text.startswith("min") else -1, text.split()[1])
    assert [(each.measure, each.sign, pytest.approx(each.limit), each.than) for each in found.bounds] == bounds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "choose must be 'min MEASURE' or 'max MEASURE', then 'subject to MEASURE <= LIMIT', got ''"),
        ("pd", "choose must be 'min MEASURE'"),
        ("min pd where auc_loss <= relu", "choose must be 'min MEASURE'"),
        ("min PD", "choose must name a measure of the sweep (pd, auc_loss, examples_per_second), got 'PD'"),
        ("min pd subject to aucloss <= relu", "choose must name a measure of the sweep (auc_loss), got 'aucloss'"),
        ("min pd subject to auc_loss < relu", "choose: a bound must be 'MEASURE <= LIMIT' or 'MEASURE >= LIMIT', got"),
        (
            "min pd subject to auc_loss <= rleu",
            "choose must name a number, or a variant of the sweep (relu), got 'rleu'",
        ),
        ("min pd subject to auc_loss <= rleu + 1%", "choose must name a number, or a variant of the sweep (relu)"),
        ("min pd subject to auc_loss <= nan", "choose must name a number, or a variant of the sweep (relu"),
    ],
)
def test_goals_that_cannot_be(text, words):
    with pytest.raises(InputError) as raised:
        goal(text)
    assert str(raised.value).startswith(words)


def test_estimate_by_hand():
    found = estimate([-2.0, -4.0, -6.0])
    half = 4.302653 * 2 / 3**0.5  # Student's t at 97.5% with two degrees of freedom
    assert found.value == -4.0
    assert found.interval == pytest.approx((-4 - half, -4 + half), abs=1e-5)
    t = 4 / (2 / 3**0.5)
    assert found.below_zero == pytest.approx(0.5 + t / (2 * (2 + t * t) ** 0.5))  # in closed form
    assert estimate([1.0]) is None
    assert estimate([-1.0, -1.0]) == estimate([-1.0, -1.0, -1.0])
    assert (estimate([0.0, 0.0]).below_zero, estimate([0.0, 0.0]).above_zero) == (0.0, 0.0)
    assert (estimate([-1.0, -1.0]).below_zero, estimate([-1.0, -1.0]).above_zero) == (1.0, 0.0)
    wider = estimate([-2.0, -4.0, -6.0], variance_factor=4 / 3)
    assert wider.interval == pytest.approx((-4 - 2 * half, -4 + 2 * half), abs=1e-5)


@pytest.mark.parametrize("module", [goals, workflow, paired, sweep_tables])
def test_examples_in_docstrings(module):
    done = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert done.failed == 0


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
