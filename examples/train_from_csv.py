"""Your own log, from a CSV file: a schema says what its columns are, a configuration what to train, one call does it.

Makes a small log, clicks.csv, where `--csv` names none. Leaves a run in runs/csv: metrics.json, report.html, and an
export of each sibling, which TensorFlow Serving loads as it is. The same command resumes a run that was killed.
"""

import argparse
import csv
import os
import pathlib

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # before TensorFlow is imported: the ranking model needs it
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from smooth_recs import config, training
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema(
    features=(
        Categorical("user_id", "hash", size=5_000, dtype="int64"),
        Categorical("country", "vocabulary"),
        Categorical("tags", "hash", size=500, max_values=3, separator="|"),
        Numeric("price", "log_standardize", missing="indicator"),
    ),
    label="clicked",
    query_id="request_id",
)


def make_log(path: str, rows: int) -> None:
    """Two offers a request. A price is missing now and then, and one label is no label."""
    random = np.random.default_rng(1)
    user, country = random.zipf(1.3, rows) % 4_000, random.choice(["de", "fr", "it"], rows)
    price, tag = random.lognormal(size=rows), random.integers(0, 50, rows)
    logit = np.sin(user) + np.cos(tag) * (country == "de") - 0.5 * np.log(price) - 1.5
    clicked = random.random(rows) < 1 / (1 + np.exp(-logit))
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["request_id", "user_id", "country", "tags", "price", "clicked"])
        for row in range(rows):
            known = "" if row % 50 == 0 else f"{price[row]:.2f}"
            label = "perhaps" if row == rows // 2 else int(clicked[row])
            writer.writerow([row // 2, user[row], country[row], f"t{tag[row]}|t{tag[row] // 5}", known, label])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--csv", default="clicks.csv", help="files with the columns of SCHEMA; made where there is none"
    )
    parser.add_argument("--rows", type=int, default=40_000, help="of the log that is made")
    parser.add_argument("--workdir", default="runs/csv")
    arguments = parser.parse_args()
    if arguments.csv == parser.get_default("csv") and not pathlib.Path(arguments.csv).exists():
        make_log(arguments.csv, arguments.rows)
        print(f"made         {arguments.csv}, {arguments.rows:,} rows")
    settings = config.Config(
        data=config.Data(source="csv", path=arguments.csv, schema=SCHEMA, shuffle_window=5_000),
        model=config.Model(activation="smelu", beta=0.15, norm_value=1.4, hidden_units=(64, 32, 16)),
        train=config.Train(dense_learning_rate=0.01, embedding_learning_rate=0.1, final_learning_rate_share=0.02),
        evaluation=config.Evaluation(slices=("country", "score")),
    )
    metrics = training.train_and_evaluate(settings, arguments.workdir)  # prints what it found, and where it left what
    for part in metrics["slices"]["country"]:
        print(f"slice        {part['slice']}: PD {part['pd']:.2%}, {part['pd_share']:.0%} of the total")


if __name__ == "__main__":
    main()
