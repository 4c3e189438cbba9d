"""Comparisons end to end in one process: models, files, mixtures of both, gates, shards."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from comparison_log import ROWS, write_csv

from smooth_recs import increases, prediction_difference, recommendations
from smooth_recs.comparison import gathering, held_out
from smooth_recs.comparison.comparing import compare
from smooth_recs.comparison.settings import Settings, Shard
from smooth_recs.config import Config, Data, Evaluation
from smooth_recs.data.presets import open_source
from smooth_recs.errors import GateNotMet, InputError
from smooth_recs.gates import Limits

FEW = Evaluation(slices=("label",))


@pytest.fixture
def run(tmp_path, log):
    """Compares, by default the two exports with few slices."""

    def start(output="out.json", **settings):
        given = {"a": log.a, "b": log.b, "config": log.config, "evaluation": FEW} | settings
        return compare(Settings(output=str(tmp_path / output), **given))

    return start


@pytest.fixture
def refused(run):
    def start(**settings):
        with pytest.raises(InputError) as error:
            run(**settings)
        assert "\n" not in str(error.value)
        return str(error.value)

    return start


def without_origin(comparison):
    """What was measured."""
    left_out = ("a", "b", "data", "settings", "command", "best_possible")
    return {name: value for name, value in comparison.items() if name not in left_out}


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


@pytest.mark.slow
def test_three_shards_and_a_merge_are_the_same_to_the_last_bit(run, log, tmp_path, capsys):
    settings = {"evaluation": Evaluation(slices=("user", "frequency"))}
    whole = run("whole.json", **settings)
    said = capsys.readouterr().out
    for number in (3, 1, 2):
        assert run(shard=Shard(number, 3), **settings) == {}
    assert capsys.readouterr().out.count("shard-") == 3
    assert sorted(os.listdir(tmp_path)) == [*(f"out.shard-{n}-of-3.npz" for n in (1, 2, 3)), "whole.html", "whole.json"]
    merged = run(merge=True, **settings)
    assert json.dumps(merged) == json.dumps(whole)
    assert capsys.readouterr().out == said.replace("whole.", "out.")
    regated = run(merge=True, evaluation=dataclasses.replace(settings["evaluation"], k=1))
    assert regated["recommendations"]["swap_rate"] < merged["recommendations"]["swap_rate"]


@pytest.mark.slow
def test_more_shards_than_batches(run, log, tmp_path):
    whole = run("whole.json")
    for number in range(1, 6):
        run(shard=Shard(number, 5))
    assert run(merge=True) == whole


@pytest.mark.slow
def test_a_merge_refuses_what_does_not_belong_together(run, refused, log, tmp_path):
    assert refused(merge=True) == f"--merge: there is no shard {tmp_path / 'out'}.shard-*.npz"
    run(shard=Shard(1, 2))
    first, second = (tmp_path / f"out.shard-{number}-of-2.npz" for number in (1, 2))
    assert refused(merge=True) == f"--merge needs all 2 shards, missing: {second}"
    run(shard=Shard(2, 2), a=log.b)
    assert refused(merge=True) == f"--merge: {second} is of other models than --a, --b and the flags now say"
    run(shard=Shard(2, 2), evaluation=Evaluation(slices=("user",)))
    assert refused(merge=True) == f"--merge: {second} is of other settings than --a, --b and the flags now say"
    run(shard=Shard(2, 2), config=Config(data=dataclasses.replace(log.config.data, eval_examples=ROWS - 4)))
    assert refused(merge=True).startswith(f"--merge: {second} is of other settings")
    second.write_bytes(first.read_bytes()[:-100])
    assert refused(merge=True).startswith(f"--merge: {second} is no shard: ")
    run(shard=Shard(2, 2))
    run(shard=Shard(3, 3))
    assert refused(merge=True) == "--merge: there are shards of 2 and of 3: remove those of one kind"
    (tmp_path / "out.shard-3-of-3.npz").unlink()
    assert run(merge=True)["rows"] == ROWS


def test_a_merge_of_changed_data_is_refused(run, refused, tmp_path, log):
    columns = {"prediction": log.rows["a"], "label": log.rows["label"]}
    paths = {side: write_csv(tmp_path / f"{side}.csv", columns) for side in ("a", "b")}
    run(shard=Shard(1, 2), **paths)
    write_csv(tmp_path / "b.csv", columns | {"prediction": log.rows["b"]})
    run(shard=Shard(2, 2), **paths)
    assert "out.shard-1-of-2.npz is of other models than" in refused(merge=True, **paths)


def test_gates_decide_after_the_files_are_written(run, log, tmp_path, capsys):
    values = run()
    pd, swap = values["pd"]["relative"], values["recommendations"]["swap_rate"]
    auc = values["increase"]["auc_loss"]["value"]
    met = run(limits=Limits(pd, auc, swap))
    assert [(gate["name"], gate["met"]) for gate in met["gates"]] == [
        ("max_pd", True),
        ("max_auc_loss_increase", True),
        ("max_swap_rate", True),
    ]
    os.remove(tmp_path / "out.json")
    with pytest.raises(
        GateNotMet, match=r"^gates not met: max_pd=0\.01: pd is .* above; max_swap_rate=0: swap_rate is"
    ):
        run(limits=Limits(max_pd=0.01, max_auc_loss_increase=auc, max_swap_rate=0.0))
    written = json.loads((tmp_path / "out.json").read_text())
    assert [gate["met"] for gate in written["gates"]] == [False, True, False]
    assert "gate         max_pd=0.01: pd is" in capsys.readouterr().out


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


def test_a_model_and_a_file_in_either_place(run, log, tmp_path):
    expected = run()
    for own, other in (("a", "b"), ("b", "a")):
        path = write_csv(tmp_path / f"{own}.csv", {"prediction": log.rows[own]})
        comparison = run(**{own: path})
        assert without_origin(comparison) == without_origin(expected)
        assert (comparison[own]["kind"], comparison[other]["kind"]) == ("predictions", "export")


def test_a_key_may_be_features_where_a_model_predicts(run, log, tmp_path):
    data = dataclasses.replace(log.config.data, eval_examples=8)
    pairs = [tuple(pair) for pair in zip(log.rows["query_id"][:8], log.rows["item"][:8], strict=True)]
    assert len(set(log.rows["price"][:8].tolist())) == len(pairs) == 8
    keep = [5, 2, 7]
    path = write_csv(
        tmp_path / "b.csv",
        {"price": [str(log.rows["price"][row]) for row in keep] + ["0.125"], "prediction": [0.5, 0.25, 0.5, 1]},
    )
    comparison = run(b=path, config=Config(data=data), key=("price",))
    assert (comparison["rows"], comparison["only_in_a"], comparison["only_in_b"]) == (3, 5, 1)
    a = log.rows["a"][:8]
    expected = prediction_difference.relative(a[[2, 5, 7]], [0.25, 0.5, 0.5])
    assert comparison["pd"]["relative"] == pytest.approx(expected, abs=1e-12)


def test_files_without_labels_take_those_of_the_configuration_in_order(run, log, tmp_path):
    expected = run()
    paths = {side: write_csv(tmp_path / f"{side}.csv", {"prediction": log.rows[side]}) for side in ("a", "b")}
    assert without_origin(run(**paths)) == without_origin(expected)
    for number in (1, 2):
        run(shard=Shard(number, 2), **paths)
    assert without_origin(run(merge=True, **paths)) == without_origin(expected)


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
    ("settings", "words"),
    [
        ({"config": None}, "--config must be given for --a, which is a model: it tells the rows to predict"),
        ({"a": "nowhere"}, "--a: no such file or folder: nowhere"),
        ({"limits": Limits(max_pd=7)}, "--max_pd must be a fraction from 0 to 2, got 7"),
        (
            {"evaluation": Evaluation(slices=("usr",))},
            "--slices must name any of label, score, position, frequency, campaign, context, hour, item, price, "
            "publisher, topics, user, got 'usr'",
        ),
        ({"columns": {"multiplier": "bid"}}, "--multiplier must name a column or a numeric feature, got 'bid'"),
        ({"columns": {"multiplier": "user"}}, "--multiplier must name a numeric feature, got 'user'"),
        ({"key": ("row",)}, "--key must name single-valued features where a model predicts (user, "),
        ({"key": ("topics",)}, "--key must name single-valued features where a model predicts (user, "),
        ({"key": ("user",)}, "--a: --key must tell rows apart, got "),
        ({"output": "out.txt"}, "--output must be a .json file, got "),
        (
            {"merge": True, "shard": Shard(1, 2)},
            "--merge joins shards that are there, so it must not come with --shard",
        ),
        ({"key": ("",)}, "--key and --slices must be names with commas, got an empty one"),
        ({"evaluation": Evaluation(k=0)}, "--k must be at least 1, got 0"),
        ({"evaluation": Evaluation(threshold=1.5)}, "--threshold must be from 0 to 1, got 1.5"),
        ({"config": Config(data=Data(features=("user",)))}, "--a: the model's input 'item' is no feature of --config"),
    ],
)
def test_what_is_wrong_with_the_flags_is_one_line(refused, settings, words):
    assert refused(**settings).startswith(words)


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "a/b", "1/0", "-1/3", "1/3/5", "1.0/3"])
def test_a_shard_is_i_of_n(text):
    with pytest.raises(InputError, match=rf"^--shard must be i/n .* got {re.escape(repr(text))}$"):
        Shard.parse(text)


def test_files_of_unequal_length_or_without_what_a_gate_needs(refused, log, tmp_path):
    whole = write_csv(tmp_path / "whole.csv", {"prediction": log.rows["a"]})
    short = write_csv(tmp_path / "short.csv", {"prediction": log.rows["a"][:50]})
    said = "--a and --b must have equally many rows where no --key matches them, got 10000 and 50"
    assert refused(a=whole, b=short, config=None) == refused(b=short) == said
    said = "--a: predictions without a label column must be of the 10000 held-out rows of --config, got 50"
    assert refused(a=short, b=short) == said
    files = {"a": whole, "b": whole, "config": None, "evaluation": Evaluation()}
    for name, words in (("max_auc_loss_increase", "labels"), ("max_swap_rate", "query ids")):
        said = refused(**files, limits=Limits(**{name: 0.5}))
        assert said == f"--{name}=0.5 cannot be measured: the rows have no {words}"
    said = refused(**files | {"evaluation": FEW})
    assert said == "--slices must name any of score, prediction, got 'label'"


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


def test_nothing_is_predicted_where_a_gate_cannot_be_measured(refused, log, tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "_opened", None)
    path = write_csv(tmp_path / "p.csv", {"prediction": log.rows["a"]})
    monkeypatch.setattr(held_out, "read", None)
    assert refused(b=path, evaluation=Evaluation(slices=("nonsense",))).startswith("--slices must name")
    assert not (tmp_path / "out.json").exists()


def test_an_output_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "file").touch()
    assert refused(output="file/out.json").startswith("--output: the folder ")
    assert Path(tmp_path / "file").is_file()
    (tmp_path / "folder.json").mkdir()
    assert refused(output="folder.json") == f"--output must be a file, got the folder {tmp_path}/folder.json"


def test_a_slice_that_files_do_not_have_is_answered_with_their_columns(refused, tmp_path):
    rows = {"prediction": [0.5, 0.25], "label": [0, 1], "id": [1, 2]}
    paths = {s: write_csv(tmp_path / f"{s}.csv", rows | {f"of_{s}": [3, 4]}) for s in ("a", "b")}
    said = refused(**paths, config=None, evaluation=Evaluation(slices=("id", "foo")))
    assert said == "--slices must name any of label, score, id, of_a, of_b, prediction, got 'foo'"
    a = write_csv(tmp_path / "c.csv", rows | {"position": [1, 2]})  # no slice by the value of such a column
    said = refused(a=a, b=a, config=None, evaluation=Evaluation(slices=("position",)))
    assert said == "--slices must name any of label, score, id, prediction, got 'position'"


@pytest.mark.parametrize(("value", "words"), [(np.nan, "finite, got nan"), (-2.5, "at or above 0, got -2.5")])
def test_a_multiplier_is_checked_before_anything_is_predicted(refused, log, monkeypatch, value, words):
    def opened(*arguments):
        source = open_source(*arguments)
        holdout = source.holdout
        monkeypatch.setattr(source, "holdout", lambda **asked: holdout(**asked).map(spoil))
        return source

    def spoil(rows):
        price = rows["raw"]["price"]
        return rows | {"raw": rows["raw"] | {"price": tf.where(tf.range(tf.size(price)) == 3, value, price)}}

    monkeypatch.setattr(gathering, "open_source", opened)
    monkeypatch.setattr(held_out, "read", None)
    said = refused(columns={"multiplier": "price"})
    assert said == f"--multiplier: price must be {words} in row 3"


def test_a_multiplier_of_a_file_is_checked_as_it_is_read(refused, tmp_path):
    path = write_csv(tmp_path / "p.csv", {"prediction": [0.5, 0.25], "bid": [1, -1]})
    said = refused(a=path, b=path, config=None, columns={"multiplier": "bid"}, evaluation=Evaluation())
    assert said == "--a: bid of --multiplier must be finite and at or above 0, got -1 in row 1"


def test_others_may_read_what_is_written(run, tmp_path):
    umask = os.umask(0o022)
    try:
        run(shard=Shard(1, 2))
        run(shard=Shard(2, 2))
        run(merge=True)
    finally:
        os.umask(umask)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert set(modes) == {"out.html", "out.json", "out.shard-1-of-2.npz", "out.shard-2-of-2.npz"}
    assert set(modes.values()) == {"0o644"}
