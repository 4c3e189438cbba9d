"""What a large embedding table costs on one machine: step time over that of a small table, and memory.

    python benchmarks/big_table.py --rows=50000000 --batch_size=256
    python benchmarks/big_table.py --rows=20000000 --embedding_precision=float16 --against=float32

Two ranking models that differ only in the length of their table take turns, and medians over the turns are compared,
since the clock of a shared machine jumps. Ids are drawn by Zipf's law, as in a click log, and uniformly, which no log
is: then nearly every lookup misses every cache. The large table is made first, and its peak memory read. With
`--against` the other table is as large, and stored in another precision.

The pages of a large table are more than a processor remembers the places of. Where Linux grants huge pages on request
(/sys/kernel/mm/transparent_hugepage/enabled), the large table is moved to such pages, as in runs with
`train.huge_pages`; `--huge_pages=0` leaves it where it is.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf

from smooth_recs import config, fields
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, Tower, embedding_tables
from smooth_recs.models import RankingModel, from_config, interactions

GIB = 2**30
LAWS = ("zipf", "uniform")
Turn = Callable[[str], tuple[float, float]]  # trains for some steps: wall-clock and processor seconds a step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--small_rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=config.Model().embedding_dim)
    parser.add_argument("--features", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=config.Train().batch_size)
    parser.add_argument("--steps", type=int, default=100, help="a turn")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--huge_pages", type=int, default=1)
    precisions = fields.choices(config.EmbeddingPrecision)
    parser.add_argument("--embedding_precision", choices=precisions, default="float32")
    parser.add_argument("--against", choices=precisions, help="compares with as large a table, stored so")
    arguments = parser.parse_args()
    before = peak_memory()
    large = contender(arguments, arguments.rows, arguments.embedding_precision)
    numbers, after = arguments.rows * arguments.dim, peak_memory()
    table = numbers * tf.as_dtype(arguments.embedding_precision).size
    large(LAWS[0])
    shape = f"{arguments.rows:,} rows x {arguments.dim}, {arguments.embedding_precision}"
    print(f"table               {table / GIB:.2f} GiB, {shape}")
    print(f"peak to make it     {(after - before) / GIB:.2f} GiB, {(after - before) / table:.2f} times the table")
    trained, needed = peak_memory() - before, table + 4 * numbers
    print(f"peak in training    {trained / GIB:.2f} GiB, {trained / needed:.2f} times table and accumulator")
    begun = time.perf_counter()
    asked = embedding_tables.ask_for_huge_pages() if arguments.huge_pages else 0
    print(f"huge pages          {asked / GIB:.2f} GiB asked for, in {time.perf_counter() - begun:.1f} s")
    if arguments.against:
        name, other = f"in {arguments.against}", contender(arguments, arguments.rows, arguments.against)
    else:
        name, other = "small table", contender(arguments, arguments.small_rows, arguments.embedding_precision)
    other(LAWS[0])
    for law in LAWS:
        report(arguments, law, name, other, large)


def contender(arguments: argparse.Namespace, rows: int, precision: Any) -> Turn:
    """Makes a model whose features share `rows`; returns what trains it for a turn."""
    rows_each = rows // arguments.features
    names = [f"feature_{k}" for k in range(arguments.features)]
    defaults = config.Model()
    model = RankingModel(
        embeddings=StackedEmbedding(
            [EmbeddedFeature(name, rows_each) for name in names], arguments.dim, embeddings_dtype=precision
        ),
        interaction=interactions.Concatenation(),
        top_stack=Tower(defaults.hidden_units, defaults.activation, clip=defaults.clip),
    )
    model({name: tf.zeros([1], tf.int64) for name in names})
    model.compile(optimizer=from_config.optimizer(model, config.Train(), total_steps=1_000_000))

    @tf.function(autograph=False)
    def train(ids: Any, labels: Any) -> None:
        def step(k: Any) -> Any:
            features = dict(zip(names, tf.unstack(ids[k], axis=0), strict=True))
            model.train_step((features, labels[k]))
            return k + 1

        tf.while_loop(lambda k: k < arguments.steps, step, [0])

    def turn(law: str) -> tuple[float, float]:
        ids = draw(law, rows_each, (arguments.steps, arguments.features, arguments.batch_size))
        labels = tf.cast(tf.random.uniform((arguments.steps, arguments.batch_size)) < 0.1, tf.float32)
        wall, processor = time.perf_counter(), time.process_time()
        train(ids, labels)
        model.loss_mean.count.numpy()  # waits for it
        return (time.perf_counter() - wall) / arguments.steps, (time.process_time() - processor) / arguments.steps

    return turn


def draw(law: str, rows: int, shape: tuple[int, ...]) -> Any:
    """Row numbers; the frequent ones of Zipf's law (exponent 1) lie scattered over the table."""
    if law == "uniform":
        return tf.random.uniform(shape, 0, rows, tf.int64)
    rank = tf.cast(tf.exp(tf.random.uniform(shape, dtype=tf.float64) * math.log(rows)), tf.int64)
    return rank * 2_654_435_761 % rows


def report(arguments: argparse.Namespace, law: str, name: str, other: Turn, large: Turn) -> None:
    turns = [(other(law), large(law)) for _ in range(arguments.turns)]
    for k, clock in enumerate(("wall-clock", "processor")):
        fast, slow = (statistics.median(turn[model][k] for turn in turns) * 1000 for model in (0, 1))
        low, _, high = statistics.quantiles([large[k] / other[k] for other, large in turns], n=4)
        print(
            f"{law:8}{clock:12}{slow:.3f} ms a step of {arguments.batch_size}, {name} {fast:.3f} ms:"
            f" {slow / fast:.3f} times (half of the turns {low:.3f} to {high:.3f})"
        )


def peak_memory() -> int:
    """Of this process so far, in bytes (Linux)."""
    with open("/proc/self/status") as status:
        return int(status.read().split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()
