"""Reports of runs that were never trained: what a page says, what it never does, and how it looks in a browser."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import hypothesis
import matplotlib.image
import pytest
from hypothesis import strategies as st
from report_pages import ATTACK, Page, assert_asks_for_nothing, assert_nothing_overflows, needs_chromium

from smooth_recs import config
from smooth_recs.errors import InputError
from smooth_recs.reports import run_report


def slice_of(name: str, pd: float, share: float, pd_share: float, rows: int = 20_000) -> dict[str, Any]:
    return {
        "slice": name,
        "rows": rows,
        "weight_share": share,
        "pd": pd,
        "interval": [pd - 0.01, pd + 0.01],
        "pd_share": pd_share,
        "auc_loss": 0.21,
        "log_loss": 0.33,
        "label_mean": 0.14,
        "small": rows < 100,
    }


SLICES: dict[str, Any] = {
    "user": [
        slice_of("tiny", 0.6, 0.0001, 0.0007, rows=10),
        slice_of("17", 0.123, 0.25, 0.36),
        slice_of("other", 0.073, 0.7499, 0.6393),
    ],
    "score": [
        slice_of("decile 10 (0.31 to 0.7)", 0.11, 0.5, 0.6),
        slice_of("decile 9 (0.2 to 0.31)", 0.06, 0.5, 0.4),
    ],
}
METRICS: dict[str, Any] = {
    "replicas": [
        {
            "log_loss": 0.33712345678,
            "auc": 0.7712,
            "auc_loss": 0.2288,
            "normalized_entropy": 0.871,
            "per_query_auc_loss": 0.241,
            "calibration": 0.991,
            "mean_prediction": 0.1353,
        },
        {
            "log_loss": 0.3365,
            "auc": 0.7731,
            "auc_loss": 0.2269,
            "normalized_entropy": 0.869,
            "per_query_auc_loss": 0.239,
            "calibration": 1.002,
            "mean_prediction": 0.1367,
        },
    ],
    "pd": {
        "relative": 0.085312345,
        "pairs": [[0, 1, 0.085312345]],
        "interval": [0.0832, 0.0871],
        "after_matching_means": 0.0812,
        "absolute": 0.0123,
        "relative_norm_1": 0.0427,
        "relative_norm_2": 0.0431,
        "standard_deviation": 0.0062,
        "kl": float("inf"),
        "jensen_shannon": 0.00041,
        "logit_difference": 0.0931,
        "flips": 0.0021,
        "quantiles": {"0.5": 0.061, "0.9": 0.19, "0.99": 0.37},
        "histogram": {"edges": [0.0, 0.1, 0.2, 0.5, 2.0], "counts": [0.7, 0.25, 0.05, 0.0]},
    },
    "recommendations": {
        "k": 3,
        "swap_rate": 0.217,
        "swap_rate_interval": [0.21, 0.224],
        "top_k_overlap": 0.961,
        "kendall_distance": 0.052,
        "requests": 25_000,
        "single_row_requests": 12,
    },
    "slices": SLICES,
    "pd_estimate": {
        "rank_correlation": {
            "units": {"value": 0.62, "interval": [0.6, 0.64]},
            "summaries": {"value": 0.55, "interval": [0.53, 0.57]},
            "prediction_only": {"value": 0.21, "interval": [0.2, 0.23]},
        },
        "rows_fitted": 50_000,
        "rows_tested": 49_000,
        "method": "ridge regression",
    },
    "best_possible": {"auc": 0.8336, "log_loss": 0.3011},
    "history": [
        {"step": 400, "pd": 0.2, "auc": 0.70, "log_loss": 0.40},
        {"step": 1800, "pd": 0.09, "auc": 0.77, "log_loss": 0.34},
    ],
    "layers": [{"name": "dense_0", "pre_activation_rms": 0.62, "transition_share": 0.31}],
    "examples": 1_000_000,
    "examples_per_second": 47123.4,
    "exports": ["export/replica_0/1", "export/replica_1/1"],
}
MANIFEST: dict[str, Any] = {
    "versions": {"smooth_recs": "0.1.0", "tensorflow": "2.21.0"},
    "seeds": {"seed": 1, "replicas": [11, 12]},
    "data": {
        "fingerprint": "sha256:9c11",
        "rows": 1_100_000,
        "malformed": {"rows": 2, "first": ["log.csv:12: label must be 0 or 1, got '2'", "log.csv:99: empty line"]},
    },
    "command": "python -m smooth_recs.bin.train --config=configs/demo.py",
}


def workdir(
    folder: Path, *, activation: str = "smelu", beta: Any = 0.1, metrics: Any = METRICS, manifest: Any = MANIFEST
) -> str:
    folder.mkdir(parents=True)
    settings = config.Config(model=config.Model(activation=activation, beta=beta)).to_dict()
    for name, content in (("config", settings), ("manifest", manifest), ("metrics", metrics)):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return str(folder)


def page_of(tmp_path: Path, *workdirs: str) -> Page:
    output = tmp_path / "out" / "report.html"
    run_report.write(workdirs, str(output))
    return Page(output)


def relu(tmp_path: Path, **pd: Any) -> str:
    metrics = copy.deepcopy(METRICS)
    metrics["pd"].update({"relative": 0.144, "interval": [0.141, 0.147], "pairs": [[0, 1, 0.144]], **pd})
    for replica in metrics["replicas"]:
        replica["auc_loss"] += 0.002
    return workdir(tmp_path / "relu", activation="relu", beta=None, metrics=metrics)


def test_page_is_whole_and_asks_for_nothing(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path), workdir(tmp_path / "smelu"))
    assert [tag for tag, _ in page.tags].count("svg") == 5 + len(SLICES)
    assert assert_asks_for_nothing(page) > 0, "the charts refer to their own parts"


def test_charts_follow_the_colours_of_the_page_and_share_no_id(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path), workdir(tmp_path / "smelu"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    charts = re.findall(r"<svg.*?</svg>", page.source, flags=re.DOTALL)
    for chart in charts:
        assert not re.search(r"(fill|stroke): (#|black|white)", chart)
        assert "currentColor" in chart or "var(--muted)" in chart
    assert all("var(--series-0)" in chart and "var(--series-1)" in chart for chart in charts)
    assert page.source.count("--series-0:") == 2, "one for light, one for dark"


def test_equal_workdirs_give_equal_files(tmp_path: Path) -> None:
    run = workdir(tmp_path / "smelu")
    for name in ("first", "second"):
        run_report.write([run], str(tmp_path / f"{name}.html"))
        run_report.picture([run], str(tmp_path / f"{name}.png"))
    assert (tmp_path / "first.html").read_bytes() == (tmp_path / "second.html").read_bytes()
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


def test_numbers_in_tables_are_those_of_the_metrics(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    overview = page.table("PD, 95% interval")
    assert overview["Prediction difference (PD)"] == [[0.085312345]]
    assert overview["PD, 95% interval"] == [[0.0832, 0.0871]]
    assert overview["PD with means matched"] == [[0.0812]]
    assert overview["AUC"] == [[pytest.approx(0.77215)]]
    assert overview["AUC of the true probabilities"] == [[0.8336]]
    assert overview["Training examples"] == [[1_000_000]]

    replicas = next(table for table in page.tables if len(table.get("AUC", ())) == 2)
    for name, key in {
        "Log loss": "log_loss",
        "AUC": "auc",
        "AUC loss": "auc_loss",
        "Calibration": "calibration",
    }.items():
        assert replicas[name] == [[replica[key]] for replica in METRICS["replicas"]]

    bins = page.table("10.0% to 20.0%")
    assert list(bins.values()) == [[[0.7]], [[0.25]], [[0.05]]], "no rows after the last bin that has examples"
    steps = page.table("1,800")
    assert steps == {"400": [[0.2], [0.7], [0.4]], "1,800": [[0.09], [0.77], [0.34]]}
    assert page.table("dense_0")["dense_0"] == [[0.62], [0.31]]
    assert page.table("train.batch_size")["train.batch_size"] == [[256.0]]
    for said in ("8.53%", "8.32% to 8.71%", "log.csv:99: empty line", "2.21.0", MANIFEST["command"], "sha256:9c11"):
        assert said in page.text


def test_all_measures_and_what_they_mean(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    measures = page.table("Classification flips")
    expected = {
        "Relative (PD)": 0.085312345,
        "Relative, means matched": 0.0812,
        "Relative, median example": 0.061,
        "Relative, 90% of examples": 0.19,
        "Relative, 99% of examples": 0.37,
        "Relative to the mean, L1": 0.0427,
        "Relative to the mean, L2": 0.0431,
        "Absolute": 0.0123,
        "Standard deviation": 0.0062,
        "Logits": 0.0931,
        "Jensen-Shannon": 0.00041,
        "Classification flips": 0.0021,
    }
    assert measures == {name: [[value]] for name, value in expected.items()} | {"KL divergence": [[]]}
    assert re.search("in nats *infinite", page.prose)
    assert "examples on different sides of the threshold" in page.prose
    assert "1.23 points" in page.prose


def test_recommendations_in_words_and_numbers(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    said = "Two models have a different ordered top 3 in 21.7% of the requests (95% interval 21.0% to 22.4%)."
    assert said in page.prose
    lists = page.table("Kendall distance")
    assert lists == {
        "Length of the lists (k)": [[3]],
        "Swap rate": [[0.217]],
        "Swap rate, 95% interval": [[0.21, 0.224]],
        "Overlap": [[0.961]],
        "Kendall distance": [[0.052]],
        "Requests": [[25_000]],
        "of a single row": [[12]],
    }


def test_where_the_difference_is(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    assert (
        "The PD is highest where user is 17: 12.3% (95% interval 11.3% to 13.3%). "
        "These are 25.0% of the examples and 36.0% of the whole difference."
    ) in page.prose
    highest = page.table("user: 17")
    assert list(highest) == [
        "user: 17",
        "score: decile 10 (0.31 to 0.7)",
        "user: other",
        "score: decile 9 (0.2 to 0.31)",
    ], "by PD, without the slice of ten rows"
    assert highest["user: 17"] == [[0.123], [0.25], [0.36]]
    users = page.table("tiny")
    assert users["tiny"] == [[0.6], [0.0001], [0.0007], [0.59, 0.61], [10], [0.21], [0.33], [0.14]]
    assert list(page.table("decile 9 (0.2 to 0.31)")) == ["decile 9 (0.2 to 0.31)", "decile 10 (0.31 to 0.7)"]


def test_slices_of_several_runs_stand_side_by_side(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["slices"]["score"][0].update({"slice": "decile 10 (0.3 to 0.72)", "pd": 0.08})
    metrics["slices"]["campaign"] = [slice_of("4", 0.2, 1.0, 1.0)]
    page = page_of(tmp_path, relu(tmp_path), workdir(tmp_path / "smelu", metrics=metrics))
    assert page.table("decile 10") == {"decile 9": [[0.06], [0.06]], "decile 10": [[0.11], [0.08]]}
    assert page.table("4") == {"4": [[], [0.2]]}
    assert "For ReLU, the PD is highest where user is 17" in page.prose
    assert "For SmeLU 0.1, the PD is highest where campaign is 4" in page.prose


def test_bars_of_slices_are_as_long_as_their_shares(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    chart = next(chart for chart in re.findall(r"<svg.*?</svg>", page.source, re.DOTALL) if "tiny" in chart)
    lengths = {}
    for series in (0, 1):
        shapes = re.findall(rf'<path d="([^"]*)"[^>]*style="fill: var\(--series-{series}\)', chart)
        corners = [[float(x) for x in re.findall(r"[ML] ([-\d.]+) ", shape)] for shape in shapes]
        lengths[series] = [max(each) - min(each) for each in corners]
    assert lengths[0][1] / lengths[0][2] == pytest.approx(0.25 / 0.7499, rel=1e-3)
    assert lengths[1][1] / lengths[0][1] == pytest.approx(0.36 / 0.25, rel=1e-3)


def test_estimate_from_one_model(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    assert page.table("Every unit") == {
        "Every unit": [[0.62], [0.6, 0.64]],
        "Summaries of each layer": [[0.55], [0.53, 0.57]],
        "The prediction alone": [[0.21], [0.2, 0.23]],
    }
    assert "Fitted on 50,000 rows, tested on 49,000; ridge regression." in page.prose


def test_progressive_curves_have_their_own_section(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    progressive = {"step": 400, "progressive_pd": 0.21, "progressive_auc_loss": 0.3, "progressive_log_loss": 0.41}
    metrics["history"] = [*METRICS["history"], progressive]
    page = page_of(tmp_path, workdir(tmp_path / "smelu", metrics=metrics))
    assert page.text.index("While training") < page.text.index("On rows not trained on yet")
    steps = [table for table in page.tables if "400" in table]
    assert steps == [
        {"400": [[0.2], [0.7], [0.4]], "1,800": [[0.09], [0.77], [0.34]]},
        {"400": [[0.21], [0.3], [0.41]]},
    ]
    assert [tag for tag, _ in page.tags].count("svg") == 5 + len(SLICES)


def test_interval_over_replicas_is_told_apart(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path, interval_over_replicas=[0.12, 0.17]))
    overview = page.table("PD, 95% interval over replicas")
    assert overview["PD, 95% interval over replicas"] == [[0.12, 0.17]]
    assert overview["PD, 95% interval"] == [[0.141, 0.147]]
    assert "with other replicas of the same run" in page.prose
    assert "interval over replicas" not in page_of(tmp_path, workdir(tmp_path / "smelu")).prose


def test_letters_that_no_chart_font_has(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["slices"] = {"Земля": [slice_of(name, 0.1, 0.5, 0.5) for name in ("日本", "a\nb\x07", "$x^2$ & <b>")]}
    page = page_of(tmp_path, workdir(tmp_path / "smelu", metrics=metrics))
    assert "日本" in page.text
    assert "$x^2$ & <b>" in page.text


@hypothesis.given(
    name=st.text(alphabet="<>&\"'{}%$_#/ab", min_size=1, max_size=30),
    relative=st.floats(0, 2),
    auc=st.floats(0, 1),
)
@hypothesis.settings(max_examples=25, deadline=None)
def test_any_name_stays_text_and_any_number_stays_exact(
    tmp_path_factory: pytest.TempPathFactory, name: str, relative: float, auc: float
) -> None:
    tmp_path = tmp_path_factory.mktemp("any")
    metrics = {"replicas": [{"auc": auc}, {"auc": auc}], "pd": {"relative": relative}}
    plain = page_of(tmp_path, workdir(tmp_path / "plain", activation="plain", beta=None, metrics=metrics))
    page = page_of(tmp_path, workdir(tmp_path / "named", activation=name, beta=None, metrics=metrics))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert name in page.text
    assert page.table("AUC")["Prediction difference (PD)"] == [[relative]]
    assert next(table for table in page.tables if len(table.get("AUC", ())) == 2)["AUC"] == [[auc], [auc]]


def test_markup_in_data_and_configuration_stays_text(tmp_path: Path) -> None:
    manifest = {
        "versions": {ATTACK: ATTACK},
        "data": {"malformed": {"first": [f"log.csv:1: column {ATTACK}"]}, ATTACK: 1},
        "command": ATTACK,
        "unknown": [{ATTACK: [ATTACK]}],
    }
    metrics = copy.deepcopy(METRICS)
    metrics["layers"][0]["name"] = ATTACK
    metrics["exports"] = [ATTACK]
    metrics["replicas"][0][ATTACK] = 0.5
    metrics["slices"] = {ATTACK: [slice_of(ATTACK, 0.1, 1.0, 1.0)]}
    metrics["recommendations"]["k"] = ATTACK
    metrics["pd_estimate"]["method"] = ATTACK
    metrics["pd_estimate"]["rank_correlation"][ATTACK] = {"value": 0.5, "interval": [0.4, 0.6]}
    runs = [
        workdir(tmp_path / str(number), activation=ATTACK, beta=number, metrics=metrics, manifest=manifest)
        for number in range(2)
    ]
    for page in (page_of(tmp_path, runs[0]), page_of(tmp_path, *runs)):
        assert "<script" not in page.source
        assert "<script" not in page.source.lower()
        assert page.text.count(ATTACK) >= 17


@pytest.mark.parametrize(
    ("missing", "gone"),
    [
        ("history", "While training"),
        ("layers", "Scale of the pre-activations"),
        ("best_possible", "true probabilities"),
        ("examples_per_second", "Examples a second"),
        ("recommendations", "ordered top"),
        ("slices", "Where the difference is"),
        ("pd_estimate", "Estimated from one model"),
    ],
)
@pytest.mark.parametrize("null", [False, True])
def test_missing_part_leaves_out_its_section_only(tmp_path: Path, missing: str, gone: str, null: bool) -> None:
    metrics = {key: value for key, value in METRICS.items() if key != missing} | ({missing: None} if null else {})
    page = page_of(tmp_path, workdir(tmp_path / "smelu", metrics=metrics))
    assert gone not in page.prose
    assert gone in page_of(tmp_path, workdir(tmp_path / "whole")).prose
    assert page.table("PD, 95% interval")["Prediction difference (PD)"] == [[0.085312345]]


def test_one_replica_has_no_prediction_difference(tmp_path: Path) -> None:
    metrics = {**METRICS, "pd": None, "replicas": METRICS["replicas"][:1]}
    alone = workdir(tmp_path / "alone", activation="relu", beta=None, metrics=metrics)
    page = page_of(tmp_path, alone)
    assert "no prediction difference is measured" in page.prose
    assert "The interval is over held-out requests" not in page.prose
    both = page_of(tmp_path, alone, workdir(tmp_path / "pair"))
    assert "cannot be compared in PD with ReLU" in both.prose
    assert "not measured" in both.text


def test_hardly_anything_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "manifest.json").write_text("{}")
    (folder / "metrics.json").write_text('{"replicas": [{"auc": null, "log_loss": NaN}, {"auc": 0.5}]}')
    page = page_of(tmp_path, str(folder))
    assert page.prose.startswith("bare")
    assert "nan" not in page.prose.lower()


def test_comparison_says_what_is_measured_and_no_more(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path), workdir(tmp_path / "smelu"))
    assert page.prose.startswith("SmeLU 0.1 against ReLU")
    assert (
        "The PD of SmeLU 0.1 is 8.53% (95% interval 8.32% to 8.71%), that of ReLU 14.4% (14.1% to 14.7%): 41% lower. "
        "The two intervals do not overlap. Its AUC loss is 0.2278 against 0.2298, 0.0020 lower; replicas of the same "
        "run differ by up to 0.0019."
    ) in page.prose
    assert "It says nothing about another training run." in page.prose
    overview = page.table("PD, 95% interval")
    assert overview["Prediction difference (PD)"] == [[0.144], [0.085312345], []]
    assert overview["PD, 95% interval"] == [[0.141, 0.147], [0.0832, 0.0871], []]
    assert page.prose.count("\N{MINUS SIGN}41%") == 1
    changed = [table for table in page.tables if list(table) == ["model.activation", "model.beta"]]
    assert changed == [{"model.activation": [[], []], "model.beta": [[], [0.1]]}]
    assert page.source.index("<svg") < page.source.index("What is measured"), "a picture first"


def test_comparison_that_goes_against_the_second_run(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path, relative=0.08, interval=[0.078, 0.084]), workdir(tmp_path / "smelu"))
    assert ": 7% higher. The two intervals overlap, so the difference is inconclusive." in page.prose


def test_a_difference_that_replicas_of_one_run_have_too_is_inconclusive(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    for replica in metrics["replicas"]:
        replica["auc_loss"] += 0.0018
    page = page_of(tmp_path, workdir(tmp_path / "a"), workdir(tmp_path / "b", activation="relu", metrics=metrics))
    assert "0.0018 higher; replicas of the same run differ by up to 0.0019, so this is inconclusive." in page.prose
    equal = page_of(tmp_path, workdir(tmp_path / "c"), workdir(tmp_path / "d", activation="relu"))
    assert "the same to four decimals; replicas of the same run differ by up to 0.0019." in equal.prose


def test_pd_of_zero_has_no_relative_change(tmp_path: Path) -> None:
    page = page_of(tmp_path, relu(tmp_path, relative=0.0, interval=[0.0, 0.0]), workdir(tmp_path / "smelu"))
    assert "that of ReLU 0% (0% to 0%). The two intervals do not overlap." in page.prose


def test_runs_measured_on_other_rows_are_said_to_be(tmp_path: Path) -> None:
    """Best weights that are chosen on the first held-out rows leave those out of what is measured."""
    counted = [workdir(tmp_path / str(rows), metrics={**METRICS, "eval_examples": rows}) for rows in (1000, 1500)]
    said = "These runs were not measured on the same held-out rows (1,000, 1,500)."
    assert said in page_of(tmp_path, *counted).prose
    assert "not measured on the same" not in page_of(tmp_path, counted[0], counted[0]).prose
    other = {**MANIFEST, "data": {**MANIFEST["data"], "fingerprint": "sha256:0"}}
    on_other_data = workdir(tmp_path / "b", metrics={**METRICS, "eval_examples": 9}, manifest=other)
    prose = page_of(tmp_path, counted[0], on_other_data).prose
    assert "did not see the same data" in prose
    assert "not measured on the same" not in prose, "the greater difference says it all"


def test_what_the_metrics_cannot_say_is_infinite_only_where_a_measure_can_be(tmp_path: Path) -> None:
    """JSON has no word for infinity: null stands for it, as a run or a comparison writes it."""
    metrics = copy.deepcopy(METRICS)
    metrics["pd"].update(kl=None, logit_difference=None, flips=None)
    del metrics["pd"]["jensen_shannon"]
    page = page_of(tmp_path, workdir(tmp_path / "smelu", metrics=metrics))
    measures = page.table("KL divergence")
    assert measures["KL divergence"] == measures["Logits"] == [[]]
    assert page.prose.count("infinite") == 2
    assert not {"Jensen-Shannon", "Classification flips"} & set(measures), "not measured"


def test_runs_on_other_data_are_said_to_be(tmp_path: Path) -> None:
    first = workdir(tmp_path / "a", activation="relu", beta=None)
    assert "did not see the same data" not in page_of(tmp_path, first, workdir(tmp_path / "b")).prose
    other = {**MANIFEST, "data": {**MANIFEST["data"], "fingerprint": "sha256:0"}}
    page = page_of(tmp_path, first, workdir(tmp_path / "c", manifest=other))
    assert "These runs did not see the same data (their fingerprints differ)" in page.prose


def test_runs_with_one_name_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    runs = [workdir(tmp_path / name) for name in ("a", "b")]
    assert f"SmeLU 0.1 ({runs[0]})" in page_of(tmp_path, *runs).prose
    settings = json.loads((tmp_path / "b" / "config.json").read_text())
    settings["seed"] = 7
    (tmp_path / "b" / "config.json").write_text(json.dumps(settings))
    assert page_of(tmp_path, *runs).prose.startswith("SmeLU 0.1 (seed 7) against SmeLU 0.1 (seed 1)")


def test_schedule_and_pairs_of_three_replicas(tmp_path: Path) -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["replicas"].append(METRICS["replicas"][0])
    metrics["pd"]["pairs"] = [[0, 1, 0.08], [0, 2, 0.09], [1, 2, 0.0856]]
    page = page_of(tmp_path, workdir(tmp_path / "smelu", beta=[0.4, 0.2, 0.05], metrics=metrics))
    assert page.prose.startswith("SmeLU 0.4 to 0.05")
    assert page.table("0 and 2") == {"0 and 1": [[0.08]], "0 and 2": [[0.09]], "1 and 2": [[0.0856]]}


def test_picture_shows_both_runs_on_white(tmp_path: Path) -> None:
    output = tmp_path / "docs" / "picture.png"
    run_report.picture([relu(tmp_path), workdir(tmp_path / "smelu")], str(output))
    pixels = matplotlib.image.imread(output)[..., :3]
    height, width, _ = pixels.shape
    assert 1200 < width < 2000
    assert 200 < height < 600
    assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1]] == 1).all()
    grey, blue = ([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in ("#868c96", "#2566ae"))
    areas = [(abs(pixels - colour).max(axis=-1) < 0.01)[:, : width // 2].sum() for colour in (grey, blue)]
    assert areas[1] / areas[0] == pytest.approx(0.0853 / 0.144, rel=0.06), "the bars are as long as the PDs"


def test_workdirs_that_hold_no_finished_run_are_named(tmp_path: Path) -> None:
    output = str(tmp_path / "report.html")
    with pytest.raises(InputError, match="must name at least one workdir, got none"):
        run_report.write([], output)
    with pytest.raises(InputError, match=r"workdir .*nowhere must hold a finished run, got no config\.json there"):
        run_report.write([str(tmp_path / "nowhere")], output)
    run = Path(workdir(tmp_path / "run"))
    for content, rule in (
        ("{", r"must hold a readable metrics\.json: Expecting"),
        ("[]", r"must hold a JSON object in metrics\.json, got a list"),
        ("{}", r"must hold a replica or more in metrics\.json, got none"),
    ):
        (run / "metrics.json").write_text(content)
        with pytest.raises(InputError, match=rule):
            run_report.write([str(run)], output)
    assert not Path(output).exists()


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [360, 390, 1200])
def test_nothing_overflows_in_a_browser(tmp_path: Path, width: int) -> None:
    long_name = {**MANIFEST, "data": {"fingerprint": "0123456789abcdef" * 20}, "command": "x" * 400}
    runs = [relu(tmp_path), workdir(tmp_path / "smelu", manifest=long_name), workdir(tmp_path / "swish", beta=0.2)]
    assert_nothing_overflows(page_of(tmp_path, *runs), tmp_path, width, charts=5 + len(SLICES))
