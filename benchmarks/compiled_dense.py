"""From which size on the passes of a tower are faster where XLA compiles them (`model.compile_dense`).

    python benchmarks/compiled_dense.py --rounds=9 --output=docs/performance-compiled.csv

A training step of the dense tower alone (row norm, SmeLU and clip, forward and backward, and Adagrad) is measured for
several widths and batches, as TensorFlow makes it and compiled; the two take turns, and processor time is compared.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf

from smooth_recs.layers import Tower, compiled
from smooth_recs.models import generation

INPUTS = 256
TOWERS = ((64, 32, 16), (256, 128, 64, 32, 16), (256, 128, 64), (512, 256, 128), (1024, 512, 256), (2048, 1024, 512))
BATCHES = (128, 256, 512, 1024, 2048, 4096)
TURN = 0.15  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", help="a CSV file for what was measured")
    arguments = parser.parse_args()
    print(
        "| hidden layers | batch | outputs a layer | processor time, compiled / not | `auto` |\n" + "| --- " * 5 + "|"
    )
    rows = []
    for units in TOWERS:
        for batch in BATCHES:
            ratio, low, high = measured(units, batch, arguments.rounds)
            outputs, chosen = batch * sum(units) // len(units), compiled.pays(batch, units)
            name, form = "-".join(map(str, units)), "compiled" if chosen else "as it is"
            print(f"| {name} | {batch} | {outputs:,} | {ratio:.2f} ({low:.2f} to {high:.2f}) | {form} |", flush=True)
            rows.append([name, batch, outputs, f"{ratio:.3f}", f"{low:.3f}", f"{high:.3f}", form])
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["hidden_units", "batch", "outputs_per_layer", "ratio", "low", "high", "auto"])
            writer.writerows(rows)


def measured(units: tuple[int, ...], batch: int, rounds: int) -> tuple[float, float, float]:
    """Processor time compiled over that not compiled: the median over the rounds, and where half of them lie."""
    plain, fast = (steps(units, batch, wanted) for wanted in (False, True))
    begun = time.process_time()
    plain(5)
    count = max(int(TURN / (time.process_time() - begun) * 5), 1)
    ratios = []
    for _ in range(rounds):
        one, other = (took(each, count) for each in (plain, fast))
        ratios.append(other / one)
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, low, high


def took(run: Callable[[int], None], count: int) -> float:
    begun = time.process_time()
    run(count)
    return time.process_time() - begun


def steps(units: tuple[int, ...], batch: int, wanted: bool) -> Callable[[int], None]:
    """Makes so many training steps of a tower in one call."""
    tower = Tower(units, "smelu", norm_value=1.0, clip=6.0)
    inputs, upstream = tf.random.normal([batch, INPUTS]), tf.random.normal([batch, 1]) / 1e6
    tower(inputs)
    optimizer, variables = generation.Adagrad(0.001), tower.trainable_variables
    generation.make_slots(optimizer, variables)

    def step(inputs: Any) -> Any:
        with tf.GradientTape() as tape, compiled.passes(wanted):
            tape.watch(inputs)
            loss = tf.reduce_sum(tower(inputs) * upstream)
        of_inputs, *gradients = tape.gradient(loss, [inputs, *variables])
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return of_inputs

    @tf.function(autograph=False)
    def run(count: Any) -> Any:
        made = tf.while_loop(lambda k, _: k < count, lambda k, x: (k + 1, step(x)), [0, inputs], parallel_iterations=1)
        return tf.reduce_max(made[1])

    def turn(count: int) -> None:
        run(tf.constant(count)).numpy()

    turn(2)
    return turn


if __name__ == "__main__":
    main()
