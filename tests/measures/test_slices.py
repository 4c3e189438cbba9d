"""Groups of examples by hand, and PD and accuracy within them against the same rows measured alone."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from smooth_recs import prediction_difference
from smooth_recs.errors import InputError
from smooth_recs.measures import accuracy, slices

PREDICTIONS = np.array([[0.125, 0.375], [0.2, 0.2], [0.5, 0.5], [0.3, 0.1], [0.0, 0.0], [0.25, 0.75]])
LABEL = np.array([1, 0, 1, 0, 0, 1])


def rows(groups: dict[str, Any]) -> dict[str, list[int]]:
    return {name: each.tolist() for name, each in groups.items()}


def random_rows(size: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Predictions [n, 3], labels, weights with zeros, requests of four."""
    rng = np.random.default_rng(7)
    p = rng.uniform(0.02, 0.9, size)
    predictions = np.clip(p[:, None] * np.exp(rng.normal(0, 0.2, (size, 3))), 0, 1)
    label = (rng.uniform(size=size) < p).astype(float)
    return predictions, label, rng.integers(0, 3, size).astype(float), np.arange(size) // 4


def test_categories_by_frequency_then_value() -> None:
    assert list(rows(slices.by_value(np.array([3, 1, 3, -1, 2]))).items()) == [
        ("3", [0, 2]),
        ("1", [1]),
        ("2", [4]),
        ("missing", [3]),
    ]
    texts = ["b", "a", "", "b"]
    expected = {"b": [0, 3], "a": [1], "missing": [2]}
    encoded = [text.encode() for text in texts]
    for values in (texts, encoded, np.array(texts, object), np.array(encoded, object), np.array(encoded)):
        assert rows(slices.by_value(values)) == expected


def test_rare_categories_are_other() -> None:
    groups = slices.by_value(np.array([5, 5, 6, 6, 7, 8, -1]), most=2)
    assert rows(groups) == {"5": [0, 1], "6": [2, 3], "other": [4, 5], "missing": [6]}
    assert "other" not in slices.by_value(np.arange(20))
    assert len(slices.by_value(np.arange(21))["other"]) == 1


def test_values_called_like_a_group_stay_apart() -> None:
    groups = slices.by_value(["other", "missing", "'other'", "", "other", "a", "b"], most=1)
    assert rows(groups) == {"'other'": [0, 4], "other": [1, 2, 5, 6], "missing": [3]}
    every = slices.by_value(["other", "'other'", "missing", ""])
    assert rows(every)["missing"] == [3]
    assert sorted(map(len, every.values())) == [1, 1, 1, 1]


def test_bytes_that_are_no_text_have_a_name() -> None:
    assert rows(slices.by_value(np.array([b"\xff", "ä".encode()], object))) == {"\\xff": [0], "ä": [1]}


def test_multi_valued_rows_belong_to_each_of_their_values_once() -> None:
    groups = slices.by_value(np.array([[1, 2, -1], [2, 2, -1], [-1, -1, -1], [3, -1, 1]]))
    assert rows(groups) == {"1": [0, 3], "2": [0, 1], "3": [3], "missing": [2]}
    texts = np.array([[b"x", b""], [b"y", b"x"]], object)
    assert rows(slices.by_value(texts, most=1)) == {"x": [0, 1], "other": [1]}


def test_few_numbers_are_values_and_many_are_quintiles() -> None:
    assert rows(slices.by_value(np.array([0.5, np.nan, 0.0, 0.5]))) == {"0.5": [0, 3], "0": [2], "missing": [1]}
    numbers = np.random.default_rng(0).permutation(np.append(np.arange(100.0), np.nan)).astype(np.float32)
    groups = slices.by_value(numbers)
    assert list(groups) == ["0 to 19", "20 to 39", "40 to 59", "60 to 79", "80 to 99", "missing"]
    for low, name in zip(range(0, 100, 20), groups, strict=False):
        assert sorted(numbers[groups[name]]) == list(range(low, low + 20))


def test_equal_numbers_share_a_quintile_and_near_ones_have_names_that_differ() -> None:
    numbers = np.append(np.zeros(90), np.arange(1.0, 31.0))
    groups = slices.by_value(numbers)
    assert list(groups) == ["0", "1 to 6", "7 to 30"], "90 of 120 fill the first three quintiles and part of the fourth"
    near = slices.by_value(1000 + np.arange(50) / 1000)
    assert len(near) == 5
    assert list(near)[:2] == ["1000 to 1000.01", "1000.01 to 1000.02"]


@hypothesis.given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=False, width=32), min_size=1, max_size=60),
    most=st.integers(1, 25),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_any_numbers_are_split_into_groups_that_hold_each_row_once(values: list[float], most: int) -> None:
    groups = slices.by_value(np.array(values, np.float32), most=most)
    assert sorted(np.concatenate(list(groups.values()))) == list(range(len(values)))
    assert all(len(each) for each in groups.values())


def test_deciles_hold_equal_weight() -> None:
    rng = np.random.default_rng(1)
    prediction, weight = rng.uniform(size=5000), rng.uniform(size=5000)
    groups = slices.by_decile(prediction, weight)
    assert len(groups) == 10
    shares = [weight[each].sum() / weight.sum() for each in groups.values()]
    assert shares == pytest.approx([0.1] * 10, abs=1e-3)
    highest = [prediction[each].max() for each in groups.values()]
    assert highest == sorted(highest)
    assert sorted(np.concatenate(list(groups.values()))) == list(range(5000))
    assert [name.partition(" (")[0] for name in groups] == [f"decile {number}" for number in range(1, 11)]


def test_equal_predictions_share_a_decile() -> None:
    assert rows(slices.by_decile([0.5, 0.5, 0.5])) == {"decile 1 (0.5)": [0, 1, 2]}
    assert rows(slices.by_decile([0.1, 0.2], [0.0, 1.0])) == {"decile 1 (0.1 to 0.2)": [0, 1]}
    with pytest.raises(InputError, match="positive weight"):
        slices.by_decile([0.5], [0.0])


def test_positions_count_the_rows_of_a_request_in_their_order() -> None:
    assert rows(slices.by_position([7, 8, 7, 7, 8])) == {"1": [0, 1], "2": [2, 4], "3": [3]}
    assert rows(slices.by_position(["b", "a", "b"])) == {"1": [0, 1], "2": [2]}
    long = slices.by_position(np.zeros(25, np.int64))
    assert long["20"].tolist() == [19]
    assert long["21 and later"].tolist() == [20, 21, 22, 23, 24]


@pytest.mark.parametrize("query_id", [3, [[1, 2]], "request"])
def test_positions_need_a_column_of_requests(query_id: Any) -> None:
    with pytest.raises(InputError, match=r"query_id must have shape \[n\] or \[n, 1\], got \["):
        slices.by_position(query_id)


def test_frequencies_by_powers_of_ten() -> None:
    groups = slices.by_frequency([0, 1, 9, 10, 99, 100, 123_456_789])
    expected = {"0": [0], "1-9": [1, 2], "10-99": [3, 4], "100-999": [5], "100000000-999999999": [6]}
    assert rows(groups) == expected
    with pytest.raises(InputError, match="counts must be at or above 0, got -1"):
        slices.by_frequency([3, -1])


def test_measures_by_hand() -> None:
    found = slices.measure({"low": [1, 4], "high": [0, 2]}, PREDICTIONS, LABEL)
    assert [each["slice"] for each in found] == ["high", "low"], "the highest PD first"
    high, low = found
    # |0.125 - 0.375| / 0.25 = 1 and 0, so the mean is 0.5; over all rows the terms are 1, 0, 0, 1, 0, 1.
    assert high["pd"] == 0.5
    assert high["rows"] == 2
    assert high["weight_share"] == pytest.approx(1 / 3)
    assert high["pd_share"] == pytest.approx(1 / 3)
    assert high["auc_loss"] is None, "both labels are 1"
    assert high["log_loss"] == pytest.approx(-(np.log(0.125) + np.log(0.375) + 2 * np.log(0.5)) / 4)
    assert high["label_mean"] == 1.0
    assert high["small"] is True
    assert (low["pd"], low["interval"], low["pd_share"]) == (0.0, [0.0, 0.0], 0.0)


def test_each_slice_is_what_its_rows_measure_alone() -> None:
    predictions, label, weight, query = random_rows()
    groups = slices.by_value(query % 3) | {"mask": label == 1}
    for each in slices.measure(groups, predictions, label, weight, query_id=query):
        part = groups[each["slice"]]
        alone = predictions[part], weight[part]
        assert each["pd"] == pytest.approx(prediction_difference.mean_over_pairs(*alone), rel=1e-12)
        assert each["interval"] == list(prediction_difference.interval(*alone, query_id=query[part]))
        assert each["interval"][0] < each["pd"] < each["interval"][1]
        losses = [accuracy.log_loss(label[part], p, weight[part]) for p in alone[0].T]
        assert each["log_loss"] == pytest.approx(np.mean(losses), rel=1e-12)
        assert each["label_mean"] == pytest.approx(np.average(label[part], weights=weight[part]))
        if each["slice"] == "mask":
            assert each["auc_loss"] is None
        else:
            auc_losses = [accuracy.auc_loss(label[part], p, weight[part]) for p in alone[0].T]
            assert each["auc_loss"] == pytest.approx(np.mean(auc_losses), rel=1e-12)
        assert each["small"] is False


def test_shares_of_a_partition_add_up() -> None:
    predictions, label, weight, query = random_rows()
    found = slices.measure(slices.by_value(query % 7), predictions, label, weight)
    assert sum(each["weight_share"] for each in found) == pytest.approx(1, rel=1e-12)
    assert sum(each["pd_share"] for each in found) == pytest.approx(1, rel=1e-12)
    assert [each["pd"] for each in found] == sorted((each["pd"] for each in found), reverse=True)
    whole = prediction_difference.mean_over_pairs(predictions, weight)
    assert sum(each["pd"] * each["weight_share"] for each in found) == pytest.approx(whole, rel=1e-12)


def test_equal_models_and_missing_labels() -> None:
    same = np.repeat([[0.2], [0.7]], 2, axis=1)
    (each,) = slices.measure({"all": [True, True]}, same, None)
    assert (each["pd"], each["pd_share"]) == (0.0, 0.0)
    assert (each["auc_loss"], each["log_loss"], each["label_mean"]) == (None, None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"none": []}, PREDICTIONS, LABEL), "slice 'none' needs examples of positive weight, got none"),
        (({"none": np.zeros(6, bool)}, PREDICTIONS, LABEL), "slice 'none' needs examples of positive weight, got none"),
        (({"light": [0]}, PREDICTIONS, LABEL, [0, 1, 1, 1, 1, 1]), "slice 'light' needs examples of positive weight"),
        (
            ({"half": [0, 1.7]}, PREDICTIONS, LABEL),
            "slice 'half' must hold whole row numbers or be a mask, got float64",
        ),
        (({"name": ["x"]}, PREDICTIONS, LABEL), "slice 'name' must hold whole row numbers or be a mask, got <U1"),
        (({"far": [6]}, PREDICTIONS, LABEL), r"slice 'far' must hold rows from 0 to 5, got \[6, 6\]"),
        (({"mask": [True]}, PREDICTIONS, LABEL), r"slice 'mask' must be a mask of 6 rows, got shape \[1\]"),
        (({"one": [0]}, PREDICTIONS[:, :1], LABEL), "at least 2 models"),
        (({"one": [0]}, PREDICTIONS, LABEL[:5]), "label must have 6 values"),
        (({"one": [0]}, PREDICTIONS, LABEL + 1), "label must be 0 or 1"),
        (({"one": [0]}, PREDICTIONS + 1, LABEL), "are these logits"),
    ],
)
def test_wrong_input_is_one_line(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        slices.measure(*arguments)
    assert "\n" not in str(error.value)


def test_values_of_three_dimensions_are_refused() -> None:
    with pytest.raises(InputError, match=r"values must have shape \[n\] or \[n, m\], got \[1, 1, 1\]"):
        slices.by_value([[["a"]]])
