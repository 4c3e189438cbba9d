"""What it costs to update the rows of a batch in an embedding table by Adagrad, in three forms.

    python benchmarks/row_updates.py --rows 100000 2600000 50000000

Three forms take turns in one process: gathered rows, computed and written back (`models/row_updates.py`), TensorFlow's
fused sparse operation, and additions to the rows and to their sums, which Keras' newer optimizers make. All get the
summed gradients of rows that are all different; ids are drawn by Zipf's law or uniformly. Medians over the turns, and
ratios within a turn, half of which lie in the range behind.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf

from smooth_recs.models import row_updates

RATE, EPSILON = 0.05, 1e-7
BATCHES, LAWS = 8, ("zipf", "uniform")
OURS = "gathered, written back"
Update = Callable[[Any, Any], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 2_600_000], help="of the table")
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--lookups", type=int, default=2048 * 26, help="ids of a batch, some of them the same")
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    print("| rows | ids | form | wall-clock, ms | processor, ms | processor, ours = 1 |\n| " + "--- | " * 6)
    for rows in arguments.rows:
        forms = updates(rows, arguments.dim)
        for law in LAWS:
            report(rows, law, forms, [batch(law, rows, arguments, seed) for seed in range(BATCHES)], arguments.turns)


def batch(law: str, rows: int, arguments: argparse.Namespace, seed: int) -> tuple[Any, Any]:
    """The different rows of a batch in the order of their first appearance, and a gradient for each."""
    random = np.random.default_rng(seed)
    drawn = random.uniform(size=arguments.lookups)
    ids = (np.exp(drawn * np.log(rows)) if law == "zipf" else drawn * rows).astype(np.int64)
    different, _ = tf.unique(ids * 2_654_435_761 % rows)
    return different, tf.constant(random.normal(0, 0.01, (different.shape[0], arguments.dim)), tf.float32)


def updates(rows: int, dim: int) -> dict[str, Update]:
    """The forms, on one table and its sums."""
    table, sums = tf.Variable(tf.zeros([rows, dim])), tf.Variable(tf.fill([rows, dim], 0.001))

    @tf.function(autograph=False)
    def ours(ids: Any, gradient: Any) -> None:
        row_updates.adagrad(table, sums, ids, gradient, tf.constant(RATE), tf.constant(EPSILON))

    @tf.function(autograph=False)
    def fused(ids: Any, gradient: Any) -> None:
        tf.raw_ops.ResourceSparseApplyAdagradV2(
            var=table.handle, accum=sums.handle, lr=RATE, epsilon=EPSILON, grad=gradient, indices=ids
        )

    @tf.function(autograph=False)
    def added(ids: Any, gradient: Any) -> None:
        sums.scatter_add(tf.IndexedSlices(tf.square(gradient), ids))
        step = RATE * gradient / (tf.sqrt(tf.gather(sums, ids)) + EPSILON)
        table.scatter_add(tf.IndexedSlices(-step, ids))

    return {OURS: ours, "fused operation": fused, "additions": added}


def report(rows: int, law: str, forms: dict[str, Update], batches: list[tuple[Any, Any]], turns: int) -> None:
    taken: dict[str, list[tuple[float, float]]] = {form: [] for form in forms}
    for _ in range(turns):
        for form, update in forms.items():
            update(*batches[0])
            wall, processor = time.perf_counter(), time.process_time()
            for each in batches:
                update(*each)
            clocks = time.perf_counter() - wall, time.process_time() - processor
            taken[form].append((clocks[0] / BATCHES, clocks[1] / BATCHES))
    for form, times in taken.items():
        wall, processor = (1000 * statistics.median(clock) for clock in zip(*times, strict=True))
        ratios = [one[1] / own[1] for one, own in zip(times, taken[OURS], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        share = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        print(f"| {rows:,} | {law} | {form} | {wall:.2f} | {processor:.2f} | {share} |")


if __name__ == "__main__":
    main()
