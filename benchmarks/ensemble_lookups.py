"""What an ensemble gains from embeddings that lie side by side: one lookup and one update an id, instead of several.

    python benchmarks/ensemble_lookups.py --turns=9

The same ensemble, once with its components' embeddings of an id in one row, once with tables of their own. The two take
turns, and medians over the turns are compared, since the clock of a shared machine jumps; processor time stands beside.
A step is a whole training step, networks included, on batches that are there already. Ids are drawn by Zipf's law, as
in a click log.
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

from smooth_recs import config
from smooth_recs.data.encoding import Encoder
from smooth_recs.models import from_config
from smooth_recs.models.cost import cost
from smooth_recs.schema import Categorical, Schema

GOAL = 1.2
Turn = Callable[
    [int], tuple[float, float]
]  # trains some steps of a batch size: wall-clock and processor seconds a step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=26)
    parser.add_argument("--rows", type=int, default=100_000, help="of each feature")
    parser.add_argument("--dim", type=int, default=config.Model().embedding_dim, help="of a component")
    parser.add_argument("--components", type=int, default=3)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[2048, 256])
    parser.add_argument("--steps", type=int, default=20, help="a turn")
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    features = [Categorical(f"feature_{k}", "identity", arguments.rows, "int64") for k in range(arguments.features)]
    encoder = Encoder(Schema(tuple(features)))
    contenders = {tables: contender(arguments, encoder, tables) for tables in ("shared", "separate")}
    for batch_size in arguments.batch_sizes:
        report(arguments, batch_size, contenders)


def contender(arguments: argparse.Namespace, encoder: Encoder, tables: str) -> Turn:
    """Makes an ensemble; returns what trains it for a turn."""
    settings = config.Config(
        model=config.Model(embedding_dim=arguments.dim),
        ensemble=config.Ensemble(components=arguments.components, tables=tables),
    )
    names = [feature.name for feature in encoder.schema.features]
    model = from_config.model(settings, encoder)
    model({name: tf.zeros([1], tf.int64) for name in names})
    model.compile(optimizer=from_config.optimizer(model, settings.train, total_steps=1_000_000))
    print(f"{tables:9} {cost(settings, encoder).lookups} lookups an example")

    @tf.function(autograph=False)
    def train(ids: Any, labels: Any) -> None:
        def step(k: Any) -> Any:
            model.train_step((dict(zip(names, tf.unstack(ids[k], axis=0), strict=True)), labels[k]))
            return k + 1

        tf.while_loop(lambda k: k < arguments.steps, step, [0])

    def turn(batch_size: int) -> tuple[float, float]:
        ids = draw(arguments.rows, (arguments.steps, len(names), batch_size))
        labels = tf.cast(tf.random.uniform((arguments.steps, batch_size)) < 0.1, tf.float32)
        wall, processor = time.perf_counter(), time.process_time()
        train(ids, labels)
        model.loss_mean.count.numpy()  # waits for it
        return (time.perf_counter() - wall) / arguments.steps, (time.process_time() - processor) / arguments.steps

    return turn


def draw(rows: int, shape: tuple[int, ...]) -> Any:
    """Ids by Zipf's law (exponent 1); the frequent ones lie scattered over the table."""
    rank = tf.cast(tf.exp(tf.random.uniform(shape, dtype=tf.float64) * math.log(rows)), tf.int64)
    return rank * 2_654_435_761 % rows


def report(arguments: argparse.Namespace, batch_size: int, contenders: dict[str, Turn]) -> None:
    for turn in contenders.values():
        turn(batch_size)  # traces
    turns = [{name: turn(batch_size) for name, turn in contenders.items()} for _ in range(arguments.turns)]
    for clock, kind in enumerate(("wall-clock", "processor")):
        shared, separate = (statistics.median(turn[name][clock] for turn in turns) * 1000 for name in contenders)
        ratios = sorted(turn["separate"][clock] / turn["shared"][clock] for turn in turns)
        low, high = ratios[len(ratios) // 4], ratios[-len(ratios) // 4]
        print(
            f"batch {batch_size:5} {kind:11} one lookup {shared:.2f} ms a step, separate tables {separate:.2f} ms: "
            f"{separate / shared:.2f} times as fast (half of the turns {low:.2f} to {high:.2f}; goal {GOAL})"
        )


if __name__ == "__main__":
    main()
