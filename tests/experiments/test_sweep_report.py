"""The report of a sweep that was never trained: what it says, what it never does, and how it looks in a browser."""

from __future__ import annotations

import copy
import doctest
from html import escape

import matplotlib.image
import pytest
from report_pages import ATTACK, Page, assert_asks_for_nothing, assert_nothing_overflows, needs_chromium
from sweep_cases import LABELS, WIDTHS, figure_4, results

from smooth_recs.experiments.sweeps import choice, sweep_charts, sweep_report, sweep_tables
from smooth_recs.experiments.sweeps.sweep_plan import parse_goal
from smooth_recs.experiments.sweeps.sweep_results import names

GOAL = "min pd subject to per_query_auc_loss <= relu + 0.5%"


def chosen(found, text=GOAL):
    goal = parse_goal(text, names(), [variant["name"] for variant in found["variants"]])
    return {**choice.choose(found, goal), "config_file": "runs/sweep/chosen.py"}


def page_of(found, folder, choice=None):
    sweep_report.write(found, str(folder), choice)
    return Page(folder / "report.html")


def test_everything_is_written(tmp_path):
    said = sweep_report.write(figure_4(), str(tmp_path), chosen(figure_4()))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figure4.png",
        "figure4.svg",
        "report.html",
        "results.md",
    ]
    assert said.endswith(f"config   runs/sweep/chosen.py\n\nreport   {tmp_path / 'report.html'}")
    assert said.split("\n\nconfig ")[0] in (tmp_path / "results.md").read_text()
    picture = matplotlib.image.imread(tmp_path / "figure4.png")
    assert picture.shape[0] > 800
    assert picture.shape[1] > 1200
    assert (tmp_path / "figure4.svg").read_text().count("<svg") == 1
    before = (tmp_path / "report.html").read_bytes(), (tmp_path / "figure4.png").read_bytes()
    assert sweep_report.write(figure_4(), str(tmp_path), chosen(figure_4())) == said  # over files of its own
    assert before == ((tmp_path / "report.html").read_bytes(), (tmp_path / "figure4.png").read_bytes())


def test_the_page_has_the_exact_numbers(tmp_path):
    page = page_of(figure_4(), tmp_path)
    table = page.table("SmeLU 0.1")
    assert table["SmeLU 0.1"] == [
        [pytest.approx(0.084)],
        [pytest.approx((0.084 / 0.12 + 0.086 / 0.122 + 0.082 / 0.118) / 3 - 1)],
        [pytest.approx(0.249)],
        [pytest.approx(0.249 / 0.25 - 1)],
    ]
    assert table["ReLU"][1] == table["ReLU"][3] == []  # no change from itself
    assert "1,234,567" in page.text
    assert "9.00% (" not in page.text
    assert "8.40% (7.90%\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}8.90%)" in page.text
    assert page.text.count("on the Pareto front") == 4
    assert page.source.count("<svg") == 2  # the whole, and closer


def test_markdown(tmp_path):
    sweep_report.write(figure_4(), str(tmp_path))
    lines = (tmp_path / "results.md").read_text().splitlines()
    assert lines[0] == "| Variant | PD | Change | Per-query AUC loss | Change |"
    assert lines[2].startswith("| ReLU | 12.0% (11.5%")
    assert lines[4].startswith("| SmeLU 0.05 (on the Pareto front) | 10.0% (")
    row = next(line for line in lines if line.startswith("| Smelu | "))
    assert row == (
        "| Smelu | 0.05, 0.1, 0.2 | −41.7%, +0.40% at 0.2 | −30.0%, −0.40% at 0.1 | −16.7%, −0.80% at 0.05 |"
    ).replace(", +", ",\N{NO-BREAK SPACE}+").replace(", −", ",\N{NO-BREAK SPACE}−").replace(
        "at ", "at\N{NO-BREAK SPACE}"
    )
    assert next(line for line in lines if line.startswith("| Softplus |")).count("none") == 1


def test_variants_with_fewer_pairs_are_compared_over_the_pairs_that_they_have(tmp_path):
    """Seed 1 has a PD that is 3 points above the others': who was trained with it alone is not worse for that."""
    found = results(
        {
            "relu": {"pd": [0.15, 0.12, 0.12], "per_query_auc_loss": [0.25, 0.25, 0.25]},
            "one": {"pd": [0.10, None, None], "per_query_auc_loss": [0.249, None, None]},
            "all": {"pd": [0.11, 0.08, 0.08], "per_query_auc_loss": [0.249, 0.249, 0.249]},
        }
    )
    heights = {point.name: point.y for point in sweep_charts.plane(found, ("pd", "per_query_auc_loss")).points}
    assert heights == {"relu": pytest.approx(0.13), "one": pytest.approx(0.08), "all": pytest.approx(0.09)}
    prose = page_of(found, tmp_path).prose
    assert "1 of 3 variants were not trained with all seeds." in prose


def test_a_baseline_that_diverged_is_told(tmp_path):
    found = results({"relu": {"pd": [None] * 2, "auc_loss": [0.2] * 2}, "b": {"pd": [0.1] * 2, "auc_loss": [0.2] * 2}})
    said = sweep_report.write(found, str(tmp_path))
    assert "- relu, the baseline, has no PD: not all of its predictions are numbers." in said
    assert "Pareto front" not in said


@pytest.mark.parametrize(("probability", "words"), [(0.9999, "more than 99.9%"), (0.996, "at least 99.6%")])
def test_how_sure_a_choice_is(tmp_path, probability, words):
    said = sweep_report.write(figure_4(), str(tmp_path), {**chosen(figure_4()), "probability": probability})
    assert f"for this goal, with a probability of {words}." in said


def test_a_label_may_have_what_markdown_counts_as_a_new_column(tmp_path):
    sweep_report.write(figure_4(labels={**LABELS, "smelu:0.1": "a|b"}), str(tmp_path))
    assert r"| a\|b (on the Pareto front) | 8.40% (" in (tmp_path / "results.md").read_text()


def test_one_pair_concludes_nothing(tmp_path):
    page = page_of(figure_4(pairs=1), tmp_path, chosen(figure_4(pairs=1)))
    assert "One pair of each variant is no ground to conclude on" in page.prose
    assert "95%" not in page.prose
    assert "standard error" not in page.prose
    assert "did best, but whether it is better than ReLU is not known: every pair helped to choose it" in page.prose


def test_without_queries_the_loss_is_that_over_all_pairs(tmp_path):
    found = figure_4()
    for variant in found["variants"]:
        for section in ("measures", "changes"):
            variant[section]["per_query_auc_loss"] = {"value": None, "of_seeds": [None] * 3, "interval": None}
    page = page_of(found, tmp_path)
    assert "against the change of AUC loss" in page.prose
    assert "Per-query" not in page.text.replace("Per-query AUC loss is", "")
    assert len(page.table("SmeLU 0.1")["SmeLU 0.1"]) == 4


def test_what_is_said(tmp_path):
    sentences = page_of(figure_4(), tmp_path).prose
    assert (
        "Two trainings of ReLU, the baseline, differ in their predictions for a held-out example by 12.0% on average "
        "(95% interval 11.5% to 12.5%)."
    ) in sentences
    assert (
        "5 of 5 variants are shown to be more reproducible than the baseline, 0 to be less reproducible." in sentences
    )
    assert "2 of 5 variants are shown to be more accurate than the baseline, 3 to be less accurate." in sentences
    assert "The largest improvement of per-query AUC loss is that of SmeLU 0.05: −0.80% (" in sentences


def test_what_is_not_shown_is_not_said(tmp_path):
    table = {"relu": (0.12, 0.25), "smelu:0.1": (0.121, 0.25)}
    found = figure_4(table)
    found["variants"][1]["measures"]["pd"]["of_seeds"] = [0.10, 0.14, 0.12]
    prose = page_of(found, tmp_path).prose
    assert "The pairs do not show whether SmeLU 0.1 is more or less reproducible than the baseline." in prose


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        (GOAL, ["Chosen: SmeLU 0.2.", "Without one of the 3 pairs, the choice is the same in 3 of 3.", "+ 0.5%"]),
        ("min pd subject to per_query_auc_loss <= 0.2", ["Nothing meets the goal: no variant keeps its bounds."]),
        ("max pd", ["Nothing beats the baseline: of all variants that keep the bounds, ReLU is the best."]),
        ("min per_query_auc_loss subject to pd <= 9.5%", ["ReLU does not keep the bounds", "PD at most 9.50%"]),
    ],
)
def test_the_choice_is_told(tmp_path, goal, words):
    page = page_of(figure_4(), tmp_path, chosen(figure_4(), goal))
    for each in words:
        assert each in page.prose
    assert ("So SmeLU" in page.prose) == (not words[0].startswith("Nothing"))


def test_fresh_pairs_are_told(tmp_path):
    found = chosen(figure_4())
    goal = parse_goal(GOAL, names(), list(WIDTHS))
    fresh = figure_4({name: WIDTHS[name] for name in ("relu", "smelu:0.2")}, seeds=[4, 5, 6])
    confirmed = {**choice.confirmed(found, goal, fresh), "confirmation": fresh}
    page = page_of(figure_4(), tmp_path, confirmed)
    assert "Measured on 3 fresh pairs of each, which did not choose it." in page.prose
    assert "On the fresh pairs" in page.prose
    assert "What is called shown here has to hold for all variants together." in page.prose
    assert "The same pairs chose it" not in page.prose
    assert "The same pairs chose it" in page_of(figure_4(), tmp_path, found).prose
    assert "What is called shown here" not in page_of(figure_4(), tmp_path, found).prose
    assert "leaving out" not in page.prose


def attacked(value):
    """Every text, and every name of a setting, is an attack."""
    if isinstance(value, dict):
        return {f"{key}{ATTACK}" if key in ("model", "rows") else key: attacked(item) for key, item in value.items()}
    return ATTACK if isinstance(value, str) else value


def test_nothing_reaches_the_page_unescaped(tmp_path):
    found = copy.deepcopy(figure_4())
    for name in ("config", "data", "versions", "command"):
        found[name] = attacked(found[name])
    for index, variant in enumerate(found["variants"]):
        variant["label"] = f"{ATTACK} {index} $x^2$"
        variant["line"] = variant["line"] and f"{variant['line']}{ATTACK}"
        variant["fields"] = {f"model.{ATTACK}": ATTACK}
    page = page_of(found, tmp_path, {**chosen(found), "goal": f"{ATTACK} {ATTACK}", "config_file": ATTACK})
    assert ATTACK not in page.source
    assert escape(ATTACK) in page.source
    assert_asks_for_nothing(page)


def test_it_asks_for_nothing(tmp_path):
    assert_asks_for_nothing(page_of(figure_4(), tmp_path, chosen(figure_4())))


def test_the_table_can_be_sorted_and_filtered(tmp_path):
    page = page_of(figure_4(), tmp_path)
    assert [attributes["class"] for tag, attributes in page.tags if tag == "table"].count("numeric sortable") == 2


def test_points_say_their_values(tmp_path):
    page = page_of(figure_4(), tmp_path)
    # The mean of .084 / .12, .086 / .122 and .082 / .118 is .69994.
    said = "SmeLU 0.1: PD 8.40%, \N{MINUS SIGN}30.01%; per-query AUC loss \N{MINUS SIGN}0.40%"
    assert page.source.count(f'<g class="value"><title>{said}</title>') == 2, "in the whole chart, and closer"


def test_runs_and_files_are_linked_where_they_are(tmp_path):
    found = figure_4()
    for variant in found["variants"]:
        variant["workdirs"] = [f"cells/{variant['name']}-{seed}" for seed in (1, 2)] + [None]
    (tmp_path / "cells/relu-2").mkdir(parents=True)
    (tmp_path / "cells/relu-2/report.html").write_text("")
    (tmp_path / "results.csv").write_text("")
    page = page_of(found, tmp_path)
    assert_asks_for_nothing(page)
    linked = [a["href"] for tag, a in page.tags if tag == "a" and not (a["href"] or "").startswith("#")]
    assert linked == [
        "./results.csv",
        "./results.md",
        "./figure4.png",
        "./figure4.svg",
        "./cells/relu-2/report.html",
    ]


def test_two_pairs_are_said_to_show_hardly_anything(tmp_path):
    said = "Two pairs of each variant show hardly anything: their 95% intervals reach 12.7 standard errors"
    assert said in page_of(figure_4(pairs=2), tmp_path).prose
    assert "Two pairs" not in page_of(figure_4(), tmp_path).prose


NAMED = {f"A variant with a longer name, number {k}": (0.12 - 0.005 * (k % 7), 0.25 + 0.0005 * k) for k in range(14)}


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("table", [WIDTHS, NAMED], ids=["lines", "names"])
def test_nothing_overflows(tmp_path, width, table):
    others = {} if table is WIDTHS else {"labels": {}, "lines": {}}
    found = figure_4(table, **others)
    goal = GOAL.replace("relu", next(iter(table))) if " " not in next(iter(table)) else "min pd"
    page = page_of(found, tmp_path, chosen(found, goal))
    assert_nothing_overflows(page, tmp_path, width, page.source.count("<svg"))


def test_examples_in_docstrings():
    assert doctest.testmod(sweep_tables).failed == 0
