"""The report of a comparison: gates first, numbers as they are, every text escaped."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_pages import ATTACK, Page, assert_asks_for_nothing, assert_nothing_overflows, needs_chromium

from smooth_recs.config import Evaluation
from smooth_recs.measures import held_out, increases
from smooth_recs.reports import comparison_report


def measured(names: tuple[str, ...] = ("at", "de")) -> dict[str, Any]:
    """What two models measure, as `smooth_recs.bin.compare` writes it."""
    rng = np.random.default_rng(11)
    p = rng.uniform(0.05, 0.5, 2000)
    columns = {
        "prediction": np.clip(p[:, None] * np.exp(rng.normal(0, 0.1, (2000, 2))), 0, 1),
        "label": (rng.uniform(size=2000) < p).astype(float),
        "query_id": np.arange(2000) // 4,
    }
    country = np.array(names, object)[np.arange(2000) % len(names)]
    evaluation = Evaluation(slices=("score", "country"))
    metrics = held_out.metrics(columns, evaluation=evaluation, slice_columns={"country": country})
    a, b = columns["prediction"].T
    given = {"query_id": columns["query_id"]}
    increase = {name: increases.increase(name, columns["label"], a, b, **given) for name in ("auc_loss", "log_loss")}
    return {
        "a": {"path": "runs/relu/export/replica_0/1", "kind": "export", "rows": 2012},
        "b": {"path": "runs/smelu/export/replica_0/1", "kind": "keras", "rows": 2003},
        "rows": 2000,
        "only_in_a": 12,
        "only_in_b": 3,
        **{key: metrics[key] for key in ("replicas", "pd", "recommendations", "slices", "best_possible")},
        "increase": {**increase, "per_query_auc_loss": None},
        "gates": [],
        "data": {"fingerprint": "9c11"},
        "settings": {"key": ["row"], "evaluation": {"k": 3}},
        "versions": {"smooth_recs": "0.1.0"},
        "command": ["python", "-m", "smooth_recs.bin.compare", "--a=x y"],
    }


COMPARISON = measured()


def page_of(tmp_path: Path, **changes: Any) -> Page:
    output = tmp_path / "new" / "comparison.html"
    comparison_report.write({**COMPARISON, **changes}, str(output))
    return Page(output)


def test_page_is_whole_and_asks_for_nothing(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert_asks_for_nothing(page)
    assert page.prose.startswith("smelu against relu")
    assert [tag for tag, _ in page.tags].count("svg") == 3
    for said in ("runs/relu/export/replica_0/1", "keras", "9c11", "0.1.0", "--a=x y", "2,000 rows"):
        assert said in page.prose


def test_numbers_are_those_of_the_comparison(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    a, b = COMPARISON["replicas"]
    increase = COMPARISON["increase"]["auc_loss"]
    accuracy = page.table("Normalised entropy")
    change = pytest.approx(increase["value"], abs=1e-12)
    assert accuracy["AUC loss"] == [[a["auc_loss"]], [b["auc_loss"]], [change], increase["interval"]]
    assert accuracy["Calibration"][:2] == [[a["calibration"]], [b["calibration"]]]
    assert accuracy["Calibration"][3] == []
    assert page.table("Classification flips")["Absolute"] == [[COMPARISON["pd"]["absolute"]]]
    assert page.table("Kendall distance")["Swap rate"] == [[COMPARISON["recommendations"]["swap_rate"]]]
    assert page.table("at")["at"][0] == [next(e for e in COMPARISON["slices"]["country"] if e["slice"] == "at")["pd"]]
    assert page.table("kind")["rows"] == [[2012], [2003]]


def test_gates_come_first_and_say_by_how_much(tmp_path: Path) -> None:
    gates = [
        {"name": "max_pd", "limit": 0.1, "value": 0.154, "met": False},
        {"name": "max_auc_loss_increase", "limit": 0.001, "value": -0.00123, "met": True},
        {"name": "max_swap_rate", "limit": 0.05, "value": 0.05, "met": True},
    ]
    page = page_of(tmp_path, gates=gates)
    assert "Not met Prediction difference 15.4%, limit 10.0% 5.40 points above the limit" in page.prose
    said = "Met Increase of the AUC loss \N{MINUS SIGN}0.00123, limit +0.00100 0.00223 below the limit"
    assert said in page.prose
    assert "Met Swap rate 5.00%, limit 5.00% 0 points below the limit" in page.prose
    assert page.source.index("Not met") < page.source.index("What is measured")
    assert [attributes.get("class") for tag, attributes in page.tags if tag == "li"][:3] == ["missed", None, None]
    assert "limit" not in page_of(tmp_path).prose


def test_rows_without_a_counterpart_are_counted(tmp_path: Path) -> None:
    assert "Not all rows have a counterpart: 12 only in A and 3 only in B." in page_of(tmp_path).prose
    assert "counterpart: 3 only in B. They" in page_of(tmp_path, only_in_a=0).prose
    assert "counterpart" not in page_of(tmp_path, only_in_a=0, only_in_b=0).prose


def test_sentences_say_which_way_and_how_surely(tmp_path: Path) -> None:
    better = {"value": -0.002, "interval": [-0.003, -0.001]}
    page = page_of(tmp_path, increase={"auc_loss": better})
    assert (
        "The AUC loss of B is 0.0020 lower than that of A; the 95% interval of the increase is "
        "\N{MINUS SIGN}0.0030 to \N{MINUS SIGN}0.0010, which does not include 0."
    ) in page.prose
    unsure = {"value": 0.002, "interval": [-0.003, 0.007]}
    page = page_of(tmp_path, increase={"auc_loss": unsure})
    assert "0.0020 higher than that of A; the 95% interval of the increase is" in page.prose
    assert "which includes 0, so the difference is inconclusive." in page.prose


def test_without_labels_and_requests_only_the_difference_is_left(tmp_path: Path) -> None:
    nothing = dict.fromkeys(COMPARISON["replicas"][0])
    for replicas in ([nothing, nothing], [None, None]):
        page = page_of(
            tmp_path,
            replicas=replicas,
            increase=dict.fromkeys(COMPARISON["increase"]),
            recommendations=None,
            slices={},
            data=None,
        )
        assert "Accuracy" not in page.prose
        assert "The AUC loss of B" not in page.prose
        assert "Where the difference is" not in page.prose
        assert page.table("Classification flips")
    infinite = {**COMPARISON["pd"], "kl": math.inf, "logit_difference": math.inf}
    assert "infinite" in page_of(tmp_path, pd=infinite).prose


@pytest.mark.parametrize(
    ("a", "b", "title"),
    [
        ("base.csv", "new.csv", "new.csv against base.csv"),
        ("runs/a", "runs/a/export", "export against A"),
        ("same", "same", "B against A"),
        ("x/1/m", "x/2/m", "2 against 1"),
    ],
)
def test_title_is_what_differs_between_the_paths(tmp_path: Path, a: str, b: str, title: str) -> None:
    sides = {name: {"path": path, "kind": "export", "rows": 1} for name, path in (("a", a), ("b", b))}
    assert page_of(tmp_path, **sides).prose.startswith(f"{title}: ")


def test_markup_stays_text(tmp_path: Path) -> None:
    comparison = measured((ATTACK, "de"))
    comparison["slices"] = {ATTACK: comparison["slices"]["country"]}
    comparison["a"] = {"path": ATTACK, "kind": ATTACK, "rows": 1}
    comparison["b"] = {"path": "&<b>", "kind": "export", "rows": 1}
    comparison["gates"] = [{"name": ATTACK, "limit": 0.1, "value": 0.2, "met": False}]
    for key in ("data", "settings", "versions"):
        comparison[key] = {ATTACK: ATTACK}
    comparison["command"] = [ATTACK]
    page = page_of(tmp_path, **comparison)
    assert "<script" not in page.markup.lower()
    assert "<b>" not in page.source
    assert page.text.count(ATTACK) >= 12


def test_equal_comparisons_give_equal_files_also_through_json(tmp_path: Path) -> None:
    for name, comparison in (("one", COMPARISON), ("other", json.loads(json.dumps(COMPARISON)))):
        comparison_report.write(copy.deepcopy(comparison), str(tmp_path / f"{name}.html"))
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "other.html").read_bytes()


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_overflows_in_a_browser(tmp_path: Path, width: int) -> None:
    sides = {name: {"path": f"{name}" * 150, "kind": "export", "rows": 1} for name in "ab"}
    assert_nothing_overflows(page_of(tmp_path, **sides), tmp_path, width, charts=3)
