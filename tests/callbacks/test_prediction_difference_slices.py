"""PD by slice in real fits, against the PD of the rows picked out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import prediction_difference
from smooth_recs.callbacks import PredictionDifference
from smooth_recs.callbacks.prediction_difference import SlicedDifference
from smooth_recs.measures import slices

pytestmark = pytest.mark.both_generations

RNG = np.random.default_rng(0)
ROWS = 80
COUNTRY = RNG.choice(["DE", "FR", "Österreich"], ROWS, p=[0.6, 0.3, 0.1])
X = {"x": RNG.normal(size=(ROWS, 2)).astype(np.float32), "country": COUNTRY.astype(object), "age": np.arange(ROWS) % 13}
Y, WEIGHT = (RNG.uniform(size=ROWS) < 0.4).astype(np.float32), RNG.exponential(size=ROWS).astype(np.float32)


class ByName(tf.keras.Model):
    """Predicts from one entry of x."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.dense = tf.keras.layers.Dense(
            1, activation="sigmoid", kernel_initializer=tf.keras.initializers.RandomNormal(seed=seed)
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.dense(inputs["x"])


def fitted(**arguments: Any) -> tuple[PredictionDifference, dict[str, list[float]], np.ndarray]:
    """The callback after a fit, the logs, and the final predictions [n, 2]."""
    models = [ByName(1), ByName(2)]
    models[0].compile(optimizer=tf.keras.optimizers.SGD(0.5), loss="binary_crossentropy")
    data = tf.data.Dataset.from_tensor_slices((X, Y, WEIGHT)).batch(32)
    measured = PredictionDifference(data, models=models, **arguments)
    training = tf.data.Dataset.from_tensor_slices(({"x": X["x"]}, Y)).batch(20)
    logs = models[0].fit(training, callbacks=[measured], verbose=0).history
    predictions = [np.asarray(model({"x": X["x"]}), np.float64)[:, 0] for model in models]
    return measured, logs, np.stack(predictions, axis=1)


def test_slices_by_name_and_by_function(tmp_path: Path) -> None:
    slices = {"country": lambda x: x["country"], "old": lambda x: x["age"] >= 10}
    measured, logs, predictions = fitted(slices=slices, every=2, log_dir=tmp_path)
    masks = {f"country={name}": name == COUNTRY for name in ("DE", "FR", "Österreich")}
    masks |= {"old=True": X["age"] >= 10, "old=False": X["age"] < 10}
    last = measured.history[-1]
    assert {name for name in last if "=" in name} == {f"pd/{name}" for name in masks}
    for name, mask in masks.items():
        expected = prediction_difference.relative(*predictions[mask].T, WEIGHT[mask])
        assert last[f"pd/{name}"] == pytest.approx(expected, rel=1e-6), name
    shares = {name: WEIGHT[mask].sum() / WEIGHT.sum() for name, mask in masks.items() if name.startswith("country")}
    mean = sum(share * last[f"pd/{name}"] for name, share in shares.items())
    assert mean == pytest.approx(last["pd"], rel=1e-6)
    assert not any("=" in name for name in logs)  # the progress bar stays short
    (path,) = tmp_path.iterdir()
    tags = {value.tag for event in tf.compat.v1.train.summary_iterator(str(path)) for value in event.summary.value}
    assert {f"pd/{name}" for name in masks} < tags


def test_names_of_entries_and_the_ten_most_frequent_values() -> None:
    measured, _, predictions = fitted(slices=("age", "country"))
    (entry,) = measured.history
    ages = [name for name in entry if name.startswith("pd/age=")]
    # 80 rows of 13 ages: 0 and 1 have 7 rows, the others 6; among equals the lower value.
    assert ages == [f"pd/age={age}" for age in range(10)]
    mask = X["age"] == 3
    assert entry["pd/age=3"] == pytest.approx(
        prediction_difference.relative(*predictions[mask].T, WEIGHT[mask]), rel=1e-6
    )


def test_the_values_of_the_first_measurement_stay() -> None:
    """NaN stands for a value without rows, or whose rows weigh nothing; missing numbers are a value of their own."""
    sliced = SlicedDifference()
    predictions = np.array([[0.1, 0.3], [0.2, 0.2], [0.4, 0.2]])
    column = {"device": np.array([np.nan, 1.0, np.nan])}
    found = sliced.measure(column, predictions, np.array([1.0, 0.0, 3.0]))
    assert found["pd/device=nan"] == pytest.approx((1.0 + 3 * (2 / 3)) / 4)
    assert math.isnan(found["pd/device=1.0"])
    later = sliced.measure({"device": np.array([2.0, 1.0, 2.0])}, predictions, None)
    assert later.keys() == found.keys()
    assert math.isnan(later["pd/device=nan"])
    assert later["pd/device=1.0"] == 0.0


def test_values_are_called_as_in_the_slices_of_a_run() -> None:
    names = np.array([b"\xff", b"other", "ä".encode()], object)
    found = SlicedDifference().measure({"x": names}, np.full((3, 2), 0.5), None)
    assert {name.removeprefix("pd/x=") for name in found} == set(slices.by_value(names)) == {"\\xff", "'other'", "ä"}


def test_the_mean_over_the_pairs_of_three_models() -> None:
    predictions = RNG.uniform(size=(40, 3))
    groups = np.arange(40) % 2
    found = SlicedDifference().measure({"g": groups}, predictions, None)
    for group in (0, 1):
        expected = prediction_difference.mean_over_pairs(predictions[groups == group])
        assert found[f"pd/g={group}"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        ("country", "slices must map names to functions of x, or be a sequence of names of x, got 'country'"),
        ([1], r"slices must map names .*, got \[1\]"),
        (["city"], "slices must name entries of x, got 'city': x, country, age"),
        (["x"], r"slices must have one value a row, \[batch\] or \[batch, 1\], got \(None, 2\) for 'x'"),
    ],
)
def test_wrong_slices(slices: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(slices=slices)
