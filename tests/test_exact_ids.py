"""Ids that a float does not hold, exact from the log through training, export, prediction and comparison."""

from __future__ import annotations

import csv
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smooth_recs import training
from smooth_recs.comparison.comparison import compare
from smooth_recs.comparison.settings import Settings
from smooth_recs.config import Config, Data, Evaluation, Model, Train
from smooth_recs.data import encoding
from smooth_recs.release import predicting
from smooth_recs.release.predicting import PredictSettings
from smooth_recs.schema import Categorical, Schema

# Neighbours that float64 takes for one.
USERS = [2**53, 2**53 + 1, 2**62 + 1, 2**62 + 2]  # int64
ITEMS = [2**63, 2**63 + 1, 2**64 - 1]  # uint64
ACCOUNTS = [decimal.Decimal(text) for text in ("12345678901234567890.10", "12345678901234567890.11")]
SCHEMA = Schema(
    (
        Categorical("user", "vocabulary", dtype="int64"),
        Categorical("item", "vocabulary"),
        Categorical("account", "vocabulary"),
    )
)
ROWS = 600


def log() -> dict[str, Any]:
    """Every pair of a user and an item many times; `impression` tells rows apart."""
    n = np.arange(ROWS)
    return {
        "user": pa.array([USERS[i % 4] for i in n]),
        "item": pa.array([ITEMS[i // 4 % 3] for i in n], pa.uint64()),
        "account": pa.array([ACCOUNTS[i // 12 % 2] for i in n]),
        "impression": pa.array([2**60 + int(i) for i in n], pa.uint64()),
        "label": pa.array((n % 2 == 0).astype(int)),  # what a user's id alone tells, if it is exact
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the log in two formats, and of a run on it."""
    folder, table = tmp_path_factory.mktemp("exact"), log()
    pq.write_table(pa.table(table), folder / "log.parquet")
    with open(folder / "log.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*(column.to_pylist() for column in table.values()), strict=True))
    training.train_and_evaluate(config(folder, "parquet"), str(folder / "run"))
    return folder


def config(folder: Path, source: Any) -> Config:
    return Config(
        data=Data(source=source, path=str(folder / f"log.{source}"), schema=SCHEMA, train_fraction=0.8),
        model=Model(hidden_units=(4,), embedding_dim=2),
        train=Train(batch_size=48, epochs=3, steps_per_execution=10, evaluations=0, dense_learning_rate=0.1),
        evaluation=Evaluation(estimate=False, slices=("label",)),
    )


@pytest.mark.slow
def test_ids_are_exact_from_the_log_to_the_comparison(run: Path) -> None:
    found = encoding.load(str(run / "run" / "encoder.json")).statistics.vocabularies
    assert {name: sorted(int(v) for v in found[name]) for name in ("user", "item")} == {"user": USERS, "item": ITEMS}
    assert sorted(found["account"]) == [str(account).encode() for account in ACCOUNTS]

    keys, table = ("impression", "user", "item", "account"), log()
    for source, name in (("parquet", "of_parquet.parquet"), ("csv", "of_csv.csv"), ("csv", "of_csv.tfrecord")):
        wanted = PredictSettings(
            str(run / "run"), config(run, "parquet"), str(run / name), str(run / f"log.{source}"), keys
        )
        assert predicting.predict(wanted) == ROWS
    read = pq.read_table(run / "of_parquet.parquet")
    for key in keys:
        assert read[key].to_pylist() == table[key].to_pylist()
        assert read[key].type == table[key].type
    with open(run / "of_csv.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for key in keys:
        assert [row[key] for row in rows] == [str(value) for value in table[key].to_pylist()]
    # A model that took neighbours for one could not tell odd rows from even ones.
    prediction = np.array(read["prediction"])
    assert prediction[::2].min() > prediction[1::2].max()

    # Rows in another order, matched by ids of another type: the same rows, to the last one.
    pq.write_table(read.take(pa.array(np.random.default_rng(1).permutation(ROWS))), run / "shuffled.parquet")
    for other in ("of_csv.csv", "of_csv.tfrecord"):
        for key in (("impression",), keys):
            sides = str(run / "shuffled.parquet"), str(run / other)
            same = compare(Settings(*sides, str(run / "c.json"), key=key, evaluation=Evaluation(slices=("label",))))
            assert (same["rows"], same["only_in_a"], same["only_in_b"]) == (ROWS, 0, 0)
            assert same["pd"]["relative"] < 1e-6  # a TFRecord has float32
