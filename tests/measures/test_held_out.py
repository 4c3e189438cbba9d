"""What becomes of the columns of held-out rows: every number is the one that its own module computes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from smooth_recs import prediction_difference
from smooth_recs.config import Evaluation
from smooth_recs.errors import InputError
from smooth_recs.measures import accuracy, held_out, predictive_churn, recommendations, slices


def columns(models: int = 2, size: int = 600) -> dict[str, Any]:
    """As TensorFlow gives them: float32 predictions, labels and weights, int64 requests."""
    rng = np.random.default_rng(5)
    p = rng.uniform(0.05, 0.6, size)
    return {
        "prediction": np.clip(p[:, None] * np.exp(rng.normal(0, 0.1, (size, models))), 0, 1).astype(np.float32),
        "label": (rng.uniform(size=size) < p).astype(np.float32),
        "weight": rng.integers(0, 3, size).astype(np.float32),
        "query_id": np.arange(size) // 4,
        "true_probability": p.astype(np.float32),
    }


def measured(given: dict[str, Any], **options: Any) -> dict[str, Any]:
    return held_out.metrics(given, evaluation=options.pop("evaluation", Evaluation()), **options)


def test_every_part_is_what_its_module_computes() -> None:
    given = columns()
    label, weight, query = given["label"], given["weight"], given["query_id"]
    predictions = given["prediction"].astype(np.float64)
    bid = np.arange(600.0)
    evaluation = Evaluation(slices=("score", "shop"), k=2, threshold=0.3, unstable_loss=0.01, unstable_pd=0.2)
    shop = np.array([b"a", b"b", b""] * 200, object)
    found = measured(given, evaluation=evaluation, slice_columns={"shop": shop}, multiplier=bid)

    first = found["replicas"][0]
    assert first["log_loss"] == accuracy.log_loss(label, predictions[:, 0], weight)
    assert first["auc_loss"] == accuracy.auc_loss(label, predictions[:, 0], weight)
    assert first["auc"] == 1 - first["auc_loss"]
    assert first["per_query_auc_loss"] == accuracy.per_query_auc_loss(label, predictions[:, 0], query, weight).value
    assert first["normalized_entropy"] == accuracy.normalized_entropy(label, predictions[:, 0], weight)
    assert first["calibration"] == accuracy.calibration(label, predictions[:, 0], weight)
    assert first["mean_prediction"] == pytest.approx(np.average(predictions[:, 0], weights=weight))
    assert len(found["replicas"]) == 2
    unstable = predictive_churn.unstable_rows(label, predictions, weight, loss=0.01, pd=0.2)
    assert 0 < unstable.share < 1
    assert found["pd"] == {
        **prediction_difference.statistics(predictions, weight, query_id=query, threshold=0.3),
        "unstable": {"share": unstable.share, "loss": 0.01, "pd": 0.2, "replicas": unstable.good},
    }
    assert found["pd_live"] is None
    assert found["recommendations"] == recommendations.statistics_over_pairs(predictions, query, k=2, multiplier=bid)
    assert list(found["slices"]) == ["score", "shop"]
    deciles = slices.by_decile(predictions.mean(axis=1), weight)
    assert found["slices"]["score"] == slices.measure(deciles, predictions, label, weight, query_id=query)
    assert {each["slice"]: each["rows"] for each in found["slices"]["shop"]} == {"a": 200, "b": 200, "missing": 200}
    assert found["best_possible"]["auc_loss"] == accuracy.auc_loss(label, given["true_probability"], weight)
    assert found["eval_examples"] == 600


def test_against_the_live_model() -> None:
    given = columns(3)
    predictions = given["prediction"].astype(np.float64)
    label, weight, query = given["label"], given["weight"], given["query_id"]
    live, new = predictions[:, 0], predictions[:, 1:]
    found = measured({**given, "prediction": new, "live": live})
    whole = found["pd_live"]
    assert json.loads(json.dumps(whole)) == whole
    one, other = (prediction_difference.relative(live, each, weight) for each in new.T)
    assert whole["of_replicas"] == pytest.approx([one, other], rel=1e-12)
    assert whole["relative"] == pytest.approx((one + other) / 2, rel=1e-12)
    low, high = whole["interval"]
    assert low < whole["relative"] < high
    kl = [prediction_difference.statistics(np.stack([live, each], 1), weight, replicates=0)["kl"] for each in new.T]
    assert whole["kl"] == pytest.approx(np.mean(kl), rel=1e-12)
    assert sum(whole["histogram"]["counts"]) == pytest.approx(1)
    for name, function in predictive_churn.FLIPS.items():
        assert whole[name] == pytest.approx(np.mean([function(label, live, each, weight) for each in new.T]))
    assert whole["accuracy"]["log_loss"] == accuracy.log_loss(label, live, weight)
    swaps = [recommendations.swap_rate(live, each, query) for each in new.T]
    assert whole["recommendations"]["swap_rate"] == pytest.approx(np.mean(swaps))
    # The slices of the run itself, whose PD to the live model adds up to the whole one.
    assert {each["slice"] for each in whole["slices"]["label"]} == {"0", "1"}
    by_label = sum(each["weight_share"] * each["pd"] for each in whole["slices"]["label"])
    assert by_label == pytest.approx(whole["relative"], rel=1e-12)
    assert sum(each["pd_share"] for each in whole["slices"]["label"]) == pytest.approx(1)
    replicas = [each["log_loss"] for each in found["replicas"]]
    assert sum(e["weight_share"] * e["log_loss"] for e in whole["slices"]["label"]) == pytest.approx(np.mean(replicas))


def test_one_replica_has_a_difference_to_the_live_model() -> None:
    given = columns()
    live, new = given["prediction"].astype(np.float64).T
    found = measured({**given, "prediction": new[:, None], "live": live})
    two = measured(given)
    assert found["pd"] is None
    for name in ("relative", "interval", "after_matching_means", "quantiles", "flips"):
        assert found["pd_live"][name] == pytest.approx(two["pd"][name], rel=1e-12)
    assert found["pd_live"]["recommendations"] == two["recommendations"]
    del given["label"], given["query_id"]
    without = measured({**given, "prediction": new[:, None], "live": live})["pd_live"]
    assert (without["negative_flips"], without["recommendations"]) == (None, None)
    with pytest.raises(InputError, match=r"live must have 600 values like the others, got 599"):
        measured({**given, "prediction": new[:, None], "live": live[1:]})


def test_json_holds_all_of_it() -> None:
    found = measured(columns(3), frequency={"user": np.arange(600)})
    assert json.loads(json.dumps(found)) == found
    assert list(found["slices"]) == ["label", "score", "position", "frequency of user"]
    low, high = found["pd"]["interval_over_replicas"]
    assert low < found["pd"]["relative"] < high


def test_one_replica_has_accuracy_only() -> None:
    found = measured(columns(1))
    assert (found["pd"], found["recommendations"], found["slices"]) == (None, None, {})
    assert 0 < found["replicas"][0]["log_loss"] < 1
    assert found["best_possible"] is not None


def test_without_labels_the_difference_is_measured_all_the_same() -> None:
    given = columns()
    del given["label"], given["true_probability"]
    found = measured(given)
    assert list(found["slices"]) == ["score", "position"]
    for replica in found["replicas"]:
        assert {name for name, value in replica.items() if value is not None} == {"mean_prediction"}
    assert set(found["replicas"][0]) == set(measured(columns())["replicas"][0])
    assert found["pd"] == {**measured(columns())["pd"], "unstable": None}
    assert all(each["auc_loss"] is None for each in found["slices"]["score"])
    assert found["best_possible"] is None


def test_without_requests_and_weights() -> None:
    given = columns()
    del given["query_id"], given["weight"]
    found = measured(given)
    assert found["recommendations"] is None
    assert list(found["slices"]) == ["label", "score"]
    assert found["replicas"][0]["per_query_auc_loss"] is None
    equal = measured({**given, "weight": np.ones(600)})
    assert equal == found


def test_values_whose_rows_have_no_weight_are_left_out() -> None:
    given = columns()
    given["weight"][:300] = 0
    found = measured(given, evaluation=Evaluation(slices=("half",)), slice_columns={"half": np.arange(600) // 300})
    assert [each["slice"] for each in found["slices"]["half"]] == ["1"]


def test_feature_goes_before_what_is_built_in() -> None:
    position = np.full(600, 3)
    found = measured(columns(), evaluation=Evaluation(slices=("position",)), slice_columns={"position": position})
    assert [each["slice"] for each in found["slices"]["position"]] == ["3"]


def test_only_default_slices_are_left_out_silently() -> None:
    given = columns()
    del given["query_id"]
    assert held_out.slice_names(Evaluation(), [], query_id=False, frequency=False) == ["label", "score"]
    with pytest.raises(InputError, match=r"evaluation\.slices must name any of label, score, got 'position'"):
        measured(given, evaluation=Evaluation(slices=("position",)))
    with pytest.raises(InputError, match="must name any of label, score, a, b, got 'frequency'"):
        held_out.slice_names(Evaluation(slices=("frequency",)), ["b", "a"], query_id=False, frequency=False)
    with pytest.raises(InputError, match="must name any of label, score, position, shop, got 'shpo'"):
        measured(columns(), evaluation=Evaluation(slices=("shop", "shpo")), slice_columns={"shop": np.arange(600)})


def test_certain_predictions_stay_measurable() -> None:
    given = {"prediction": np.array([[0.0, 1.0], [0.5, 0.5]]), "label": np.array([0.0, 1.0])}
    found = measured(given)
    assert found["pd"]["relative"] == 1.0
    assert math.isinf(found["pd"]["kl"])


@pytest.mark.parametrize("prediction", [np.zeros(3), np.zeros((0, 2))])
def test_predictions_of_another_shape_are_refused(prediction: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"prediction must have shape \[n, R\] and at least one row, got"):
        measured({"prediction": prediction, "label": np.zeros(3)})


LABEL = np.arange(1000) % 4 == 0  # a click rate of 25%, whose log loss is 0.5623


@pytest.mark.parametrize(
    ("prediction", "reason"),
    [
        (np.zeros(1000), "predicts 0 for every row"),
        (np.full(1000, 0.25, np.float32) * (1 + np.arange(1000) % 2 * 1e-7), "predicts 0.25 for every row"),
        (np.where(np.arange(1000) < 8, LABEL * 0.5 + 0.25, 0.2), "predicts 0.2 for 99.2% of the rows"),
        (
            np.where(LABEL, 0.01, 0.02) + np.arange(1000) * 1e-9,
            "has a log loss of 1.166: always predicting the click rate, 25.00%, has 0.5623",
        ),
    ],
)
def test_a_model_that_has_learned_nothing_is_named(prediction: np.ndarray, reason: str) -> None:
    assert held_out.collapse(prediction, LABEL) == reason
    others = np.where(LABEL, 0.3, 0.2) + np.arange(1000) * 1e-6
    found = measured({"prediction": np.stack([others, prediction], axis=1), "label": LABEL})
    assert found["collapsed"] == [{"replica": 1, "reason": reason}]
    assert held_out.of_diverged({"prediction": np.stack([others * np.nan, prediction], axis=1), "label": LABEL}, [0])[
        "collapsed"
    ] == [{"replica": 1, "reason": reason}]


def test_what_chance_explains_is_no_collapse() -> None:
    rng = np.random.default_rng(3)
    noise = np.clip(0.25 + rng.normal(0, 0.01, 1000), 0.01, 0.99)
    assert accuracy.log_loss(LABEL, noise) > accuracy.log_loss(LABEL, np.full(1000, 0.25))
    assert held_out.collapse(noise, LABEL) is None
    wrong = np.where(LABEL, 0.01, 0.02) + np.arange(1000) * 1e-6
    # Rows without weight do not count; nor does a click rate of 0, of which no constant is a better model.
    assert held_out.collapse(np.where(np.arange(1000) < 500, noise, wrong), LABEL, np.arange(1000) < 500) is None
    assert held_out.collapse(wrong, np.zeros(1000)) is None
    assert held_out.collapse(wrong) is None
    assert held_out.collapse(np.zeros(99), LABEL[:99]) is None  # too few to say


def test_one_held_out_row_has_no_interval() -> None:
    found = measured({"prediction": np.array([[0.125, 0.375]]), "label": np.array([1]), "query_id": np.array([7])})
    assert (found["pd"]["relative"], found["pd"]["interval"]) == (1.0, None)
    assert found["slices"]["label"][0]["interval"] is None
