"""How long an epoch takes to end, with tf.data's tuner and without: the iterator is deleted, and often has to wait.

    python benchmarks/end_of_epoch.py --epochs=20

Epochs of growing length, over batches in memory, in turns. The wait is the time that deleting the iterator takes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from smooth_recs.data.files import untuned


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--longest", type=float, default=3.0, help="seconds of the longest epoch")
    arguments = parser.parse_args()
    batches = tf.data.Dataset.range(256).map(lambda seed: tf.random.stateless_normal([256, 64], [1, seed]))
    repeated = batches.batch(1).repeat().prefetch(2)
    of = {"tuned": repeated, "untuned": untuned(repeated)}
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in of}
    for number in range(1, arguments.epochs + 1):
        for name, dataset in of.items():
            took[name].append(epoch(dataset, arguments.longest * number / arguments.epochs))
    print("| data set | epochs | seconds | of them waiting to end | longest wait | epochs that waited 10 ms |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, epochs in took.items():
        waits = [wait for _, wait in epochs]
        total, waited = sum(seconds for seconds, _ in epochs), sum(waits)
        late = statistics.mean(wait > 0.01 for wait in waits)
        print(f"| {name} | {len(epochs)} | {total:.2f} | {waited:.2f} | {max(waits):.2f} | {late:.0%} |")


def epoch(dataset: tf.data.Dataset, seconds: float) -> tuple[float, float]:
    """Seconds in all, and of them those that the iterator took to be deleted."""
    begun = time.perf_counter()
    iterator = iter(dataset)
    while time.perf_counter() - begun < seconds:
        next(iterator)
    ended = time.perf_counter()
    del iterator
    return time.perf_counter() - begun, time.perf_counter() - ended


if __name__ == "__main__":
    main()
