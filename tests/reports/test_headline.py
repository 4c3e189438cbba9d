"""The head of a report: the verdict in its title, by numbers derived by hand, and the cards."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
from report_pages import METRICS, Page, page_of, relu, workdir

from smooth_recs.reports import headline

MINUS = "\N{MINUS SIGN}"


def heading(page: Page) -> str:
    found = re.search(r"<h1>(.*?)</h1>", page.source)
    assert found
    return found[1]


def run(folder: Path, pd: Any, interval: Any, aucs: tuple[float, ...], **more: Any) -> str:
    """A run of ReLU or, with a width, SmeLU, with such replicas."""
    metrics = copy.deepcopy(METRICS) | {"replicas": [{"auc": auc} for auc in aucs]}
    metrics["pd"] = {"relative": pd, "interval": interval}
    return workdir(folder, metrics=metrics, **more)


def test_one_run_has_its_pd_its_interval_and_what_is_typical(tmp_path: Path) -> None:
    page = page_of(tmp_path, run(tmp_path / "one", 0.064, [0.062, 0.066], (0.77, 0.78)))
    assert heading(page) == "Prediction difference 6.40% (6.20% to 6.60% over requests), within the typical 3% to 20%"
    assert page.prose.startswith(f"SmeLU 0.1: {heading(page)}")


@pytest.mark.parametrize(("pd", "where"), [(0.029, "below"), (0.03, "within"), (0.2, "within"), (0.201, "above")])
def test_one_run_says_on_which_side_of_the_typical_it_is(tmp_path: Path, pd: float, where: str) -> None:
    page = page_of(tmp_path, run(tmp_path / "one", pd, [pd - 0.001, pd + 0.001], (0.77, 0.78)))
    assert heading(page).endswith(f", {where} the typical 3% to 20%")
    assert f"(95%) {where} the typical 3% to 20%" in cards(page)


@pytest.mark.parametrize(
    ("pd", "interval", "aucs", "expected"),
    [
        # 0.0610 / 0.1 = 0.61; the mean AUC falls from .7700 to .7690, and the replicas of the baseline are .0020 apart.
        (0.061, [0.06, 0.062], (0.7689, 0.7691), f"39% less prediction difference; AUC {MINUS}0.0010, within what"),
        (0.061, [0.06, 0.062], (0.7749, 0.7751), "39% less prediction difference; AUC +0.0050, more than"),
        (0.12, [0.118, 0.122], (0.769, 0.771), "20% more prediction difference; AUC the same to four decimals"),
        (0.1005, [0.099, 0.102], (0.769, 0.771), "No change of the prediction difference is shown (0.5% more; the"),
        (0.1, [0.098, 0.102], (0.769, 0.771), "The same prediction difference; AUC the same"),
        (0.061, None, (0.769, 0.771), "39% less prediction difference, without an interval; AUC"),
        (
            None,
            None,
            (0.775,),
            "Prediction difference not compared: it takes two replicas of each run; AUC +0.0050;",
        ),
    ],
)
def test_two_runs(tmp_path: Path, pd: Any, interval: Any, aucs: tuple[float, ...], expected: str) -> None:
    baseline = run(tmp_path / "relu", 0.1, [0.098, 0.102], (0.769, 0.771), activation="relu", beta=None)
    page = page_of(tmp_path, baseline, run(tmp_path / "smelu", pd, interval, aucs))
    assert heading(page).startswith(expected)


def test_of_several_runs_the_title_is_about_the_one_with_the_lowest_pd(tmp_path: Path) -> None:
    baseline = run(tmp_path / "relu", 0.1, [0.098, 0.102], (0.769, 0.771), activation="relu", beta=None)
    some = run(tmp_path / "some", 0.08, [0.079, 0.081], (0.769, 0.771), beta=0.2)
    best = run(tmp_path / "best", 0.05, [0.049, 0.051], (0.769, 0.771), beta=0.4)
    worse = [run(tmp_path / f"worse{k}", 0.11, [0.109, 0.111], (0.769, 0.771), beta=0.8 + k) for k in range(2)]
    assert heading(page_of(tmp_path, baseline, some, best)).startswith("SmeLU 0.4: 50% less prediction difference")
    assert heading(page_of(tmp_path, baseline, *worse)) == "No run has less prediction difference than ReLU"


def test_models_that_learned_nothing_get_no_verdict_on_their_pd(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS) | {"collapsed": [{"replica": 1, "reason": "is constant"}]}
    page = page_of(tmp_path, workdir(tmp_path / "constant", metrics=metrics))
    assert heading(page) == "Replica 1 learned nothing: this PD says nothing"
    metrics = copy.deepcopy(METRICS) | {"diverged": [0, 1]}
    page = page_of(tmp_path, workdir(tmp_path / "diverged", metrics=metrics))
    assert heading(page) == "Replicas 0 and 1 diverged: this PD says nothing"


def test_one_replica_says_that_there_is_nothing_to_compare(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "one", metrics={"replicas": [{"auc": 0.7712}], "pd": None}))
    assert heading(page) == "AUC 0.7712; one replica, so no prediction difference"


def cards(page: Page) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page.source.split('<dl class="cards')[1].split("</dl>")[0]).split())


def test_cards_say_what_a_number_means(tmp_path: Path) -> None:
    said = cards(page_of(tmp_path, run(tmp_path / "one", 0.1, [0.09, 0.11], (0.76, 0.78))))
    # Two predictions whose mean is 10% and whose distance is a tenth of that.
    assert (
        "Prediction difference (PD) 10.0% 9.00% to 11.0% over requests (95%) within the typical 3% to 20% "
        "where one model says 9.50%, another says 10.5%"
    ) in said
    assert "AUC 0.7700 1 is perfect, 0.5 is chance replicas differ by 0.0200" in said


def test_cards_of_averaged_weights_have_the_raw_ones_beside_them(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["raw"] = {"replicas": [{"auc": 0.75}, {"auc": 0.76}], "pd": {"relative": 0.216}}
    said = cards(page_of(tmp_path, workdir(tmp_path / "averaged", metrics=metrics)))
    assert "of the averaged weights; raw weights: 21.6%" in said
    assert "of the averaged weights; raw weights: 0.7550" in said
    assert "raw" not in cards(page_of(tmp_path, workdir(tmp_path / "raw")))


def test_cards_of_two_runs_show_both(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path), workdir(tmp_path / "smelu"))
    assert "Prediction difference (PD) 14.4% \N{RIGHTWARDS ARROW} 8.53% lower is better" in cards(page)
    assert "replicas of one run differ by up to 0.0019" in cards(page)


def test_a_spread_that_four_decimals_do_not_show_is_not_called_none(tmp_path: Path) -> None:
    said = cards(page_of(tmp_path, run(tmp_path / "one", 0.1, [0.09, 0.11], (0.77, 0.77003))))
    assert "replicas differ by less than 0.0001" in said
    assert "replicas differ by 0.0000" in cards(page_of(tmp_path, run(tmp_path / "same", 0.1, None, (0.77, 0.77))))


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 3), (4, 4), (5, 3), (6, 3), (7, 4), (11, 4)])
def test_rows_of_cards_are_about_equally_long(tmp_path: Path, count: int, columns: int) -> None:
    """At most four in a row, and of an odd number the first takes two places: five are 2 + 1 and 3."""
    template = jinja2.Environment(
        loader=jinja2.PackageLoader("smooth_recs.reports"), trim_blocks=True, lstrip_blocks=True
    ).from_string('{% import "page.html.j2" as page %}{{ page.cards(all, pairs=false) }}')
    page = template.render(all=[headline.Card("AUC", "0.77")] * count)
    assert f'style="--columns: {columns}"' in page
    assert ('class="cards wide"' in page) == (count in {5, 7, 11})
