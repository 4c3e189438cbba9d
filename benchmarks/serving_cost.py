"""What normalisation and activation cost in serving: exports through the C++ loader that TensorFlow Serving uses.

    python benchmarks/serving_cost.py --sessions=9 --rounds=40

The configuration's network as ReLU and SmeLU, with row norms, without normalisation and with layer norms. Requests of 1
and 1,000 raw rows lie in tensors already, so that the clock is around the session alone; everything shares one core
unless --cores says otherwise. In each round every export answers each request some times, of which the fastest counts,
in another order each time; a ratio is that within a round. Exports are loaded again for each session, since where one
comes to lie in memory moves the time of a single row by some percent: medians of the sessions are what is compared. The
clock of a shared machine jumps; processor time stands beside, of which other programs take nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data.presets import open_source
from smooth_recs.models import from_config
from smooth_recs.serving import requests, saved_model
from smooth_recs.serving.loader import LoadedModel

SIGNATURE = "serving_default"
CALLS = {1: 20, 1000: 4}  # rows of a request, and how often it is made in a round


class Network(NamedTuple):
    activation: str
    normalization: str

    def __str__(self) -> str:
        return f"{ACTIVATIONS[self.activation]}, {NORMALIZATIONS[self.normalization]}"


class Ratio(NamedTuple):
    """`limit`: what the median must be at most, or below; None where it is only told."""

    of: Network
    to: Network
    limit: float | None = None


ACTIVATIONS = {"relu": "ReLU", "smelu": "SmeLU"}
NORMALIZATIONS = {"weight": "row norm", "none": "no norm", "layer": "layer norm"}
NETWORKS = [Network(activation, normalization) for activation in ACTIVATIONS for normalization in NORMALIZATIONS]
RATIOS = [
    *(Ratio(Network(name, "weight"), Network(name, "none"), 1.03) for name in ACTIVATIONS),
    *(Ratio(Network(name, "weight"), Network(name, "layer"), 1.0) for name in ACTIVATIONS),
    *(Ratio(Network("smelu", name), Network("relu", name)) for name in NORMALIZATIONS),
]

Call = Callable[[], Any]
Samples = dict[
    tuple[Network, int], Any
]  # by network and rows of a request: wall-clock and processor seconds [rounds, 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=40, help="of a session")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--hidden_units", type=int, nargs="+", default=list(config.Model().hidden_units))
    parser.add_argument("--embedding_dim", type=int, default=config.Model().embedding_dim)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])  # before TensorFlow counts them
    with tempfile.TemporaryDirectory() as folder:
        source = open_source(config.Data(examples=max(CALLS), eval_examples=max(CALLS)), folder)
        paths = {network: exported(network, arguments, source, folder) for network in NETWORKS}
        rows = requests.held_out(source, max(CALLS))
        sessions = [session(paths, rows, arguments.rounds) for _ in range(arguments.sessions)]
        loading = {network: np.array([seconds[network] for seconds, _ in sessions]) for network in NETWORKS}
        samples = {key: np.stack([found[key] for _, found in sessions]) for key in sessions[0][1]}
        print_exports({network: size(path) for network, path in paths.items()}, loading, samples)
        print_ratios(samples)


def exported(network: Network, arguments: argparse.Namespace, source: Any, folder: str) -> str:
    """Path of the export of an untrained network.

    Its variables are not as they were initialised: a graph may drop additions of 0 and multiplications by 1.
    """
    settings = config.Config(
        model=config.Model(
            activation=network.activation,
            normalization=network.normalization,
            hidden_units=tuple(arguments.hidden_units),
            embedding_dim=arguments.embedding_dim,
        )
    )
    model = from_config.model(from_config.resolved(settings), source.encoder)
    model(next(iter(source.holdout()))["features"])
    for seed, variable in enumerate(model.trainable_variables):
        variable.assign_add(tf.random.stateless_normal(variable.shape, (1, seed), stddev=0.05))
    return saved_model.save(model, source.encoder, os.path.join(folder, *network))


def size(path: str) -> int:
    return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())


def session(paths: dict[Network, str], rows: requests.Batch, rounds: int) -> tuple[dict[Network, float], Samples]:
    """Seconds of loading each export, and of its calls in each round."""
    loading, calls = {}, {}
    with contextlib.ExitStack() as stack:
        for network in random.sample(NETWORKS, len(NETWORKS)):
            begun = time.perf_counter()
            model = stack.enter_context(LoadedModel(paths[network]))
            loading[network] = time.perf_counter() - begun
            for count in CALLS:
                few = requests.take(rows, slice(count))
                calls[network, count] = stack.enter_context(model.prepared(SIGNATURE, few))
        return loading, measured(calls, rounds)


def measured(calls: dict[tuple[Network, int], Call], rounds: int) -> Samples:
    """Seconds of the fastest call of each round."""
    samples: dict[tuple[Network, int], list[Any]] = {key: [] for key in calls}
    order = list(calls)
    for turn in range(-1, rounds):  # the first one optimises graphs and fills caches
        random.shuffle(order)
        order.sort(key=lambda key: key[1])  # requests of a size after each other, so that none finds others' traces
        for key in order:
            times = [seconds(calls[key]) for _ in range(CALLS[key[1]])]
            if turn >= 0:
                samples[key].append(np.min(times, axis=0))
    return {key: np.array(found) for key, found in samples.items()}


def seconds(call: Call) -> tuple[float, float]:
    """Wall-clock and processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


def print_exports(sizes: dict[Network, int], loading: dict[Network, Any], samples: Samples) -> None:
    print_row("export", "size", "load", *columns("{}, wall-clock", "processor"))
    print_row(*["---"] * (3 + 2 * len(CALLS)))
    for network in NETWORKS:
        times = [np.median(samples[network, count], axis=1) for count in CALLS]
        found = [milliseconds(each[:, clock]) for each in times for clock in (0, 1)]
        print_row(str(network), f"{sizes[network] / 1e6:.2f} MB", milliseconds(loading[network]), *found)
    print()


def print_ratios(samples: Samples) -> None:
    print_row("ratio", "goal", *columns("{}, wall-clock", "processor"))
    print_row(*["---"] * (2 + 2 * len(CALLS)))
    for of, to, limit in RATIOS:
        ratios = [np.median(samples[of, count] / samples[to, count], axis=1) for count in CALLS]
        found = [judged(each[:, clock], limit) for each in ratios for clock in (0, 1)]
        print_row(f"{of} / {to}", "" if limit is None else f"at most {limit:g}", *found)
    print("Each: the median of the sessions (the least to the greatest).")


def columns(*names: str) -> list[str]:
    return [name.format(f"{count:,} row{'s' * (count > 1)}") for count in CALLS for name in names]


def print_row(*cells: str) -> None:
    print("|", " | ".join(cells), "|", flush=True)


def spread(values: Any, form: str) -> str:
    return "{} ({} to {})".format(*(f"{each:{form}}" for each in (np.median(values), min(values), max(values))))


def milliseconds(values: Any) -> str:
    return f"{spread(values * 1e3, '.3g')} ms"


def judged(ratios: Any, limit: float | None) -> str:
    verdict = "" if limit is None else (" met" if np.median(ratios) <= limit else " missed")
    return spread(ratios, ".3f") + verdict


if __name__ == "__main__":
    main()
