"""How fast one smooth network trains beside the ensembles that it may replace, in examples a second.

    python benchmarks/alternatives_speed.py --turns=9

Models for the rows of configs/demo_falling.py take turns, and medians over the turns are compared, since the clock of a
shared machine jumps; processor time stands beside. A step is a whole training step on batches that are there already.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import runpy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf

from smooth_recs.config import Config, Ensemble
from smooth_recs.data.presets import open_source
from smooth_recs.data.sources import Source
from smooth_recs.models import from_config
from smooth_recs.models.cost import cost
from smooth_recs.training.batches import example

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "demo_falling.py"
GOAL = 1.33
BASE = "3 ReLU components, full width, tables of their own"
EQUAL = {"components": 3, "equal_cost": "parameters"}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {  # activation and ensemble
    "one ReLU network": ("relu", {}),
    "one SmeLU network": ("smelu", {}),
    BASE: ("relu", {"components": 3, "tables": "separate"}),
    "3 ReLU components, full width, one lookup": ("relu", {"components": 3}),
    "3 ReLU components, equal cost, one lookup": ("relu", EQUAL),
    "the same, anti-distilled": ("relu", EQUAL | {"decorrelation": 0.1}),
    "the same, co-distilled": ("relu", EQUAL | {"codistillation": 1.0}),
}
Turn = Callable[[], tuple[float, float]]  # trains for some steps: wall-clock and processor seconds an example


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch_size", type=int, default=Config().train.batch_size)
    parser.add_argument("--steps", type=int, default=100, help="a turn")
    parser.add_argument("--turns", type=int, default=9)
    arguments = parser.parse_args()
    demo: Config = runpy.run_path(str(CONFIG))["get_config"]()
    data = dataclasses.replace(demo.data, examples=arguments.batch_size * arguments.steps)
    source = open_source(data, cache_dir="")  # which a synthetic log does not need
    batches = batches_of(source, arguments.batch_size)
    turns = {name: contender(with_model(demo, *settings), source, batches) for name, settings in MODELS.items()}
    for turn in turns.values():
        turn()  # traces
    found = [{name: turn() for name, turn in turns.items()} for _ in range(arguments.turns)]
    report(found, {name: cost(with_model(demo, *settings), source.encoder) for name, settings in MODELS.items()})


def with_model(demo: Config, activation: str, ensemble: dict[str, Any]) -> Config:
    model = dataclasses.replace(demo.model, activation=activation)
    return from_config.resolved(dataclasses.replace(demo, model=model, ensemble=Ensemble(**ensemble)))


def batches_of(source: Source, batch_size: int) -> Any:
    """All training rows as tensors [steps, batch, ...]."""
    whole = source.train().map(example).rebatch(source.train_rows).get_single_element()
    return tf.nest.map_structure(lambda x: tf.reshape(x, [-1, batch_size, *x.shape[1:]]), whole)


def contender(config: Config, source: Source, batches: Any) -> Turn:
    """Makes a model; returns what trains it for a turn."""
    model = from_config.model(config, source.encoder)
    first = tf.nest.map_structure(lambda x: x[0], batches)
    model(first[0])
    model.compile(optimizer=from_config.optimizer(model, config.train, total_steps=1_000_000))
    steps, batch_size = batches[1].shape[:2]

    @tf.function(autograph=False)
    def train(batches: Any) -> None:
        def step(k: Any) -> Any:
            model.train_step(tf.nest.map_structure(lambda x: x[k], batches))
            return k + 1

        tf.while_loop(lambda k: k < steps, step, [0])

    def turn() -> tuple[float, float]:
        wall, processor = time.perf_counter(), time.process_time()
        train(batches)
        model.loss_mean.count.numpy()  # waits for it
        examples = steps * batch_size
        return (time.perf_counter() - wall) / examples, (time.process_time() - processor) / examples

    return turn


def report(turns: list[dict[str, tuple[float, float]]], costs: dict[str, Any]) -> None:
    print("| model | examples a second | of processor time | parameters | multiplications | lookups |")
    print("| --- | --- | --- | --- | --- | --- |")
    speeds = {name: [1 / statistics.median(turn[name][k] for turn in turns) for k in (0, 1)] for name in MODELS}
    for name, (wall, processor) in speeds.items():
        found = costs[name]
        counts = f"{found.parameters:,} | {found.multiply_adds:,} | {found.lookups}"
        print(f"| {name} | {wall:,.0f} | {processor:,.0f} | {counts} |")
    smelu, base = speeds["one SmeLU network"], speeds[BASE]
    print(
        f"\none SmeLU network trains {smelu[0] / base[0]:.2f} times as fast as {BASE} "
        f"({smelu[1] / base[1]:.2f} by processor time; goal {GOAL})"
    )


if __name__ == "__main__":
    main()
