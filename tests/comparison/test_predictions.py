"""Two sides from models, files, and mixtures of both; what cannot be measured is found before anything is predicted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from comparison_log import FEW, without_origin, write_csv

from smooth_recs import prediction_difference
from smooth_recs.comparison import predictions
from smooth_recs.comparison.settings import Shard
from smooth_recs.config import Config, Data, Evaluation
from smooth_recs.data.presets import open_source
from smooth_recs.measures.gates import Limits


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
        ({"config": Config(data=Data(features=("user",)))}, "--a: the model's input 'item' is no feature of --config"),
    ],
)
def test_what_is_wrong_with_the_flags_is_one_line(refused, settings, words):
    assert refused(**settings).startswith(words)


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


def test_nothing_is_predicted_where_a_gate_cannot_be_measured(refused, log, tmp_path, monkeypatch):
    monkeypatch.setattr(predictions, "SavedModel", None)
    path = write_csv(tmp_path / "p.csv", {"prediction": log.rows["a"]})
    monkeypatch.setattr(predictions, "predict_held_out", None)
    assert refused(b=path, evaluation=Evaluation(slices=("nonsense",))).startswith("--slices must name")
    assert not (tmp_path / "out.json").exists()


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

    monkeypatch.setattr(predictions, "open_source", opened)
    monkeypatch.setattr(predictions, "predict_held_out", None)
    said = refused(columns={"multiplier": "price"})
    assert said == f"--multiplier: price must be {words} in row 3"


def test_a_multiplier_of_a_file_is_checked_as_it_is_read(refused, tmp_path):
    path = write_csv(tmp_path / "p.csv", {"prediction": [0.5, 0.25], "bid": [1, -1]})
    said = refused(a=path, b=path, config=None, columns={"multiplier": "bid"}, evaluation=Evaluation())
    assert said == "--a: bid of --multiplier must be finite and at or above 0, got -1 in row 1"
