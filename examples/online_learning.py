"""Online learning: a log that drifts and grows while it is trained on, every row predicted before it is learnt.

Monday's run follows a folder into which another thread puts a file a second; it ends when nothing new comes. Tuesday's
run begins with Monday's weights (`train.warm_start`), and, to compare, once more without. Leaves log/DAY/*.csv and the
runs runs/online/monday, tuesday and tuesday_cold, each with its report and exports.
"""

import argparse
import os
import pathlib
import threading
import time

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # before TensorFlow is imported: the ranking model needs it
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from smooth_recs import config, training
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema((Categorical("item", "identity", 200, "int64"), Numeric("price", "log")))


def write(path: pathlib.Path, rows: int, hour: int) -> None:
    """One file of the log; what people like changes a little from file to file."""
    random = np.random.default_rng(hour)
    item, price = random.zipf(1.2, rows) % 200, random.lognormal(size=rows)
    logit = 1.5 * np.sin(item + hour / 4) - 0.5 * np.log(price) - 1
    clicked = random.random(rows) < 1 / (1 + np.exp(-logit))
    lines = [f"{i},{p:.3f},{c:d}\n" for i, p, c in zip(item, price, clicked, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}")  # a name with a dot, then a rename: no half of a file is ever taken
    beside.write_text("item,price,label\n" + "".join(lines))
    beside.rename(path)


def feed(folder: pathlib.Path, rows: int, hours: range, pause: float = 0.0) -> None:
    for hour in hours:
        time.sleep(pause)
        if not (path := folder / f"{hour:02}.csv").exists():
            write(path, rows, hour)


def train(run: str, folder: pathlib.Path, follow: float, warm_start: str = "") -> list[dict]:
    """A run over a folder; returns what it measured on its way, on rows that it had not trained on."""
    settings = config.Config(
        data=config.Data("csv", str(folder), eval_path="log/held_out", schema=SCHEMA, shuffle_window=1_000),
        model=config.Model(activation="smelu", beta=0.1, norm_value=1.4, hidden_units=(32, 16)),
        siblings=config.Siblings(differ="both"),
        train=config.Train(progressive=True, evaluation_examples=80, steps_per_execution=4, batch_size=100),
        evaluation=config.Evaluation(estimate=False, slices=("score",)),
    )
    settings.data.follow_seconds, settings.train.warm_start = follow, warm_start
    print(f"\n{run}", flush=True)
    metrics = training.train_and_evaluate(settings, f"runs/online/{run}")
    return [entry for entry in metrics["history"] if "progressive_pd" in entry]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8_000, help="rows of each of the four files of a day")
    rows = parser.parse_args().rows
    monday, tuesday = pathlib.Path("log/monday"), pathlib.Path("log/tuesday")
    feed(pathlib.Path("log/held_out"), rows, range(8, 9))
    feed(monday, rows, range(1))  # a stream begins with the files that are there
    threading.Thread(target=feed, args=(monday, rows, range(1, 4), 1.0), daemon=True).start()
    first = train("monday", monday, follow=10.0)
    feed(tuesday, rows, range(4, 8))
    warm = train("tuesday", tuesday, follow=0.0, warm_start="runs/online/monday")
    cold = train("tuesday_cold", tuesday, follow=0.0)
    print("\nlog loss of new rows, and PD")
    for name, entries in (("monday", first), ("tuesday", warm), ("tuesday_cold", cold)):
        print(f"{name:13}", *(f"{e['progressive_log_loss']:.4f} {e['progressive_pd']:.1%}  " for e in entries))
    print("reports       runs/online/*/report.html")


if __name__ == "__main__":
    main()
