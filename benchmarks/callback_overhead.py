"""What measuring PD while training costs: time of an epoch with the callback, relative to the same epoch without.

    python benchmarks/callback_overhead.py --repetitions=3

The demo's configuration with what a run watches (`training/monitoring.py`), and a plain Keras fit with the callback's
defaults. Epochs with and without take turns and medians are compared, since the clock of a shared machine jumps; beside
them stand processor time and the time spent within the callback, which jumps less. A warm-up comes first: what it takes
once in a run, tracing and the first pass over the data, is printed apart.
"""

from __future__ import annotations

import argparse
import os
import runpy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf

from smooth_recs.callbacks import PredictionDifference
from smooth_recs.data.presets import open_source
from smooth_recs.training import loop, monitoring
from smooth_recs.training.batches import Batches, Segment

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "demo_falling.py"

Fit = Callable[[list[Any]], Any]


class Stopwatch:
    """Wall-clock and processor seconds spent in a function."""

    def __init__(self) -> None:
        self.spent = np.zeros(2)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            begun = now()
            result = function(*arguments)
            self.spent += now() - begun
            return result

        return timed


def now() -> Any:
    return np.array([time.perf_counter(), time.process_time()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--examples", type=int, default=1_000_000, help="of the demo's epoch")
    parser.add_argument("--evaluations", type=int, help="measurements an epoch; default: that of the configuration")
    parser.add_argument("--evaluation_examples", type=int, help="rows of a measurement; default: as above")
    arguments = parser.parse_args()
    print("| fit | epoch without | with | more | within the callback | once in a run |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(row("demo", *of_demo(arguments), arguments.repetitions))
    print(row("plain Keras", *of_plain_keras(), arguments.repetitions))
    print("Each: wall-clock, then processor time.")


def row(name: str, fit: Fit, difference: PredictionDifference, others: list[Any], repetitions: int) -> str:
    watch = Stopwatch()
    difference.report = watch.around(difference.report)  # type: ignore[method-assign]
    fit([difference, *others])
    warm_up, times, within = watch.spent, {True: [], False: []}, []
    for repetition in range(repetitions):
        for measured in (True, False) if repetition % 2 else (False, True):
            watch.spent, begun = np.zeros(2), now()
            fit([difference, *others] if measured else others)
            times[measured].append(now() - begun)
            if measured:
                within.append(watch.spent)
    without, with_it, inside = (median(found) for found in (times[False], times[True], within))
    columns = [seconds(without), seconds(with_it), percent(with_it / without - 1), percent(inside / without)]
    return "| " + " | ".join([name, *columns, seconds(warm_up - inside)]) + " |"


def median(found: list[Any]) -> Any:
    return np.array([statistics.median(column) for column in zip(*found, strict=True)])


def seconds(pair: Any) -> str:
    return f"{pair[0]:.2f} s, {pair[1]:.2f} s"


def percent(pair: Any) -> str:
    return f"{pair[0]:+.1%}, {pair[1]:+.1%}"


def of_demo(arguments: argparse.Namespace) -> tuple[Fit, PredictionDifference, list[Any]]:
    """Epochs of the demo's pair, and what its run watches."""
    config = runpy.run_path(str(CONFIG))["get_config"]()
    config.data.examples = arguments.examples
    for name in ("evaluations", "evaluation_examples"):
        if getattr(arguments, name) is not None:
            setattr(config.train, name, getattr(arguments, name))
    folder = tempfile.mkdtemp()
    batches = Batches(config, folder, open_source(config.data, folder))
    siblings, epoch = loop.build(batches), Segment(0, 0, batches.steps_per_epoch)
    watching, _ = monitoring.callbacks(
        batches, folder, monitoring.Curve(os.path.join(folder, "history.json")), siblings
    )
    difference = next(callback for callback in watching if isinstance(callback, PredictionDifference))

    def fit(callbacks: list[Any]) -> None:
        siblings.fit(batches.dataset(epoch), steps_per_epoch=epoch.stop, callbacks=callbacks, verbose=2)

    return fit, difference, [callback for callback in watching if callback is not difference]


def of_plain_keras(rows: int = 200_000, held_out: int = 2_000) -> tuple[Fit, PredictionDifference, list[Any]]:
    """Two towers on arrays, of which one trains; a hundredth as many rows held out, measured at epochs' ends."""
    random = np.random.default_rng(1)
    x = random.normal(size=(rows + held_out, 64)).astype(np.float32)
    y = (x[:, 0] + random.normal(size=rows + held_out) > 0).astype(np.float32)

    def tower() -> Any:
        hidden = [tf.keras.layers.Dense(units, activation="smelu") for units in (256, 128, 64, 32, 16)]
        return tf.keras.Sequential([tf.keras.Input([64]), *hidden, tf.keras.layers.Dense(1, activation="sigmoid")])

    trained, other = tower(), tower()
    trained.compile(optimizer="adagrad", loss="binary_crossentropy", steps_per_execution=100)
    difference = PredictionDifference((x[rows:], y[rows:]), models=[other])
    training_rows = tf.data.Dataset.from_tensor_slices((x[:rows], y[:rows])).batch(256)
    return lambda callbacks: trained.fit(training_rows, callbacks=callbacks, verbose=2), difference, []


if __name__ == "__main__":
    main()
