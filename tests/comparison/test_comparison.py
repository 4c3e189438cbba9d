"""Comparisons end to end in one process: what is measured, printed and written, and the gates."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from comparison_log import FEW, ROWS, without_origin, write_csv

from smooth_recs import prediction_difference
from smooth_recs.comparison.comparison import compare
from smooth_recs.comparison.settings import Settings
from smooth_recs.config import Evaluation
from smooth_recs.errors import GateNotMet
from smooth_recs.measures import increases, recommendations
from smooth_recs.measures.gates import Limits


def test_exports_are_measured_on_the_held_out_rows(run, log, tmp_path, capsys):
    comparison = run(evaluation=Evaluation())
    a, b, label, query = (log.rows[name] for name in ("a", "b", "label", "query_id"))
    pd = prediction_difference.statistics(np.stack([a, b], axis=1), query_id=query)
    assert comparison["pd"]["relative"] == pytest.approx(pd["relative"], abs=1e-12)
    assert comparison["pd"]["interval"] == pytest.approx(pd["interval"], abs=1e-9)
    for metric in ("auc_loss", "log_loss", "per_query_auc_loss"):
        expected = increases.increase(metric, label, a, b, query_id=query)
        assert comparison["increase"][metric]["value"] == pytest.approx(expected["value"], abs=1e-12)
        assert comparison["increase"][metric]["interval"] == pytest.approx(expected["interval"], abs=1e-9)
        values = [replica[metric] for replica in comparison["replicas"]]
        assert values[1] - values[0] == pytest.approx(expected["value"], abs=1e-12)
    assert comparison["recommendations"] == recommendations.statistics(a, b, query)
    assert (comparison["rows"], comparison["only_in_a"], comparison["only_in_b"]) == (ROWS, 0, 0)
    assert comparison["a"] == {"path": f"{log.a}/7", "kind": "export", "rows": ROWS}
    assert {"label", "score", "position", "frequency of user", "frequency of item"} <= set(comparison["slices"])
    assert comparison["best_possible"]["auc_loss"] < min(replica["auc_loss"] for replica in comparison["replicas"])
    assert comparison["gates"] == []
    assert json.loads((tmp_path / "out.json").read_text()) == comparison
    assert (tmp_path / "out.html").read_text().count("<html") == 1
    said = capsys.readouterr().out
    assert f"relative PD  {pd['relative']:.2%} (95% over requests" in said
    assert "rows         10,000 matched, 0 only in a, 0 only in b" in said


def test_a_change_that_rounds_to_zero_has_no_minus(run, tmp_path, capsys):
    label = np.arange(64) % 2
    columns = {"label": label, "prediction": 0.4 + 0.2 * label}
    a = write_csv(tmp_path / "a.csv", columns)
    b = write_csv(tmp_path / "b.csv", columns | {"prediction": columns["prediction"] + 4e-7 * (label - 0.5)})
    comparison = run(a=a, b=b, config=None)
    assert -1e-5 < comparison["increase"]["log_loss"]["value"] < 0
    said = capsys.readouterr().out
    assert "log loss     0.5108 to 0.5108: +0.0000 (+0.0000 to +0.0000)" in said
    assert "-0.0000" not in said
    assert "-0.0000" not in (tmp_path / "out.html").read_text()


def test_gates_decide_after_the_files_are_written(run, log, tmp_path, capsys):
    values = run()
    pd, swap = values["pd"]["relative"], values["recommendations"]["swap_rate"]
    auc = values["increase"]["auc_loss"]["value"]
    met = run(limits=Limits(pd, auc, swap), allow_collapsed=True)
    assert [(gate["name"], gate["met"]) for gate in met["gates"]] == [
        ("max_pd", True),
        ("max_auc_loss_increase", True),
        ("max_swap_rate", True),
    ]
    os.remove(tmp_path / "out.json")
    with pytest.raises(
        GateNotMet, match=r"^gates not met: --max_pd=0\.01: pd is .* above; --max_swap_rate=0: swap_rate is"
    ):
        run(limits=Limits(max_pd=0.01, max_auc_loss_increase=auc, max_swap_rate=0.0), allow_collapsed=True)
    written = json.loads((tmp_path / "out.json").read_text())
    assert [gate["met"] for gate in written["gates"]] == [False, True, False]
    assert "gate         --max_pd=0.01: pd is" in capsys.readouterr().out


def test_one_row_is_compared_without_an_interval(tmp_path, capsys):
    for name, prediction in (("a", 0.125), ("b", 0.375)):
        (tmp_path / f"{name}.csv").write_text(f"label,query_id,prediction\n1,7,{prediction}\n0,7,0.1\n")
    compared = compare(Settings(*(str(tmp_path / f"{name}.csv") for name in "ab"), str(tmp_path / "out.json")))
    assert (compared["pd"]["interval"], compared["increase"]["auc_loss"]["interval"]) == (None, None)
    said = capsys.readouterr().out
    assert "relative PD  50.00%\n" in said
    assert "AUC loss     0.0000 to 0.0000: +0.0000\n" in said
    assert "swap rate    0.00% of the top 3\n" in said
    assert "all rows are of one request" in (tmp_path / "out.html").read_text()


def test_a_model_that_has_learned_nothing_meets_no_gate(tmp_path, capsys):
    rows = "".join(f"{n % 4 == 0:d},0.001\n" for n in range(200))
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(f"label,prediction\n{rows}")
    sides = Settings(*(str(tmp_path / f"{name}.csv") for name in "ab"), str(tmp_path / "out.json"))
    assert compare(sides)["pd"]["relative"] == 0.0  # no gate: the warning is enough
    assert "warning      b predicts 0.001 for every row" in capsys.readouterr().out
    assert "B predicts 0.001 for every row." in (tmp_path / "out.html").read_text()
    gated = dataclasses.replace(sides, limits=Limits(max_pd=0.1))
    with pytest.raises(GateNotMet) as error:
        compare(gated)
    assert str(error.value) == "gate not met: the new model predicts 0.001 for every row (--allow_collapsed accepts it)"
    assert compare(dataclasses.replace(gated, allow_collapsed=True))["gates"][0]["met"]


def test_files_with_labels_need_no_configuration(run, log, tmp_path):
    """And a file of the same predictions in another order, with a key, gives the same numbers to the last bit."""
    expected = without_origin(run())
    columns = {name: log.rows[name] for name in ("label", "query_id")} | {"id": np.arange(ROWS)}
    a = write_csv(tmp_path / "a.csv", columns | {"prediction": log.rows["a"]})
    order = np.random.default_rng(1).permutation(ROWS)
    shuffled = {"p": log.rows["b"][order], "id": [f"{row}" for row in order]}
    b = write_csv(tmp_path / "b.csv", {"id": shuffled["id"], "prediction": shuffled["p"]})
    comparison = run(a=a, b=b, config=None, key=("id",))
    assert without_origin(comparison) == expected
    assert comparison["a"] == {"path": a, "kind": "predictions", "rows": ROWS}
    assert comparison["data"] is None


def test_without_labels_and_requests_pd_is_measured_all_the_same(run, log, tmp_path, capsys):
    paths = {side: write_csv(tmp_path / f"{side}.csv", {"prediction": log.rows[side]}) for side in ("a", "b")}
    comparison = run(config=None, evaluation=Evaluation(), **paths)
    expected = prediction_difference.relative(log.rows["a"], log.rows["b"])
    assert comparison["pd"]["relative"] == expected
    assert comparison["recommendations"] is None
    assert set(comparison["increase"].values()) == {None}
    assert {replica["auc_loss"] for replica in comparison["replicas"]} == {None}
    assert set(comparison["slices"]) == {"score"}
    said = capsys.readouterr().out
    assert "AUC" not in said
    assert "(95% over rows: " in said


def test_a_multiplier_orders_lists(run, log, tmp_path):
    bid = np.where(np.arange(ROWS) % 4 == 0, 1e6, 1.0)  # the first row of a request always leads
    names = {"a": {"bid": bid}, "b": {}}
    base = {"query_id": log.rows["query_id"]}
    paths = {s: write_csv(tmp_path / f"{s}.csv", {"prediction": log.rows[s]} | base | names[s]) for s in ("a", "b")}
    one = dataclasses.replace(FEW, k=1, slices=())
    plain = run(config=None, evaluation=one, **paths)
    with_bid = run(config=None, evaluation=one, columns={"multiplier": "bid"}, **paths)
    assert with_bid["recommendations"]["swap_rate"] == 0 < plain["recommendations"]["swap_rate"]
    price = run(evaluation=dataclasses.replace(FEW, order_by="price"))
    a, b, query = (log.rows[name] for name in ("a", "b", "query_id"))
    expected = recommendations.statistics(a, b, query, multiplier=log.rows["price"])
    assert price["recommendations"] == expected


def test_chosen_columns_and_slices_of_files(run, log, tmp_path):
    columns = {"p": log.rows["a"], "clicked": log.rows["label"], "w": log.rows["price"], "user": log.rows["user"]}
    a = write_csv(tmp_path / "a.csv", columns)
    b = write_csv(tmp_path / "b.csv", columns | {"p": log.rows["b"]})
    chosen = {"prediction": "p", "label": "clicked", "weight": "w"}
    comparison = run(a=a, b=b, config=None, columns=chosen, evaluation=Evaluation(slices=("user",)))
    expected = prediction_difference.relative(log.rows["a"], log.rows["b"], log.rows["price"])
    assert comparison["pd"]["relative"] == pytest.approx(expected, rel=1e-6)
    values, counts = np.unique(log.rows["user"], return_counts=True)
    by_name = {each["slice"]: each["rows"] for each in comparison["slices"]["user"]}
    assert by_name[str(values[np.argmax(counts)])] == counts.max()


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("label", [0, 2], "--a: label must be 0 or 1, got 2 in row 1"),
        ("weight", [1, -1], "--a: weight must be finite and at or above 0, got -1 in row 1"),
        ("weight", [0, 0], "weight must be above 0 in one of the rows that match, got 0 in all"),
    ],
)
def test_labels_and_weights_that_are_none(refused, tmp_path, column, values, words):
    path = write_csv(tmp_path / "p.csv", {"prediction": [0.5, 0.25], column: values})
    assert words in refused(a=path, b=path, config=None, evaluation=Evaluation())


def test_one_class_has_no_auc_loss(run, refused, tmp_path):
    path = write_csv(tmp_path / "p.csv", {"prediction": [0.5, 0.25], "label": [1, 1]})
    comparison = run(a=path, b=path, config=None)
    assert comparison["increase"]["auc_loss"] is None
    assert comparison["increase"]["log_loss"]["value"] == 0
    said = refused(a=path, b=path, config=None, limits=Limits(max_auc_loss_increase=0.1))
    assert said == "--max_auc_loss_increase=0.1 cannot be measured: the labels are all alike"


def test_an_output_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "file").touch()
    assert refused(output="file/out.json").startswith("--output: the folder ")
    assert Path(tmp_path / "file").is_file()
    (tmp_path / "folder.json").mkdir()
    assert refused(output="folder.json") == f"--output must be a file, got the folder {tmp_path}/folder.json"
