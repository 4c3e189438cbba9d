"""The title of a sweep's report: it says "better" where that is shown, and nowhere else."""

from __future__ import annotations

import pytest
from sweep_cases import figure_4, results

from smooth_recs.experiments.sweeps import sweep_report, sweep_verdict
from smooth_recs.experiments.sweeps.paired import Paired

MINUS = "\N{MINUS SIGN}"


def sweep(pd, loss, **more):
    """ReLU, whose PD is 10% and whose AUC loss 0.2 for each seed, and `other`, with such values by seed."""
    count = len(pd)
    measures = {
        "relu": {"pd": [0.1] * count, "auc_loss": [0.2] * count},
        "other": {"pd": pd, "auc_loss": loss},
        **{f"more{k}": {"pd": [0.1] * count, "auc_loss": [0.2] * count} for k in range(more.get("others", 0))},
    }
    return results(measures, labels={"relu": "ReLU", "other": "SmeLU"})


@pytest.mark.parametrize(
    ("pd", "loss", "expected"),
    [
        (
            [0.07, 0.08, 0.06],
            [0.198, 0.1985, 0.1975],
            f"SmeLU is shown to be better than ReLU in both: PD {MINUS}30.0%",
        ),
        (
            [0.07, 0.08, 0.06],
            [0.199, 0.201, 0.2],
            f"SmeLU is shown to have less prediction difference than ReLU: PD {MINUS}30.0%; its AUC loss 0.00% is",
        ),
        (
            [0.07, 0.08, 0.06],
            [0.21, 0.211, 0.212],
            "Less prediction difference is shown only together with less accura",
        ),
        ([0.07, 0.13, 0.1], [0.199, 0.201, 0.2], "No variant is shown to be better than ReLU"),
        (
            [0.07, 0.13, 0.1],
            [0.198, 0.1985, 0.1975],
            "No variant is shown to have less prediction difference than ReLU;",
        ),
        ([0.07], [0.2], "One pair of each variant: nothing can be shown to be better"),
    ],
)
def test_title_without_a_goal(pd, loss, expected):
    assert sweep_verdict.title(sweep(pd, loss)).startswith(expected)


def test_more_variants_ask_for_more():
    """Changes -29%, -30%, -55%: t = -38 / (14.73 / sqrt 3) = -4.47 with two degrees of freedom, so p = 0.023 one-sided.

    That shows a change of a single variant, where 0.025 is enough, and none of two, where 0.0125 is.
    """
    values = [0.071, 0.07, 0.045]
    assert sweep_verdict.shown(Paired(sweep(values, [0.2] * 3)), "pd") == {"other": -1}
    assert sweep_verdict.shown(Paired(sweep(values, [0.2] * 3, others=1)), "pd") == {"other": 0, "more0": 0}


def test_no_change_at_all_is_not_shown():
    """Equal values have no spread, which would make any probability certain."""
    assert sweep_verdict.shown(Paired(sweep([0.1] * 3, [0.2] * 3)), "pd") == {"other": 0}


def choice(verdict, probability=None, chosen="other"):
    return {
        "chosen": chosen,
        "label": "SmeLU",
        "baseline_label": "ReLU",
        "verdict": verdict,
        "probability": probability,
        "claims": [],
        "folds": [{"seed": 1, "chosen": "other"}],
        "baseline_meets": True,
        "method": "pairs left out",
    }


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            choice("better", 0.972),
            "SmeLU is shown to be better than ReLU for this goal, with a probability of at least 97",
        ),
        (
            choice("not shown", 0.87),
            "SmeLU did best, but is not shown to be better than ReLU: the probability is at least 87.0%, and 95% is",
        ),
        (
            choice("not measured"),
            "SmeLU did best, but whether it is better than ReLU is not known: every pair helped",
        ),
        (choice("nothing"), "No variant does better than ReLU for this goal"),
        (choice("nothing", chosen=None), "No variant meets the goal"),
    ],
)
def test_title_of_a_choice(found, expected):
    assert sweep_verdict.title({}, found).startswith(expected)


def test_what_is_not_shown_is_never_called_chosen():
    said = sweep_report.choice_sentences(choice("not shown", 0.87))
    assert said[0].startswith(
        "SmeLU did best, but is not shown to be better than ReLU: the probability is at least 87.0%"
    )
    assert not any("Chosen" in sentence or "chosen:" in sentence for sentence in said)
    assert sweep_report.choice_sentences(choice("better", 0.97))[0].startswith("Chosen: SmeLU.")


def test_the_title_is_that_of_the_page(tmp_path):
    sweep_report.write(figure_4(), str(tmp_path))
    expected = f"SmeLU 0.1 is shown to be better than ReLU in both: PD {MINUS}30.0%, per-query AUC loss {MINUS}0.40%"
    assert f"<h1>{expected}</h1>" in (tmp_path / "report.html").read_text("utf-8")


def test_cards_go_from_the_baseline_to_the_variant_of_the_title():
    pd, loss, pairs = sweep_verdict.cards(sweep([0.07, 0.08, 0.06], [0.199, 0.201, 0.2]))
    assert (pd.value, loss.value) == ("10.0% → 7.00%", "0.2000 → 0.2000")
    # By hand: mean -30%, standard deviation 10 points, 4.303 standard errors of 10 / sqrt 3.
    assert pd.notes == [f"{MINUS}30.0% ({MINUS}54.8% to {MINUS}5.16%)", "shown to be better"]
    assert loss.notes[1] == "inconclusive"
    assert (pairs.value, pairs.notes[-1]) == ("3", "five or more show more")


def test_cards_of_a_choice_are_of_the_fresh_pairs_and_say_how_probable_its_goal_is():
    """The title rests on them: cards of the pairs that chose would show more, and "inconclusive" of many variants."""
    fresh = sweep([0.08, 0.09, 0.07], [0.2] * 3)
    claim = {"measure": "pd", "sign": 1, "bound": None, "than": "relu", "than_label": "ReLU", "probability": 0.971}
    found = {
        **choice("better", 0.971),
        "claims": [claim],
        "confirmation": {"seeds": [4, 5, 6, 7, 8], "variants": fresh["variants"]},
    }
    pd, loss, pairs = sweep_verdict.cards(sweep([0.05, 0.06, 0.04], [0.19] * 3, others=3), found)
    assert (pd.value, loss.value) == ("10.0% → 8.00%", "0.2000 → 0.2000")
    assert pd.notes[1:] == ["PD lower than ReLU's: probability 97.1%"]
    assert len(loss.notes) == 1
    assert (pairs.value, pairs.notes[0]) == ("5", "fresh ones, which did not choose it")


def test_cards_of_one_pair_and_of_a_choice_say_no_more_than_is_known():
    one = sweep([0.07], [0.2], others=1)
    assert sweep_verdict.card_variant(one) == "other"
    assert sweep_verdict.cards(one)[0].notes == [f"{MINUS}30.0%, one pair"]
    assert (
        sweep_verdict.card_variant(sweep([0.07] * 2, [0.2] * 2, others=1), choice("nothing", chosen="more0")) == "more0"
    )
